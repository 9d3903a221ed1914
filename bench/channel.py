"""One operator channel on real PostgreSQL and RabbitMQ with a real smppd process, without the rest of the product."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import aio_pika
import asyncpg

from app.domain.channels.credentials import seal
from app.domain.messages.events import DispatchBatch, DispatchMessage, Lane, decode_results, encode
from app.lib.broker import RESULTS_QUEUE, Outgoing, Publisher, Topology, dispatch_queue
from app.lib.crypto import Envelope, parse_keys
from app.lib.db import Database
from app.lib.ids import new_id
from app.lib.migrate import migrate
from bench.harness import DIRECTORY, say
from connectors.smpp.config import SmppCredentials
from deploy.local.environment import process_environment, product_environment
from deploy.local.installation import Installation
from deploy.local.servers import Servers
from deploy.local.services import clean
from smpp_daemon.smppctl.client import UnreachableError, ask

BATCH = 500
READY_SECONDS = 60.0


class OperatorChannel:
    """A channel that smppd serves; its results are consumed, counted and acknowledged here, as a worker does."""

    def __init__(
        self,
        environment: dict[str, str],
        database: "asyncpg.Connection[asyncpg.Record]",
        broker: "aio_pika.abc.AbstractChannel",
    ) -> None:
        self.environment = environment
        self.database = database
        self.account_id = new_id()
        self.channel_id = new_id()
        self.results = 0
        self.receipts = 0
        self.outcomes: dict[str, int] = {}
        self.last_result_at = 0.0
        self._broker = broker
        self._publisher = Publisher(environment["TURUMBA_BROKER_URL"], name="bench")
        self._changed = asyncio.Event()
        self._siblings = {self.channel_id: self}
        self._daemon: asyncio.subprocess.Process | None = None
        self._number = 0

    async def create(self, port: int, *, rate: dict[str, float] | None = None, **config: Any) -> None:
        """Store the channel and declare its queues."""
        document = {"hosts": [{"host": "127.0.0.1", "port": port}], "default_from": "BENCH"} | config
        envelope = Envelope(parse_keys(self.environment["TURUMBA_ENCRYPTION_KEYS"]))
        await self.database.execute("INSERT INTO accounts (id, name) VALUES ($1, 'bench')", self.account_id)
        await self.database.execute(
            "INSERT INTO channels (id, account_id, name, type, config, credentials, rate, status)"
            " VALUES ($1, $2, 'bench', 'smpp', $3, $4, $5, 'connecting')",
            self.channel_id,
            self.account_id,
            json.dumps(document),
            seal(envelope, self.channel_id, SmppCredentials(system_id="bench", password="bench")),
            json.dumps(rate) if rate else None,
        )
        topology = Topology(512 * 2**20)
        for lane in Lane:
            await topology.declare(self._broker, dispatch_queue(self.channel_id, lane.value))
        if len(self._siblings) == 1:
            queue = await topology.declare(self._broker, RESULTS_QUEUE)
            await self._broker.set_qos(50)
            await queue.consume(self._result)

    def another(self) -> "OperatorChannel":
        """A channel of another account for the same daemon; it has to be created too."""
        made = OperatorChannel(self.environment, self.database, self._broker)
        made._siblings = self._siblings
        self._siblings[made.channel_id] = made
        return made

    async def start_daemon(self, seconds: float = READY_SECONDS) -> None:
        """A real smppd; returns when its binds are up, at most after so many seconds."""
        program = str(Path(sys.executable).parent / "smppd")
        log = os.open(DIRECTORY / "smppd.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._daemon = await asyncio.create_subprocess_exec(
            program, env=process_environment(self.environment), stdout=log, stderr=log
        )
        os.close(log)
        socket = Path(self.environment["TURUMBA_SMPPD_ADMIN_SOCKET"])
        async with asyncio.timeout(seconds):
            while True:
                await asyncio.sleep(0.1)
                try:
                    status = json.loads(await asyncio.to_thread(ask, socket, "status"))
                except UnreachableError:
                    continue
                binds = [bind["state"] for account in status["accounts"] for bind in account["binds"]]
                if binds and all(state == "bound" for state in binds):
                    return

    async def stop_daemon(self) -> None:
        """SIGTERM, and wait."""
        if self._daemon is not None:
            self._daemon.terminate()
            await asyncio.wait_for(self._daemon.wait(), 60)
            self._daemon = None

    @property
    def daemon_pid(self) -> int:
        """Of the running smppd."""
        assert self._daemon is not None
        return self._daemon.pid

    async def store(self, count: int, text: str = "Your code is 123456", to: str = "+2519") -> list[DispatchMessage]:
        """So many messages, queued in the database and not yet dispatched."""
        made = []
        for _ in range(count):
            self._number += 1
            made.append(DispatchMessage(new_id().bytes, 1, f"{to}{self._number:08d}", "BENCH", text))
        await self.database.copy_records_to_table(
            "messages",
            columns=[
                "id",
                "account_id",
                "channel_id",
                "status",
                "lane",
                "recipient",
                "sender",
                "body",
                "encoding",
                "segments",
            ],
            records=[
                (
                    UUID(bytes=m.id),
                    self.account_id,
                    self.channel_id,
                    "queued",
                    "bulk",
                    m.to,
                    m.sender,
                    m.text,
                    "gsm7",
                    1,
                )
                for m in made
            ],
        )
        return made

    async def publish(self, messages: Sequence[DispatchMessage], lane: Lane = Lane.BULK, size: int = BATCH) -> None:
        """Dispatch batches, confirmed."""
        bodies = []
        for start in range(0, len(messages), size):
            event_id = new_id()
            batch = DispatchBatch(
                event_id, self.account_id, self.channel_id, lane, list(messages[start : start + size])
            )
            bodies.append(Outgoing(dispatch_queue(self.channel_id, lane.value), encode(batch), str(event_id)))
        for start in range(0, len(bodies), 50):
            refused = await self._publisher.publish(bodies[start : start + 50])
            assert not refused, refused

    async def until(self, *, results: int | None = None, receipts: int | None = None, seconds: float = 300) -> None:
        """Wait until so many have come in all."""
        async with asyncio.timeout(seconds):
            while (results is not None and self.results < results) or (
                receipts is not None and self.receipts < receipts
            ):
                self._changed.clear()
                await self._changed.wait()

    async def close(self) -> None:
        """End the daemon and the connections."""
        await self.stop_daemon()
        await self._publisher.close()

    async def _result(self, message: "aio_pika.abc.AbstractIncomingMessage") -> None:
        batch = decode_results(message.body)
        channel = self._siblings[batch.channel_id]
        channel.results += len(batch.results)
        channel.receipts += len(batch.receipts)
        for result in batch.results:
            channel.outcomes[result.outcome] = channel.outcomes.get(result.outcome, 0) + 1
        channel.last_result_at = time.monotonic()
        await message.ack()
        channel._changed.set()


@asynccontextmanager
async def operator_channel(**settings: str) -> AsyncIterator[OperatorChannel]:
    """Fresh servers (fsync on), a migrated database and a channel that still has to be created."""
    installation = Installation(DIRECTORY)
    await asyncio.to_thread(clean, installation)
    installation = Installation(DIRECTORY)
    servers = Servers(installation, {}, say)
    say("starting PostgreSQL and RabbitMQ")
    await servers.start()
    try:
        given = {
            "TURUMBA_LOG_LEVEL": "warning",
            **{f"TURUMBA_{name.upper()}": value for name, value in settings.items()},
        }
        environment = product_environment(installation, servers.environment, 8080, given)
        database = Database(environment["TURUMBA_DATABASE_URL"], process="bench-migrate", pool_size=1)
        await migrate(database)
        await database.close()
        connection = await asyncpg.connect(environment["TURUMBA_DATABASE_URL"])
        broker = await aio_pika.connect(environment["TURUMBA_BROKER_URL"])
        channel = OperatorChannel(environment, connection, await broker.channel())
        try:
            yield channel
        finally:
            await channel.close()
            await broker.close()
            await connection.close()
    finally:
        say("stopping the servers")
        await servers.stop()


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
