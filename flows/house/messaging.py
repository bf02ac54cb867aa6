"""How the house's server hands its events on; loaded by the server itself.

Prefect's broker in memory hands an event that could not be handled on again at once, four times in
all, and then lays it aside. A write that meets another one in SQLite fails within milliseconds, so
on a busy machine all four met the same lock, and the rule that has a crashed run run again never
heard of the crash. Here each event waits for the database to be free.
"""

import asyncio

from prefect.server.utilities.messaging import Message, MessageHandler, memory
from prefect.server.utilities.messaging.memory import (
    Publisher,
    break_topic,
    ephemeral_subscription,
)

__all__ = ["Consumer", "Publisher", "break_topic", "ephemeral_subscription"]

_LOCKED = "database is locked"
# Half a minute in all: longer than any transaction of Prefect's.
_WAITS_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 6.4, 6.4, 6.4)


class Consumer(memory.Consumer):
    """Prefect's own, but for events that met a locked database."""

    async def run(self, handler: MessageHandler) -> None:
        """Hand each message to the handler, for ever."""

        async def patient(message: Message) -> None:
            for wait_s in _WAITS_S:
                try:
                    return await handler(message)
                except Exception as exc:
                    if _LOCKED not in str(exc):
                        raise
                await asyncio.sleep(wait_s)
            await handler(message)

        await super().run(patient)
