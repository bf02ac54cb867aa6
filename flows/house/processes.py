"""Processes of the house: started apart from the terminal, found again, ended.

Each carries the house's folder in its environment, which the processes that it starts inherit. So
`down` finds every one of them, also the runs of a worker that was killed, and nobody else's.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from flows.house.state import House, Started

_HOUSE = "STILLHOUSE_HOUSE"
_PART = "STILLHOUSE_PART"
# What Prefect's worker gives the process of a run.
_FLOW_RUN = "PREFECT__FLOW_RUN_ID"
_ENGINE = "prefect.engine"
# A command started by `nohup command &` ignores interrupts, and its children would inherit that:
# Prefect's worker turns SIGTERM into SIGINT, so it would heed neither.
_WITH_SIGNALS = (
    "import os, signal, sys; "
    "signal.signal(signal.SIGINT, signal.default_int_handler); "
    "signal.signal(signal.SIGTERM, signal.SIG_DFL); "
    "signal.signal(signal.SIGHUP, signal.SIG_DFL); "
    "signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT, signal.SIGTERM]); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)


def start(
    house: House, part: str, arguments: Sequence[str], environment: Mapping[str, str]
) -> Started:
    """A Python process (`python ARGUMENTS`) in a session of its own, its output in the part's log,
    which begins anew if it has grown long.
    """
    command = [sys.executable, *arguments]
    log = house.log(part)
    _turn_over(log)
    marked = {**environment, _HOUSE: str(house.folder), _PART: part}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", _WITH_SIGNALS, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd=house.folder,
            env=marked,
        )
    # It outlives this process: without a code, Popen would warn that nobody waits for it.
    process.returncode = 0
    # exec keeps pid and moment of birth.
    return Started(process.pid, psutil.Process(process.pid).create_time(), tuple(command))


def find(started: Started | None) -> psutil.Process | None:
    """The process, if it still runs and is the one that was started."""
    if started is None:
        return None
    try:
        process = psutil.Process(started.pid)
        same = abs(process.create_time() - started.created) < 1.0
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def of_house(house: House, part: str | None = None) -> list[psutil.Process]:
    """Every process that carries the house's mark, or only those of a part: what it started, and
    what those started.
    """
    return [
        process
        for process in psutil.process_iter()
        if process.pid != os.getpid()
        and (environment := environment_of(process)).get(_HOUSE) == str(house.folder)
        and part in (None, environment.get(_PART))
    ]


def environment_of(process: psutil.Process) -> Mapping[str, str]:
    """The process's environment; empty where the system does not tell, or the process is gone."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return {}
        environment: dict[str, str] = process.environ()
        return environment
    except (psutil.Error, OSError):
        return {}


def runs_here() -> dict[str, psutil.Process]:
    """The flow runs whose process lives on this machine, by their ids.

    A process that outlives its run's process carries the id too; it is not the run.
    """
    found = {}
    for process in psutil.process_iter():
        run_id = environment_of(process).get(_FLOW_RUN)
        if run_id and _ENGINE in _command(process):
            found[run_id] = process
    return found


def end(processes: Sequence[psutil.Process], patience_s: float) -> int:
    """End them, first by asking, after `patience_s` by force; how many had to be forced."""
    for process in processes:
        _send(process, signal.SIGTERM)
    _, stubborn = psutil.wait_procs(processes, timeout=patience_s)
    for process in stubborn:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(stubborn, timeout=10)
    return len(stubborn)


def wait_until_gone(house: House, within_s: float) -> bool:
    """Whether no process of the house is left, after that time at the latest."""
    deadline_s = time.monotonic() + within_s
    while of_house(house):
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.1)
    return True


def last_lines(log: Path, count: int = 5) -> str:
    """The end of a log, for a message."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(f"  {line}" for line in lines[-count:])


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.Error, OSError):
        return []


def _send(process: psutil.Process, signum: signal.Signals) -> None:
    try:
        process.send_signal(signum)
    except psutil.NoSuchProcess:
        return


def _turn_over(log: Path, max_bytes: int = 10_000_000) -> None:
    if log.exists() and log.stat().st_size > max_bytes:
        log.replace(log.with_suffix(".log.1"))
