"""A world for a daemon: a database with a channel and messages, the broker, a simulated operator, the results."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import aio_pika
import asyncpg
import msgspec

from app.domain.channels.credentials import seal
from app.domain.messages.events import (
    DispatchBatch,
    DispatchMessage,
    Inbound,
    Lane,
    Outcome,
    Receipt,
    SubmitResult,
    decode_results,
    encode,
)
from app.lib.broker import RESULTS_QUEUE, Outgoing, Publisher, Topology, dispatch_queue
from app.lib.crypto import Envelope, parse_keys
from app.lib.ids import new_id
from app.settings import Settings, read_settings
from connectors.smpp.config import SmppCredentials
from smpp_daemon.account import OperatorAccount
from smpp_daemon.bind_health import BindState
from smpp_daemon.daemon import Daemon
from smpp_daemon.retry import Delays

QUICK = Delays(base=0.02, most=0.1, refused=0.05, refused_most=0.1, fatal=0.1, ghost=0.1, ghost_most=0.2)


async def eventually(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait until the condition holds; the deadline is the failure."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


class Results:
    """What the daemon published for one channel."""

    def __init__(self) -> None:
        self.results: list[SubmitResult] = []
        self.receipts: list[Receipt] = []
        self.inbound: list[Inbound] = []

    def outcomes(self, outcome: Outcome) -> list[bytes]:
        return [result.message_id for result in self.results if result.outcome is outcome]

    def of(self, message: DispatchMessage) -> list[SubmitResult]:
        return [result for result in self.results if result.message_id == message.id]


class World:
    """One channel of one account, and everything around it."""

    def __init__(
        self, settings: Settings, connection: "asyncpg.Connection[asyncpg.Record]", amqp: aio_pika.abc.AbstractChannel
    ) -> None:
        self.settings = settings
        self.database = connection
        self.results = Results()
        self.account_id = new_id()
        self.channel_id = new_id()
        self.topology = Topology(settings.broker.queue_max_mebibytes * 2**20)
        self.publisher = Publisher(settings.broker.url, name="test-dispatch")
        self._amqp = amqp
        self._envelope = Envelope(parse_keys(settings.encryption_keys))

    async def make_channel(
        self, port: int, *, rate: dict[str, Any] | None = None, password: str = "secret", **config: Any
    ) -> None:
        document = {"hosts": [{"host": "127.0.0.1", "port": port}], "response_timeout_seconds": 5} | config
        await self.database.execute("INSERT INTO accounts (id, name) VALUES ($1, 'test')", self.account_id)
        await self.database.execute(
            "INSERT INTO channels (id, account_id, name, type, config, credentials, rate, status)"
            " VALUES ($1, $2, 'operator', 'smpp', $3, $4, $5, 'connecting')",
            self.channel_id,
            self.account_id,
            json.dumps(document),
            self.sealed(password),
            json.dumps(rate) if rate else None,
        )
        for lane in Lane:
            await self.topology.declare(self._amqp, dispatch_queue(self.channel_id, lane.value))

    async def change(self, **columns: Any) -> None:
        """What the API does when an owner changes a channel."""
        if "password" in columns:
            columns["credentials"] = self.sealed(columns.pop("password"))
        sets = ", ".join(f"{name} = ${number}" for number, name in enumerate(columns, 2))
        values = [json.dumps(value) if isinstance(value, dict) else value for value in columns.values()]
        await self.database.execute(
            f"UPDATE channels SET {sets}, updated_at = clock_timestamp() WHERE id = $1", self.channel_id, *values
        )
        await self.database.execute("SELECT pg_notify('turumba_channel_changed', $1)", str(self.channel_id))

    async def config(self) -> dict[str, Any]:
        stored = await self.database.fetchval("SELECT config FROM channels WHERE id = $1", self.channel_id)
        found: dict[str, Any] = json.loads(stored)
        return found

    async def channel(self) -> tuple[str, dict[str, Any]]:
        """Status and health as stored."""
        row = await self.database.fetchrow("SELECT status, health FROM channels WHERE id = $1", self.channel_id)
        assert row is not None
        return row["status"], json.loads(row["health"])

    async def messages(
        self, count: int, *, text: str = "Hello", to: str = "+25191100", **more: Any
    ) -> list[DispatchMessage]:
        """Stored and queued, not published."""
        made = [DispatchMessage(new_id().bytes, 1, f"{to}{n:04d}", "DEMO", text, **more) for n in range(count)]
        await self.database.executemany(
            "INSERT INTO messages (id, account_id, channel_id, status, recipient, sender, body, encoding, segments,"
            " validity_seconds) VALUES ($1, $2, $3, 'queued', $4, 'DEMO', $5, 'gsm7', 1, $6)",
            [(UUID(bytes=m.id), self.account_id, self.channel_id, m.to, text, m.validity_seconds) for m in made],
        )
        return made

    def batch(self, messages: list[DispatchMessage], lane: Lane = Lane.BULK) -> DispatchBatch:
        return DispatchBatch(new_id(), self.account_id, self.channel_id, lane, messages)

    async def publish(self, *batches: DispatchBatch) -> None:
        refused = await self.publisher.publish(
            Outgoing(dispatch_queue(batch.channel_id, batch.lane.value), encode(batch), str(batch.event_id))
            for batch in batches
        )
        assert not refused

    async def send(self, count: int, lane: Lane = Lane.BULK, **more: Any) -> list[DispatchMessage]:
        messages = await self.messages(count, **more)
        await self.publish(self.batch(messages, lane))
        return messages

    async def queued(self) -> int:
        """Deliveries that are in the queues and nobody has."""
        found = 0
        for lane in Lane:
            queue = await self._amqp.declare_queue(dispatch_queue(self.channel_id, lane.value), passive=True)
            found += queue.declaration_result.message_count or 0
        return found

    async def delivery_counts(self, lane: Lane = Lane.BULK) -> list[int]:
        """How often each queued delivery was delivered before. Nobody else may be consuming; all of them are kept."""
        found: list[int] = []

        async def look(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            found.append(int(str(message.headers.get("x-delivery-count", 0))))

        queue = await self._amqp.declare_queue(dispatch_queue(self.channel_id, lane.value), passive=True)
        count = queue.declaration_result.message_count or 0
        await queue.consume(look)
        await eventually(lambda: len(found) >= count)
        return found

    async def claims(self) -> int:
        found = await self.database.fetchval(
            "SELECT count(*) FROM message_attempts WHERE channel_id = $1", self.channel_id
        )
        return int(found)

    async def close(self) -> None:
        await self.database.execute("UPDATE channels SET deleted_at = now() WHERE id = $1", self.channel_id)
        for lane in Lane:
            await self._amqp.queue_delete(dispatch_queue(self.channel_id, lane.value))
        await self.publisher.close()

    def sealed(self, password: str) -> bytes:
        """Credentials as they are stored."""
        return seal(self._envelope, self.channel_id, SmppCredentials(system_id="tester", password=password))


def daemon_settings(environment: dict[str, str], database_url: str, folder: Path, **smppd: str) -> Settings:
    keys = "daemon-1:" + base64.b64encode(bytes(range(32))).decode()
    return read_settings(
        environment
        | {
            "TURUMBA_DATABASE_URL": database_url,
            "TURUMBA_ENCRYPTION_KEYS": keys,
            "TURUMBA_SMPPD_ADMIN_SOCKET": str(folder / "smppd.sock"),
            "TURUMBA_SMPPD_POLL_SECONDS": "0.2",
            "TURUMBA_SMPPD_DRAIN_SECONDS": "3",
        }
        | smppd
    )


@asynccontextmanager
async def open_world(settings: Settings) -> AsyncIterator[World]:
    connection = await asyncpg.connect(settings.database.url)
    amqp = await aio_pika.connect(settings.broker.url)
    try:
        channel = await amqp.channel()
        world = World(settings, connection, channel)

        async def collect(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            batch = decode_results(message.body)
            await message.ack()
            if batch.channel_id == world.channel_id:
                assert batch.account_id == world.account_id
                world.results.results += batch.results
                world.results.receipts += batch.receipts
                world.results.inbound += batch.inbound

        queue = await world.topology.declare(channel, RESULTS_QUEUE)
        tag = await queue.consume(collect)
        yield world
        await queue.cancel(tag)
        await world.close()
    finally:
        await amqp.close()
        await connection.close()


@asynccontextmanager
async def running(settings: Settings, delays: Delays = QUICK) -> AsyncIterator[Daemon]:
    daemon = Daemon(settings, delays=delays)
    await daemon.start()
    try:
        yield daemon
    finally:
        await daemon.stop()


async def bound(daemon: Daemon, world: World, binds: int = 1) -> OperatorAccount:
    """The channel's account, once all its binds are up."""

    def account() -> OperatorAccount | None:
        return next((each for each in daemon.accounts if each.id == world.channel_id), None)

    def up() -> bool:
        found = account()
        return found is not None and sum(keeper.state is BindState.BOUND for keeper in found.keepers) == binds

    await eventually(up)
    found = account()
    assert found is not None
    return found


def status_of(raw: bytes) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(raw)
    return decoded
