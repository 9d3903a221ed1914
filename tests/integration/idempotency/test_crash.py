"""`kill -9` for the API with a request in its hands: the request sent again is either answered or done, never both."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import httpx
import pytest

from app.settings import Settings
from tests.conftest import Registered

DEADLINE = 60.0
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Count = Callable[[str], Awaitable[int]]


class Api:
    """`turumba api` with one worker, in a process group of its own."""

    def __init__(self, port: int, process: asyncio.subprocess.Process) -> None:
        self.port = port
        self._process = process

    async def kill(self) -> None:
        """All of it, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    def begin(self, path: str, body: Any, headers: dict[str, str]) -> socket.socket:
        """Send a request whose answer nobody reads."""
        content = httpx.Request("POST", "http://x", json=body).content
        lines = {"Host": "turumba.test", "Content-Type": "application/json", "Content-Length": str(len(content))}
        head = "".join(f"{name}: {value}\r\n" for name, value in (lines | headers).items())
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.sendall(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + content)
        return connection

    async def post(self, path: str, body: Any, headers: dict[str, str]) -> httpx.Response:
        """POST as a client does that was told to: again after a second while the first request seems to be at work."""
        async with asyncio.timeout(DEADLINE), httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}") as client:
            while True:
                answer = await client.post(path, json=body, headers=headers)
                if answer.status_code != 409:
                    return answer
                await asyncio.sleep(float(answer.headers["retry-after"]))


@asynccontextmanager
async def running_api(environment: dict[str, str]) -> AsyncIterator[Api]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("turumba")),
        "api",
        env={**os.environ, **environment, "TURUMBA_API_PORT": str(port), "TURUMBA_API_WORKERS": "1"},
        start_new_session=True,
    )
    api = Api(port, process)
    try:
        async with asyncio.timeout(DEADLINE), httpx.AsyncClient() as client:
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if (await client.get(f"http://127.0.0.1:{port}/health/ready")).status_code == 200:
                        break
                await asyncio.sleep(0.05)
        yield api
    finally:
        await api.kill()


@pytest.fixture
async def connection(settings: Settings) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(settings.database.url)
    yield connection
    await connection.close()


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not await holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_killed_on_both_sides_of_the_commit(
    environment: dict[str, str],
    registered: Registered,
    sandbox: str,
    connection: Connection,
    count: Count,
) -> None:
    """A request of each kind whose answer is lost after the commit, and one of each kind that does not get so far."""
    account = UUID(registered["account"]["id"])
    message = {"channel_id": sandbox, "to": "+251911000100"}
    committed = [
        ("/v1/channels", {"name": "Committed", "type": "sandbox"}, "committed"),
        ("/v1/messages", {**message, "text": "Committed"}, "committed"),
    ]
    lost = [
        ("/v1/channels", {"name": "Lost", "type": "sandbox"}, "lost"),
        ("/v1/messages", {**message, "text": "Lost"}, "lost"),
    ]

    def headers(key: str) -> dict[str, str]:
        return {**registered["headers"], "Idempotency-Key": key}

    async def both_stored() -> bool:
        stored = "SELECT count(*) FROM idempotency_keys WHERE account_id = $1 AND key = 'committed'"
        return bool(await connection.fetchval(stored, account) == 2)

    async def both_wait() -> bool:
        waiting = """
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'turumba-api' AND wait_event_type = 'Lock'
        """
        return bool(await connection.fetchval(waiting) == 2)

    holder = await asyncpg.connect(environment["TURUMBA_DATABASE_URL"])
    try:
        async with running_api(environment) as api:
            with contextlib.ExitStack() as sockets:
                for path, body, key in committed:
                    sockets.enter_context(api.begin(path, body, headers(key)))
                await until(both_stored)
                # The same unique values in a transaction that is still open: who inserts them waits for how it ends.
                await holder.execute("BEGIN")
                await holder.execute(
                    "INSERT INTO channels (id, account_id, name, type, status)"
                    " VALUES (gen_random_uuid(), $1, 'Lost', 'sandbox', 'active')",
                    account,
                )
                await holder.execute(
                    "INSERT INTO idempotency_keys VALUES ($1, 'POST /v1/messages', 'lost', '', 201, '{}', '')", account
                )
                for path, body, key in lost:
                    sockets.enter_context(api.begin(path, body, headers(key)))
                await until(both_wait)
                await api.kill()
    finally:
        await holder.close()
    # The sandbox that this test began with, and what was committed.
    assert (await count("channels"), await count("messages")) == (2, 1)

    async with running_api(environment) as api:
        for path, body, key in committed:
            answer = await api.post(path, body, headers(key))
            assert (answer.status_code, answer.headers.get("idempotency-replayed")) == (201, "true"), answer.text
            table, identifier = path.removeprefix("/v1/"), UUID(answer.json()["id"])
            assert await connection.fetchval(f"SELECT count(*) FROM {table} WHERE id = $1", identifier) == 1
        assert (await count("channels"), await count("messages")) == (2, 1)
        for path, body, key in lost:
            answer = await api.post(path, body, headers(key))
            assert (answer.status_code, "idempotency-replayed" in answer.headers) == (201, False), answer.text
            again = await api.post(path, body, headers(key))
            assert (again.headers.get("idempotency-replayed"), again.content) == ("true", answer.content)
    assert (await count("channels"), await count("messages")) == (3, 2)
