"""The section on how far tonight's students are from their teacher, and whether they know where it
is unsure.
"""

from collections.abc import Sequence

from flows.report import charts, formats, rows
from flows.report.answers import ROLES
from flows.report.figures import Figures
from flows.report.model import Block, Column, Section, Table, cells, columns, source
from flows.report.panels import Panel, Sureness, draw_reliability
from flows.report.svg import Chart, chart

_FIGURES = {
    "forward_kl": "KL, teacher to student",
    "reverse_kl": "KL, student to teacher",
    "accepted_share": "accepted as a draft",
    "kept_mass": "teacher's mass on its ids",
}
_SHARES = ("accepted_share", "kept_mass")
_SUITES = {
    "confirmation": "Tonight's {}",
    "selection": "The newest {} of earlier nights",
}


def distance_section(figures: Figures) -> Section | None:
    """The students beside their teacher, symbol by symbol."""
    found = [row for row in figures.metrics.rows if row.metric in _FIGURES]
    if not found:
        return None
    blocks = [_suite_block(figures, suite, found) for suite in _SUITES]
    return Section(
        "distance",
        "Distance to the teacher",
        "What a student makes of its teacher, from the whole distribution of both at every symbol "
        "of held-out stories. KL, in nats per symbol: fewer is nearer. Accepted as a draft: the "
        "share of the student's symbols that the teacher would keep if the student wrote ahead for "
        "it. The teacher reads each story under the prompt that ordered it, if it was told what to "
        "write; a student reads the story alone. Whiskers are 95 % intervals over documents.",
        tuple(block for block in (*blocks, _band_block(figures)) if block is not None),
    )


def _suite_block(figures: Figures, suite: str, found: Sequence[rows.Metric]) -> Block | None:
    here = [row for row in found if row.suite == suite]
    if not here:
        return None
    stories = formats.plural(max(row.n for row in here), "held-out story", "held-out stories")
    return Block(
        f"distance-{suite}",
        _SUITES[suite].format(stories),
        chart=_divergence_chart(suite, here),
        tables=(_distance_table(suite, here),),
        sources=source(figures.metrics),
    )


def _divergence_chart(suite: str, found: Sequence[rows.Metric]) -> Chart:
    points = [
        charts.Whisker(
            formats.words_of_name(row.role),
            row.role,
            row.value,
            *charts.whisker_ends(row.low, row.high),
            formats.number(row.value),
        )
        for row in found
        if row.metric == "forward_kl"
    ]
    return chart(
        f"distance-{suite}",
        f"KL from teacher to student on the {suite} stories",
        "A point with its 95 % interval for each student. The table holds the same numbers.",
        lambda width: charts.draw_whiskers(
            points, "KL in nats per symbol (fewer is nearer)", width
        ),
    )


def _distance_table(suite: str, found: Sequence[rows.Metric]) -> Table:
    by_name = {(row.role, row.metric): row for row in found}
    roles = [role for role in ROLES if any(row.role == role for row in found)]
    return Table(
        f"Distance to the teacher on the {suite} stories, with 95 % intervals",
        columns("who", *_FIGURES.values()),
        cells(
            [
                (
                    formats.words_of_name(role),
                    *(_with_interval(by_name.get((role, metric))) for metric in _FIGURES),
                )
                for role in roles
            ]
        ),
        frozenset(place for place, role in enumerate(roles) if role == "challenger"),
    )


def _with_interval(row: rows.Metric | None) -> str:
    if row is None:
        return formats.NONE
    value, low, high = (_value(row.metric, number) for number in (row.value, row.low, row.high))
    return f"{value} ({low} to {high})"


def _value(metric: str, value: float) -> str:
    return formats.percent(value) if metric in _SHARES else formats.number(value)


def _band_block(figures: Figures) -> Block | None:
    found = figures.band_reliability.rows
    mine = [row for row in found if row.role == "challenger" and row.num_tokens]
    if not mine:
        return None
    panels = [
        Panel(_band_name(band[0]), "challenger", _sureness(band))
        for band in (
            [row for row in mine if row.band == number]
            for number in sorted({row.band for row in mine})
        )
    ]
    return Block(
        "distance-bands",
        "Does the challenger know where its teacher is unsure?",
        notes=(
            "Symbols by the entropy of the teacher's distribution there: 0.5 nats are as open as "
            "1.6 equally likely ways on, 1.5 as 4.5, 2.5 as 12. A student that knows is less sure "
            "where its teacher is.",
        ),
        chart=chart(
            "reliability-by-band",
            "Reliability of the challenger by the teacher's entropy",
            "For each band of entropy a square: confidence in the likeliest next symbol across, "
            "the share of positions where that symbol came upwards. The table holds the sums.",
            lambda width: draw_reliability(panels, width),
        ),
        tables=(_band_table(figures),),
        sources=source(figures.band_reliability, figures.metrics),
    )


def _sureness(found: Sequence[rows.BandBin]) -> tuple[Sureness, ...]:
    return tuple(
        Sureness(row.mean_confidence, row.num_right / row.num_tokens, float(row.num_tokens))
        for row in found
        if row.mean_confidence is not None
    )


def _band_name(row: rows.BandBin) -> str:
    low = f"{row.min_entropy:g}"
    return f"{low} nats and more" if row.max_entropy is None else f"{low} to {row.max_entropy:g}"


def _band_table(figures: Figures) -> Table:
    errors = {
        (row.role, row.metric): row for row in figures.metrics.rows if row.suite == "confirmation"
    }
    lines = []
    for number in sorted({row.band for row in figures.band_reliability.rows}):
        for role in ROLES:
            band = [
                row
                for row in figures.band_reliability.rows
                if (row.role, row.band) == (role, number) and row.mean_confidence is not None
            ]
            error = errors.get((role, f"ece_band_{number}"))
            if band and error is not None:
                lines.append(_band_line(band, error))
    return Table(
        "Confidence by the teacher's entropy, on tonight's held-out stories",
        (
            *(Column(heading, is_number=False) for heading in ("teacher's entropy", "who")),
            *(Column(heading) for heading in ("symbols", "confidence", "right", "error", "95 %")),
        ),
        cells(lines),
    )


def _band_line(band: Sequence[rows.BandBin], error: rows.Metric) -> tuple[str, ...]:
    num_tokens = sum(row.num_tokens for row in band)
    confidence = sum((row.mean_confidence or 0.0) * row.num_tokens for row in band)
    return (
        _band_name(band[0]),
        formats.words_of_name(band[0].role),
        formats.count(num_tokens),
        formats.percent(confidence / num_tokens),
        formats.percent(sum(row.num_right for row in band) / num_tokens),
        formats.percent(error.value),
        f"{formats.percent(error.low)} to {formats.percent(error.high)}",
    )
