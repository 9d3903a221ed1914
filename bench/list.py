"""`GET /v1/messages` at 1,000,000 rows: what page 1,000 costs compared with page 1.

The rows are of the account that asks, spread over a week. Pages are fetched over HTTP with everything production does;
page 1,000 is reached through its cursors, then both are fetched in turn.
"""

import asyncio
import statistics
import time

import asyncpg
import httpx

from bench.harness import emit, log_in, running_stack, say

ROWS = 1_000_000
PAGE = 50
DEEP = 1000
ROUNDS = 300

FILL = """
    INSERT INTO messages (id, account_id, channel_id, status, lane, recipient, sender, body, encoding, segments,
                          created_at)
    SELECT (substr(uuid7_floor(at)::text, 1, 14) || '7' || substr(md5(n::text), 1, 3) || '-8'
            || substr(md5(n::text), 4, 3) || '-' || substr(md5(n::text), 7, 12))::uuid,
           $1, $2, 'delivered', 'bulk', '+2519' || lpad(n::text, 8, '0'), 'DEMO', 'Hello message number ' || n, 'gsm7',
           1, at
    FROM (SELECT n, now() - interval '6 days' * (n / $3::float) AS at FROM generate_series($4::int, $5::int) n) rows
"""


async def measure() -> None:
    async with running_stack() as stack, httpx.AsyncClient(base_url=stack.api_url, timeout=30) as client:
        headers = await log_in(client)
        account = (await client.get("/v1/context", headers=headers)).json()["active_account"]["id"]
        channel = (await client.post("/v1/channels", json={"name": "List", "type": "sandbox"}, headers=headers)).json()
        database = await asyncpg.connect(stack.environment["TURUMBA_DATABASE_URL"])
        say(f"filling {ROWS} rows")
        for start in range(0, ROWS, 100_000):
            await database.execute(FILL, account, channel["id"], float(ROWS), start, start + 99_999)
        await database.execute("ANALYZE messages")
        await database.close()

        say(f"walking to page {DEEP}")
        cursor = None
        for _ in range(DEEP - 1):
            query = {"limit": str(PAGE), **({"cursor": cursor} if cursor else {})}
            cursor = (await client.get("/v1/messages", params=query, headers=headers)).json()["next_cursor"]

        async def fetch(query: dict[str, str]) -> float:
            started = time.perf_counter()
            answer = await client.get("/v1/messages", params={"limit": str(PAGE), **query}, headers=headers)
            elapsed = (time.perf_counter() - started) * 1000
            if answer.status_code != 200 or len(answer.json()["items"]) != PAGE:
                raise SystemExit(f"unexpected page: {answer.status_code} {answer.text[:200]}")
            return elapsed

        first: list[float] = []
        deep: list[float] = []
        for _ in range(ROUNDS):
            first.append(await fetch({}))
            deep.append(await fetch({"cursor": str(cursor)}))
    emit(
        "list",
        [statistics.median(deep[start : start + 100]) for start in range(0, ROUNDS, 100)],
        "ms for page 1,000",
        higher_is_better=False,
        reference={"name": "page 1", "value": round(statistics.median(first), 3)},
        p95_ms=round(sorted(deep)[int(len(deep) * 0.95)], 3),
        params={"rows": ROWS, "page": PAGE, "rounds": ROUNDS},
    )


if __name__ == "__main__":
    asyncio.run(measure())
