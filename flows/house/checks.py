"""Whether the house works: what `up` looks at before it says so.

A server that answers may still be of no use: with some versions of the libraries below Prefect's
server refuses what its own client sends, or never schedules anything, and says nothing.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from flows.commands.common import say
from flows.errors import FlowsError
from flows.house.configured import answers, client_of
from flows.house.processes import find, last_lines
from flows.house.queries import coming_runs, our_worker, scheduled_deployments
from flows.house.server import QUIET
from flows.house.state import POOL, House, State
from flows.house.versions import versions_hint
from flows.house.worker import worker_name

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

_PATIENCE_S = 90.0


def check(house: House, state: State) -> None:
    """Return once the server answers, lists the pool, sees the worker and has scheduled runs.

    Raises FlowsError for the first of these that does not hold within a minute and a half.
    """
    assert state.url is not None
    url = state.url
    server_log, worker_log = house.log("server"), house.log("worker")
    if not answers(url):
        raise FlowsError(
            f"check: expected the server to answer at {url}, found no answer; see {server_log}; "
            f"{versions_hint()}"
        )
    _check_listing(url, server_log)
    with client_of(url) as client:
        _wait(
            lambda: _worker_polls(client, state, worker_log),
            lambda: (
                f"check: expected worker {worker_name()} to poll pool {POOL}, found "
                f"{_worker_found(client, state)}; see {worker_log}, then `stillhouse down` and "
                "`stillhouse up`"
            ),
        )
        _wait(
            lambda: not _unscheduled(client),
            lambda: (
                "check: expected scheduled runs of every active schedule, found none of "
                f"{', '.join(_unscheduled(client))}; the server's scheduler does not work, see "
                f"{server_log}; {versions_hint()}"
            ),
        )
        num_active = len(scheduled_deployments(client))
    say(
        f"checked   the server answers and lists {POOL}, the worker polls, {num_active} active "
        f"schedule{'' if num_active == 1 else 's'} with runs to come"
    )


def _check_listing(url: str, log: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "work-pool", "ls"],
        env={**os.environ, **QUIET, "PREFECT_API_URL": url, "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
    if done.returncode != 0 or POOL not in done.stdout:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise FlowsError(
            f"check: expected `prefect work-pool ls` to list {POOL}, found: "
            f"{lines[-1] if lines else 'nothing'}; see {log}; {versions_hint()}"
        )


def _wait(is_so: Callable[[], bool], message: Callable[[], str]) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while not is_so():
        if time.monotonic() > deadline_s:
            raise FlowsError(message())
        time.sleep(1.0)


def _worker_polls(client: "SyncPrefectClient", state: State, log: Path) -> bool:
    """Whether it gave a heartbeat since its process began: the one before it may still be called
    online.
    """
    process, worker = find(state.worker), our_worker(client)
    if process is None or state.worker is None:
        raise FlowsError(
            f"check: expected the worker to run, found that its process ended; {log} ends with:\n"
            f"{last_lines(log)}"
        )
    if worker is None or worker.last_heartbeat_time is None:
        return False
    born = datetime.fromtimestamp(state.worker.created, UTC)
    return worker.status.value == "ONLINE" and worker.last_heartbeat_time >= born


def _worker_found(client: "SyncPrefectClient", state: State) -> str:
    worker = our_worker(client)
    if worker is None:
        return "no such worker"
    return f"it {worker.status.value}, its last heartbeat at {worker.last_heartbeat_time}"


def _unscheduled(client: "SyncPrefectClient") -> list[str]:
    """Deployments with an active schedule and no run to come."""
    return [
        name
        for name, deployment_id in scheduled_deployments(client).items()
        if not coming_runs(client, 1, deployment_id)
    ]
