"""The section on champion and challenger document by document."""

from collections.abc import Sequence

from flows.report import formats
from flows.report.charts import Curve, draw_curves
from flows.report.document_rows import Document, End, Spread
from flows.report.figures import Figures
from flows.report.model import Block, Column, Section, Table, cells, columns, source
from flows.report.svg import chart

# A line of the picture looks as that subject's lines do everywhere.
_LINES = {"confirmation": "challenger", "selection": "control"}


def documents_section(figures: Figures) -> Section | None:
    """On which held-out documents the challenger gains and loses."""
    found = figures.documents
    if found is None or not found.documents.rows:
        return None
    curves = [
        Curve(suite, role, _points([row for row in found.documents.rows if row.suite == suite]))
        for suite, role in _LINES.items()
        if any(row.suite == suite for row in found.documents.rows)
    ]
    level = Curve("no difference", "thin", ((0.0, 0.0), (100.0, 0.0)))
    picture = chart(
        "documents",
        f"Challenger less {found.other}, document by document",
        "For each suite a line through its held-out documents, sorted by the difference in bits "
        "per byte. A table below holds percentiles, another the documents at both ends.",
        lambda width: draw_curves(
            [*curves, level],
            "share of the documents, sorted (%)",
            f"challenger less {found.other}, bits per byte",
            width,
        ),
    )
    block = Block(
        "documents-sorted",
        chart=picture,
        tables=(_spread_table(found.spread.rows, found.other),),
        sources=source(found.documents, found.spread),
    )
    ends = Block(
        "documents-ends",
        tables=(_ends_table(found.ends.rows, found.other),),
        sources=source(found.ends),
        folded="Documents where it gains and loses most",
    )
    return Section(
        "documents",
        "Document by document",
        f"Each held-out document is one point of a sorted line: below zero the challenger needs "
        f"fewer bits than {_who(found.other)}. A gain that a few documents carry shows as a steep "
        "left end, one that all share as a line that lies low throughout.",
        (block, ends),
    )


def _who(other: str) -> str:
    return "the champion" if other == "champion" else "its control"


def _points(found: Sequence[Document]) -> tuple[tuple[float, float], ...]:
    """A line takes two points: a suite of one document is drawn level."""
    points = [(100 * (row.place - 0.5) / row.num_documents, row.difference) for row in found]
    return tuple(points if len(points) > 1 else [(0.0, points[0][1]), (100.0, points[0][1])])


def _spread_table(found: Sequence[Spread], other: str) -> Table:
    return Table(
        f"Challenger less {other} over the documents, bits per byte",
        columns("suite", "documents", "better on", "5th percentile", "median", "95th percentile"),
        cells(
            [
                (
                    row.suite,
                    formats.count(row.num_documents),
                    formats.percent(row.num_better / row.num_documents, 0),
                    *(formats.signed(value) for value in (row.low, row.middle, row.high)),
                )
                for row in found
            ]
        ),
    )


def _ends_table(found: Sequence[End], other: str) -> Table:
    head = (
        Column("suite", is_number=False),
        Column(f"challenger less {other}"),
        Column("bytes"),
        Column("beginning", is_number=False),
    )
    rows = [
        (
            row.suite,
            formats.signed(row.difference),
            formats.count(row.num_bytes),
            row.beginning or formats.NONE,
        )
        for row in found
    ]
    return Table("The documents at both ends", head, cells(rows))
