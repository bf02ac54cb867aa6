"""How the house is: a line for each thing, and whether something that should run does not."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from flows.champions import since_words
from flows.defaults import lake_folder
from flows.house.configured import answers, client_of, configured_api
from flows.house.processes import find, runs_here
from flows.house.queries import (
    AT_WORK,
    coming_runs,
    deployments,
    last_check,
    our_worker,
    runs_in,
    scheduled_deployments,
)
from flows.house.state import House, State
from warehouse.errors import LakeNotFoundError, WarehouseError
from warehouse.lake import Lake

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

_NUM_COMING = 3
# The worker says every 30 seconds that it is there.
_SILENT = timedelta(seconds=120)
# The scheduler takes some seconds to see a new schedule, longer on a busy machine.
_SETTLED = timedelta(seconds=120)


@dataclass(frozen=True, slots=True)
class Line:
    """One fact; `is_well` is False for something that should be otherwise."""

    what: str
    text: str
    is_well: bool = True


def house_status(data: Path | None) -> list[Line]:
    """All that there is to say, with or without a server that answers."""
    house = House.here()
    state = house.load()
    folder = data or state.data
    return [*_server_lines(house, state), *_lake_lines(lake_folder(folder))]


def _server_lines(house: House, state: State) -> Iterator[Line]:
    configured = configured_api()
    url = state.url if state.server or configured is None else configured.url
    if url is None or (state.server is None and state.worker is None and configured is None):
        yield Line("server", "does not run, and should not: `stillhouse up` starts it")
        return
    process = find(state.server)
    own = f"the house's own, pid {process.pid}" if process else "not the house's own"
    if state.server is not None and process is None:
        own = f"its process has ended, see {house.log('server')}"
    if not answers(url):
        yield Line(
            "server", f"no answer from {url} ({own}); `stillhouse up` starts it again", False
        )
        yield _worker_without_server(house, state)
        return
    yield Line("server", f"{url} answers ({own})")
    with client_of(url) as client:
        yield _worker_line(house, state, client)
        yield from _next_lines(client)
        yield from _running_lines(client)
        yield from _check_lines(client)


def _worker_without_server(house: House, state: State) -> Line:
    process = find(state.worker)
    if process is not None:
        return Line("worker", f"pid {process.pid}, waits for the server")
    if state.worker is None:
        return Line("worker", "does not run, and should not")
    return Line("worker", f"its process has ended, see {house.log('worker')}", False)


def _worker_line(house: House, state: State, client: "SyncPrefectClient") -> Line:
    process = find(state.worker)
    if state.worker is None:
        return Line("worker", "does not run here, and should not: `stillhouse up` starts it")
    if process is None:
        log = house.log("worker")
        return Line("worker", f"its process has ended, see {log}; `stillhouse up`", False)
    worker = our_worker(client)
    if worker is None or worker.last_heartbeat_time is None:
        return Line("worker", f"pid {process.pid}, not known to the server", False)
    silent = _now() - worker.last_heartbeat_time
    text = f"pid {process.pid}, last heartbeat {_span(silent)} ago, lake {state.data}"
    return Line("worker", text, silent < _SILENT)


def _next_lines(client: "SyncPrefectClient") -> Iterator[Line]:
    names = {deployment.id: name for name, deployment in deployments(client).items()}
    coming = coming_runs(client, _NUM_COMING)
    for run in coming:
        if run.expected_start_time is not None and run.deployment_id is not None:
            when = run.expected_start_time
            in_s = when.timestamp() - _now().timestamp()
            text = f"{when:%Y-%m-%d %H:%M} UTC (in {_span(timedelta(seconds=in_s))})"
            yield Line("next", f"{text}  {names.get(run.deployment_id, run.name)}")
    for name, deployment_id in scheduled_deployments(client, _SETTLED).items():
        if not coming_runs(client, 1, deployment_id):
            text = f"{name} has an active schedule and no run to come; `stillhouse up` checks why"
            yield Line("next", text, False)
    if not coming:
        yield Line("next", "no scheduled run: `prefect deployment schedule ls nightly/production`")


def _running_lines(client: "SyncPrefectClient") -> Iterator[Line]:
    here = runs_here()
    for run in runs_in(client, AT_WORK):
        process = here.get(str(run.id))
        where = f"pid {process.pid}" if process else "no process on this machine"
        state_name = run.state_name or "?"
        since = run.state.timestamp if run.state else _now()
        age = _span(_now() - since)
        yield Line(
            "running", f"{run.name}: {state_name} for {age}, start {run.run_count} ({where})"
        )


def _check_lines(client: "SyncPrefectClient") -> Iterator[Line]:
    run = last_check(client)
    if run is None or run.state is None:
        yield Line("check", "the lake was not checked yet: check_lake/every-day does it")
        return
    age = _span(_now() - run.state.timestamp)
    if run.state.is_completed():
        yield Line("check", f"every file was as it was written, {age} ago")
    else:
        yield Line("check", f"{run.state.name} {age} ago: {run.state.message}", False)


def _lake_lines(folder: Path) -> Iterator[Line]:
    try:
        with Lake.open(folder) as lake:
            yield from _line_lines(lake)
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            snapshots = lake.manifest.ledger().snapshot
            yield Line("lake", f"{folder}: {snapshots} snapshots, {_size(size)}")
    except LakeNotFoundError:
        yield Line("lake", f"{folder}: none yet")
    except WarehouseError as exc:
        yield Line("lake", str(exc), False)
    standing = next(place for place in (folder, *folder.parents) if place.exists())
    disk = shutil.disk_usage(standing)
    yield Line("disk", f"{_size(disk.free)} free of {_size(disk.total)}")


def _line_lines(lake: Lake) -> Iterator[Line]:
    """Of every line: its last night with what was decided, and its champion."""
    ledger = lake.manifest.ledger()
    decisions = {(row["line"], row["night"]): row for row in lake.read("promotions").to_pylist()}
    nights = sorted(ledger.nights.values(), key=lambda night: night.ordinal)
    for line, night in {night.line: night for night in nights}.items():
        decision = decisions.get((line, night.night))
        told = decision["explanation"] if decision else "not decided yet"
        yield Line("night", f"{line}, night {night.night} ({night.ordinal}): {told}")
        changes = ledger.champions.get(line, ())
        champion = ledger.champion(line)
        if champion is None:
            yield Line("champion", f"{line}: none yet")
        else:
            yield Line("champion", f"{line}: {champion} ({since_words(changes[-1])})")


def _now() -> datetime:
    return datetime.now(UTC)


def _span(span: timedelta) -> str:
    seconds = max(span.total_seconds(), 0)
    for limit_s, unit_s, unit in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


def _size(size_bytes: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"
