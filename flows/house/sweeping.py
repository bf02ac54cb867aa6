"""Runs that a kill or a lost server left behind.

A process that was killed says nothing to the server: its run stays Running or Pending, holds its
line's only slot, and no worker takes it up again. The heartbeat rule (automations.py) knows runs
that had a heartbeat once, and works only while the server stands. So `up` looks at every run that
claims to be at work, and asks this machine whether its process lives.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psutil

from flows.commands.common import say
from flows.house.configured import client_of
from flows.house.processes import find, runs_here
from flows.house.queries import AT_WORK, crashed_runs, overdue_runs, runs_in
from flows.house.state import State as HouseState
from flows.house.worker import worker_name

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun, State

# What died longer ago is not begun again by itself: the user may have done without it.
_YOUNG = timedelta(days=1)
_STARTS_WITHIN_S = 60.0
_WORKER_LABEL = "prefect.worker.name"


@dataclass(frozen=True, slots=True)
class _Here:
    """What this machine knows: runs whose process lives, whether its worker does, whether the
    server is the house's own, so that all runs of the pool are this machine's.
    """

    alive: Mapping[str, psutil.Process]
    has_worker: bool
    is_alone: bool


def sweep(state: HouseState) -> None:
    """Runs whose process died on this machine are scheduled again (those of the last day), ended
    otherwise; one whose process lives is left alone, as are those of other machines.
    """
    assert state.url is not None
    has_worker = find(state.worker) is not None
    with client_of(state.url) as client:
        if has_worker:
            _wait_for_starts(client)
        here = _Here(runs_here(), has_worker, state.server is not None)
        runs = [*runs_in(client, AT_WORK), *crashed_runs(client, datetime.now(UTC) - 2 * _YOUNG)]
        told = [_sweep_run(client, run, here) for run in runs]
        if not here.has_worker:
            told += _skip_missed(client)
    lines = [line for line in told if line]
    for line in lines:
        say(f"swept     {line}")
    if not lines:
        say("swept     no run was left behind")


def _wait_for_starts(client: "SyncPrefectClient") -> None:
    """Until every run that the living worker took up has its process, or had the time to get it: it
    loses those that it took up while the server went away.
    """
    deadline_s = time.monotonic() + _STARTS_WITHIN_S
    while time.monotonic() < deadline_s:
        alive = runs_here()
        if all(str(run.id) in alive for run in runs_in(client, ["PENDING"])):
            return
        time.sleep(2)


def _sweep_run(client: "SyncPrefectClient", run: "FlowRun", here: _Here) -> str | None:
    from prefect.states import AwaitingRetry, Cancelled

    found = run.state
    if found is None or not _is_of_this_machine(run, here):
        return None
    process = here.alive.get(str(run.id))
    if process is not None:
        return f"{run.name} is at work (pid {process.pid}): left alone"
    age = datetime.now(UTC) - found.timestamp
    if found.is_cancelling():
        client.set_flow_run_state(run.id, Cancelled(message="its process had ended"), force=True)
        return f"{run.name} was being cancelled, and its process had ended: it is Cancelled"
    was = f"{run.name} was {found.name}"
    if age > _YOUNG and found.is_crashed():
        return None
    if age > _YOUNG:
        # Not Crashed: the rule would have it run again.
        client.set_flow_run_state(run.id, Cancelled(message="its process was gone"), force=True)
        return f"{was} for {age.days} days without a process: it is Cancelled"
    again: State[None] = AwaitingRetry(
        scheduled_time=datetime.now(UTC),
        message=f"`stillhouse up` found it {found.name} without a process: it goes on",
    )
    client.set_flow_run_state(run.id, again)
    return f"{was} without a process: it is run again, and goes on where it was"


def _is_of_this_machine(run: "FlowRun", here: _Here) -> bool:
    return here.is_alone or run.labels.get(_WORKER_LABEL) == worker_name()


def _skip_missed(client: "SyncPrefectClient") -> list[str]:
    """Of several runs of one schedule that nobody took up in time, all but the last are cancelled:
    a week without power makes one late night, not seven.
    """
    from prefect.states import Cancelled

    missed: dict[object, list[FlowRun]] = {}
    for run in overdue_runs(client):
        missed.setdefault(run.deployment_id, []).append(run)
    told = []
    for runs in missed.values():
        runs.sort(key=lambda run: run.expected_start_time or datetime.min.replace(tzinfo=UTC))
        for run in runs[:-1]:
            message = "its time passed while no worker ran; a later one of its schedule is run"
            client.set_flow_run_state(run.id, Cancelled(message=message), force=True)
        if len(runs) > 1:
            told.append(
                f"{len(runs)} runs of a schedule were missed: the last is run, the others are "
                "Cancelled"
            )
    return told
