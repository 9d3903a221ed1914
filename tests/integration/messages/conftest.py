"""The relay and the worker running beside the API, as in production but in one process."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from app.domain.outbox.relay import Relay
from app.lib.broker import Publisher
from app.lib.db import Database
from app.lib.service import Stop
from app.settings import Settings
from app.workers.main import run_worker
from scheduler.main import run_scheduler
from tests.integration.messages.bench import Bench

DEADLINE = 60.0


# Not for the whole session: it takes from the results queue, which other tests read for themselves.
@pytest.fixture(scope="module")
async def pipeline(settings: Settings, database: Database) -> AsyncIterator[None]:
    stop = Stop()
    publisher = Publisher(settings.broker.url, name="test")
    tasks = [
        asyncio.create_task(Relay(database, publisher).run(stop)),
        asyncio.create_task(run_worker(settings, stop)),
        asyncio.create_task(run_scheduler(settings, stop)),
    ]
    yield
    stop.set()
    await asyncio.gather(*tasks)


@pytest.fixture
async def sandbox(client: httpx.AsyncClient, registered: dict[str, Any]) -> str:
    created = await client.post("/v1/channels", json={"name": "Try", "type": "sandbox"}, headers=registered["headers"])
    assert created.status_code == 201, created.text
    channel: str = created.json()["id"]
    return channel


@pytest.fixture
def send(client: httpx.AsyncClient, registered: dict[str, Any], sandbox: str) -> Callable[..., Awaitable[Any]]:
    async def post(to: str = "+251911000100", text: str = "Hello", **more: Any) -> httpx.Response:
        body = {"channel_id": sandbox, "to": to, "text": text, **more}
        return await client.post("/v1/messages", json=body, headers=registered["headers"])

    return post


@pytest.fixture
def eventually(client: httpx.AsyncClient, registered: dict[str, Any]) -> Callable[..., Awaitable[Any]]:
    async def wait(path: str, holds: Callable[[Any], bool]) -> Any:
        deadline = time.monotonic() + DEADLINE
        while True:
            answer = await client.get(path, headers=registered["headers"])
            assert answer.status_code == 200, answer.text
            if holds(answer.json()):
                return answer.json()
            assert time.monotonic() < deadline, answer.json()
            await asyncio.sleep(0.05)

    return wait


@pytest.fixture
def bench(database: Database, registered: dict[str, Any], sandbox: str) -> Bench:
    return Bench(database, registered["account"]["id"], sandbox)
