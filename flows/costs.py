"""What each shard of stories cost, as a row of the measured table `costs` that is committed with
the shard; and the shards that a budget leaves unwritten.
"""

import time
from dataclasses import dataclass, field

import pyarrow as pa

from datagen.generate import Shard
from flows.budget import Spending
from flows.measured import cpu_s
from flows.night import Tonight
from warehouse.schemas import COSTS, PROMPTS, STORIES, WORDS


@dataclass(frozen=True, slots=True)
class Meter:
    """The clocks at the moment when a shard was begun."""

    wall_s: float = field(default_factory=time.monotonic)
    cpu_s: float = field(default_factory=cpu_s)

    def row(
        self, tonight: Tonight, shard: Shard, num_prompt_tokens: int, num_tokens: int
    ) -> pa.Table:
        """The row of `costs` of a shard that was written since."""
        recipe = tonight.recipe
        wall_s = time.monotonic() - self.wall_s
        holds_accelerator = recipe.teacher.device != "cpu" and recipe.engine.kind != "openai"
        return _row(
            tonight,
            shard,
            num_prompt_tokens=num_prompt_tokens,
            num_tokens=num_tokens,
            wall_s=wall_s,
            cpu_s=cpu_s() - self.cpu_s,
            accelerator_s=wall_s if holds_accelerator else 0.0,
            price=recipe.budget.price_of(num_prompt_tokens, num_tokens, wall_s),
            reached=None,
        )


def spent_so_far(tonight: Tonight) -> Spending:
    """What the night's finished shards have cost, in this run and earlier ones."""
    spending = Spending(tonight.recipe.budget)
    spending.add(tonight.lake.read(COSTS.name, run_ids=[tonight.unit.run_id]).to_pylist())
    return spending


def close_shard(tonight: Tonight, shard: Shard, reached: str) -> None:
    """Commit the shard without a story, for good: the budget `reached` is used up."""
    rows = {table.name: table.schema.empty_table() for table in (PROMPTS, STORIES, WORDS)}
    nothing = dict.fromkeys(("num_prompt_tokens", "num_tokens"), 0)
    no_time = dict.fromkeys(("wall_s", "cpu_s", "accelerator_s"), 0.0)
    rows[COSTS.name] = _row(tonight, shard, **nothing, **no_time, price=None, reached=reached)
    tonight.lake.commit_shard(shard.run_id, shard.number, rows)


def _row(tonight: Tonight, shard: Shard, **measured: float | str | None) -> pa.Table:
    row = {
        "run_id": shard.run_id,
        "line": tonight.claim.line,
        "night": tonight.claim.night,
        "shard": shard.number,
        "num_prompts": len(shard.indices),
        "engine": shard.numerics,
        "currency": tonight.recipe.budget.currency,
        **measured,
    }
    return pa.Table.from_pylist([row], schema=COSTS.schema)
