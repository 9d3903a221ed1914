"""Real services for every test that needs them, started once a session, and a migrated database of its own."""

import asyncio
import base64
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest
import uvloop

from app.lib.broker import DEAD_QUEUE, RESULTS_QUEUE, Topology
from app.lib.crypto import Envelope, parse_keys
from app.lib.db import Database
from app.lib.logging import configure_logging
from app.lib.migrate import migrate
from app.main import create_app
from app.settings import Settings, read_settings
from deploy.local.installation import default_root
from deploy.local.services import TEST_BROKER_VARIABLE, Services, ensure_services, stop_services

Registered = dict[str, Any]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The event loop of production."""
    return {"uvloop": uvloop.new_event_loop}


def pytest_configure(config: pytest.Config) -> None:
    """Processes that test at the same time have servers of their own: they would take each other's results."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        return
    if os.environ.get(TEST_BROKER_VARIABLE):
        raise pytest.UsageError(f"One broker serves one process that tests: unset {TEST_BROKER_VARIABLE}, or use -n 0.")
    os.environ["TURUMBA_LOCAL_DIR"] = str(default_root() / worker)


@pytest.fixture(scope="session", autouse=True)
def logging() -> None:
    configure_logging("warning", "console", "test")


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    running = ensure_services()
    yield running
    stop_services(running)


@pytest.fixture(scope="session")
async def make_database(services: Services) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    """Creates a fresh, migrated database and gives its URL; all of them are dropped at the end."""
    made: list[str] = []
    server, _, _ = services.database_url.rpartition("/")

    async def make() -> str:
        name = f"turumba_test_{secrets.token_hex(4)}"
        connection = await asyncpg.connect(services.database_url)
        try:
            await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()
        made.append(name)
        url = f"{server}/{name}"
        database = Database(url, process="test-migrate", pool_size=1)
        await migrate(database)
        await database.close()
        return url

    yield make
    connection = await asyncpg.connect(services.database_url)
    try:
        for name in made:
            await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await connection.close()


@pytest.fixture(scope="session")
async def database_url(make_database: Callable[[], Awaitable[str]]) -> str:
    return await make_database()


@pytest.fixture(scope="session")
async def broker_url(services: Services) -> str:
    import aio_pika

    connection = await aio_pika.connect(services.broker_url)
    async with connection:
        channel = await connection.channel()
        topology = Topology(64 * 2**20)
        for name in (RESULTS_QUEUE, DEAD_QUEUE):
            queue = await topology.declare(channel, name)
            await queue.purge()
    return services.broker_url


@pytest.fixture(scope="session")
def environment(database_url: str, broker_url: str) -> dict[str, str]:
    """The variables of a product process that uses the test services."""
    return {
        "TURUMBA_DATABASE_URL": database_url,
        "TURUMBA_BROKER_URL": broker_url,
        "TURUMBA_BROKER_QUEUE_MAX_MEBIBYTES": "64",
        "TURUMBA_ENCRYPTION_KEYS": "test-1:" + base64.b64encode(bytes(range(32))).decode(),
        "TURUMBA_PUBLIC_URL": "http://turumba.test",
        "TURUMBA_LOG_LEVEL": "warning",
        # Thousands of log-ins would spend minutes on hashes that cost what they should.
        "TURUMBA_IDENTITY_PASSWORD_MEMORY_MEBIBYTES": "1",
        # All tests come from one address, and log in more often than anybody else would.
        "TURUMBA_LIMITS_ADDRESS_PER_MINUTE": "1000000",
    }


@pytest.fixture(scope="session")
def settings(environment: dict[str, str]) -> Settings:
    return read_settings(environment)


@pytest.fixture(scope="session")
def envelope(settings: Settings) -> Envelope:
    return Envelope(parse_keys(settings.encryption_keys))


@pytest.fixture(scope="session")
async def database(settings: Settings) -> AsyncIterator[Database]:
    database = Database(settings.database.url, process="test", pool_size=4)
    yield database
    await database.close()


@asynccontextmanager
async def serve_app(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The whole API in this process, called over ASGI: everything but the HTTP server."""
    app = create_app(settings)
    started, ending = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with app.lifespan():
            started.set()
            await ending.wait()

    # The lifespan is entered and left in one task, as a server does; fixtures do not promise that.
    life = asyncio.create_task(live())
    starting = asyncio.create_task(started.wait())
    await asyncio.wait({life, starting}, return_when=asyncio.FIRST_COMPLETED)
    if life.done():
        life.result()
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]
    try:
        async with httpx.AsyncClient(transport=transport, base_url=settings.public_url) as client:
            yield client
    finally:
        ending.set()
        await life


@pytest.fixture(scope="session")
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with serve_app(settings) as client:
        yield client


async def register(client: httpx.AsyncClient) -> Registered:
    """A new user with an account of its own, logged in."""
    email = f"{secrets.token_hex(6)}@example.com"
    credentials = {"email": email, "password": "correct horse battery staple"}
    created = await client.post(
        "/v1/auth/register", json={**credentials, "full_name": "A Person", "account_name": "An Account"}
    )
    assert created.status_code == 201, created.text
    tokens = await client.post("/v1/auth/login", json=credentials)
    assert tokens.status_code == 200, tokens.text
    headers = {"Authorization": f"Bearer {tokens.json()['access_token']}"}
    return {**created.json(), "credentials": credentials, "tokens": tokens.json(), "headers": headers}


@pytest.fixture
async def registered(client: httpx.AsyncClient) -> Registered:
    return await register(client)


@pytest.fixture
async def other(client: httpx.AsyncClient) -> Registered:
    """A second tenant."""
    return await register(client)
