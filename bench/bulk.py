"""A group message through the whole product: contacts → messages → relay → RabbitMQ → smppd → operator → receipts.

The value is messages `delivered` in PostgreSQL per second, from the commit of the first message to that of the last
receipt, with fsync on, one bind with a window of 100, and `smsc-sim` answering every message with a receipt.
`--preload N` stores N old messages first, with all that is kept of them. The reference is a ceiling of the same run:
the same rows written and changed in sets of the same size by one connection, three transactions a set, without
processes, queues or an operator.
"""

import argparse
import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from bench.channel import cpu_seconds
from bench.harness import emit, log_in, running_stack, say
from deploy.local.processes import OPERATOR_PASSWORD, OPERATOR_SYSTEM_ID, LocalStack

CONTACTS = 100_000
WINDOW = 100
SET = 500
CHUNK = 100_000
SECONDS = 1800.0
WARM_UP = 1_000
PROCESSES = ("api", "relay", "worker", "scheduler", "smppd", "smsc-sim", "postgres", "rabbitmq")

# Ids as their makers make them: a time, and bits that are as good as random.
_ID = """(substr(uuid7_floor({at})::text, 1, 14) || '7' || substr(md5({n}), 1, 3) || '-8'
            || substr(md5({n}), 4, 3) || '-' || substr(md5({n}), 7, 12))::uuid"""

_CONTACTS = f"""
    INSERT INTO contacts (id, account_id, first_name, last_name, language, timezone, status, notes, addresses, tags,
                          attributes, opted_out, created_at, updated_at)
    SELECT {_ID.format(at="now()", n="'c' || n")}, $1,
           (ARRAY['Abebe', 'Selam', 'Hana', 'Dawit', 'Marta', 'Yonas', 'Liya', 'Kebede', 'Sara'])[1 + n % 9],
           'Bekele', 'en', 'Africa/Addis_Ababa', 'active', '',
           jsonb_build_array(jsonb_build_object('type', 'phone', 'value', '+2519' || lpad(n::text, 8, '0'))),
           ARRAY[$2::text], jsonb_build_object('city', 'Addis Ababa'), '{{}}', now(), now()
    FROM generate_series($3::int, $4::int) AS n
"""
_ADDRESSES = """
    INSERT INTO contact_addresses (account_id, type, value, contact_id)
    SELECT $1, a ->> 'type', a ->> 'value', id FROM contacts, jsonb_array_elements(addresses) AS a
    WHERE account_id = $1 AND tags = ARRAY[$2::text]
"""

_OLD = f"""
    WITH rows AS (
        SELECT n, at, {_ID.format(at="at", n="'o' || n")} AS id
        FROM (SELECT n, now() - interval '20 days' * (1 - n / $3::float) AS at FROM generate_series($4::int, $5::int) n)
             AS moments
    ), attempts AS (
        INSERT INTO message_attempts (message_id, attempt, account_id, channel_id, started_at)
        SELECT id, 1, $1, $2, at FROM rows
    ), parts AS (
        INSERT INTO message_parts (channel_id, match_key, submitted_at, message_id, account_id, number, total,
                                   provider_message_id, recipient_tail)
        SELECT $2, 'o' || n, at, id, $1, 1, 1, 'o' || n, lpad(n::text, 7, '0') FROM rows
    )
    INSERT INTO messages (id, account_id, channel_id, status, lane, recipient, sender, body, encoding, segments,
                          created_at, updated_at, sent_at, delivered_at)
    SELECT id, $1, $2, 'delivered', 'bulk', '+2517' || lpad(n::text, 8, '0'), 'BENCH', 'Hi Abebe, news of today',
           'gsm7', 1, at, at, at, at FROM rows
"""

_BARE = (
    f"""
    INSERT INTO messages (id, account_id, channel_id, status, lane, recipient, sender, body, encoding, segments)
    SELECT {_ID.format(at="now()", n="$5 || n")}, $1, $2, 'queued', 'bulk', '+2518' || lpad(n::text, 8, '0'), 'BENCH',
           'Hi Abebe, news of today', 'gsm7', 1
    FROM generate_series($3::int, $4::int) AS n RETURNING id
    """,
    """
    WITH claimed AS (
        INSERT INTO message_attempts (message_id, attempt, account_id, channel_id) SELECT unnest($1::uuid[]), 1, $2, $3
    ), parts AS (
        INSERT INTO message_parts (channel_id, match_key, message_id, account_id, number, total, provider_message_id,
                                   recipient_tail)
        SELECT $3, id::text, id, $2, 1, 1, id::text, '0000000' FROM unnest($1::uuid[]) AS id
    )
    UPDATE messages SET status = 'sent', sent_at = now(), updated_at = now() WHERE id = ANY ($1::uuid[])
    """,
    """
    UPDATE messages SET status = 'delivered', delivered_at = now(), updated_at = now() WHERE id = ANY ($1::uuid[])
    """,
)

_TABLES = ("contacts", "contact_addresses", "messages", "message_parts", "message_attempts")

_SPAN = """
    SELECT count(*) FILTER (WHERE status = 'delivered') AS delivered, count(*) AS stored,
           count(DISTINCT recipient) AS people,
           extract(epoch FROM max(updated_at) - min(created_at))::float AS seconds
    FROM messages WHERE group_message_id = $1
"""


class Bulk:
    """One stack with one tenant and one operator."""

    def __init__(self, stack: LocalStack, client: httpx.AsyncClient, database: asyncpg.Pool) -> None:
        self.stack = stack
        self.client = client
        self.database = database
        self.headers: dict[str, str] = {}
        self.account_id = ""
        self.channel_id = ""

    async def prepare(self) -> None:
        """A tenant with an active channel."""
        self.headers = await log_in(self.client)
        context = (await self.client.get("/v1/context", headers=self.headers)).json()
        self.account_id = context["active_account"]["id"]
        channel = await self._post(
            "/v1/channels",
            {
                "name": "Operator",
                "type": "smpp",
                "config": {
                    "hosts": [{"host": "127.0.0.1", "port": self.stack.operator_port}],
                    "window": WINDOW,
                    "default_from": "BENCH",
                },
                "credentials": {"system_id": OPERATOR_SYSTEM_ID, "password": OPERATOR_PASSWORD},
            },
        )
        self.channel_id = channel["id"]
        async with asyncio.timeout(60):
            while True:
                if (await self._get(f"/v1/channels/{self.channel_id}"))["status"] == "active":
                    return
                await asyncio.sleep(0.1)

    async def add_contacts(self, count: int, tag: str, first: int) -> None:
        """So many contacts with a tag and a telephone number."""
        for start in range(first, first + count, CHUNK):
            end = min(start + CHUNK, first + count) - 1
            await self.database.execute(_CONTACTS, self.account_id, tag, start, end)
        await self.database.execute(_ADDRESSES, self.account_id, tag)

    async def preload(self, count: int) -> None:
        """Old messages with their events, attempts and parts."""
        for start in range(0, count, CHUNK):
            end = min(start + CHUNK, count) - 1
            await self.database.execute(_OLD, self.account_id, self.channel_id, float(count), start, end)
            say(f"preloaded {end + 1} messages")

    async def tidy(self) -> None:
        """What autovacuum would have done in the time in which all this came to be."""
        for table in _TABLES:
            await self.database.execute(f"VACUUM ANALYZE {table}")

    async def begin(self, tag: str) -> str:
        """Send to everybody with the tag; the id of the group message."""
        made = await self._post(
            "/v1/group-messages",
            {
                "name": tag,
                "channel_id": self.channel_id,
                "audience": {"tags": [tag]},
                "text": "Hi {FIRST_NAME}, news of today",
                "fallback": {"strategy": "default", "values": {"FIRST_NAME": "friend"}},
            },
        )
        await self._post(f"/v1/group-messages/{made['id']}/send", None, 202)
        return str(made["id"])

    async def limit(self, rate: float | None) -> None:
        """The channel's rate, in messages per second; None for none."""
        body = {"rate": None if rate is None else {"per_second": rate}}
        answer = await self.client.patch(f"/v1/channels/{self.channel_id}", json=body, headers=self.headers)
        answer.raise_for_status()

    async def cancel(self, group_message_id: str) -> None:
        """Send no more of it."""
        await self._post(f"/v1/group-messages/{group_message_id}/cancel", None, 200)

    async def send(self, tag: str, count: int) -> dict[str, Any]:
        """Send to everybody with the tag and wait for all receipts; what came of it."""
        before = self._cpu()
        made = await self.begin(tag)
        path = f"/v1/group-messages/{made}"
        deadline, memory = time.monotonic() + SECONDS, dict[str, float]()
        while True:
            progress = (await self._get(path))["progress"]
            memory = {name: max(size, memory.get(name, 0.0)) for name, size in self._memory().items()}
            if progress["delivered"] >= count:
                break
            if time.monotonic() > deadline:
                raise SystemExit(f"not all were delivered: {progress}")
            await asyncio.sleep(0.5)
        after = self._cpu()
        row = await self.database.fetchrow(_SPAN, UUID(made))
        assert row is not None
        if not row["delivered"] == row["stored"] == row["people"] == count:
            raise SystemExit(f"wrong books: {dict(row)}")
        return {
            "per_second": count / row["seconds"],
            "cpu_us_per_message": {name: round(1e6 * (after[name] - before[name]) / count) for name in after},
            "memory_mebibytes": memory,
        }

    async def ceiling(self, count: int, name: str) -> float:
        """The same rows from one connection; per second."""
        account, channel = UUID(self.account_id), UUID(self.channel_id)
        async with self.database.acquire() as connection:
            started = time.perf_counter()
            for start in range(0, count, SET):
                end = min(start + SET, count) - 1
                rows = await connection.fetch(_BARE[0], account, channel, start, end, name)
                ids = [row["id"] for row in rows]
                await connection.execute(_BARE[1], ids, account, channel)
                await connection.execute(_BARE[2], ids)
            return count / (time.perf_counter() - started)

    # -- inside ---------------------------------------------------------------------------------------------------

    async def _post(self, path: str, body: Any, status: int = 201) -> Any:
        answer = await self.client.post(path, json=body, headers=self.headers)
        if answer.status_code != status:
            raise SystemExit(f"{path}: {answer.status_code} {answer.text}")
        return answer.json()

    async def _get(self, path: str) -> Any:
        return (await self.client.get(path, headers=self.headers)).json()

    def _cpu(self) -> dict[str, float]:
        # Of processes with children the whole family: a server forks, and what its dead children used is its own.
        return {name: sum(map(_cpu_with_children, _family(pid))) for name, pid in self._pids().items()}

    def _memory(self) -> dict[str, float]:
        return {
            name: round(_resident(pid), 1) for name, pid in self._pids().items() if name not in ("postgres", "rabbitmq")
        }

    def _pids(self) -> dict[str, int]:
        return {name: pid for name in PROCESSES if (pid := self.stack.process(name).pid) is not None}


def _family(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            parents.setdefault(parent, []).append(int(entry.name))
    found, new = [pid], [pid]
    while new:
        new = [child for parent in new for child in parents.get(parent, ())]
        found += new
    return found


def _cpu_with_children(pid: int) -> float:
    try:
        return cpu_seconds(pid)
    except OSError:
        return 0.0


def _resident(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def measure(contacts: int, preload: int, rounds: int) -> None:
    """Prints the line."""
    async with (
        running_stack() as stack,
        httpx.AsyncClient(base_url=stack.api_url, timeout=60) as client,
        asyncpg.create_pool(stack.environment["TURUMBA_DATABASE_URL"], min_size=1, max_size=2) as database,
    ):
        bulk = Bulk(stack, client, database)
        await bulk.prepare()
        if preload:
            await bulk.preload(preload)
        say(f"making {contacts} contacts")
        await bulk.add_contacts(contacts, "bench", 0)
        await bulk.add_contacts(WARM_UP, "warmup", contacts)
        await bulk.tidy()
        await bulk.send("warmup", WARM_UP)
        sendings, ceilings = [], []
        for number in range(rounds):
            ceilings.append(await bulk.ceiling(min(contacts, 20_000), f"b{number}-"))
            sending = await bulk.send("bench", contacts)
            say(json.dumps(sending))
            sendings.append(sending)
    last = sendings[-1]
    emit(
        "bulk",
        [each["per_second"] for each in sendings],
        "delivered/s",
        higher_is_better=True,
        reference={
            "name": "ceiling: the same rows in sets of 500 from one connection",
            "value": round(sum(ceilings) / len(ceilings)),
        },
        params={"contacts": contacts, "preload": preload, "window": WINDOW, "rounds": rounds, "fsync": "on"},
        cpu_us_per_message=last["cpu_us_per_message"],
        memory_mebibytes=last["memory_mebibytes"],
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=CONTACTS)
    parser.add_argument("--preload", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    asyncio.run(measure(given.contacts, given.preload, given.rounds))
