"""A night's page: its sections put together, rendered, and put in place at once.

The page needs nothing but itself: no script, no font, no picture from elsewhere; its content
security policy lets the browser load nothing and run nothing, whatever a story holds.
"""

import base64
import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup

from flows.errors import FlowsError
from flows.report.answers import Asker
from flows.report.choosing import unknown_night
from flows.report.cost_section import cost_section
from flows.report.distance_section import distance_section
from flows.report.diversity_section import diversity_section, stopped_by
from flows.report.documents_section import documents_section
from flows.report.figures import Figures, read_figures
from flows.report.formats import glued
from flows.report.grammar_section import grammar_section
from flows.report.index import index_values
from flows.report.memory_section import memory_section, texts_section
from flows.report.night_sections import asked_section, headlines, missing, when
from flows.report.origin_section import origin_section
from flows.report.reliability_section import reliability_section
from flows.report.story_sections import stories_section, told_section, words_section
from flows.report.student_sections import decision_section, figures_section
from flows.report.training_sections import targets_section, training_section, trend_section
from warehouse.lake import Lake

_FOLDER = "reports"
# A student may tell any byte; these mean nothing in a page.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SECTIONS = (
    decision_section,
    documents_section,
    figures_section,
    distance_section,
    reliability_section,
    grammar_section,
    told_section,
    texts_section,
    memory_section,
    stories_section,
    words_section,
    diversity_section,
    origin_section,
    targets_section,
    training_section,
    trend_section,
    cost_section,
    asked_section,
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something lies, from the page."""

    what: str
    path: str


def report_path(lake: Lake, line: str, night: str) -> Path:
    """Where the night's page lies."""
    return lake.root / _FOLDER / line / f"{night}.html"


def write_report(lake: Lake, line: str, night: str) -> Path:
    """Write the night's page, then the index of all nights, and return the page's path.

    A night that has not ended gives a page that says what is missing. Raises FlowsError for a
    night that was never claimed.
    """
    asker = Asker(lake, lake.manifest.snapshot())
    path = report_path(lake, line, night)
    _put(path, _render("night.html.j2", _night_values(asker, line, night)))
    index = lake.root / _FOLDER / "index.html"
    _put(index, _render("index.html.j2", index_values(asker, index.parent)))
    return path


def _night_values(asker: Asker, line: str, night: str) -> dict[str, object]:
    claims = asker.lake.manifest.nights()
    claim = next((claim for claim in claims if (claim.line, claim.night) == (line, night)), None)
    if claim is None:
        raise FlowsError(unknown_night(claims, line, night))
    figures = read_figures(asker, claim)
    sections = [section for make in _SECTIONS if (section := make(figures)) is not None]
    decision = figures.decision.first
    return {
        "line": line,
        "night": night,
        "state": _state(figures),
        "explanation": decision.explanation if decision else None,
        "reason": decision.reason if decision else None,
        "when": when(figures),
        "missing": missing(figures),
        "stopped": stopped_by(figures),
        "headlines": headlines(figures),
        "sections": sections,
        "places": _places(figures),
    }


def _state(figures: Figures) -> str:
    decision = figures.decision.first
    if decision is None:
        return "stopped" if figures.is_stopped else "not decided yet"
    return "promoted" if decision.promoted else "not promoted"


def _places(figures: Figures) -> list[Place]:
    """The lake's folders as the page finds them, two folders above it."""
    found = [
        Place("lake", "../../"),
        Place("catalog for any DuckDB client", "../../catalog.duckdb"),
    ]
    found += [
        Place(f"model folder of the {student.role}", f"../../models/{student.student_id}/")
        for student in figures.students.rows
    ]
    claim, decision = figures.claim.first, figures.decision.first
    if (claim and claim.champion_id) or (decision and decision.promoted):
        found.append(Place(f"champion of {figures.line}", f"../../champion/{figures.line}/"))
    return [*found, Place("all nights", "../index.html")]


def _render(name: str, values: dict[str, object]) -> str:
    page = _environment().get_template(name).render(values, **_style())
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", page)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("flows.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["glued"] = glued
    return environment


@cache
def _style() -> dict[str, object]:
    """The style sheet and its digest, which is all that the page's policy lets through."""
    style = resources.files("flows.report").joinpath("style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return {"style": Markup(style), "style_digest": digest}


def _put(path: Path, text: str) -> None:
    """Write the file at once: whoever reads it meanwhile sees the old one whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with open(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
