"""What authentication and context add to a request at p50, in ms: the same handler open and guarded.

Both routes are in one process of the real application (`bench/bare/auth.py`), with every middleware production has.
Requests alternate over one connection each, so that whatever else the machine does falls on both alike.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import time
from urllib.parse import urlsplit

import httpx

from bench.harness import ROOT, emit, log_in, running_stack, say
from bench.ingest import wait_for_port

ROUNDS = 5
REQUESTS = 2_000
PORT = 18098


class Client:
    """One kept-alive HTTP/1.1 connection that asks one thing again and again."""

    def __init__(self, url: str, path: str, headers: dict[str, str]) -> None:
        self._url = urlsplit(url)
        lines = [f"GET {path} HTTP/1.1", f"Host: {self._url.netloc}", *(f"{k}: {v}" for k, v in headers.items())]
        self._request = "\r\n".join([*lines, "", ""]).encode()

    async def connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(self._url.hostname, self._url.port)

    async def ask(self) -> float:
        """Milliseconds of one request; ends the benchmark when it is refused."""
        started = time.perf_counter()
        self._writer.write(self._request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        )
        body = await self._reader.readexactly(length)
        elapsed = (time.perf_counter() - started) * 1000
        if b" 200 " not in head[:20]:
            sys.exit(f"refused: {head!r} {body[:300]!r}")
        return elapsed

    def close(self) -> None:
        self._writer.close()


async def measure() -> None:
    async with (
        running_stack(
            limits_credential_per_minute="0", limits_account_per_minute="0", limits_address_per_minute="0"
        ) as stack,
        httpx.AsyncClient(base_url=stack.api_url, timeout=30) as client,
    ):
        token = await log_in(client)
        made = await client.post("/v1/api-keys", json={"name": "bench", "role": "operator"}, headers=token)
        made.raise_for_status()
        key = {"Authorization": f"Bearer {made.json()['secret']}"}
        port = PORT
        product = serve(port, dict(stack.environment))
        try:
            await wait_for_port(port)
            url = f"http://127.0.0.1:{port}"
            clients = {
                "open": Client(url, "/open", {}),
                "token": Client(url, "/guarded", token),
                "key": Client(url, "/guarded", key),
            }
            for each in clients.values():
                await each.connect()
            samples: dict[str, list[float]] = {name: [] for name in clients}
            for number in range(ROUNDS):
                times: dict[str, list[float]] = {name: [] for name in clients}
                for _ in range(REQUESTS):
                    for name, each in clients.items():
                        times[name].append(await each.ask())
                for name, measured in times.items():
                    samples[name].append(statistics.median(measured))
                say(f"round {number + 1}: " + ", ".join(f"{name} {samples[name][-1]:.3f} ms" for name in clients))
            for each in clients.values():
                each.close()
        finally:
            product.terminate()
            product.wait(10)
    added = [guarded - plain for guarded, plain in zip(samples["token"], samples["open"], strict=True)]
    with_key = [guarded - plain for guarded, plain in zip(samples["key"], samples["open"], strict=True)]
    plain = statistics.median(samples["open"])
    emit(
        "auth",
        added,
        "ms added at p50",
        higher_is_better=False,
        reference={"name": "the same handler on an open route, whole ms", "value": round(plain, 3)},
        guarded_ms=round(statistics.median(samples["token"]), 3),
        api_key_added_ms=round(statistics.median(with_key), 3),
        params={"rounds": ROUNDS, "requests": REQUESTS, "connections": 1, "load_generator": "same machine"},
    )


def serve(port: int, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    arguments = ["--interface", "asgi", "--factory", "--loop", "uvloop", "--host", "127.0.0.1", "--port", str(port)]
    command = [sys.executable, "-m", "granian", *arguments, "--no-ws", "--log-level", "error"]
    return subprocess.Popen([*command, "bench.bare.auth:create_app"], cwd=ROOT, env={**os.environ, **environment})


if __name__ == "__main__":
    asyncio.run(measure())
