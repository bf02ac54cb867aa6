"""The smoke night under SIGKILL: run again each time, it ends as the unbroken one, to the bit.

Where a kill falls is chosen by the clock: a drawn share of the stage's length on the unbroken run
after the stage's own log line. A kill counts for the stage that it hit, by the last stage line
before it; a kill that came too late counts for nothing.
"""

import random
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from flows.stages import STAGES
from tests.flows.command import Command
from tests.flows.smoke import (
    Night,
    files_of,
    lake_digest,
    night_arguments,
    run_night,
    stage_of,
    weights_digests,
)
from warehouse.lake import Lake

NUM_KILLS = 10
MAX_BROKEN_NIGHTS = 4
SERVER_ENDS_WITHIN_S = 10.0
SERVER_STARTS_WITHIN_S = 120.0

linux_only = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="finds a process's children in /proc"
)


@dataclass(slots=True)
class _Killer:
    """Runs a night and kills it at chosen moments; counts the kills that hit, by stage."""

    night: Night
    environment: Mapping[str, str]
    chance: random.Random
    hits: Counter[str] = field(default_factory=Counter)

    def kill_in(self, stage: str, data: Path) -> bool:
        """Whether a run of the night was killed: in that stage, or later if it was done."""
        seconds = self.night.stage_seconds()[stage]
        wait_s = self.chance.uniform(0, 0.9) * seconds
        with Command(night_arguments(data, self.night.teacher), self.environment) as command:
            if not command.wait_for(lambda line: stage_of(line) == stage):
                return False
            time.sleep(wait_s)
            helpers = _descendants(command.pid)
            if not command.kill():
                return False
            stages = [stage_of(line.text) for line in command.wait().lines]
        hit = [name for name in stages if name][-1]
        print(f"killed in {hit}, aimed at {stage} {wait_s:.2f} s of {seconds:.2f} s")
        self.hits[hit] += 1
        _assert_they_end(helpers, SERVER_ENDS_WITHIN_S)
        return True

    def break_and_finish(self, data: Path, stages: Sequence[str]) -> None:
        """Kill a night in each of the stages, as far as it comes, then let it end."""
        for stage in stages:
            if not self.kill_in(stage, data):
                break
        run_night(data, self.night.teacher, self.environment)
        self._assert_as_unbroken(data)

    def _assert_as_unbroken(self, data: Path) -> None:
        unbroken = self.night.data
        assert lake_digest(data) == lake_digest(unbroken)
        assert weights_digests(data) == weights_digests(unbroken)
        assert files_of(data / "models") == files_of(unbroken / "models")
        assert (data / "champion/smoke").resolve().name == (
            unbroken / "champion/smoke"
        ).resolve().name
        with Lake.open(data) as lake:
            assert lake.verify() == []


def _descendants(pid: int) -> list[Path]:
    """The /proc folders of the process's children and theirs: Prefect's server and its keeper."""
    tasks = Path("/proc", str(pid), "task").glob("*/children")
    children = [int(child) for task in tasks for child in _text(task).split()]
    return [
        found for child in children for found in (Path("/proc", str(child)), *_descendants(child))
    ]


def _text(file: Path) -> str:
    """What a file of /proc says; nothing if its process is gone."""
    try:
        return file.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _assert_they_end(processes: Sequence[Path], within_s: float) -> None:
    deadline_s = time.monotonic() + within_s
    while alive := [process for process in processes if _is_alive(process)]:
        assert time.monotonic() < deadline_s, alive
        time.sleep(0.1)


def _is_alive(process: Path) -> bool:
    """Whether it runs: one that has ended may wait for its new parent to ask how."""
    state = _text(process / "stat").rpartition(")")[2].split()
    return bool(state) and state[0] not in ("Z", "X")


@linux_only
def test_a_night_killed_twice_ends_as_the_unbroken_one(
    smoke_night: Night, served: Mapping[str, str], tmp_path: Path
) -> None:
    killer = _Killer(smoke_night, served, random.Random(0))
    killer.break_and_finish(tmp_path, ["generate", "train"])
    assert killer.hits.total() == 2


@linux_only
def test_a_run_killed_while_its_server_starts_leaves_no_server(
    tiny_teacher_folder: Path, alone: Mapping[str, str], tmp_path: Path
) -> None:
    with Command(night_arguments(tmp_path, tiny_teacher_folder), alone) as command:
        deadline_s = time.monotonic() + SERVER_STARTS_WITHIN_S
        started: list[Path] = []
        while not any("uvicorn" in _text(process / "cmdline") for process in started):
            assert time.monotonic() < deadline_s, started
            time.sleep(0.02)
            started = _descendants(command.pid)
        assert command.kill()
    _assert_they_end(started, SERVER_STARTS_WITHIN_S)


@linux_only
@pytest.mark.kill
def test_a_night_killed_ten_times_ends_as_the_unbroken_one(
    smoke_night: Night, alone: Mapping[str, str], tmp_path: Path
) -> None:
    killer = _Killer(smoke_night, alone, random.Random(1))
    killer.break_and_finish(tmp_path / "0", sorted(STAGES * 2, key=STAGES.index))
    for attempt in range(1, MAX_BROKEN_NIGHTS):
        missed = [stage for stage in STAGES if not killer.hits[stage]]
        spare = NUM_KILLS - killer.hits.total() - len(missed)
        if not missed and spare <= 0:
            break
        again = missed + killer.chance.choices(STAGES, k=max(spare, 0))
        killer.break_and_finish(tmp_path / str(attempt), sorted(again, key=STAGES.index))
    assert all(killer.hits[stage] for stage in STAGES), killer.hits
    assert killer.hits.total() >= NUM_KILLS
