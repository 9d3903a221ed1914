"""Two API processes' worth of the API on one database, and requests that are sent more than once."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from app.lib.db import Database
from app.settings import Settings
from tests.conftest import Registered, serve_app

Post = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture(scope="session")
async def neighbour(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The API a second time, on the same database."""
    async with serve_app(settings) as client:
        yield client


@pytest.fixture
def key() -> str:
    return secrets.token_urlsafe(12)


@pytest.fixture
def post(client: httpx.AsyncClient, registered: Registered, key: str) -> Post:
    """POST with this test's key and account, unless told otherwise."""

    async def post(path: str, body: Any = None, *, to: httpx.AsyncClient = client, **more: str) -> httpx.Response:
        headers = {**registered["headers"], "Idempotency-Key": key, **more}
        return await to.post(path, json={} if body is None else body, headers=headers)

    return post


@pytest.fixture
async def sandbox(client: httpx.AsyncClient, registered: Registered) -> str:
    """A channel to send through."""
    created = await client.post("/v1/channels", json={"name": "Try", "type": "sandbox"}, headers=registered["headers"])
    assert created.status_code == 201, created.text
    channel: str = created.json()["id"]
    return channel


@pytest.fixture
def count(database: Database, registered: Registered) -> Callable[[str], Awaitable[int]]:
    """How many rows of a table the account has."""

    async def count(table: str) -> int:
        async with database.reading() as session:
            rows = await session.execute(
                text(f"SELECT count(*) FROM {table} WHERE account_id = CAST(:id AS uuid)"),
                {"id": registered["account"]["id"]},
            )
            return int(rows.scalar_one())

    return count


def replayed(answer: httpx.Response, first: httpx.Response) -> bool:
    """Whether `answer` is the first one once more, to the byte."""
    assert answer.headers.get("idempotency-replayed") == "true", answer.text
    assert (answer.status_code, answer.content) == (first.status_code, first.content)
    own = {"idempotency-replayed", "x-request-id", "date"}
    kept = {name: value for name, value in answer.headers.items() if name not in own and "ratelimit" not in name}
    assert kept == {n: v for n, v in first.headers.items() if n not in own and "ratelimit" not in n}
    return True
