"""The sections on what tonight's student reached: the decision and its figures."""

from collections.abc import Sequence

from flows.report import charts, formats, rows
from flows.report.answers import ROLES
from flows.report.figures import Figures
from flows.report.model import Block, Column, Section, Table, cells, columns, source
from flows.report.svg import Chart, chart

_SUITES = {
    "confirmation": "Confirmation: tonight's {} held-out stories",
    "selection": "Selection: {} held-out stories of earlier nights",
}
_SHARES = (
    "accepted_share",
    "adherence",
    "ece",
    "kept_mass",
    "minimal_pairs",
    "minimal_pairs_length_only",
    "required_words",
    "top1_agreement",
)
_METRICS = {
    "accepted_share": "its symbols that the teacher would accept as a draft",
    "adherence": "words told that are in the vocabulary",
    "bits_per_byte_without_end": "bits per byte without the end symbol",
    "ece": "expected calibration error",
    "forward_kl": "KL from teacher to student, nats per symbol",
    "kept_mass": "the teacher's mass on the student's ids",
    "minimal_pairs": "minimal pairs that are right",
    "minimal_pairs_length_only": "minimal pairs that length alone gets right",
    "required_words": "words asked for that were told",
    "reverse_kl": "KL from student to teacher, nats per symbol",
    "top1_agreement": "same likeliest symbol as the teacher",
}


def decision_section(figures: Figures) -> Section | None:
    """Champion against challenger: the figures that the rule looked at."""
    decision = figures.decision.first
    if decision is None:
        return None
    intro = (
        "A challenger takes the place if, on the selection stories, even the upper bound of its "
        "difference to the champion lies below minus the margin, and its difference on the "
        "confirmation stories does too. Below zero is better."
    )
    if decision.champion_id is None:
        intro = "The line had no champion, so there was nobody to beat."
    notes = []
    if decision.smallest_difference is not None:
        against = "the champion" if decision.champion_id else "its control"
        notes.append(
            f"The smallest gain over {against} that this night's stories could have shown: "
            f"{formats.number(decision.smallest_difference)} bits per byte."
        )
    block = Block(
        "decision-difference",
        notes=tuple(notes),
        chart=_difference_chart(decision),
        tables=(
            *((_difference_table(decision),) if decision.champion_id else ()),
            _contestants(decision),
        ),
        sources=source(figures.decision),
    )
    return Section("decision", "Champion against challenger", intro, (block,))


def _difference_chart(decision: rows.Decision) -> Chart | None:
    if decision.difference is None or decision.margin is None:
        return None
    points = [
        charts.Whisker(
            "selection",
            "challenger",
            decision.difference,
            decision.low,
            decision.high,
            formats.signed(decision.difference),
        )
    ]
    if decision.confirmation_difference is not None:
        value = decision.confirmation_difference
        points.append(
            charts.Whisker("confirmation", "challenger", value, None, None, formats.signed(value))
        )
    limit = charts.Limit(-decision.margin, f"needed: below {formats.number(-decision.margin)}")
    return chart(
        "difference",
        "Difference of challenger to champion",
        "Points with 95 % intervals in bits per byte on the selection and confirmation stories, "
        "and the value that they must lie below. The table holds the same numbers.",
        lambda width: charts.draw_whiskers(
            points, "challenger less champion, bits per byte", width, [limit]
        ),
    )


def _difference_table(decision: rows.Decision) -> Table:
    return Table(
        "Challenger less champion, bits per byte",
        columns("stories", "documents", "difference", "95 % interval"),
        cells(
            [
                (
                    "selection",
                    formats.count(decision.num_selection),
                    formats.signed(decision.difference),
                    formats.NONE
                    if decision.low is None or decision.high is None
                    else f"{formats.signed(decision.low)} to {formats.signed(decision.high)}",
                ),
                (
                    "confirmation",
                    formats.count(decision.num_confirmation),
                    formats.signed(decision.confirmation_difference),
                    formats.NONE,
                ),
                ("margin to beat", "", formats.signed(_negative(decision.margin)), ""),
            ]
        ),
    )


def _negative(value: float | None) -> float | None:
    return None if value is None else -value


def _contestants(decision: rows.Decision) -> Table:
    return Table(
        "The decision",
        (Column("part", is_number=False), Column("what", is_number=False)),
        cells(
            [
                ("challenger", decision.challenger_id),
                ("champion met", decision.champion_id or "nobody: the place was empty"),
                ("reason", formats.words_of_name(decision.reason)),
            ]
        ),
    )


def figures_section(figures: Figures) -> Section | None:
    """Bits per byte of everyone on both suites, and the other figures."""
    if not figures.bits_per_byte.rows:
        return None
    blocks = [
        _suite_block(
            figures, suite, [row for row in figures.bits_per_byte.rows if row.suite == suite]
        )
        for suite in dict.fromkeys((*_SUITES, *(row.suite for row in figures.bits_per_byte.rows)))
    ]
    return Section(
        "figures",
        "Bits per byte",
        "How many bits a subject needs for each byte of a held-out story: fewer is better, and "
        "tokenizers of any kind compare. The unigram model shows what word counts alone reach, the "
        "control what the same training reaches without the teacher's draws. Whiskers are 95 % "
        "intervals over documents.",
        (*(block for block in blocks if block is not None), _other_block(figures)),
    )


def _suite_block(figures: Figures, suite: str, found: Sequence[rows.BitsPerByte]) -> Block | None:
    if not found:
        return None
    others = [row for row in figures.bits_per_byte.rows if row.suite in _SUITES]
    points, beside = _whiskers(found), _whiskers(others if suite in _SUITES else found)
    title = _SUITES.get(suite, f"Frozen suite {suite}: {{}} texts").format(
        formats.count(found[0].n)
    )
    return Block(
        f"bpb-{suite}",
        title,
        chart=chart(
            f"bpb-{suite}",
            f"Bits per byte on {_of(suite)}",
            "A point with its 95 % interval for each subject. The table holds the same numbers.",
            lambda width: charts.draw_whiskers(
                points, "bits per byte (fewer is better)", width, beside=beside
            ),
        ),
        tables=(
            Table(
                f"Bits per byte on {_of(suite)}",
                columns("who", "bits per byte", "95 % interval", "n"),
                cells(
                    [
                        (
                            formats.words_of_name(row.role),
                            formats.number(row.value),
                            formats.interval(row.low, row.high),
                            formats.count(row.n),
                        )
                        for row in found
                    ]
                ),
                _strong(found),
            ),
        ),
        sources=source(figures.bits_per_byte),
    )


def _of(suite: str) -> str:
    return f"the {suite} stories" if suite in _SUITES else f"the texts of {suite}"


def _whiskers(found: Sequence[rows.BitsPerByte]) -> list[charts.Whisker]:
    return [
        charts.Whisker(
            formats.words_of_name(row.role),
            row.role,
            row.value,
            *charts.whisker_ends(row.low, row.high),
            formats.number(row.value),
        )
        for row in found
        if row.role in ROLES
    ]


def _strong(found: Sequence[rows.BitsPerByte]) -> frozenset[int]:
    return frozenset(place for place, row in enumerate(found) if row.role == "challenger")


def _other_block(figures: Figures) -> Block:
    table = Table(
        "Every other figure of the night",
        (
            *(Column(heading, is_number=False) for heading in ("figure", "who", "suite")),
            *(Column(heading) for heading in ("value", "95 % interval", "n")),
        ),
        cells(
            [
                (
                    _METRICS.get(row.metric, formats.words_of_name(row.metric)),
                    formats.words_of_name(row.role),
                    row.suite,
                    _metric_value(row.metric, row.value),
                    f"{_metric_value(row.metric, row.low)} to "
                    f"{_metric_value(row.metric, row.high)}",
                    formats.count(row.n),
                )
                for row in figures.metrics.rows
            ]
        ),
    )
    return Block(
        "other-figures",
        notes=(
            "n counts documents, compared positions or told stories, whichever the figure is over.",
        ),
        tables=(table,),
        sources=source(figures.metrics),
        folded=f"{len(table.rows)} other figures",
    )


def _metric_value(metric: str, value: float) -> str:
    is_share = metric in _SHARES or metric.startswith("ece_")
    return formats.percent(value) if is_share else formats.number(value)
