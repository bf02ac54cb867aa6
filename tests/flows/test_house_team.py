"""A team that has a Prefect server: prefect.yaml is all that it needs, and `up` uses its server."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from flows.recipes import Recipe
from tests.flows.house_machine import (
    OUR_FILE,
    PREFECT,
    Machine,
    free_port,
    recipe_json,
    small_recipe,
)
from warehouse.lake import Lake

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def recipe(tiny_teacher_folder: Path) -> Recipe:
    return small_recipe(tiny_teacher_folder)


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with a plain server, and a profile of the team's that names it."""
    machine = Machine(tmp_path_factory.mktemp("team"), free_port())
    machine.home.mkdir()
    (machine.home / "profiles.toml").write_text(
        f'active = "team"\n\n[profiles.team]\nPREFECT_API_URL = "{machine.api}"\n'
    )
    with _running(machine, "server", "start", "--port", str(machine.port)):
        deadline_s = time.monotonic() + 180
        while not _answers(machine):
            assert time.monotonic() < deadline_s
            time.sleep(0.5)
        yield machine
        machine.stillhouse("down")


def test_prefect_yaml_is_all_that_a_team_needs(team: Machine, recipe: Recipe) -> None:
    pool = team.prefect("work-pool", "create", "stillhouse", "--type", "process")
    assert pool.code == 0, pool.errors
    deployed = team.prefect("deploy", "--all", "--prefect-file", str(OUR_FILE))
    assert deployed.code == 0, (deployed.out, deployed.errors)
    start = ("worker", "start", "--pool", "stillhouse")
    with _running(team, *start, STILLHOUSE_DATA=str(team.data)):
        done = team.prefect(
            "deployment", "run", "nightly/quickstart",
            "--param", f"recipe={recipe_json(recipe)}", "--param", 'night="1"', "--watch",
        )  # fmt: skip
    assert done.code == 0, (done.out, done.errors)
    with Lake.open(team.data) as lake:
        assert [night.night for night in lake.manifest.nights(recipe.name)] == ["1"]
        assert lake.verify() == []


def test_up_uses_the_teams_server_and_down_leaves_it(team: Machine) -> None:
    profiles = (team.home / "profiles.toml").read_text()
    done = team.stillhouse("up", "--data", str(team.data))
    assert done.code == 0, done.errors
    told = "\n".join(done.errors)
    assert f"{team.api} answers; it is not the house's own (Prefect's profile team)" in told
    assert team.house.load().server is None
    assert team.stillhouse("status").code == 0
    team.down()
    assert _answers(team)
    assert (team.home / "profiles.toml").read_text() == profiles


def test_the_port_of_a_foreign_server_is_not_taken(team: Machine, tmp_path: Path) -> None:
    other = Machine(tmp_path, team.port)
    done = other.stillhouse("up", "--port", str(other.port))
    assert done.code == 2
    (line,) = done.errors
    assert f"`export PREFECT_API_URL={team.api}` uses that one" in line
    assert other.processes() == []


@contextmanager
def _running(machine: Machine, *arguments: str, **more: str) -> Iterator[None]:
    """`prefect ARGUMENTS` while the block runs, as a team's own supervisor would start it."""
    with (
        (machine.root / f"{arguments[0]}.log").open("w") as log,
        subprocess.Popen(
            [*PREFECT, *arguments],
            cwd=machine.root,
            env=machine.environment(**more),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)


def _answers(machine: Machine) -> bool:
    try:
        return httpx.get(f"{machine.api}/health", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
