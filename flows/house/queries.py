"""What the server knows of the house's pool: its runs, its deployments, its worker."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from flows.house.state import POOL
from flows.house.worker import worker_name

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.filters import (
        DeploymentFilter,
        FlowFilter,
        FlowRunFilterExpectedStartTime,
        WorkPoolFilter,
    )
    from prefect.client.schemas.objects import FlowRun, Worker
    from prefect.client.schemas.responses import DeploymentResponse

AT_WORK = ("RUNNING", "PENDING", "CANCELLING")


def runs_in(client: "SyncPrefectClient", states: Sequence[str]) -> list["FlowRun"]:
    """The pool's runs in these states (StateType's names), at most 200."""
    return _read_runs(client, states)


def crashed_runs(client: "SyncPrefectClient", since: datetime) -> list["FlowRun"]:
    """Runs that crashed, of those whose time came since then."""
    from prefect.client.schemas.filters import FlowRunFilterExpectedStartTime

    from_then = FlowRunFilterExpectedStartTime.model_validate({"after_": since})
    return _read_runs(client, ["CRASHED"], expected_start_time=from_then)


def overdue_runs(client: "SyncPrefectClient") -> list["FlowRun"]:
    """Runs that a schedule made, that were never begun and whose time has passed."""
    from prefect.client.schemas.filters import FlowRunFilterExpectedStartTime

    until_now = FlowRunFilterExpectedStartTime.model_validate({"before_": datetime.now(UTC)})
    runs = _read_runs(client, ["SCHEDULED"], expected_start_time=until_now)
    return [run for run in runs if run.auto_scheduled and run.run_count == 0]


def coming_runs(
    client: "SyncPrefectClient", limit: int, deployment_id: UUID | None = None
) -> list["FlowRun"]:
    """The next scheduled runs of the pool, or of one deployment, soonest first."""
    from prefect.client.schemas.filters import (
        DeploymentFilter,
        DeploymentFilterId,
        FlowRunFilterExpectedStartTime,
    )

    from_now = FlowRunFilterExpectedStartTime.model_validate({"after_": datetime.now(UTC)})
    deployment = None
    if deployment_id is not None:
        deployment = DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id]))
    return _read_runs(
        client,
        ["SCHEDULED"],
        expected_start_time=from_now,
        deployment=deployment,
        limit=limit,
    )


def deployments(client: "SyncPrefectClient") -> dict[str, "DeploymentResponse"]:
    """The pool's deployments by their full names, as nightly/quickstart."""
    flows = {flow.id: flow.name for flow in client.read_flows(limit=200)}
    found = client.read_deployments(work_pool_filter=_pool(), limit=200)
    return {f"{flows.get(each.flow_id)}/{each.name}": each for each in found}


def scheduled_deployments(
    client: "SyncPrefectClient", settled_for: timedelta = timedelta(0)
) -> dict[str, UUID]:
    """Those with an active schedule, and their ids; none whose schedules changed more recently
    than that.
    """
    latest = datetime.now(UTC) - settled_for
    return {
        name: deployment.id
        for name, deployment in deployments(client).items()
        if not deployment.paused
        and any(schedule.active for schedule in deployment.schedules)
        and all((schedule.updated or latest) <= latest for schedule in deployment.schedules)
    }


def last_check(client: "SyncPrefectClient") -> "FlowRun | None":
    """The latest check of the lake that came to its end."""
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName

    ended = ["COMPLETED", "FAILED"]
    checks = FlowFilter(name=FlowFilterName(any_=["check_lake"]))
    runs = _read_runs(client, ended, flow=checks, latest_first=True, limit=1)
    return runs[0] if runs else None


def our_worker(client: "SyncPrefectClient") -> "Worker | None":
    """This machine's worker, as the server knows it."""
    for worker in client.read_workers_for_work_pool(POOL):
        if worker.name == worker_name():
            return worker
    return None


def _read_runs(
    client: "SyncPrefectClient",
    states: Sequence[str],
    expected_start_time: "FlowRunFilterExpectedStartTime | None" = None,
    deployment: "DeploymentFilter | None" = None,
    flow: "FlowFilter | None" = None,
    latest_first: bool = False,
    limit: int = 200,
) -> list["FlowRun"]:
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort

    wanted = FlowRunFilterStateType(any_=[StateType(state) for state in states])
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=wanted), expected_start_time=expected_start_time
        ),
        deployment_filter=deployment,
        flow_filter=flow,
        work_pool_filter=_pool(),
        sort=(
            FlowRunSort.EXPECTED_START_TIME_DESC
            if latest_first
            else FlowRunSort.EXPECTED_START_TIME_ASC
        ),
        limit=limit,
    )


def _pool() -> "WorkPoolFilter":
    from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName

    return WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL]))
