"""A tenant's application, our server in a daemon of its own, and the pipeline behind it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.domain.outbox.relay import Relay
from app.lib.broker import Publisher
from app.lib.db import Database
from app.lib.service import Stop
from app.settings import Settings, read_settings
from app.workers.main import run_worker
from smpp_daemon.daemon import Daemon
from tests.conftest import Registered, register, serve_app
from tests.smpp.server.harness import Tenant


@pytest.fixture(scope="session")
async def server_database_url(make_database: Callable[[], Awaitable[str]]) -> str:
    """Of its own: the daemon serves every SMPP account there is."""
    return await make_database()


@pytest.fixture(scope="session")
def server_environment(environment: dict[str, str], server_database_url: str) -> dict[str, str]:
    return environment | {
        "TURUMBA_DATABASE_URL": server_database_url,
        "TURUMBA_SMPPD_LISTEN": "127.0.0.1:0",
        "TURUMBA_SMPPD_POLL_SECONDS": "0.2",
        "TURUMBA_SMPPD_DRAIN_SECONDS": "3",
    }


@pytest.fixture
def server_settings(server_environment: dict[str, str], tmp_path: Path) -> Settings:
    return read_settings(server_environment | {"TURUMBA_SMPPD_ADMIN_SOCKET": str(tmp_path / "smppd.sock")})


@pytest.fixture(scope="session")
async def api(server_environment: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    async with serve_app(read_settings(server_environment)) as client:
        yield client


@pytest.fixture(scope="session")
async def server_database(server_database_url: str) -> AsyncIterator[Database]:
    database = Database(server_database_url, process="test-server", pool_size=3)
    yield database
    await database.close()


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Daemon]:
    daemon = Daemon(settings)
    await daemon.start()
    try:
        yield daemon
    finally:
        await daemon.stop()


@pytest.fixture
async def daemon(server_settings: Settings) -> AsyncIterator[Daemon]:
    async with serving(server_settings) as daemon:
        yield daemon


@pytest.fixture
def port(daemon: Daemon) -> int:
    assert daemon.server is not None
    return daemon.server.ports[0]


@pytest.fixture
async def pipeline(server_settings: Settings, server_database: Database) -> AsyncIterator[None]:
    """Relay and worker beside the API and the daemon."""
    stop = Stop()
    publisher = Publisher(server_settings.broker.url, name="test-server")
    tasks = [
        asyncio.create_task(Relay(server_database, publisher).run(stop)),
        asyncio.create_task(run_worker(server_settings, stop)),
    ]
    yield
    stop.set()
    await asyncio.gather(*tasks)


async def make_tenant(api: httpx.AsyncClient, **account: Any) -> Tenant:
    registered: Registered = await register(api)
    channel = await api.post("/v1/channels", json={"name": "Out", "type": "sandbox"}, headers=registered["headers"])
    assert channel.status_code == 201, channel.text
    body = {"name": "App", "system_id": uuid4().hex[:12], "channel_id": channel.json()["id"], **account}
    made = await api.post("/v1/smpp-accounts", json=body, headers=registered["headers"])
    assert made.status_code == 201, made.text
    return Tenant(api, registered["headers"], made.json(), account.get("password") or made.json()["password"])


@pytest.fixture
async def tenant(api: httpx.AsyncClient) -> Tenant:
    return await make_tenant(api)


@pytest.fixture
async def stranger(api: httpx.AsyncClient) -> Tenant:
    return await make_tenant(api)
