"""The house for real: a Prefect server, a worker and nights that run by themselves, on loopback."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.recipes import Recipe
from tests.flows.house_machine import (
    Machine,
    free_port,
    recipe_json,
    small_recipe,
)
from tests.flows.readme import SERVER_SECTION, commands_of
from warehouse.lake import Lake

pytestmark = pytest.mark.server

NIGHTS_WITHIN_S = 600.0
INTERVAL_S = 60
RULE = "stillhouse: a crashed run is run again"


@pytest.fixture(scope="module")
def recipe(tiny_teacher_folder: Path) -> Recipe:
    return small_recipe(tiny_teacher_folder)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine whose house is up, with the packaged deployments."""
    machine = Machine(tmp_path_factory.mktemp("machine"), free_port())
    try:
        machine.up()
        yield machine
    finally:
        machine.stillhouse("down")


def test_up_again_changes_nothing(machine: Machine) -> None:
    before = machine.house.load()
    again = machine.up()
    assert machine.house.load() == before
    told = "\n".join(again.errors)
    assert "started" not in told
    assert "made" not in told
    assert "checked" in told
    assert again.out == (machine.api.removesuffix("/api"),)


def test_the_users_shell_finds_the_server(machine: Machine) -> None:
    listed = machine.prefect("deployment", "ls")
    assert listed.code == 0, listed.errors
    assert any("nightly/quickstart" in line for line in listed.out)


def test_the_readmes_commands_run_in_their_order(machine: Machine, recipe: Recipe) -> None:
    *commands, last = commands_of(SERVER_SECTION)
    assert last == ["stillhouse", "down"]  # the last test below types it
    assert len(commands) >= 5
    smoke = ["--param", f"recipe={recipe_json(recipe)}", "--param", 'night="1"']
    more: dict[tuple[str, ...], list[str]] = {
        ("deployment", "run"): smoke,
        ("report", "--open"): ["--data", str(machine.data)],
    }
    for program, *arguments in commands:
        run = {"stillhouse": machine.stillhouse, "prefect": machine.prefect}[program]
        done = run(*arguments, *more.get(tuple(arguments[:2]), []), BROWSER="true")
        assert done.code == 0, (arguments, done.out, done.errors)
    with Lake.open(machine.data) as lake:
        assert list(lake.read("promotions").column("night").to_pylist()) == ["1"]
        assert lake.verify() == []


@pytest.mark.parametrize(
    ("section", "change", "named"),
    [
        ("train", {"alhpa": 0.5}, "alhpa"),
        ("train", {"alpha": 2.5}, "recipe.train.alpha"),
        ("night", {"num_prompts": "many"}, "recipe.night.num_prompts"),
    ],
)
def test_a_wrong_key_or_value_is_refused_when_the_run_is_asked_for(
    machine: Machine, recipe: Recipe, section: str, change: dict[str, object], named: str
) -> None:
    wrong = recipe_json(recipe, **{section: change})
    done = machine.prefect("deployment", "run", "nightly/quickstart", "--param", f"recipe={wrong}")
    assert done.code == 1
    assert named in " ".join(done.out + done.errors)


def test_the_servers_form_is_filled_with_the_whole_recipe(machine: Machine) -> None:
    done = machine.prefect("deployment", "inspect", "nightly/quickstart", "--output", "json")
    deployment = json.loads("\n".join(done.out))
    assert Recipe.model_validate(deployment["parameters"]["recipe"]).name == "quickstart"
    assert deployment["pull_steps"] == [{"flows.deployments.enter_data_folder": {}}]
    assert deployment["enforce_parameter_schema"]


def test_status_says_what_there_is(machine: Machine) -> None:
    done = machine.stillhouse("status")
    told = "\n".join(done.out)
    assert done.code == 0, told
    for part in ("server", "worker", "next", "night", "champion", "lake", "disk"):
        assert f"\n{part} " in f"\n{told}", told
    assert "check_lake/every-day" in told
    assert str(machine.data) in told


def test_another_lake_is_refused_while_the_worker_runs(machine: Machine) -> None:
    done = machine.stillhouse("up", "--data", str(machine.root / "other"))
    assert done.code == 2
    assert "expected the lake of the running worker" in done.errors[-1]
    assert not (machine.root / "other").exists()


def test_another_port_is_refused_while_the_server_runs(machine: Machine) -> None:
    done = machine.stillhouse("up", "--port", str(free_port()))
    assert done.code == 2
    assert "stillhouse down" in done.errors[-1]


def test_three_nights_run_by_themselves_and_each_meets_its_champion(
    machine: Machine, recipe: Recipe
) -> None:
    first = datetime.now(UTC) + timedelta(seconds=30)
    schedule = {"interval": INTERVAL_S, "anchor_date": first.isoformat(), "slug": "often"}
    earlier = len(machine.nights())
    machine.write_prefect_yaml(recipe, schedule)
    # Somebody turned a rule off meanwhile: `up` puts it right, and makes no second one.
    assert machine.prefect("automation", "pause", RULE).code == 0
    told = machine.up().errors
    [rules] = [line for line in told if line.startswith("rules")]
    assert "1 put right, 1 there" in rules
    assert any(f"from {machine.root / 'prefect.yaml'}" in line for line in told), told
    _wait_for_nights(machine, earlier + 3)
    with Lake.open(machine.data) as lake:
        nights = sorted(lake.manifest.nights(recipe.name), key=lambda night: night.ordinal)
        changes = lake.manifest.ledger().champions[recipe.name]
        decided = {row["night"]: row for row in lake.read("promotions").to_pylist()}
        assert lake.verify() == []
    assert len(nights) >= 4
    champion = None
    for night in nights:
        assert night.champion_id == champion
        assert decided[night.night]["champion_id"] == champion
        for change in changes:
            if change.night == night.night:
                champion = change.student_id


def test_down_leaves_nothing_and_up_goes_on(machine: Machine) -> None:
    nights = len(machine.nights())
    machine.down()
    assert machine.stillhouse("down").code == 0
    profiles = "\n".join(machine.prefect("profile", "inspect").out)
    assert machine.api not in profiles
    told = "\n".join(machine.stillhouse("status").out)
    assert "does not run, and should not" in told
    assert "night" in told
    again = machine.stillhouse("up")
    assert again.code == 0, again.errors
    assert machine.house.load().data == machine.data
    assert machine.house.load().url == machine.api
    assert len(machine.nights()) >= nights
    machine.down()


def _wait_for_nights(machine: Machine, count: int) -> None:
    """Until so many nights have completed; nobody does anything meanwhile."""
    deadline_s = time.monotonic() + NIGHTS_WITHIN_S
    while True:
        runs = machine.nights()
        names = [run["state_name"] for run in runs]
        assert not {"Failed", "Crashed", "Cancelled"} & set(names), names
        if names.count("Completed") >= count:
            return
        assert time.monotonic() < deadline_s, names
        time.sleep(2)
