"""The section on how sure each subject is, and how often it is right then."""

from collections.abc import Sequence

from flows.report import formats, rows
from flows.report.answers import ROLES
from flows.report.figures import Figures
from flows.report.model import Block, Section, Table, cells, columns, source
from flows.report.panels import Panel, Sureness, draw_reliability
from flows.report.svg import chart


def reliability_section(figures: Figures) -> Section | None:
    """How often each subject is right where it is that sure."""
    answer = figures.reliability
    if not any(row.num_tokens for row in answer.rows):
        return None
    panels = [
        Panel(formats.words_of_name(role), role, _sureness(answer.rows, role))
        for role in ROLES
        if any(row.role == role and row.num_tokens for row in answer.rows)
    ]

    picture = chart(
        "reliability",
        "Reliability by subject",
        "For each subject a square: confidence in its likeliest next symbol across, the share of "
        "positions where that symbol came upwards. A table below holds the same numbers.",
        lambda width: draw_reliability(panels, width),
    )
    block = Block(
        "reliability-panels",
        chart=picture,
        tables=(_error_table(figures),),
        sources=source(answer, figures.metrics),
    )
    bins = Block(
        "reliability-bins",
        tables=(_bin_table(answer.rows),),
        sources=source(answer),
        folded="The points as a table",
    )
    return Section(
        "reliability",
        "Reliability",
        "When a subject gives its likeliest next symbol a probability of 70 %, is it right seven "
        "times in ten? On the dotted line it is; below the line it is too sure. A larger point "
        "stands for more positions of tonight's held-out stories.",
        (block, bins),
    )


def _sureness(found: Sequence[rows.Bin], role: str) -> tuple[Sureness, ...]:
    return tuple(
        Sureness(row.mean_confidence, row.num_right / row.num_tokens, float(row.num_tokens))
        for row in found
        if row.role == role and row.num_tokens and row.mean_confidence is not None
    )


def _error_table(figures: Figures) -> Table:
    return Table(
        "Expected calibration error on tonight's held-out stories",
        columns("who", "error", "95 % interval", "n"),
        cells(
            [
                (
                    formats.words_of_name(row.role),
                    formats.percent(row.value),
                    f"{formats.percent(row.low)} to {formats.percent(row.high)}",
                    formats.count(row.n),
                )
                for row in figures.metrics.rows
                if row.metric == "ece" and row.suite == "confirmation"
            ]
        ),
    )


def _bin_table(found: Sequence[rows.Bin]) -> Table:
    return Table(
        "Positions by confidence, without the empty groups",
        columns("who", "confidence", "positions", "mean confidence", "right"),
        cells(
            [
                (
                    formats.words_of_name(row.role),
                    f"{formats.percent(row.low, 0)} to {formats.percent(row.high, 0)}",
                    formats.count(row.num_tokens),
                    formats.percent(row.mean_confidence),
                    formats.percent(row.num_right / row.num_tokens),
                )
                for row in found
                if row.num_tokens
            ]
        ),
    )
