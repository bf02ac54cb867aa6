"""The order in which the house's server looks at events; loaded by the server itself.

Prefect keeps a run's events in order: each waits until the one before it was seen, a quarter of an
hour at most. What was seen is kept in memory, so after a restart of the server the next events of
a run wait for one that nobody will see again, and the rule that has a crashed run run again comes
fifteen minutes late. Here an event whose forerunner is older than this server does not wait.
"""

import time
from uuid import UUID

from prefect.server.events.ordering import memory
from prefect.server.events.schemas.events import ReceivedEvent


class CausalOrdering(memory.CausalOrdering):
    """Prefect's own, but for events from before the server's start."""

    def __init__(self, scope: str) -> None:
        # Prefect asks for the one of a scope again and again.
        if not hasattr(self, "_began_ms"):
            self._began_ms = time.time() * 1000
        super().__init__(scope)

    async def wait_for_leader(self, event: ReceivedEvent) -> None:
        """Return once the event may be looked at; raises EventArrivedEarly if it must wait."""
        if event.follows is None or _born_ms(event.follows) >= self._began_ms:
            await super().wait_for_leader(event)


def _born_ms(event_id: UUID) -> int:
    """When a state's event was made: Prefect's ids of states are UUIDs of version 7."""
    return event_id.int >> 80
