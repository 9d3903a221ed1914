"""A directory of its own, over the database that the served application uses."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest

from app.domain.channels.directory import ChannelDirectory
from app.lib.crypto import Envelope, parse_keys
from app.lib.db import Database
from app.settings import Settings

SMPP: dict[str, Any] = {
    "type": "smpp",
    "config": {"hosts": [{"host": "127.0.0.1", "port": 2775}], "default_from": "DEMO"},
    "credentials": {"system_id": "demo", "password": "s3cret-password"},
    "rate": {"per_second": 100, "burst": 20},
}


async def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until the condition holds; the deadline is the failure."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
async def own_database(settings: Settings) -> AsyncIterator[Database]:
    database = Database(settings.database.url, process="test-directory", pool_size=2)
    yield database
    await database.close()


@pytest.fixture
async def directory(own_database: Database, settings: Settings) -> ChannelDirectory:
    """Not listening, and remembering for an hour: what is seen early is seen because of an announcement."""
    return ChannelDirectory(own_database, Envelope(parse_keys(settings.encryption_keys)), cache_seconds=3600)


@pytest.fixture
async def listening(directory: ChannelDirectory) -> AsyncIterator[ChannelDirectory]:
    ready = asyncio.Event()
    end = directory.subscribe(lambda _: ready.set())
    task = asyncio.create_task(directory.listen())
    async with asyncio.timeout(10):
        await ready.wait()
    end()
    yield directory
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
