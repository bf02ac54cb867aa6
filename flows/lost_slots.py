"""A run that lost its deployment's slot has crashed, and a crashed run is run again.

Prefect stops a run that cannot renew its lease on that slot (the server was away, or gave the slot
to a second start of the run) by the same exception as its time limit does. It would call such a
run timed out, which is for good.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

# Prefect's clock starts a little before the flow's own code does.
_SLACK_S = 60.0


class SlotLost(BaseException):
    """Not an Exception: the run did not fail, it was stopped from outside."""


@contextmanager
def crash_if_slot_is_lost(limit_s: float) -> Iterator[None]:
    """Raises SlotLost if the block is cancelled long before its flow's time limit, in seconds."""
    began_s = time.monotonic()
    try:
        yield
    except asyncio.CancelledError as exc:
        if time.monotonic() - began_s > limit_s - _SLACK_S:
            raise
        raise SlotLost("the slot of the run's deployment could not be kept") from exc
