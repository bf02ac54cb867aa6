"""SIGKILL for the parts of a house at drawn moments of its nights: the process of a run, its
worker, the server, or all at once, as when the power goes.
"""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psutil

from flows.house.processes import find, of_house, runs_here
from tests.flows.house_machine import Machine

T = TypeVar("T")

ENDED = {"Completed", "Failed", "Cancelled"}
STARTS_WITHIN_S = 150.0
ENDS_WITHIN_S = 300.0
MOST_STARTS = 3
# A small night takes some half a minute from its process's birth, half of it imports.
LATEST_KILL_S = 25.0


@dataclass(slots=True)
class Killer:
    """Asks for nights, kills parts of the house during them, and counts the hits."""

    machine: Machine
    chance: random.Random
    num_nights: int = 0
    hits: Counter[str] = field(default_factory=Counter)

    def kill(self, part: str) -> None:
        """Kill that part while a night is at work, and let the house heal: a run's death by itself,
        the others by `up`.
        """
        while not self._hit(part):
            pass
        self.hits[part] += 1
        if part != "run":
            time.sleep(self.chance.uniform(0.0, 5.0))
            told = self.machine.up().errors
            print(f"killed the {part}:", *(line for line in told if line.startswith("swept")))

    def wait_until_ended(self) -> list[dict[str, Any]]:
        """The nights, once each has come to its end."""

        def ended() -> list[dict[str, Any]] | None:
            runs = self.machine.nights()
            return runs if all(run["state_name"] in ENDED for run in runs) else None

        runs = _until(ended, ENDS_WITHIN_S)
        assert runs is not None, [(run["name"], run["state_name"]) for run in self.machine.nights()]
        return runs

    def _hit(self, part: str) -> bool:
        """Whether the part was killed while a night was at work; too late counts for nothing."""
        nights = self.machine.nights()
        # A night refuses to start for ever: one that died often may end in peace.
        begun = [run for run in nights if run["state_name"] not in ENDED]
        if any(run["run_count"] >= MOST_STARTS for run in begun):
            nights = self.wait_until_ended()
        if all(run["state_name"] in ENDED for run in nights):
            self._ask_for_a_night()
        run = _until(self._run, STARTS_WITHIN_S)
        assert run is not None, self.machine.nights()
        time.sleep(self.chance.uniform(0.0, LATEST_KILL_S))
        if not run.is_running():
            return False
        victims = self._victims(part, run)
        for victim in victims:
            victim.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(victims, timeout=10)
        assert victims
        assert not alive
        return True

    def _ask_for_a_night(self) -> None:
        self.num_nights += 1
        night = ("--param", f'night="{self.num_nights}"')
        asked = self.machine.prefect("deployment", "run", "nightly/quickstart", *night)
        assert asked.code == 0, asked.errors

    def _run(self) -> psutil.Process | None:
        """The process of a night of this machine, if there is one."""
        ours = {process.pid for process in of_house(self.machine.house)}
        return next((run for run in runs_here().values() if run.pid in ours), None)

    def _victims(self, part: str, run: psutil.Process) -> list[psutil.Process]:
        state = self.machine.house.load()
        if part == "everything":
            return of_house(self.machine.house)
        victim = {"run": run, "worker": find(state.worker), "server": find(state.server)}[part]
        return [] if victim is None else [victim]


def _until(look: Callable[[], T | None], within_s: float) -> T | None:
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        found = look()
        if found is not None:
            return found
        time.sleep(0.5)
    return None
