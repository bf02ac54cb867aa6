"""The house's worker and the pool that it takes runs from."""

import os
import platform
from pathlib import Path

from flows.commands.common import say
from flows.errors import FlowsError
from flows.house.configured import client_of
from flows.house.processes import find, start
from flows.house.server import QUIET
from flows.house.state import POOL, House, State

PART = "worker"
# A night, and something small beside it: the lake's check, or a stage that waits for its line. The
# pool's limit, never the worker's own (`--limit`): a run that crashed and is taken up again within
# a second still holds its place there, and the worker ends with "this borrower is already holding".
_RUNS_AT_ONCE = 2
_POLLS_EVERY_S = 5


def worker_name() -> str:
    """How the server knows this machine's worker."""
    return f"stillhouse-{platform.node()}"


def make_pool(url: str) -> None:
    """The pool is there."""
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound
    from prefect.workers.process import ProcessWorker

    with client_of(url) as client:
        try:
            pool = client.read_work_pool(POOL)
        except ObjectNotFound:
            template = ProcessWorker.get_default_base_job_template()
            client.create_work_pool(
                WorkPoolCreate(
                    name=POOL,
                    type="process",
                    base_job_template=template,
                    concurrency_limit=_RUNS_AT_ONCE,
                )
            )
            say(f"pool      {POOL} made")
            return
    if pool.type != "process":
        raise FlowsError(
            f"work pool {POOL}: expected type process, found {pool.type}; remove or rename that "
            "pool on the server"
        )
    paused = f"; it is paused: `prefect work-pool resume {POOL}`" if pool.is_paused else ""
    say(f"pool      {POOL} is there{paused}")


def data_folder(state: State, asked: Path | None) -> Path:
    """Where the worker's nights go: as asked, else where they went before, else
    ./stillhouse-data.

    Raises FlowsError if a worker runs that writes elsewhere, or the folder cannot be made.
    """
    from flows.defaults import DEFAULT_DATA

    folder = (asked or state.data or DEFAULT_DATA).expanduser().absolute()
    if find(state.worker) is not None and folder != state.data:
        raise FlowsError(
            f"--data {folder}: expected the lake of the running worker, {state.data}; "
            "`stillhouse down` ends that worker first"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise FlowsError(
            f"--data {folder}: expected a folder to write the lake into, found: {exc.strerror}; "
            "name another one"
        ) from exc
    if not os.access(folder, os.W_OK):
        raise FlowsError(
            f"--data {folder}: expected a folder to write the lake into, found that it cannot be "
            "written; name another one"
        )
    return folder


def stand_up_worker(house: House, state: State, data: Path) -> State:
    """The state with a worker that runs, started if there was none."""
    running = find(state.worker)
    if running is not None:
        say(f"worker    runs (pid {running.pid}), lake {state.data}")
        return state
    assert state.url is not None
    arguments = ["-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process"]
    arguments += ["--name", worker_name()]
    environment = {
        **os.environ,
        **QUIET,
        "PREFECT_API_URL": state.url,
        "PREFECT_WORKER_QUERY_SECONDS": str(_POLLS_EVERY_S),
        "STILLHOUSE_DATA": str(data),
    }
    started = start(house, PART, arguments, environment)
    state = house.change(state, worker=started, data=data)
    say(f"worker    started (pid {started.pid}, log {house.log(PART)}), lake {data}")
    return state
