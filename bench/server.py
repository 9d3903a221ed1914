"""submit_sm per second that an application gets accepted: one bind, window 100, fsync on, client in its own process.

Accepted means committed: message and outbox row in one transaction, then the answer with our id. Everything the product
runs beside it runs here too (API, relay, worker), so what is accepted is published as well; the channel is paused, so
that delivery takes nothing. The reference is the same client against the bare sink (`bench/sink.py`), which stores
nothing: what the wire and the client alone allow.
"""

import asyncio
import socket
import sys
import time

import asyncpg
import httpx
import uvloop

from bench.harness import emit, log_in, running_stack, say
from bench.ingest import deliver_one
from bench.sink import running_sink
from smpp_daemon.protocol.codec import encode_body
from smpp_daemon.protocol.constants import BindMode
from smpp_daemon.protocol.events import Bound, Event, SubmitAnswered
from smpp_daemon.protocol.pdu import SubmitSm
from smpp_daemon.protocol.session import EsmeConfig, EsmeSession

MESSAGES = 60_000
ROUNDS = 3
WINDOW = 100


class Client(asyncio.Protocol):
    """Keeps its window full until all messages are answered."""

    def __init__(self, system_id: str, password: str) -> None:
        self.loop = asyncio.get_running_loop()
        config = EsmeConfig("bench", system_id, password, mode=BindMode.TRANSMITTER, window=WINDOW)
        self.session = EsmeSession(config, self.loop.time())
        self.bound: asyncio.Future[None] = self.loop.create_future()
        self.done: asyncio.Future[None] = self.loop.create_future()
        self.accepted = self.refused = self.left = 0
        self.latencies: list[float] = []
        self.bodies = [
            encode_body(
                SubmitSm(
                    source_addr_ton=5,
                    source_addr="BENCH",
                    dest_addr_ton=1,
                    dest_addr_npi=1,
                    destination_addr=f"251911{number:06d}",
                    registered_delivery=1,
                    short_message=b"Your code is 123456",
                )
            )
            for number in range(1000)
        ]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.session.bind(self.loop.time())
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        for future in (self.bound, self.done):
            if not future.done():
                future.set_exception(ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        for event in self.session.receive(data, self.loop.time()):
            self.take(event)
        self.pump()

    def take(self, event: Event) -> None:
        if type(event) is SubmitAnswered:
            self.latencies.append(event.latency)
            if event.status:
                self.refused += 1
            else:
                self.accepted += 1
        elif type(event) is Bound:
            self.bound.set_result(None)

    def pump(self) -> None:
        wanted = min(self.left, self.session.room)
        if wanted > 0:
            start = self.left % 900
            self.left -= self.session.submit_many(self.bodies[start : start + wanted], range(wanted), self.loop.time())
        elif not self.left and not self.done.done() and not len(self.session.link.window):
            self.done.set_result(None)
        self.flush()

    def flush(self) -> None:
        self.transport.write(self.session.take_output())  # type: ignore[attr-defined]

    async def run(self, count: int) -> float:
        """Messages a second."""
        self.done = self.loop.create_future()
        self.left = count
        started = time.perf_counter()
        self.pump()
        await self.done
        return count / (time.perf_counter() - started)


async def connect(port: int, system_id: str, password: str) -> Client:
    _, client = await asyncio.get_running_loop().create_connection(
        lambda: Client(system_id, password), "127.0.0.1", port
    )
    await client.bound
    return client


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def measure() -> None:
    port = free_port()
    async with (
        running_stack(smppd_listen=f"127.0.0.1:{port}") as stack,
        httpx.AsyncClient(base_url=stack.api_url, timeout=30) as api,
    ):
        headers = await log_in(api)
        channel = (await api.post("/v1/channels", json={"name": "Bench", "type": "sandbox"}, headers=headers)).json()
        await deliver_one(api, headers, channel["id"])
        (await api.post(f"/v1/channels/{channel['id']}/pause", headers=headers)).raise_for_status()
        body = {"name": "Bench", "system_id": "bench", "channel_id": channel["id"], "inbound_limit": 1000}
        account = (await api.post("/v1/smpp-accounts", json=body, headers=headers)).json()
        database = await asyncpg.connect(stack.environment["TURUMBA_DATABASE_URL"])
        client = await connect(port, "bench", account["password"])
        samples: list[float] = []
        wire: list[float] = []
        await client.run(2000)
        async with running_sink() as sink:
            bare = await connect(sink.port, "bench", "bench")
            for number in range(ROUNDS):
                client.latencies.clear()
                before = await database.fetchval("SELECT count(*) FROM messages")
                samples.append(await client.run(MESSAGES))
                stored = await database.fetchval("SELECT count(*) FROM messages") - before
                if stored != MESSAGES or client.refused:
                    sys.exit(f"stored {stored} of {MESSAGES}, refused {client.refused}")
                wire.append(await bare.run(MESSAGES))
                say(f"round {number + 1}: {samples[-1]:.0f}/s accepted, the bare wire {wire[-1]:.0f}/s")
            bare.transport.close()
        client.transport.close()
        await database.close()
    ordered = sorted(client.latencies)
    emit(
        "server",
        samples,
        "submit_sm accepted/s",
        higher_is_better=True,
        reference={"name": "the same client against a bare sink", "value": round(sorted(wire)[ROUNDS // 2], 3)},
        p50_ms=round(ordered[len(ordered) // 2] * 1000, 3),
        p99_ms=round(ordered[len(ordered) * 99 // 100] * 1000, 3),
        params={"messages": MESSAGES, "window": WINDOW, "binds": 1, "fsync": "on"},
    )


if __name__ == "__main__":
    uvloop.run(measure())
