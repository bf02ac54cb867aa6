"""The head of a night's page, and the sections on the night as such: what was asked."""

from flows.report import formats
from flows.report.figures import Figures
from flows.report.model import Block, Column, Headline, Section, Table, cells, source
from flows.report.training_sections import setting_text


def headlines(figures: Figures) -> tuple[Headline, ...]:
    """The few figures that a person looks for first."""
    found = [
        _score(figures),
        _difference(figures),
        _accepted(figures),
        _time(figures),
        _price(figures),
    ]
    return tuple(headline for headline in found if headline is not None)


def _score(figures: Figures) -> Headline | None:
    row = figures.score("confirmation", "challenger")
    if row is None:
        return None
    return Headline(
        "Challenger, bits per byte",
        formats.number(row.value),
        f"{formats.interval(row.low, row.high)} on "
        f"{formats.plural(row.n, 'held-out story', 'held-out stories')}",
        "figures",
    )


def _difference(figures: Figures) -> Headline | None:
    decision = figures.decision.first
    if decision is not None and decision.difference is not None:
        bounds = f"{formats.signed(decision.low)} to {formats.signed(decision.high)}"
        return Headline(
            "Against the champion",
            formats.signed(decision.difference),
            f"{bounds} on "
            f"{formats.plural(decision.num_selection, 'earlier story', 'earlier stories')}",
            "decision",
        )
    control = figures.score("confirmation", "control")
    if control is None:
        return None
    return Headline(
        "Its control, bits per byte",
        formats.number(control.value),
        f"{formats.interval(control.low, control.high)} on the same stories",
        "figures",
    )


def _accepted(figures: Figures) -> Headline | None:
    total = sum(row.num_stories for row in figures.funnel.rows)
    if not total:
        return None
    accepted = sum(row.num_stories for row in figures.funnel.rows if row.reason == "accepted")
    return Headline(
        "Stories accepted",
        formats.count(accepted),
        f"{formats.percent(accepted / total)} of {formats.plural(total, 'attempt')}",
        "stories",
    )


def _time(figures: Figures) -> Headline | None:
    found = figures.stages.rows
    if not found:
        return None
    return Headline(
        "Time at work",
        formats.duration(sum(row.wall_s for row in found)),
        f"{formats.duration(sum(row.cpu_s for row in found))} of CPU",
        "cost",
    )


def _price(figures: Figures) -> Headline | None:
    cost = figures.night_cost
    if cost is None or cost.price is None:
        return None
    return Headline(
        "Price of the stories",
        formats.money(cost.price, cost.currency),
        f"{formats.money(cost.price_per_accepted_story, cost.currency)} for each accepted one",
        "cost",
    )


def missing(figures: Figures) -> tuple[str, ...]:
    """What a night that has not ended lacks, in the order of the stages."""
    if figures.decision.first is not None or figures.is_stopped:
        return ()
    claim, plan = figures.claim.first, figures.plan.first
    asked, tried = claim.num_indices if claim else 0, plan.num_prompts if plan else 0
    lacks = []
    if tried + figures.num_closed < asked:
        left = asked - tried - figures.num_closed
        lacks.append(f"{formats.plural(left, 'prompt')} not tried yet")
    for answer, what in (
        (figures.targets, "no targets"),
        (figures.students, "no trained students"),
        (figures.bits_per_byte, "no figures"),
        (figures.decision, "no decision"),
    ):
        if not answer.rows:
            lacks.append(what)
    return tuple(lacks)


def when(figures: Figures) -> str:
    """From when to when the night's stages ran."""
    found = figures.stages.rows
    if not found:
        return ""
    began, ended = min(row.began for row in found), max(row.ended for row in found)
    if formats.moment(began) == formats.moment(ended):
        return formats.moment(began)
    if began.date() == ended.date():
        return f"{began:%Y-%m-%d}, {began:%H:%M} to {ended:%H:%M} UTC"
    return f"{formats.moment(began)} to {formats.moment(ended)}"


def asked_section(figures: Figures) -> Section:
    """What was asked of the night: the claim, and folded every setting."""
    claim, plan = figures.claim.first, figures.plan.first
    facts = [("prompt family", plan.family)] if plan and plan.family else []
    if plan:
        facts += [("vocabulary", plan.vocabulary), ("seed of the plan", str(plan.seed))]
    if claim:
        last = claim.first_index + claim.num_indices - 1
        facts += [
            ("prompts", f"{claim.num_indices} ({claim.first_index} to {last} of the plan)"),
            ("engine and machine", claim.numerics),
        ]
    named = {
        "teacher, digest of its files": "teacher_digest",
        "teacher is told what to write": "allows_instructions",
        "student": "recipe.train.preset",
        "target tokens": "recipe.train.num_tokens",
        "weight of the teacher's draws": "recipe.train.alpha",
        "share of held-out stories": "recipe.night.held_out_share",
        "seed of the training": "recipe.train.seed",
    }
    settings = {row.key: setting_text(row.value) for row in figures.asked.rows}
    facts += [(label, _grouped(settings[key])) for label, key in named.items() if key in settings]
    words = (Column("what", is_number=False), Column("asked for", is_number=False))
    short = Table("What the night claimed", words, cells(facts))
    every = Table(
        "All that must be the same when the night is run again",
        (Column("key", is_number=False), Column("value", is_number=False)),
        cells(list(settings.items())),
    )
    return Section(
        "asked",
        "What was asked",
        "Taken from the night's claim, made once at its start: every rerun reads it.",
        (
            Block("asked-short", tables=(short,), sources=source(figures.claim, figures.plan)),
            Block(
                "asked-all",
                tables=(every,),
                sources=source(figures.asked),
                folded=f"All {len(every.rows)} settings",
            ),
        ),
    )


def _grouped(value: str) -> str:
    """A whole number with separated thousands; anything else as it is."""
    return formats.count(int(value)) if value.isdecimal() else value
