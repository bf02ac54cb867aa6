"""The index of all nights of all lines: a table, newest first, and a small picture of each line."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from flows.report import formats, questions
from flows.report.answers import Answer, Asker
from flows.report.figures import stopped_nights
from flows.report.model import Source, source
from flows.report.panels import draw_spark
from flows.report.svg import Chart, chart
from flows.report.training_sections import decision_words


@dataclass(frozen=True, slots=True)
class NightRow:
    """A night as the lake answers for it."""

    line: str
    night: str
    ordinal: int
    promoted: bool | None
    reason: str | None
    challenger: float | None
    low: float | None
    high: float | None
    control: float | None
    champion: float | None
    wall_s: float | None
    began: datetime | None


@dataclass(frozen=True, slots=True)
class IndexRow:
    """A night as the index shows it; `href` is empty where no page has been written."""

    line: str
    night: str
    href: str
    cells: tuple[str, ...]
    promoted: bool


@dataclass(frozen=True, slots=True)
class LineCard:
    """A line with the picture of its nights."""

    line: str
    summary: str
    chart: Chart


def index_values(asker: Asker, folder: Path) -> dict[str, object]:
    """What the index is rendered from; `folder` holds the pages."""
    answer = asker.ask("all nights", questions.all_nights(), NightRow)
    sources: tuple[Source, ...] = source(answer)
    lines = dict.fromkeys(row.line for row in answer.rows)
    stopped = {(line, night) for line in lines for night in stopped_nights(asker.lake, line)}
    return {
        "nights": [
            _index_row(row, folder, is_stopped=(row.line, row.night) in stopped)
            for row in answer.rows
        ],
        "lines": _cards(answer),
        "sources": sources,
    }


def _index_row(row: NightRow, folder: Path, *, is_stopped: bool) -> IndexRow:
    href = f"{row.line}/{row.night}.html"
    return IndexRow(
        row.line,
        row.night,
        href if (folder / href).is_file() else "",
        (
            decision_words(row.promoted, row.reason, is_stopped=is_stopped),
            formats.number(row.challenger),
            formats.interval(row.low, row.high),
            formats.number(row.control),
            formats.number(row.champion),
            formats.duration(row.wall_s),
            formats.moment(row.began) if row.began else formats.NONE,
        ),
        bool(row.promoted),
    )


def _cards(answer: Answer[NightRow]) -> list[LineCard]:
    """The lines, that of the newest night first."""
    by_line: dict[str, list[NightRow]] = {}
    for row in answer.rows:
        by_line.setdefault(row.line, []).append(row)
    return [_card(line, nights) for line, nights in by_line.items()]


def _card(line: str, nights: list[NightRow]) -> LineCard:
    values = [row.challenger for row in reversed(nights[: questions.MAX_NIGHTS])]
    champion = next((row for row in nights if row.promoted), None)
    place = f"champion of night {champion.night}" if champion else "no champion yet"
    picture = chart(
        f"line-{line}",
        f"Bits per byte of the nights of {line}",
        "The challengers' bits per byte, oldest night left. The table below holds the numbers.",
        lambda width: draw_spark(values, min(width, 340.0)),
    )
    return LineCard(line, f"{formats.plural(len(nights), 'night')}, {place}", picture)
