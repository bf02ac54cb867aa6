"""A run that cannot keep its deployment's slot crashes, so that it is run again; one that is over
its time limit has timed out.
"""

import time
from collections.abc import Iterator, Mapping
from uuid import uuid4

import pytest
from prefect import flow
from prefect.client.schemas.objects import State
from prefect.concurrency._leases import maintain_concurrency_lease
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.lost_slots import SlotLost, crash_if_slot_is_lost

# Prefect's threads stay in this process: not beside tests that forbid the random module.
pytestmark = pytest.mark.kill

LIMIT_S = 3600.0
PATIENCE_S = 60.0


@pytest.fixture
def server(served: Mapping[str, str]) -> Iterator[None]:
    with temporary_settings({PREFECT_API_URL: served["PREFECT_API_URL"]}):
        yield


@flow(timeout_seconds=LIMIT_S)
def holds_a_slot_that_is_gone() -> None:
    # As Prefect's engine holds it for a run of a deployment.
    with (
        crash_if_slot_is_lost(LIMIT_S),
        maintain_concurrency_lease(uuid4(), 300, raise_on_lease_renewal_failure=True),
    ):
        _work()


@flow(timeout_seconds=1)
def takes_too_long() -> None:
    with crash_if_slot_is_lost(1):
        _work()


def _work() -> None:
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        time.sleep(0.05)


@pytest.mark.usefixtures("server")
def test_a_run_whose_slot_is_gone_crashes() -> None:
    states: list[State] = []
    lost = holds_a_slot_that_is_gone.with_options(on_crashed=[lambda _f, _r, s: states.append(s)])
    with pytest.raises(SlotLost):
        lost()
    [state] = states
    assert state.is_crashed()
    assert "slot of the run's deployment" in (state.message or "")


@pytest.mark.usefixtures("server")
def test_a_run_over_its_time_limit_has_timed_out() -> None:
    state = takes_too_long(return_state=True)
    assert (state.type.value, state.name) == ("FAILED", "TimedOut")
