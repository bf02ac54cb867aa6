"""Ctrl-C at any stage of a night: one clear line, exit code 130, and the same command goes on."""

import contextlib
import importlib
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from flows.interrupts import remembering, stop_if_it_came
from tests.flows.command import Command, stillhouse
from tests.flows.smoke import (
    Night,
    lake_digest,
    night_arguments,
    run_night,
    stage_of,
    weights_digests,
)

STOPPED = "stillhouse: stopped; the same command goes on where it was"


def _stop(arguments: list[str], environment: Mapping[str, str], stage: str) -> None:
    with Command(arguments, environment) as command:
        assert command.wait_for(lambda line: stage_of(line) == stage)
        time.sleep(0.2)  # into the stage's own work
        os.kill(command.pid, signal.SIGINT)
        outcome = command.wait()
    assert outcome.code == 130, outcome.errors
    assert outcome.errors[-1] == STOPPED
    assert not any("Traceback" in line for line in outcome.errors), outcome.errors


@pytest.mark.kill
def test_a_night_that_is_stopped_in_each_stage_ends_as_an_unbroken_one(
    smoke_night: Night, served: Mapping[str, str], tmp_path: Path
) -> None:
    arguments = night_arguments(tmp_path, smoke_night.teacher)
    for stage in ("generate", "capture", "train", "evaluate"):
        _stop(arguments, served, stage)
    run_night(tmp_path, smoke_night.teacher, served)
    assert lake_digest(tmp_path) == lake_digest(smoke_night.data)
    assert weights_digests(tmp_path) == weights_digests(smoke_night.data)


def test_a_ctrl_c_that_a_library_drops_is_heeded_later() -> None:
    """Prefect drops one that comes between a flow's last line and its end."""
    stop_if_it_came()
    with remembering():
        stop_if_it_came()
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            stop_if_it_came()
    with remembering():
        stop_if_it_came()


def test_an_import_is_finished_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken off, torch's ends the process with a C++ error."""
    text = "import signal\nsignal.raise_signal(signal.SIGINT)\nis_whole = True\n"
    (tmp_path / "module_of_a_test.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with remembering(), pytest.raises(KeyboardInterrupt):
        _import_and_wait("module_of_a_test")
    assert sys.modules.pop("module_of_a_test").is_whole


def _import_and_wait(name: str) -> None:
    importlib.import_module(name)
    time.sleep(60)


@pytest.mark.parametrize("times", [3, 8])
def test_a_command_that_is_stopped_at_its_start_says_so_and_leaves_no_night(
    times: int, tiny_teacher_folder: Path, alone: Mapping[str, str], tmp_path: Path
) -> None:
    """While it loads its libraries, some of which turn a KeyboardInterrupt into another error; not
    before it has loaded the command line itself, which takes as long as asking for help.
    """
    began_s = time.monotonic()
    assert stillhouse(["--help"], alone).code == 0
    wait_s = times * (time.monotonic() - began_s)
    with Command(night_arguments(tmp_path / "lake", tiny_teacher_folder), alone) as command:
        time.sleep(wait_s)
        os.kill(command.pid, signal.SIGINT)
        outcome = command.wait()
    assert (outcome.code, outcome.out) == (130, ())
    assert outcome.errors[-1] == STOPPED
    assert not list(tmp_path.rglob("*.parquet"))
