"""The house under SIGKILL: whatever part of it dies, every night comes to its end, and the lake is
the one of nights that nobody disturbed.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from flows.recipes import Recipe
from tests.flows.command import several
from tests.flows.house_kills import Killer
from tests.flows.house_machine import Machine, free_port, small_recipe
from tests.flows.smoke import files_of, lake_digest, weights_digests
from warehouse.lake import Lake

pytestmark = pytest.mark.server

ONCE = ("run", "worker", "server")
TEN = ONCE * 3 + ("everything",)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path, free_port())
    yield machine
    machine.stillhouse("down")


@pytest.fixture
def recipe(tiny_teacher_folder: Path) -> Recipe:
    return small_recipe(tiny_teacher_folder)


@pytest.mark.parametrize(
    "parts", [pytest.param(ONCE, id="once"), pytest.param(TEN, id="ten", marks=pytest.mark.soak)]
)
def test_nights_end_as_unbroken_ones_whatever_part_is_killed(
    parts: Sequence[str],
    machine: Machine,
    recipe: Recipe,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    machine.write_prefect_yaml(recipe, schedule=None)
    machine.up()
    chance = random.Random(0)
    killer = Killer(machine, chance)
    for part in chance.sample(parts, len(parts)):
        killer.kill(part)
    runs = killer.wait_until_ended()
    print({run["name"]: (run["state_name"], run["run_count"]) for run in runs})
    machine.down()
    assert killer.hits.total() == len(parts)
    assert {run["state_name"] for run in runs} == {"Completed"}
    with Lake.open(machine.data) as lake:
        nights = sorted(lake.manifest.nights(recipe.name), key=lambda night: night.ordinal)
        assert lake.verify() == []
    unbroken = tmp_path / "unbroken"
    command = ["run", str(machine.root / "smoke.toml"), "--data", str(unbroken), "--night"]
    # Only now: a second server beside the house's would take its time.
    served: Mapping[str, str] = request.getfixturevalue("served")
    outcomes = several([[*command, night.night] for night in nights], served)
    assert [outcome.code for outcome in outcomes] == [0] * len(nights)
    assert lake_digest(machine.data) == lake_digest(unbroken)
    assert weights_digests(machine.data) == weights_digests(unbroken)
    assert files_of(machine.data / "models") == files_of(unbroken / "models")
