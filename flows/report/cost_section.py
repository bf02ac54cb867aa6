"""The section on what the night cost: its stories by night and by shard, its stages by time."""

from flows.report import charts, formats, rows
from flows.report.corpus_rows import NightCost, ShardCost
from flows.report.figures import Figures
from flows.report.model import Block, Section, Table, cells, columns, source
from flows.report.multiples import Multiple, draw_multiples
from flows.report.svg import chart


def cost_section(figures: Figures) -> Section | None:
    """Tokens, seconds and price of the stories, then wall time and CPU seconds by stage."""
    blocks = [*_story_blocks(figures), *_stage_blocks(figures)]
    if not blocks:
        return None
    return Section(
        "cost",
        "What the night cost",
        "What the teacher read and wrote for the stories; then seconds by the clock and CPU "
        "seconds of every stage, over all its runs that came to their end. A stage's tokens were "
        "written, captured, trained on or scored.",
        tuple(blocks),
    )


def _story_blocks(figures: Figures) -> list[Block]:
    tonight = figures.night_cost
    if tonight is None:
        return []
    nights = figures.night_costs.rows
    block = Block(
        "cost-stories",
        "The stories",
        notes=_notes(figures, tonight),
        chart=chart(
            "story-costs",
            "Cost of the stories, night by night",
            "For each quantity a small picture: tonight's and those of earlier nights. The table "
            "holds the numbers.",
            lambda width: draw_multiples(_panels(nights), width),
        )
        if len(nights) > 1
        else None,
        tables=(_night_table(figures),),
        sources=source(figures.night_costs),
    )
    shards = Block(
        "cost-shards",
        tables=(_shard_table(figures, tonight),),
        sources=source(figures.shard_costs),
        folded="The stories by shard",
    )
    return [block, shards]


def _notes(figures: Figures, tonight: NightCost) -> tuple[str, ...]:
    notes = []
    if tonight.reached:
        prompts = formats.plural(figures.num_closed, "prompt")
        notes.append(f"The budget {tonight.reached} was used up: {prompts} not written.")
    if tonight.price is None and tonight.currency is None:
        notes.append("No one price can be named: the recipe's [budget] has none, or changed it.")
    return tuple(notes)


def _panels(nights: tuple[NightCost, ...]) -> list[Multiple]:
    """Newest first come the nights, oldest first go the values."""
    tonight, oldest_first = nights[0], nights[::-1]
    panels = [
        Multiple(
            "tokens read",
            formats.count(tonight.num_prompt_tokens),
            tuple(float(row.num_prompt_tokens) for row in oldest_first),
        ),
        Multiple(
            "tokens written",
            formats.count(tonight.num_tokens),
            tuple(float(row.num_tokens) for row in oldest_first),
        ),
        Multiple(
            "time by the clock",
            formats.duration(tonight.wall_s),
            tuple(row.wall_s for row in oldest_first),
        ),
        Multiple(
            "written per story kept",
            f"{formats.number(_each(tonight.num_tokens, tonight), 0)} tokens",
            tuple(_each(row.num_tokens, row) for row in oldest_first),
        ),
        Multiple(
            "time per story kept",
            formats.duration(_each(tonight.wall_s, tonight)),
            tuple(_each(row.wall_s, row) for row in oldest_first),
        ),
    ]
    # Prices in two currencies do not stand on one scale.
    priced = tuple(row.price if row.currency == tonight.currency else None for row in oldest_first)
    if tonight.price is not None:
        panels.append(Multiple("price", formats.money(tonight.price, tonight.currency), priced))
    return panels


def _each(value: float, row: NightCost) -> float | None:
    return value / row.num_accepted if row.num_accepted else None


def _night_table(figures: Figures) -> Table:
    """A column of an accelerator or of prices only where a night has one."""
    found = figures.night_costs.rows
    by_column = {
        "night": [row.night for row in found],
        "accepted": [formats.count(row.num_accepted) for row in found],
        "attempts": [formats.count(row.num_attempts) for row in found],
        "tokens read": [formats.count(row.num_prompt_tokens) for row in found],
        "tokens written": [formats.count(row.num_tokens) for row in found],
        "clock, s": [formats.number(row.wall_s, 1) for row in found],
        "CPU, s": [formats.number(row.cpu_s, 1) for row in found],
    }
    if any(row.accelerator_s for row in found):
        by_column["accelerator, s"] = [formats.number(row.accelerator_s, 1) for row in found]
    if any(row.currency for row in found):
        by_column["price"] = [formats.money(row.price, row.currency) for row in found]
        by_column["per accepted"] = [
            formats.money(row.price_per_accepted_story, row.currency) for row in found
        ]
    return Table(
        f"Cost of the stories of {figures.line}, newest night first",
        columns(*by_column),
        cells(list(zip(*by_column.values(), strict=True))),
        frozenset(place for place, row in enumerate(found) if row.night == figures.night),
    )


def _shard_table(figures: Figures, tonight: NightCost) -> Table:
    found = figures.shard_costs.rows
    by_column = {
        "shard": [*map(_shard_name, found), "all"],
        "prompts": _summed([row.num_prompts for row in found]),
        "accepted": _summed([row.num_accepted for row in found]),
        "tokens read": _summed([row.num_prompt_tokens for row in found]),
        "tokens written": _summed([row.num_tokens for row in found]),
        "clock, s": [formats.number(s, 1) for s in (*(r.wall_s for r in found), tonight.wall_s)],
    }
    if tonight.currency:
        prices = (*(row.price for row in found), tonight.price)
        by_column["price"] = [formats.money(price, tonight.currency) for price in prices]
    return Table(
        "Cost of tonight's stories by shard, accepted before later passes",
        columns(*by_column),
        cells(list(zip(*by_column.values(), strict=True))),
        frozenset({len(found)}),
    )


def _shard_name(row: ShardCost) -> str:
    name = str(row.first_shard)
    if row.last_shard > row.first_shard:
        name += f" to {row.last_shard}"
    if row.num_closed:
        name += ", not written" if row.num_closed == row.num_prompts else ", in part not written"
    return name


def _summed(counts: list[int]) -> list[str]:
    return [formats.count(value) for value in (*counts, sum(counts))]


def _stage_blocks(figures: Figures) -> list[Block]:
    found = figures.stages.rows
    if not found:
        return []
    bars = [
        charts.Bars(
            row.stage,
            (
                charts.Bar(
                    row.wall_s, f"{formats.duration(row.wall_s)} by the clock", "bar challenger"
                ),
                charts.Bar(row.cpu_s, f"{formats.duration(row.cpu_s)} of CPU", "bar"),
            ),
        )
        for row in found
    ]
    table = Table(
        "Seconds by stage",
        columns("stage", "clock, s", "CPU, s", "tokens", "tokens per s", "runs"),
        cells([_cost_cells(row) for row in found] + [_total(found)]),
        frozenset({len(found)}),
    )
    block = Block(
        "cost-stages",
        "The stages",
        chart=chart(
            "cost",
            "Time by stage",
            "For each stage a bar of wall time and one of CPU time. The table holds the same "
            "numbers.",
            lambda width: charts.draw_bars(bars, width),
        ),
        tables=(table,),
        sources=source(figures.stages),
    )
    return [block]


def _cost_cells(row: rows.StageCost) -> tuple[str, ...]:
    return (
        row.stage,
        formats.number(row.wall_s, 1),
        formats.number(row.cpu_s, 1),
        formats.count(row.num_tokens),
        formats.number(row.num_tokens / row.wall_s, 0) if row.num_tokens else formats.NONE,
        formats.count(row.num_runs),
    )


def _total(found: tuple[rows.StageCost, ...]) -> tuple[str, ...]:
    return (
        "all",
        formats.number(sum(row.wall_s for row in found), 1),
        formats.number(sum(row.cpu_s for row in found), 1),
        formats.NONE,
        formats.NONE,
        formats.count(sum(row.num_runs for row in found)),
    )
