"""The pool of connections: whoever asks for one never gets a dead one."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from app.lib import db
from app.lib.db import Database
from app.settings import Settings


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[Database]:
    database = Database(settings.database.url, process="pool-test", pool_size=1)
    yield database
    await database.close()


async def backend(database: Database) -> int:
    """The process of the server that works for it."""
    async with database.unit_of_work() as session:
        return int((await session.execute(text("SELECT pg_backend_pid()"))).scalar_one())


async def end(database: Database, pid: int) -> None:
    """End the server's side of a connection, as a restart does."""
    async with database.unit_of_work() as session:
        await session.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})
    await asyncio.sleep(0)


async def test_a_connection_is_used_again(pool: Database) -> None:
    assert await backend(pool) == await backend(pool)


async def test_one_that_the_server_ended_is_replaced(pool: Database, database: Database) -> None:
    first = await backend(pool)
    await end(database, first)
    assert await backend(pool) != first


async def test_one_that_has_rested_long_is_asked(
    pool: Database, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "PING_AFTER_SECONDS", -1.0)
    first = await backend(pool)
    assert await backend(pool) == first, "it lives"
    monkeypatch.setattr(db, "_is_closed", lambda _: False)
    await end(database, first)
    # As with something in between that has forgotten the connection: only asking shows it.
    assert await backend(pool) != first
