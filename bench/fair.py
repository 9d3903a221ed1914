"""Does one account's flood hold up another account's single messages?

Two accounts on one running product, each with its own operator. One has 500,000 messages queued on a channel with a
rate: a group message, and then as many single messages of the `bulk` lane, stored as the API stores them. Meanwhile the
other one posts 100 single messages, one after the other at random moments. Counted is the time from the beginning of
the request to the submit_sm at its operator ("the wire"). The value is the 99th percentile in ms beside the worse of
the two, the reference that of the same 100 messages before, on the idle system.

Beside that a group message on a channel without a rate (`unlimited_…`), which takes all the processors there are: then
the single messages wait for processors, not for the flood.
"""

import argparse
import asyncio
import random
import time
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from app.domain.channels.directory import ChannelDirectory
from app.domain.messages.events import Lane
from app.domain.messages.repository import NewMessage, dispatch_rows, insert_messages
from app.domain.outbox.repository import insert_outbox
from app.lib.clock import utc_now
from app.lib.crypto import Envelope, parse_keys
from app.lib.db import Database
from app.lib.ids import new_id
from bench.bulk import Bulk
from bench.harness import emit, log_in, running_stack, say
from bench.sink import RunningSink, running_sink

QUEUED = 500_000
RATE = 1_000.0
"""Messages a second on the flooded channel: what a large operator grants one login."""

SINGLES = 100
WARM_UP = 10
EVERY_SECONDS = 0.15
SET = 2_000
FLOWING = 1_000
"""The flood has begun when so many of its messages have left."""

SECONDS = 600.0
TOO_SMALL = "The flood was over before the single messages were sent: use a larger --queued."


class Other:
    """The account that sends single messages."""

    def __init__(self, client: httpx.AsyncClient, sink: RunningSink) -> None:
        self._client = client
        self._sink = sink
        self._headers: dict[str, str] = {}
        self._channel_id = ""
        self._chance = random.Random(1)
        self._number = 0

    async def prepare(self) -> None:
        """A tenant with a channel to the sink."""
        self._headers = await log_in(self._client)
        body = {
            "name": "Other operator",
            "type": "smpp",
            "config": {"hosts": [{"host": "127.0.0.1", "port": self._sink.port}], "default_from": "OTHER"},
            "credentials": {"system_id": "other", "password": "other"},
        }
        made = await self._client.post("/v1/channels", json=body, headers=self._headers)
        made.raise_for_status()
        self._channel_id = made.json()["id"]
        async with asyncio.timeout(60):
            while True:
                if (await self._get(f"/v1/channels/{self._channel_id}"))["status"] == "active":
                    return
                await asyncio.sleep(0.1)

    async def singles(self, count: int) -> list[float]:
        """So many messages, one at a time; seconds from the request to the wire of each, sorted."""
        begun: dict[str, float] = {}
        for _ in range(count):
            await asyncio.sleep(self._chance.uniform(0, 2 * EVERY_SECONDS))
            self._number += 1
            to = f"2519{self._number:08}"
            begun[to] = time.monotonic()
            body = {"channel_id": self._channel_id, "to": f"+{to}", "text": "Your code is 482913"}
            answer = await self._client.post("/v1/messages", json=body, headers=self._headers)
            if answer.status_code != 201:
                raise SystemExit(f"not accepted: {answer.status_code} {answer.text}")
        deadline = time.monotonic() + SECONDS
        while True:
            arrived = {to: at for at, to in await self._sink.arrivals() if to in begun}
            if len(arrived) == count:
                return sorted(arrived[to] - at for to, at in begun.items())
            if time.monotonic() > deadline:
                raise SystemExit(f"{count - len(arrived)} messages never reached the operator")
            await asyncio.sleep(0.2)

    async def _get(self, path: str) -> Any:
        return (await self._client.get(path, headers=self._headers)).json()


async def store_singles(bulk: Bulk, database: Database, count: int) -> None:
    """What the API does when it accepts messages of the `bulk` lane, in larger sets."""
    account_id, channel_id = UUID(bulk.account_id), UUID(bulk.channel_id)
    envelope = Envelope(parse_keys(bulk.stack.environment["TURUMBA_ENCRYPTION_KEYS"]))
    channel = await ChannelDirectory(database, envelope).get(account_id, channel_id)
    assert channel is not None
    for start in range(0, count, SET):
        now = utc_now()
        messages = [
            NewMessage(
                new_id(),
                account_id,
                channel_id,
                Lane.BULK,
                f"+2518{number:08}",
                "BENCH",
                "News of today",
                "gsm7",
                1,
                None,
                b"{}",
                now,
            )
            for number in range(start, min(start + SET, count))
        ]
        async with database.unit_of_work(account_id) as session:
            await insert_messages(session, messages)
            dispatched = [message.dispatched() for message in messages]
            await insert_outbox(session, dispatch_rows(channel, Lane.BULK, dispatched, new_id))


async def flows(bulk: Bulk, since: int) -> None:
    """Wait until the flood has begun."""
    async with asyncio.timeout(SECONDS):
        while True:
            if await left(bulk) >= since + FLOWING:
                return
            await asyncio.sleep(0.2)


async def left(bulk: Bulk) -> int:
    """How many messages of the flooding account have left."""
    return int(
        await bulk.database.fetchval(
            "SELECT count(*) FROM messages WHERE account_id = $1 AND status <> 'queued'", UUID(bulk.account_id)
        )
    )


def percentile(waits: list[float], share: float) -> float:
    """In milliseconds, of sorted seconds."""
    return round(1000 * waits[min(len(waits) - 1, int(len(waits) * share))], 1)


async def measure(queued: int, singles: int, rate: float) -> None:
    """Prints the line."""
    async with (
        running_stack() as stack,
        running_sink("--record") as sink,
        httpx.AsyncClient(base_url=stack.api_url, timeout=60) as client,
        asyncpg.create_pool(stack.environment["TURUMBA_DATABASE_URL"], min_size=1, max_size=2) as pool,
    ):
        database = Database(stack.environment["TURUMBA_DATABASE_URL"], process="bench", pool_size=1)
        bulk, other = Bulk(stack, client, pool), Other(client, sink)
        await bulk.prepare()
        await other.prepare()
        say(f"making {queued} contacts")
        await bulk.add_contacts(queued, "bench", 0)
        await bulk.tidy()
        await other.singles(WARM_UP)
        waits = {"idle": await other.singles(singles)}

        async def beside(name: str, messages: int) -> None:
            """The singles while the flood goes on, of which `messages` are there or to come."""
            before = await left(bulk)
            await flows(bulk, before)
            waits[name] = await other.singles(singles)
            say(f"{name}: p50 {percentile(waits[name], 0.5)} ms, p99 {percentile(waits[name], 0.99)} ms")
            if await left(bulk) >= before + messages:
                raise SystemExit(TOO_SMALL)

        say(f"idle: p50 {percentile(waits['idle'], 0.5)} ms, p99 {percentile(waits['idle'], 0.99)} ms")
        await bulk.limit(None)
        group_message_id = await bulk.begin("bench")
        await beside("unlimited", queued)
        await bulk.cancel(group_message_id)
        await bulk.limit(rate)
        group_message_id = await bulk.begin("bench")
        await beside("group", queued)
        await bulk.cancel(group_message_id)
        await store_singles(bulk, database, queued)
        await beside("singles", queued)
        await database.close()
    worst = max(("group", "singles"), key=lambda name: percentile(waits[name], 0.99))
    emit(
        "fair",
        [percentile(waits[worst], 0.99)],
        "ms, p99 to the wire beside a flood",
        higher_is_better=False,
        reference={"name": "the same on the idle system", "value": percentile(waits["idle"], 0.99)},
        **{f"{name}_p50_ms": percentile(some, 0.5) for name, some in waits.items()},
        **{f"{name}_p99_ms": percentile(some, 0.99) for name, some in waits.items()},
        params={"queued": queued, "singles": singles, "rate": rate},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queued", type=int, default=QUEUED)
    parser.add_argument("--singles", type=int, default=SINGLES)
    parser.add_argument("--rate", type=float, default=RATE)
    given = parser.parse_args()
    asyncio.run(measure(given.queued, given.singles, given.rate))
