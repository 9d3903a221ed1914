"""1,000,000 contacts in PostgreSQL: lists, look-ups, segments, an audience, and an import of 100,000 rows.

Lists, look-ups, counts and the import go over HTTP, with everything production does; the API works under row-level
security. An audience is walked through the store, as those who send to many do it: that is the line's value. Its
ceiling is a cursor of the bare driver over the same columns, with nothing made of them.
"""

import asyncio
import json
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from app.domain.contacts.stores.postgres import PostgresContactStores
from app.lib.db import Database
from app.lib.garbage import calm_garbage_collector
from bench.contacts_fill import ATTRIBUTES, GROUPS, ROWS, fill
from bench.harness import emit, log_in, running_stack, say

PAGE = 50
DEEP = 1000
REQUESTS = 300
COUNTS = 7
STEP = 5_000
ROUNDS = 3
IMPORT_ROWS = 100_000
IMPORT_DEADLINE = 600.0

BARE = """
    SELECT id, first_name, last_name, language, timezone, status, addresses::text, attributes::text FROM contacts
    WHERE account_id = $1 ORDER BY id
"""


async def measure() -> None:
    async with running_stack() as stack, httpx.AsyncClient(base_url=stack.api_url, timeout=60) as client:
        client.headers.update(await log_in(client))
        account_id = (await client.get("/v1/context")).json()["active_account"]["id"]
        group_ids = [(await made(client, "contact-groups", name=f"Group {n}"))["id"] for n in range(GROUPS)]
        for key, kind in ATTRIBUTES.items():
            await made(client, "contact-attributes", key=key, type=kind)
        channel = await made(client, "channels", name="Contacts", type="sandbox")
        url = stack.environment["TURUMBA_DATABASE_URL"]
        say(f"filling {ROWS} contacts")
        connection = await asyncpg.connect(url)
        await fill(connection, account_id, group_ids, channel["id"])
        lists = await measure_lists(client)
        counts = await measure_counts(client, group_ids)
        say("walking an audience")
        stream, bare = await measure_stream(connection, url, UUID(account_id))
        pid = stack.process("worker").pid
        assert pid is not None
        imported = await measure_import(client, pid)
        await connection.close()
    emit(
        "contacts",
        stream,
        "contacts/s streamed",
        higher_is_better=True,
        reference={
            "name": "cursor of bare asyncpg over the same columns",
            "value": round(sorted(bare)[ROUNDS // 2], 3),
        },
        **lists,
        **counts,
        stream_per_s=round(sorted(stream)[ROUNDS // 2]),
        **imported,
        params={
            "contacts": ROWS,
            "page": PAGE,
            "deep_page": DEEP,
            "requests": REQUESTS,
            "counts": COUNTS,
            "step": STEP,
            "import_rows": IMPORT_ROWS,
            "fsync": "on",
        },
    )


async def made(client: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(f"/v1/{path}", json=body)
    answer.raise_for_status()
    return dict(answer.json())


def p95(milliseconds: list[float]) -> float:
    return round(sorted(milliseconds)[int(len(milliseconds) * 0.95)], 3)


async def timed(client: httpx.AsyncClient, query: dict[str, str], expected: int) -> float:
    """Milliseconds of one list; ends the benchmark when it has not as many contacts as it should."""
    started = time.perf_counter()
    answer = await client.get("/v1/contacts", params=query)
    elapsed = (time.perf_counter() - started) * 1000
    if answer.status_code != 200 or len(answer.json()["items"]) != expected:
        raise SystemExit(f"unexpected answer to {query}: {answer.status_code} {answer.text[:200]}")
    return elapsed


async def measure_lists(client: httpx.AsyncClient) -> dict[str, float]:
    say(f"walking to page {DEEP}")
    cursor = None
    for _ in range((DEEP - 1) * PAGE // 150):
        query = {"limit": "150", **({"cursor": cursor} if cursor else {})}
        cursor = (await client.get("/v1/contacts", params=query)).json()["next_cursor"]
    first, deep, look_ups = [], [], []
    page = {"limit": str(PAGE)}
    for number in range(REQUESTS):
        first.append(await timed(client, page, PAGE))
        deep.append(await timed(client, {**page, "cursor": str(cursor)}, PAGE))
        # Spread over all there are: not one that is in memory because it was asked for just now.
        someone = number * 7919 * 31 % ROWS
        look_ups.append(await timed(client, {"phone": f"+2519{someone:08}"}, 1))
    return {"page_p95_ms": p95(first), "deep_page_p95_ms": p95(deep), "lookup_p95_ms": p95(look_ups)}


def condition(field: str, op: str, value: Any) -> dict[str, Any]:
    return {"field": field, "op": op, "value": value}


async def measure_counts(client: httpx.AsyncClient, group_ids: list[str]) -> dict[str, float]:
    """The median of a count with its preview of ten: three conditions, without and with a group of a third of all."""
    city, score = condition("attributes.city", "eq", "Adama"), condition("attributes.score", "gte", 50)
    filters = {
        "segment_count_ms": [city, condition("tags", "contains", "vip"), score],
        "segment_of_group_count_ms": [city, condition("groups", "contains", group_ids[0]), score],
    }
    result = {}
    for name, conditions in filters.items():
        say(f"counting: {name}")
        samples = []
        for _ in range(COUNTS):
            started = time.perf_counter()
            answer = await client.post("/v1/segments/preview", json={"filter": {"and": conditions}})
            samples.append((time.perf_counter() - started) * 1000)
            if answer.status_code != 200 or not answer.json()["count"]:
                raise SystemExit(f"unexpected preview: {answer.status_code} {answer.text[:200]}")
        result[name] = round(sorted(samples)[COUNTS // 2], 3)
    return result


async def measure_stream(
    connection: "asyncpg.Connection[asyncpg.Record]", url: str, account_id: UUID
) -> tuple[list[float], list[float]]:
    """Contacts per second through the store and through a bare cursor, in turn."""
    database = Database(url, process="bench", pool_size=1)
    # As production has it.
    calm_garbage_collector()
    stream, bare = [], []
    try:
        for _ in range(ROUNDS):
            stream.append(await walk(database, account_id))
            started = time.perf_counter()
            count = 0
            async with connection.transaction():
                async for _row in connection.cursor(BARE, account_id, prefetch=STEP):
                    count += 1
            bare.append(count / (time.perf_counter() - started))
            say(f"{stream[-1]:.0f} contacts/s, bare {bare[-1]:.0f}")
    finally:
        await database.close()
    return stream, bare


async def walk(database: Database, account_id: UUID) -> float:
    """One walk over everybody, each step in a unit of work of its own."""
    started = time.perf_counter()
    after: UUID | None = None
    count = 0
    while True:
        async with database.reading(account_id) as session:
            step = await PostgresContactStores().of(session, account_id).recipients(None, after, STEP)
        count += len(step)
        if len(step) < STEP:
            break
        after = step[-1].id
    if count != ROWS:
        raise SystemExit(f"walked past {count} contacts of {ROWS}")
    return count / (time.perf_counter() - started)


async def measure_import(client: httpx.AsyncClient, worker: int) -> dict[str, Any]:
    """Seconds from the upload to the end of the job, and the most memory the worker had."""
    say(f"importing {IMPORT_ROWS} rows")
    lines = ["Phone,First name,Last name,City,Score,Tags"]
    lines += [f"+2517{n:08},Person,Number {n},Adama,{n % 100},{'vip' if n % 10 else ''}" for n in range(IMPORT_ROWS)]
    mapping = {
        "Phone": "phone",
        "First name": "first_name",
        "Last name": "last_name",
        "City": "attributes.city",
        "Score": "attributes.score",
        "Tags": "tags",
    }
    parts: dict[str, Any] = {
        "options": (None, json.dumps({"mapping": mapping})),
        "file": ("people.csv", "\n".join(lines).encode(), "text/csv"),
    }
    process = Path(f"/proc/{worker}")
    # Resets the peak (proc(5)).
    (process / "clear_refs").write_text("5")
    started = time.perf_counter()
    answer = await client.post("/v1/contacts/import", files=parts)
    answer.raise_for_status()
    job = answer.json()
    async with asyncio.timeout(IMPORT_DEADLINE):
        while job["status"] not in ("succeeded", "failed", "canceled"):
            await asyncio.sleep(0.1)
            job = (await client.get(f"/v1/jobs/{job['id']}")).json()
    elapsed = time.perf_counter() - started
    if job["status"] != "succeeded" or job["done"] != IMPORT_ROWS:
        raise SystemExit(f"unexpected import: {job}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    return {"import_100k_s": round(elapsed, 3), "import_peak_mib": round(int(status["VmHWM"].split()[0]) / 1024)}


if __name__ == "__main__":
    asyncio.run(measure())
