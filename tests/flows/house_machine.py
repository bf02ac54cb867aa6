"""A machine for the tests of `up`: a PREFECT_HOME, a port, a folder and a lake of its own, and the
two command lines in it.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from flows.house.processes import of_house
from flows.house.state import House
from flows.recipes import Recipe, load_recipe
from tests.flows.command import CONSOLE_SCRIPT, ROOT, Outcome

PREFECT = (sys.executable, "-m", "prefect", "--no-prompt")
OUR_FILE = ROOT / "flows" / "prefect.yaml"
PATIENCE_S = 300.0
# A server whose database is held says 503; Prefect's own client asks five times more.
MOST_TRIES = 6
# The smoke recipe, smaller still: what is tried here is the house, not the night.
SETTINGS = (
    "verdicts.max_words=50",
    "night.num_prompts=32",
    "train.num_tokens=6_000",
    "evaluate.num_samples=2",
)


def small_recipe(teacher: Path) -> Recipe:
    return load_recipe("smoke", [f"teacher.model={teacher}", *SETTINGS])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Machine:
    """One user's account, as far as Stillhouse and Prefect see it."""

    root: Path
    port: int

    @property
    def data(self) -> Path:
        return self.root / "lake"

    @property
    def home(self) -> Path:
        return self.root / "prefect"

    @property
    def house(self) -> House:
        return House(self.home / "stillhouse")

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    def environment(self, **more: str) -> Mapping[str, str]:
        """What the shell has; a variable that is given as empty is not set."""
        settings = {
            **os.environ,
            "PREFECT_HOME": str(self.home),
            "PREFECT_API_URL": "",
            "STILLHOUSE_CACHE": str(self.root / "cache"),
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "200",
            "OMP_NUM_THREADS": "1",
            **more,
        }
        return {name: value for name, value in settings.items() if value}

    def call(self, command: Sequence[str], **more: str) -> Outcome:
        """How a command ended that was typed in the machine's folder."""
        done = subprocess.run(
            [*command],
            cwd=self.root,
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return Outcome(
            done.returncode, tuple(done.stdout.splitlines()), tuple(done.stderr.splitlines())
        )

    def stillhouse(self, *arguments: str, **more: str) -> Outcome:
        return self.call([*CONSOLE_SCRIPT, *arguments], **more)

    def prefect(self, *arguments: str, **more: str) -> Outcome:
        return self.call([*PREFECT, *arguments], **more)

    def up(self) -> Outcome:
        done = self.stillhouse("up", "--data", str(self.data), "--port", str(self.port))
        assert done.code == 0, done.errors
        return done

    def down(self) -> Outcome:
        done = self.stillhouse("down")
        assert done.code == 0, done.errors
        assert self.processes() == []
        return done

    def processes(self) -> list[psutil.Process]:
        return of_house(self.house)

    def nights(self) -> list[dict[str, Any]]:
        """The runs of `nightly` on the server that were begun or whose time has come, in the order
        in which they were asked for.
        """
        wanted = {"flows": {"name": {"any_": ["nightly"]}}, "sort": "EXPECTED_START_TIME_ASC"}
        for _ in range(MOST_TRIES):
            reply = httpx.post(f"{self.api}/flow_runs/filter", json=wanted, timeout=120)
            if reply.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            time.sleep(float(reply.headers.get("Retry-After", 1)))
        reply.raise_for_status()
        runs: list[dict[str, Any]] = reply.json()
        return [run for run in runs if run["state_name"] != "Scheduled"]

    def write_prefect_yaml(self, recipe: Recipe, schedule: Mapping[str, Any] | None) -> None:
        """Ours with that recipe in the place of quickstart, its nights on that schedule; only the
        nights and the lake's check, to save time.
        """
        file = self.root / "smoke.toml"
        file.write_text(_toml(recipe), encoding="utf-8")
        content = yaml.safe_load(OUR_FILE.read_text(encoding="utf-8"))
        content["build"][0]["flows.deployments.recipe_parameters"]["recipes"] = [str(file)]
        wanted = {"flows.nightly:nightly", "flows.check_lake:check_lake"}
        content["deployments"] = [
            deployment
            for deployment in content["deployments"]
            if deployment["entrypoint"] in wanted and deployment["name"] != "production"
        ]
        nightly = content["deployments"][0]
        nightly["parameters"] = {"recipe": f"{{{{ recipes.{recipe.name} }}}}"}
        nightly["schedules"] = [dict(schedule)] if schedule else []
        (self.root / "prefect.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


def recipe_json(recipe: Recipe, **sections: Mapping[str, Any]) -> str:
    """The recipe as `--param recipe=...` takes it, some sections' keys changed or added."""
    values = recipe.model_dump(mode="json")
    for section, changes in sections.items():
        values[section] = {**values[section], **changes}
    return json.dumps(values)


def _toml(recipe: Recipe) -> str:
    """The recipe as a file: strings, numbers and flat sections are all that it has."""
    lines: list[str] = []
    sections: list[str] = []
    for name, value in recipe.model_dump(mode="json", exclude_none=True).items():
        if isinstance(value, dict):
            sections.append(f"\n[{name}]")
            sections += [f"{key} = {json.dumps(item)}" for key, item in value.items()]
        else:
            lines.append(f"{name} = {json.dumps(value)}")
    return "\n".join([*lines, *sections, ""])
