"""The sections on how the students came to be: targets, training, and the line's nights so far."""

import json
from collections.abc import Sequence

from flows.report import charts, formats, rows
from flows.report.figures import Figures
from flows.report.model import Block, Column, Section, Table, cells, columns, source
from flows.report.panels import NightPoint, draw_nights
from flows.report.svg import chart

_ROLES = ("challenger", "control")


def targets_section(figures: Figures) -> Section | None:
    """What the teacher said of each next token."""
    if not figures.targets.rows:
        return None
    draws = figures.setting("recipe.capture.num_draws")
    k = figures.setting("recipe.capture.k")
    what = (
        f"the teacher's {k} likeliest next ids are kept, with the mass of all others"
        if k
        else f"{draws or 'some'} ids are drawn from the teacher's full next-token distribution"
    )
    table = Table(
        "Targets of the night's stories",
        columns("capture run", "documents", "tokens", "unique ids per token", "entropy, bits"),
        cells(
            [
                (
                    row.run_id[:8],
                    formats.count(row.num_documents),
                    formats.count(row.num_tokens),
                    formats.number(row.ids_per_token, 1),
                    formats.number(row.entropy_bits, 2),
                )
                for row in figures.targets.rows
            ]
        ),
    )
    return Section(
        "targets",
        "Targets",
        f"At each position of each accepted story {what}. Fewer unique ids and a lower entropy "
        "mean a surer teacher.",
        (Block("targets-table", tables=(table,), sources=source(figures.targets)),),
    )


def training_section(figures: Figures) -> Section | None:
    """The two students' loss curves and what they were trained on."""
    if figures.losses is None or figures.few_losses is None:
        return None
    curves = [
        charts.Curve(
            role,
            role,
            tuple((row.num_tokens, row.loss) for row in figures.losses.rows if row.role == role),
        )
        for role in _ROLES
    ]
    picture = chart(
        "losses",
        "Training loss of challenger and control",
        "Mean loss over stretches of training against target tokens seen. The table holds a few "
        "of these stretches.",
        lambda width: charts.draw_curves(
            curves, "target tokens seen", "loss, nats per target token", width
        ),
    )
    block = Block(
        "training-losses",
        chart=picture,
        tables=(_loss_table(figures.few_losses.rows),),
        sources=source(figures.losses, figures.few_losses),
    )
    return Section(
        "training",
        "Training",
        "Both students start from the same weights and see the same tokens in the same steps, but "
        "for what a challenger with an on-policy phase writes itself (rows of student_texts). The "
        "challenger's loss is mostly against the teacher's draws, the control's against the text "
        "alone: the heights of the two curves do not compare, their shapes do.",
        (block, _students_block(figures)),
    )


def _loss_table(found: Sequence[rows.Loss]) -> Table:
    by_step: dict[int, dict[str, rows.Loss]] = {}
    for row in found:
        by_step.setdefault(row.step, {})[row.role] = row
    return Table(
        "Mean loss of the steps up to this one, nats per target token",
        columns("step", "tokens seen", "challenger", "control"),
        cells(
            [
                (
                    formats.count(step),
                    _tokens_seen([pair[role] for role in _ROLES if role in pair]),
                    *(formats.number(pair[role].loss if role in pair else None) for role in _ROLES),
                )
                for step, pair in sorted(by_step.items())
            ]
        ),
    )


def _tokens_seen(both: Sequence[rows.Loss]) -> str:
    """One number, unless what a challenger wrote itself was shorter than what it replaced."""
    return " / ".join(dict.fromkeys(formats.count(row.num_tokens) for row in both))


def _students_block(figures: Figures) -> Block:
    found = figures.students.rows
    table = Table(
        "The night's students",
        columns("what", *(row.role for row in found)),
        cells(
            [
                ("student", *(row.student_id for row in found)),
                ("preset", *(row.preset for row in found)),
                ("parameters", *(formats.count(row.num_parameters) for row in found)),
                ("weight of the teacher's draws", *(f"{row.alpha:g}" for row in found)),
                ("documents", *(formats.count(row.num_documents) for row in found)),
                ("tokens of stories", *(formats.count(row.num_story_tokens) for row in found)),
                ("target tokens seen", *(formats.count(row.num_tokens) for row in found)),
                ("steps", *(formats.count(row.num_steps) for row in found)),
                (
                    "documents left out",
                    *(formats.count(row.num_documents_left_out) for row in found),
                ),
                (
                    "draws on ids that it lacks",
                    *(formats.percent(row.dropped_draw_share) for row in found),
                ),
            ]
        ),
    )
    return Block(
        "training-students",
        tables=(table,),
        sources=source(figures.students),
        folded="What they were trained on",
    )


def trend_section(figures: Figures) -> Section | None:
    """The line's nights up to this one."""
    if not figures.trend.rows:
        return None
    nights = [night_point(row) for row in reversed(figures.trend.rows)]
    picture = chart(
        "trend",
        f"Bits per byte of the nights of {figures.line}",
        "Challenger with 95 % interval, control and the champion met, night by night. The table "
        "holds the same numbers.",
        lambda width: draw_nights(nights, width),
    )
    block = Block(
        "trend-nights",
        chart=picture,
        tables=(_trend_table(figures),),
        sources=source(figures.trend),
    )
    return Section(
        "trend",
        "The nights so far",
        "Bits per byte of each night on its own held-out stories. Other nights have other stories, "
        "so small steps from night to night mean nothing; inside a night all subjects are measured "
        "on the same ones.",
        (block,),
    )


def night_point(row: rows.Trend) -> NightPoint:
    """The night as the trend's picture shows it."""
    return NightPoint(
        row.night,
        row.challenger,
        *charts.whisker_ends(row.low, row.high),
        row.control,
        row.champion,
        bool(row.promoted),
    )


def _trend_table(figures: Figures) -> Table:
    found = figures.trend.rows
    stopped = {row.night for row in figures.measures.rows if not row.is_within}
    return Table(
        f"Nights of {figures.line}, newest first",
        (
            *columns("night", "challenger", "95 % interval", "control", "champion met"),
            Column("decision", is_number=False),
        ),
        cells(
            [
                (
                    row.night,
                    formats.number(row.challenger),
                    formats.interval(row.low, row.high),
                    formats.number(row.control),
                    formats.number(row.champion),
                    decision_words(row.promoted, row.reason, is_stopped=row.night in stopped),
                )
                for row in found
            ]
        ),
        frozenset(place for place, row in enumerate(found) if row.night == figures.night),
    )


def decision_words(promoted: bool | None, reason: str | None, *, is_stopped: bool) -> str:
    """A decision in a few words; is_stopped: its stories break a limit."""
    if promoted is None or reason is None:
        return "stopped (stories too much alike)" if is_stopped else "not decided"
    return f"{'promoted' if promoted else 'not promoted'} ({formats.words_of_name(reason)})"


def setting_text(value: str) -> str:
    """A JSON value as a person writes it."""
    read = json.loads(value)
    return read if isinstance(read, str) else value
