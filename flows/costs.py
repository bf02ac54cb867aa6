"""What each shard of stories cost, as a row of the measured table `costs` that is committed with
the shard; and the shards that a budget leaves unwritten.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pyarrow as pa

from datagen.generate import Shard
from flows.budget import Spending
from flows.measured import cpu_s
from flows.night import Tonight
from warehouse.schemas import COSTS, PROMPTS, STORIES, WORDS

COUNTS = ("num_attempts", "num_accepted", "num_prompt_tokens", "num_tokens")


@dataclass(slots=True)
class Meter:
    """The clocks at the last row. Shards that are written at once share one, and each is charged
    what passed since the row before, so that the rows add up.
    """

    _wall_s: float = field(default_factory=time.monotonic)
    _cpu_s: float = field(default_factory=cpu_s)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def row(self, tonight: Tonight, shard: Shard, counts: Mapping[str, int]) -> pa.Table:
        """The row of `costs` of a shard that has just been written; counts: those of COUNTS."""
        recipe = tonight.recipe
        with self._lock:
            wall_s, used_s = time.monotonic() - self._wall_s, cpu_s() - self._cpu_s
            self._wall_s += wall_s
            self._cpu_s += used_s
        holds_accelerator = recipe.teacher.device != "cpu" and recipe.engine.kind != "openai"
        read, written = counts["num_prompt_tokens"], counts["num_tokens"]
        return _row(
            tonight,
            shard,
            **{name: counts[name] for name in COUNTS},
            wall_s=wall_s,
            cpu_s=used_s,
            accelerator_s=wall_s if holds_accelerator else 0.0,
            price=recipe.budget.price_of(read, written, wall_s),
            reached=None,
        )


def spent_so_far(tonight: Tonight) -> Spending:
    """What the night's finished shards have cost, in this run and earlier ones; a line that asks
    for the same stories paid for its own.
    """
    spending = Spending(tonight.recipe.budget)
    mine = (tonight.claim.line, tonight.claim.night)
    spending.add(row for row in _rows(tonight) if (row["line"], row["night"]) == mine)
    return spending


def last_written_shard(tonight: Tonight) -> int:
    """The highest number of a shard that was written, not closed; -1 if there is none."""
    return max((row["shard"] for row in _rows(tonight) if row["reached"] is None), default=-1)


def _rows(tonight: Tonight) -> list[dict[str, Any]]:
    rows = tonight.lake.read(COSTS.name, run_ids=[tonight.unit.run_id])
    return cast("list[dict[str, Any]]", rows.to_pylist())


def close_shard(tonight: Tonight, shard: Shard, reached: str) -> None:
    """Commit the shard without a story, for good: the budget `reached` is used up."""
    rows = {table.name: table.schema.empty_table() for table in (PROMPTS, STORIES, WORDS)}
    nothing = dict.fromkeys(COUNTS, 0)
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
