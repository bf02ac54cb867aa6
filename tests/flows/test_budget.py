"""Budgets: a night stops cleanly at one and goes on with what it has; what it spent adds up; and
how many shards are written at once changes no story.
"""

import json
import os
import signal
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pytest
from pydantic import ValidationError

from datagen.generate import Shard
from flows.budget import BudgetConfig, Spending
from flows.costs import COUNTS, Meter
from flows.night import Tonight
from flows.recipes import load_recipe
from tests.flows.command import Command, several, stillhouse
from tests.flows.smoke import Night, lake_digest, night_arguments, run_night
from warehouse.lake import Lake

ROW = {"num_prompt_tokens": 300, "num_tokens": 700, "wall_s": 36.0, "accelerator_s": 36.0}


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        ({}, None),
        ({"price_per_hour": 2.0}, 0.02),
        ({"price_per_million_prompt_tokens": 10.0}, 0.003),
        ({"price_per_million_prompt_tokens": 10.0, "price_per_million_tokens": 30.0}, 0.024),
        ({"price_per_hour": 2.0, "price_per_million_tokens": 30.0}, 0.041),
    ],
)
def test_a_price_is_what_the_recipe_says_or_none(
    prices: Mapping[str, float], expected: float | None
) -> None:
    config = BudgetConfig(**prices, currency="EUR")  # type: ignore[arg-type]
    found = config.price_of(300, 700, wall_s=36.0)
    assert found == (expected if expected is None else pytest.approx(expected, rel=1e-12))


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, None),
        ({"max_tokens": 2001}, None),
        ({"max_tokens": 2000}, "max_tokens"),
        ({"max_seconds": 72.0}, "max_seconds"),
        ({"max_accelerator_seconds": 72.0}, "max_accelerator_seconds"),
        ({"max_price": 0.5, "price_per_hour": 1.0, "currency": "USD"}, "max_price"),
        ({"max_price": 0.6, "price_per_hour": 1.0, "currency": "USD"}, None),
    ],
)
def test_a_limit_is_reached_when_it_is_used_up(
    limits: Mapping[str, float], expected: str | None
) -> None:
    spending = Spending(BudgetConfig(**limits))  # type: ignore[arg-type]
    spending.add([{**ROW, "price": 0.25}, {**ROW, "price": 0.25}])
    assert spending.reached() == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"price_per_hour": 1.0}, "currency: expected that of the prices"),
        ({"max_price": 1.0, "currency": "USD"}, "prices are never guessed"),
        ({"max_tokens": 0}, "greater than 0"),
        ({"currency": "dollars"}, "currency"),
    ],
)
def test_a_budget_that_means_nothing_is_refused(
    values: Mapping[str, float | str], expected: str
) -> None:
    with pytest.raises(ValidationError, match=expected):
        BudgetConfig(**values)  # type: ignore[arg-type]


def test_a_night_ends_at_its_budget_and_the_next_goes_on_from_there(
    tiny_teacher_folder: Path, served: Mapping[str, str], tmp_path: Path
) -> None:
    prices = ["--set", "budget.price_per_million_tokens=20", "--set", "budget.currency=EUR"]
    limit = ["--set", "budget.max_tokens=2000"]
    night = run_night(tmp_path, tiny_teacher_folder, served, *prices, *limit)
    assert any("budget.max_tokens is used up" in line for line in night.outcome.errors)
    with Lake.open(tmp_path) as lake:
        costs = sorted(lake.read("costs").to_pylist(), key=lambda row: row["shard"])
        written = [row for row in costs if row["reached"] is None]
        closed = costs[len(written) :]
        assert [row["reached"] for row in closed] == ["max_tokens"] * len(closed)
        assert written
        assert closed
        spent = [row["num_prompt_tokens"] + row["num_tokens"] for row in written]
        assert sum(spent[:-1]) < 2000 <= sum(spent)
        tokens = sum(lake.read("stories").column("num_tokens").to_pylist())
        assert sum(row["num_tokens"] for row in costs) == tokens
        num_written = lake.read("prompts").num_rows
        assert sum(row["num_prompts"] for row in written) == num_written
        assert lake.verify() == []
    before = lake_digest(tmp_path)
    run_night(tmp_path, tiny_teacher_folder, served, *prices)  # no limit: what is closed stays so
    assert lake_digest(tmp_path) == before
    told = stillhouse(["cost", "--json", "--data", str(tmp_path)], served)
    row = json.loads(told.out[0])
    assert (row["num_tokens"], row["reached"], row["currency"]) == (tokens, "max_tokens", "EUR")
    assert row["price"] == pytest.approx(tokens * 20 / 1e6)
    second = night_arguments(
        tmp_path, tiny_teacher_folder, "--night", "2", "--only", "generate", *limit
    )
    assert stillhouse(second, served).code == 0
    with Lake.open(tmp_path) as lake:
        assert lake.manifest.ledger().nights["smoke", "2"].first_index == num_written
        indices = lake.read("prompts").column("plan_index").to_pylist()
    assert len(set(indices)) == len(indices)


def test_a_hole_that_shards_at_once_left_is_filled_before_a_budget_closes_the_rest(
    tiny_teacher_folder: Path, served: Mapping[str, str], tmp_path: Path
) -> None:
    """Shard 1 is in the lake and shard 0 is not, as after a kill of two at once."""
    whole, holed = tmp_path / "whole", tmp_path / "holed"
    only = ("--only", "generate")
    assert stillhouse(night_arguments(whole, tiny_teacher_folder, *only), served).code == 0
    with Lake.open(whole) as source, Lake.open(holed, create=True) as target:
        run_id = source.read("stories").column("run_id")[0].as_py()
        tables = {}
        for name in ("prompts", "stories", "words", "costs"):
            rows = source.read(name)
            numbers = _shards_of(rows)
            tables[name] = rows.filter(pa.array([number == 1 for number in numbers]))
        target.commit_shard(run_id, 1, tables)
    limit = ("--set", "budget.max_tokens=1")
    assert stillhouse(night_arguments(holed, tiny_teacher_folder, *only, *limit), served).code == 0
    with Lake.open(holed) as lake:
        rows = sorted(lake.read("costs").to_pylist(), key=lambda row: row["shard"])
    assert [row["reached"] for row in rows] == [None, None, "max_tokens", "max_tokens"]


def _shards_of(rows: pa.Table) -> list[int]:
    """The shard of each row: smoke's first has 4 prompts, the others 12."""
    if "shard" in rows.column_names:
        return cast("list[int]", rows.column("shard").to_pylist())
    places = rows.column("plan_index").to_pylist()
    return [0 if place < 4 else 1 + (place - 4) // 12 for place in places]


def test_shards_at_once_are_charged_the_time_once(tmp_path: Path) -> None:
    recipe = load_recipe("smoke", ["budget.price_per_hour=3600", "budget.currency=EUR"])
    claim = SimpleNamespace(line="smoke", night="1")
    tonight = cast("Tonight", SimpleNamespace(recipe=recipe, claim=claim))
    began_s, meter = time.monotonic(), Meter()
    counts = dict.fromkeys(COUNTS, 1)

    def write(number: int) -> dict[str, Any]:
        time.sleep(0.2)
        row = meter.row(tonight, Shard("run", number, range(1), "cpu"), counts).to_pylist()[0]
        return cast("dict[str, Any]", row)

    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(write, range(8)))
    passed_s = time.monotonic() - began_s
    assert 0.4 <= sum(row["wall_s"] for row in rows) <= passed_s
    assert sum(row["price"] for row in rows) <= passed_s


@pytest.mark.kill
def test_how_many_shards_are_written_at_once_changes_no_story(
    smoke_night: Night, served: Mapping[str, str], tmp_path: Path
) -> None:
    def arguments(workers: int, *more: str) -> list[str]:
        lake = tmp_path / str(workers)
        setting = ("--set", f"shards.workers={workers}")
        return night_arguments(lake, smoke_night.teacher, *setting, *more)

    with Command(arguments(4, "--only", "generate"), served) as command:
        assert command.wait_for(lambda line: "shard 0:" in line)
        os.kill(command.pid, signal.SIGKILL)
        command.wait()
    outcomes = several([arguments(2), arguments(4)], served)
    assert [outcome.code for outcome in outcomes] == [0, 0]
    digests = {lake_digest(tmp_path / workers) for workers in ("2", "4")}
    assert digests == {lake_digest(smoke_night.data)}
