"""The whole product as processes on its own servers, for tests that kill them."""

import asyncio
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from app.domain.messages.events import Lane
from app.lib.broker import dispatch_queue
from deploy.local.processes import OPERATOR_PASSWORD, OPERATOR_SYSTEM_ID, LocalStack
from deploy.local.services import clean

DEADLINE = 120.0


class World:
    """A running stack, a tenant on it, and an SMPP channel bound to its simulated operator."""

    def __init__(self, stack: LocalStack, client: httpx.AsyncClient, headers: dict[str, str], channel: str) -> None:
        self.stack = stack
        self.client = client
        self.headers = headers
        self.channel = channel

    @property
    def journal(self) -> Path:
        """What the operator saw."""
        return self.stack.installation.root / "smsc-sim.journal"

    async def get(self, path: str) -> Any:
        """GET, through whatever outage there is."""
        async with asyncio.timeout(DEADLINE):
            while True:
                try:
                    answer = await self.client.get(path, headers=self.headers)
                except httpx.HTTPError:
                    await asyncio.sleep(0.1)
                    continue
                if answer.status_code == 200:
                    return answer.json()
                assert answer.status_code == 503, answer.text
                await asyncio.sleep(0.1)

    async def counts(self) -> dict[str, int]:
        """Messages by status, from the database."""
        while True:
            try:
                connection = await asyncpg.connect(self.stack.environment["TURUMBA_DATABASE_URL"], timeout=5)
            except (OSError, asyncpg.PostgresError, TimeoutError):
                await asyncio.sleep(0.1)
                continue
            try:
                rows = await connection.fetch(
                    "SELECT status, count(*) AS n FROM messages WHERE channel_id = CAST($1::text AS uuid) GROUP BY 1",
                    self.channel,
                )
                return {row["status"]: row["n"] for row in rows}
            finally:
                await connection.close()

    async def until(self, holds: Callable[[dict[str, int]], bool], seconds: float = DEADLINE) -> dict[str, int]:
        """Wait for the counts to be so."""
        deadline = time.monotonic() + seconds
        while True:
            counts = await self.counts()
            if holds(counts):
                return counts
            assert time.monotonic() < deadline, (counts, self.last_words())
            await asyncio.sleep(0.1)

    async def send(self, recipients: list[str], text: str = "Hello", **more: str) -> int:
        """Post batches of 1,000; a batch that is not answered is posted again. Returns how many were accepted."""
        accepted = 0
        for start in range(0, len(recipients), 1000):
            body = {
                "messages": [
                    {"channel_id": self.channel, "to": to, "text": text, **more}
                    for to in recipients[start : start + 1000]
                ]
            }
            accepted += await self._post_batch(body)
        return accepted

    async def _post_batch(self, body: dict[str, Any]) -> int:
        async with asyncio.timeout(DEADLINE):
            while True:
                try:
                    answer = await self.client.post("/v1/messages/batch", json=body, headers=self.headers)
                except httpx.HTTPError:
                    await asyncio.sleep(0.1)
                    continue
                if answer.status_code == 200:
                    result: dict[str, int] = answer.json()
                    assert not result["rejected"], answer.text[:1000]
                    return result["accepted"]
                assert answer.status_code == 503, answer.text
                assert int(answer.headers["retry-after"]) >= 1
                await asyncio.sleep(0.1)

    async def until_registered(self) -> None:
        """Wait until RabbitMQ has the channel's queues in its register on disk.

        RabbitMQ 3.10 writes that file up to half a second after it confirmed a declaration, and a quorum queue whose
        only node is killed before that never finds a leader again (docs/message-life.md).
        """
        names = [dispatch_queue(UUID(self.channel), lane.value).encode() for lane in Lane]
        async with asyncio.timeout(DEADLINE):
            while True:
                files = (self.stack.installation.root / "rabbitmq" / "mnesia").glob("*/quorum/*/names.dets")
                register = b"".join(file.read_bytes() for file in files)
                if all(name in register for name in names):
                    return
                await asyncio.sleep(0.05)

    def last_words(self) -> str:
        """What the processes that do not run said last."""
        names = ("api", "relay", "worker", "scheduler", "smppd", "smsc-sim")
        return "\n".join(self.stack.process(n).last_words() for n in names if not self.stack.process(n).running)


@pytest.fixture(scope="module")
async def stack() -> AsyncIterator[LocalStack]:
    with tempfile.TemporaryDirectory(prefix="turumba-faults-") as directory:
        stack = LocalStack(
            Path(directory),
            given={"TURUMBA_SMPPD_DRAIN_SECONDS": "5", "TURUMBA_SMPPD_POLL_SECONDS": "1"},
            simulator_options=("--receipt-delay", "0.5"),
        )
        await stack.start()
        try:
            yield stack
        finally:
            await stack.stop()
            await asyncio.to_thread(clean, stack.installation)


@pytest.fixture
async def world(stack: LocalStack) -> AsyncIterator[World]:
    """A tenant of its own with an active channel that sends 2,000/s."""
    async with open_world(stack) as world:
        yield world


@asynccontextmanager
async def open_world(stack: LocalStack, **config: Any) -> AsyncIterator[World]:
    """A tenant of its own with an active channel that sends 2,000/s."""
    async with httpx.AsyncClient(base_url=stack.api_url, timeout=30) as client:
        credentials = {"email": f"{secrets.token_hex(6)}@example.com", "password": secrets.token_urlsafe(16)}
        created = await client.post(
            "/v1/auth/register", json={**credentials, "full_name": "Fault", "account_name": "Fault"}
        )
        assert created.status_code == 201, created.text
        tokens = (await client.post("/v1/auth/login", json=credentials)).json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        channel = await client.post(
            "/v1/channels",
            json={
                "name": "Operator",
                "type": "smpp",
                "config": {
                    "hosts": [{"host": "127.0.0.1", "port": stack.operator_port}],
                    "window": 50,
                    "default_from": "FAULT",
                    "response_timeout_seconds": 5,
                    **config,
                },
                "credentials": {"system_id": OPERATOR_SYSTEM_ID, "password": OPERATOR_PASSWORD},
                "rate": {"per_second": 2000, "burst": 200},
            },
            headers=headers,
        )
        assert channel.status_code == 201, channel.text
        world = World(stack, client, headers, channel.json()["id"])
        async with asyncio.timeout(60):
            while (await world.get(f"/v1/channels/{world.channel}"))["status"] != "active":
                await asyncio.sleep(0.1)
        yield world
        # A channel that stays would share the operator's sessions, and with them the receipts, of the next test.
        async with asyncio.timeout(DEADLINE):
            while (await client.delete(f"/v1/channels/{world.channel}", headers=headers)).status_code != 204:
                await asyncio.sleep(0.1)
