"""The section on minimal pairs: which faults of grammar tonight's students hear."""

from collections.abc import Sequence

from flows.report import formats
from flows.report.answers import ROLES
from flows.report.figures import Figures
from flows.report.grammar_chart import PairPoint, PairRow, draw_pairs
from flows.report.grammar_questions import PairFigure
from flows.report.model import Block, Column, Section, Table, cells, columns, source
from flows.report.svg import chart

_MOST_ROWS = 24
_SET_COLUMNS = (
    *(Column(heading, is_number=False) for heading in ("set", "who")),
    *(Column(heading) for heading in ("right", "95 % interval", "length alone", "pairs")),
)
_ALL = "all sets"


def grammar_section(figures: Figures) -> Section | None:
    """Everyone's accuracy on each suite of minimal pairs; None if none was measured."""
    found = figures.grammar.rows
    suites = dict.fromkeys(row.suite for row in found)
    if not suites:
        return None
    blocks = []
    for suite in suites:
        of_suite = [row for row in found if row.suite == suite]
        blocks += [_suite_block(figures, suite, of_suite), _set_block(figures, suite, of_suite)]
    return Section(
        "grammar",
        "Grammar",
        "Of two sentences that differ in one fault, is the one without it the likelier? Ties count "
        "one half. A sum of log probabilities favours the sentence with fewer symbols, so beside "
        "each figure stands what length alone reaches: only the distance from it was learnt. A "
        "phenomenon is the mean over its sets, all sets the mean over every set; intervals are "
        "95 %, over pairs.",
        tuple(blocks),
    )


def _suite_block(figures: Figures, suite: str, found: Sequence[PairFigure]) -> Block:
    rows = _picture_rows(found)
    whole = next(row for row in found if row.phenomenon is None)
    left_out = len(_names(found)) - len(rows)
    notes = (f"{left_out} more are in the table.",) if left_out else ()
    picture = chart(
        f"grammar-{suite}",
        f"Minimal pairs of {suite} by phenomenon",
        "For each phenomenon a point with its 95 % interval for each subject, and a short bar for "
        "what length alone reaches. The table holds the points.",
        lambda width: draw_pairs(rows, width),
    )
    return Block(
        f"grammar-{suite}-phenomena",
        f"{suite}: {formats.plural(whole.num_pairs, 'pair')} in "
        f"{formats.plural(whole.num_sets, 'set')}",
        notes=notes,
        chart=picture,
        tables=(_phenomenon_table(suite, found),),
        sources=source(figures.grammar),
    )


def _names(found: Sequence[PairFigure]) -> list[str | None]:
    """The phenomena, the whole suite (None) first."""
    return list(dict.fromkeys(row.phenomenon for row in found if row.set_name is None))


def _of_phenomenon(found: Sequence[PairFigure], phenomenon: str | None) -> list[PairFigure]:
    return [
        row
        for row in found
        if row.set_name is None and row.phenomenon == phenomenon and row.role in ROLES
    ]


def _picture_rows(found: Sequence[PairFigure]) -> list[PairRow]:
    rows = []
    for phenomenon in _names(found)[:_MOST_ROWS]:
        subjects = _of_phenomenon(found, phenomenon)
        points = tuple(
            PairPoint(row.role, row.accuracy, row.low, row.high, row.length_only)
            for row in subjects
        )
        label = _ALL if phenomenon is None else formats.words_of_name(phenomenon)
        rows.append(PairRow(label, points, formats.percent(subjects[0].accuracy)))
    return rows


def _phenomenon_table(suite: str, found: Sequence[PairFigure]) -> Table:
    """A row for each phenomenon: the first subject whole, of the others what is right."""
    first, *others = [role for role in ROLES if any(row.role == role for row in found)]
    rows = []
    for name in _names(found):
        by_role = {row.role: row for row in _of_phenomenon(found, name)}
        row = by_role[first]
        rows.append(
            (
                _label(name),
                formats.percent(row.accuracy),
                _interval(row),
                formats.percent(row.length_only),
                *(formats.percent(by_role[role].accuracy) for role in others),
                formats.count(row.num_pairs),
            )
        )
    headings = [formats.words_of_name(role) for role in (first, *others)]
    return Table(
        f"Minimal pairs of {suite} that are right, by phenomenon",
        columns("phenomenon", headings[0], "95 % interval", "length alone", *headings[1:], "pairs"),
        cells(rows),
        frozenset({0}),
    )


def _set_block(figures: Figures, suite: str, found: Sequence[PairFigure]) -> Block:
    rows = [row for row in found if row.set_name is not None and row.role in ROLES]
    table = Table(
        f"Minimal pairs of {suite} by set",
        _SET_COLUMNS,
        cells([(formats.words_of_name(row.set_name or ""), *_values(row)) for row in rows]),
        frozenset(place for place, row in enumerate(rows) if row.role == "challenger"),
    )
    return Block(
        f"grammar-{suite}-sets",
        tables=(table,),
        sources=source(figures.grammar),
        folded=f"{suite} by set",
    )


def _label(phenomenon: str | None) -> str:
    return _ALL if phenomenon is None else formats.words_of_name(phenomenon)


def _values(row: PairFigure) -> tuple[str, ...]:
    return (
        formats.words_of_name(row.role),
        formats.percent(row.accuracy),
        _interval(row),
        formats.percent(row.length_only),
        formats.count(row.num_pairs),
    )


def _interval(row: PairFigure) -> str:
    return f"{formats.percent(row.low)} to {formats.percent(row.high)}"
