"""A lake to report on: the smoke night, and a night after it that is hostile to a web page.

The second night repeats the rows of the first, with markup in every text that a model or a person
wrote, a champion to meet, and a decision; the third has only begun.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa

from flows.report.figures import unit_of
from warehouse.identity import Json
from warehouse.lake import Lake
from warehouse.ledger import Night
from warehouse.nights import NightRequest
from warehouse.schemas import TABLES

MARKUP = "\x01</blockquote></style></code><script>alert(1)</script><img src=http://a.b/c.png> & \"'"
LINE, FIRST, HOSTILE, BEGUN = "smoke", "1", "2", "3"


def add_nights(data: Path) -> None:
    """Add the hostile night and the one that has only begun to a lake of one smoke night."""
    with Lake.open(data) as lake:
        [first] = lake.manifest.nights(LINE)
        hostile = _claim(lake, first, HOSTILE)
        _repeat_stories(lake, first, hostile)
        _repeat_figures(lake)
        _decide(lake)
        _claim(lake, first, BEGUN)


def _claim(lake: Lake, first: Night, night: str) -> Night:
    request = NightRequest(LINE, night, first.num_indices, first.numerics, first.asked)
    return lake.manifest.claim_night(request)


def rows_of(lake: Lake, table: str, **where: str) -> list[dict[str, Any]]:
    """The table's rows with those values."""
    rows: list[dict[str, Any]] = lake.read(table).to_pylist()
    return [row for row in rows if all(row[key] == value for key, value in where.items())]


def commit_rows(
    lake: Lake, run_id: str, facts: dict[str, Json] | None = None, /, **tables: list[dict[str, Any]]
) -> None:
    """The rows as the run's only shard."""
    shard = {
        name: pa.Table.from_pylist(
            [{**row, "run_id": run_id} for row in rows], schema=TABLES[name].schema
        )
        for name, rows in tables.items()
    }
    assert lake.commit_shard(run_id, 0, shard, facts=facts)


def _repeat_stories(lake: Lake, first: Night, hostile: Night) -> None:
    old, new = unit_of(lake, first), unit_of(lake, hostile)
    offset = hostile.first_index
    prompts = rows_of(lake, "prompts", run_id=old)
    stories = rows_of(lake, "stories", run_id=old)
    words = [row for row in rows_of(lake, "words", run_id=old) if row["shard"] == 0]
    for row in (*prompts, *stories):
        row["plan_index"] += offset
    for row in stories:
        row["story_id"] += "-again"
        row["text"] = MARKUP + row["text"]
        row["doc_id"] += "-again"
    for place, row in enumerate(words[:5]):
        row.update(word=f"{MARKUP}{place}", in_vocabulary=False, num_occurrences=1000 - place)
    commit_rows(lake, new, prompts=prompts, stories=stories, words=words)


def _repeat_figures(lake: Lake) -> None:
    figures = rows_of(lake, "evaluations", line=LINE, night=FIRST)
    champion = [{**row, "role": "champion"} for row in figures if row["role"] == "challenger"]
    measured = [row for row in (*figures, *champion) if row["suite"] == "confirmation"]
    selection = [{**row, "suite": "selection", "value": row["value"] + 0.25} for row in measured]
    tables = {"evaluations": [*figures, *champion, *selection]}
    told = rows_of(lake, "generations")
    accepted = [row for row in rows_of(lake, "stories") if row["accepted"]]
    source = min(row["doc_id"] for row in accepted if row["text"].startswith(MARKUP))
    copied = {"num_copied_words": 9, "copied_words": MARKUP, "copied_doc_id": source}
    tables["generations"] = [{**row, **copied, "text": MARKUP + row["text"]} for row in told]
    if "reliability" in TABLES:
        tables["reliability"] = rows_of(lake, "reliability", line=LINE, night=FIRST)
    tables["band_reliability"] = rows_of(lake, "band_reliability", line=LINE, night=FIRST)
    for name in ("evaluations", "reliability", "band_reliability"):
        tables[name] = [{**row, "night": HOSTILE} for row in tables.get(name, [])]
    commit_rows(lake, "figures-of-the-hostile-night", **tables)


def _decide(lake: Lake) -> None:
    [decision] = rows_of(lake, "promotions", line=LINE, night=FIRST)
    decision.update(
        night=HOSTILE,
        champion_id=decision["challenger_id"],
        promoted=False,
        reason="not_better",
        explanation=f"kept: {MARKUP}",
        margin=0.01,
        difference=0.125,
        low=-0.5,
        high=0.75,
        confirmation_difference=-0.0625,
        num_selection=31,
        num_confirmation=7,
        smallest_difference=0.625,
    )
    commit_rows(lake, "decision-of-the-hostile-night", promotions=[decision])
