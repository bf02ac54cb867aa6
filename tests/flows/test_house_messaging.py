"""The house's server and a database that is locked for a while: Prefect's own broker lays the event
aside, the house's hands it on once the lock is gone.
"""

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy
from prefect.server.utilities.messaging import Message, MessageHandler, memory

from flows.house import messaging

LOCKED_FOR_S = 1.0


@pytest.mark.parametrize(("broker", "survives"), [(messaging, True), (memory, False)])
def test_an_event_outlives_a_locked_database(
    broker: ModuleType, survives: bool, tmp_path: Path
) -> None:
    holder = _locked_database(tmp_path / "server.db")
    engine = sqlalchemy.create_engine(
        f"sqlite:///{tmp_path / 'server.db'}", connect_args={"timeout": 0}
    )

    async def write(message: Message) -> None:
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("INSERT INTO seen VALUES (1)"))

    asyncio.run(_publish_under_lock(broker, write, holder, tmp_path / "laid-aside"))
    with engine.begin() as connection:
        seen = connection.execute(sqlalchemy.text("SELECT count(*) FROM seen")).scalar()
    assert seen == (1 if survives else 0)
    assert (tmp_path / "laid-aside").exists() is not survives


def test_another_fault_of_the_database_is_not_waited_for(tmp_path: Path) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'server.db'}")
    tries = []

    async def write(message: Message) -> None:
        tries.append(message)
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("INSERT INTO no_such_table VALUES (1)"))

    asyncio.run(_publish(messaging, write, tmp_path / "laid-aside", 0.5))
    assert len(tries) == 4  # Prefect's own count, at once
    assert (tmp_path / "laid-aside").exists()


def _locked_database(path: Path) -> sqlite3.Connection:
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("CREATE TABLE seen (number INTEGER)")
    holder.execute("BEGIN IMMEDIATE")
    return holder


async def _publish_under_lock(
    broker: ModuleType,
    write: MessageHandler,
    holder: sqlite3.Connection,
    laid_aside: Path,
) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_publish(broker, write, laid_aside, 3 * LOCKED_FOR_S))
        await asyncio.sleep(LOCKED_FOR_S)
        holder.execute("ROLLBACK")


async def _publish(
    broker: ModuleType, write: MessageHandler, laid_aside: Path, within_s: float
) -> None:
    """Publish one event to a consumer that handles it with `write`, and wait."""
    topic = memory.Topic.by_name("test")
    subscription = topic.subscribe(dead_letter_queue_path=laid_aside)
    consumer = broker.Consumer("test", subscription)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s), asyncio.TaskGroup() as group:
            group.create_task(consumer.run(write))
            await memory.Publisher("test", memory.Cache()).publish_data(b"event", {})
    await consumer.cleanup()
