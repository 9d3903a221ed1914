"""An office, and a worker for its jobs."""

from collections.abc import AsyncIterator

import httpx
import pytest

from app.lib.db import Database
from app.settings import Settings
from tests.conftest import Registered
from tests.integration.contacts.jobs import Office, working


@pytest.fixture
async def office(client: httpx.AsyncClient, database: Database, registered: Registered) -> Office:
    return Office(client, database, registered)


@pytest.fixture(scope="module", autouse=True)
async def worker(settings: Settings, client: httpx.AsyncClient) -> AsyncIterator[None]:
    async with working(settings):
        yield
