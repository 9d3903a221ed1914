"""Group messages while processes are killed: each recipient one message, and counters that say what the rows say."""

import asyncio
import os
import random
import time
from collections import Counter
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from smpp_daemon.simulator.journal import Accepted, read_records
from tests.faults.conftest import DEADLINE, World

SEED = int(os.environ.get("TURUMBA_TEST_GROUP_SEED", "20261126"))
CONTACTS = 11_000
ADDRESSES = 10_000
EVERYBODY = ("api", "relay", "worker", "scheduler", "smppd", "smsc-sim", "postgres", "rabbitmq")
TIMES_OVER = 3
SETTLE_SECONDS = 300.0
RATE = 400
UNDER_WAY_SECONDS = 4
"""Of a channel's rate, at most (`app.domain.group_messages.pacing`)."""

_CONTACTS = """
    INSERT INTO contacts (id, account_id, first_name, last_name, language, timezone, status, notes, addresses, tags,
                          attributes, opted_out, created_at, updated_at)
    SELECT gen_random_uuid(), $1, 'Abebe', '', '', '', 'active', '',
           jsonb_build_array(jsonb_build_object('type', 'phone', 'value', $2 || lpad(n::text, 6, '0'))),
           ARRAY['vip'], '{}', '{}', now(), now()
    FROM generate_series(0, $3::int - 1) AS n
"""
_OWNERS = """
    INSERT INTO contact_addresses (account_id, type, value, contact_id)
    SELECT $1, a ->> 'type', a ->> 'value', id FROM contacts, jsonb_array_elements(addresses) AS a
    WHERE account_id = $1
"""
_MESSAGES = "SELECT recipient, status FROM messages WHERE group_message_id = $1"


class Group:
    """A group message in a world of faults."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.id = ""

    async def call(self, path: str, body: Any = None) -> dict[str, Any]:
        """POST, through whatever outage there is."""
        async with asyncio.timeout(DEADLINE):
            while True:
                try:
                    answer = await self.world.client.post(
                        f"/v1/group-messages{path}", json=body, headers=self.world.headers
                    )
                except httpx.HTTPError:
                    await asyncio.sleep(0.1)
                    continue
                if answer.status_code < 300:
                    made: dict[str, Any] = answer.json()
                    return made
                assert answer.status_code == 503, answer.text
                await asyncio.sleep(0.1)

    async def start(self, **content: Any) -> None:
        """Make it and send it."""
        given = {"name": "News", "channel_id": self.world.channel, "text": "Hello"}
        self.id = (await self.call("", given | content))["id"]
        await self.call(f"/{self.id}/send")

    async def progress(self) -> dict[str, Any]:
        """How it stands, with its status."""
        shown = await self.world.get(f"/v1/group-messages/{self.id}")
        return {"status": shown["status"], **shown["progress"]}

    async def until(self, holds: Any, seconds: float = DEADLINE) -> dict[str, Any]:
        """Wait until it stands like this."""
        deadline = time.monotonic() + seconds
        while True:
            progress = await self.progress()
            if holds(progress):
                return progress
            assert time.monotonic() < deadline, (progress, self.world.last_words())
            await asyncio.sleep(0.05)

    async def fetch(self, statement: str, *values: Any) -> list[asyncpg.Record]:
        """Rows from the database."""
        connection = await asyncpg.connect(self.world.stack.environment["TURUMBA_DATABASE_URL"])
        try:
            return await connection.fetch(statement, *values)
        finally:
            await connection.close()

    def submitted(self, prefix: str) -> list[Accepted]:
        """What the operator took for numbers that begin so."""
        return [
            record
            for record in read_records(self.world.journal)
            if isinstance(record, Accepted) and record.destination.startswith(prefix.removeprefix("+"))
        ]

    async def check(self, people: set[str]) -> Counter[str]:
        """Each of the people has one message, and the counters say what the rows say."""
        rows = await self.fetch(_MESSAGES, UUID(self.id))
        assert len(rows) == len(people)
        assert {row["recipient"] for row in rows} == people
        statuses = Counter(row["status"] for row in rows)
        progress = await self.progress()
        known = ("queued", "sent", "delivered", "read", "failed", "expired", "canceled", "unknown")
        assert {name: progress[name] for name in known} == {name: statuses[name] for name in known}
        return statuses


@pytest.mark.timeout(900)
async def test_each_recipient_gets_one_message_whoever_is_killed(world: World) -> None:
    """Every process is killed, three times over, each time in another order."""
    chance = random.Random(SEED)
    group = Group(world)
    account_id = (await world.get("/v1/context"))["active_account"]["id"]
    await group.fetch(_CONTACTS, UUID(account_id), "+251931", CONTACTS)
    await group.fetch(_OWNERS, UUID(account_id))
    people = {f"+251931{number:06d}" for number in range(CONTACTS)}
    listed = [f"+251932{number:06d}" for number in range(ADDRESSES)]
    await world.until_registered()
    # One contact in ten is listed as well, and gets one message all the same.
    await group.start(audience={"tags": ["vip"], "addresses": [*sorted(people)[:1000], *listed[1000:]]})
    people |= set(listed[1000:])
    total = len(people)
    victims = [victim for _ in range(TIMES_OVER) for victim in chance.sample(EVERYBODY, len(EVERYBODY))]
    # Points of the way, in messages that were made: where exactly a process then is, no two runs agree about.
    points = sorted(chance.sample(range(total // 20, total * 9 // 10), len(victims)))
    for point, victim in zip(points, victims, strict=True):
        await group.until(lambda progress, point=point: progress["total"] - progress["waiting"] >= point)
        process = world.stack.process(victim)
        await process.kill()
        await process.start()
    await group.until(lambda progress: progress["status"] == "completed" and not progress["sent"], SETTLE_SECONDS)
    statuses = await group.check(people)
    assert set(statuses) <= {"delivered", "unknown"}, statuses
    assert statuses["delivered"] > total * 0.8
    seen = Counter(record.destination for record in group.submitted("+25193"))
    twice = {to: n for to, n in seen.items() if n > 1}
    assert not twice, f"seed {SEED}: {len(twice)} submitted twice, e.g. {list(twice.items())[:3]}"
    assert len(seen) >= statuses["delivered"]


@pytest.mark.timeout(600)
async def test_pause_bites_and_nothing_is_sent_after_a_cancellation(world: World) -> None:
    group = Group(world)
    listed = [f"+251934{number:06d}" for number in range(10_000)]
    answer = await world.client.patch(
        f"/v1/channels/{world.channel}", json={"rate": {"per_second": RATE, "burst": 40}}, headers=world.headers
    )
    assert answer.status_code == 200, answer.text
    await group.start(audience={"addresses": listed})
    await group.until(lambda progress: progress["delivered"] >= 800)
    await group.call(f"/{group.id}/pause")
    # Nothing that was not under way by then goes out: a few seconds of the channel's rate.
    under_way = (await group.progress())["queued"]
    assert under_way <= RATE * UNDER_WAY_SECONDS
    paused = await group.until(lambda progress: not progress["queued"])
    left = len(group.submitted("+251934"))
    assert left == paused["total"] - paused["waiting"]
    await world.stack.process("worker").kill()
    await world.stack.process("worker").start()
    await group.call(f"/{group.id}/resume")
    await group.until(lambda progress: progress["delivered"] >= left + 400 and progress["queued"] >= 400)
    canceled = await group.call(f"/{group.id}/cancel")
    assert canceled["progress"]["canceled"] > 0, canceled["progress"]
    for victim in ("smppd", "worker", "relay"):
        # Whoever comes back finds the canceled messages in its queues, and leaves them alone.
        await world.stack.process(victim).kill()
        await world.stack.process(victim).start()
    await group.until(lambda progress: not progress["queued"] and not progress["sent"])
    rows = await group.fetch(_MESSAGES, UUID(group.id))
    statuses = await group.check({row["recipient"] for row in rows})
    seen = {f"+{record.destination.lstrip('+')}" for record in group.submitted("+251934")}
    assert not seen & {row["recipient"] for row in rows if row["status"] == "canceled"}
    # What smppd had in hand when it was killed may have left it.
    assert statuses["delivered"] <= len(group.submitted("+251934")) <= statuses["delivered"] + statuses["unknown"]
    assert len(rows) < len(listed)
