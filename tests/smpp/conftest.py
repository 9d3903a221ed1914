"""A database for the daemons only: they serve every SMPP channel there is."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from app.settings import Settings
from tests.smpp.daemon_harness import World, daemon_settings, open_world


@pytest.fixture(scope="session")
async def daemon_database_url(make_database: Callable[[], Awaitable[str]]) -> str:
    return await make_database()


@pytest.fixture
def daemon_config(environment: dict[str, str], daemon_database_url: str, tmp_path: Path) -> Settings:
    return daemon_settings(environment, daemon_database_url, tmp_path)


@pytest.fixture
async def world(daemon_config: Settings) -> AsyncIterator[World]:
    async with open_world(daemon_config) as world:
        yield world
