"""Accepted `POST /v1/messages` per second: 64 connections, authenticated, fsync on, load generator on the same cores.

The channel is paused, so what is accepted goes through outbox and relay into its queue and stays there: delivery has
benchmarks of its own. The reference is the bare handler of `bench/bare/accept.py` under the same load in the same run.
"""

import asyncio
import json
import os
import subprocess
import sys
from typing import Any

import asyncpg
import httpx

from bench.harness import ROOT, emit, log_in, need, running_stack, say

CONNECTIONS = 64
SECONDS = 8
ROUNDS = 3


def wrk(url: str, token: str, channel: str, seconds: int = SECONDS) -> dict[str, Any]:
    command = [
        need("wrk", "wrk"),
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{seconds}s",
        "-s",
        str(ROOT / "bench/accept.lua"),
        url,
    ]
    environment = {**os.environ, "TOKEN": token, "CHANNEL": channel}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    line: dict[str, Any] = json.loads(result.stdout.strip().splitlines()[-1])
    return line


async def measure() -> None:
    workers = 1
    async with (
        running_stack(api_workers=str(workers)) as stack,
        httpx.AsyncClient(base_url=stack.api_url, timeout=30) as client,
    ):
        headers = await log_in(client)
        channel = (
            await client.post("/v1/channels", json={"name": "Ingest", "type": "sandbox"}, headers=headers)
        ).json()
        await deliver_one(client, headers, channel["id"])
        (await client.post(f"/v1/channels/{channel['id']}/pause", headers=headers)).raise_for_status()
        made = await client.post("/v1/api-keys", json={"name": "bench", "role": "operator"}, headers=headers)
        made.raise_for_status()
        token = made.json()["secret"]
        database = await asyncpg.connect(stack.environment["TURUMBA_DATABASE_URL"])
        bare = start_bare(stack.environment["TURUMBA_DATABASE_URL"])
        try:
            await wait_for_port(BARE_PORT)
            product: list[dict[str, Any]] = []
            ceiling: list[dict[str, Any]] = []
            for url in (stack.api_url, f"http://127.0.0.1:{BARE_PORT}"):
                wrk(url, token, channel["id"], 2)
            for number in range(ROUNDS):
                before = await database.fetchval("SELECT count(*) FROM messages")
                product.append(wrk(stack.api_url, token, channel["id"]))
                stored = await database.fetchval("SELECT count(*) FROM messages") - before
                if stored < product[-1]["requests"]:
                    sys.exit(f"answered {product[-1]['requests']} requests, but stored {stored}")
                ceiling.append(wrk(f"http://127.0.0.1:{BARE_PORT}", token, channel["id"]))
                say(f"round {number + 1}: {product[-1]} bare {ceiling[-1]}")
        finally:
            bare.terminate()
            bare.wait(10)
            await database.close()
    samples = [run["requests"] / run["seconds"] for run in product]
    errors = sum(run["errors"] for run in product)
    emit(
        "ingest",
        samples,
        "accepted messages/s",
        higher_is_better=True,
        reference={
            "name": "bare Litestar handler with group commit",
            "value": round(sorted(run["requests"] / run["seconds"] for run in ceiling)[len(ceiling) // 2], 3),
        },
        p50_ms=sorted(run["p50_ms"] for run in product)[ROUNDS // 2],
        p99_ms=sorted(run["p99_ms"] for run in product)[ROUNDS // 2],
        errors=errors,
        params={
            "connections": CONNECTIONS,
            "seconds": SECONDS,
            "api_workers": workers,
            "fsync": "on",
            "auth": "API key",
            "load_generator": "wrk, one thread, same machine",
        },
    )
    if errors:
        sys.exit(f"{errors} requests failed")


async def deliver_one(client: httpx.AsyncClient, headers: dict[str, str], channel: str) -> None:
    """Once a message was delivered, the channel's queues exist."""
    for lane in ("high", "bulk"):
        body = {"channel_id": channel, "to": "+251911000100", "text": "Hello", "lane": lane}
        message = (await client.post("/v1/messages", json=body, headers=headers)).json()
        async with asyncio.timeout(60):
            while message["status"] != "delivered":
                await asyncio.sleep(0.1)
                message = (await client.get(f"/v1/messages/{message['id']}", headers=headers)).json()


BARE_PORT = 18099


def start_bare(database_url: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "granian",
            "--interface",
            "asgi",
            "--factory",
            "--loop",
            "uvloop",
            "--host",
            "127.0.0.1",
            "--port",
            str(BARE_PORT),
            "--no-ws",
            "--log-level",
            "error",
            "bench.bare.accept:create_app",
        ],
        cwd=ROOT,
        env={**os.environ, "BARE_DATABASE_URL": database_url},
    )


async def wait_for_port(port: int) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return


if __name__ == "__main__":
    asyncio.run(measure())
