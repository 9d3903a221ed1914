"""Limiters as processes have them, on the database of the tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg

from app.domain.identity.api_keys.secrets import new_secret, secret_hash
from app.domain.identity.schemas import Caller
from app.domain.limits.service import RateLimiter
from app.lib.db import API_ROLE, Database
from app.lib.ids import new_id
from app.lib.tasks import end_tasks
from app.settings import LimitSettings


def some_caller(like: Caller | None = None) -> Caller:
    """Somebody with a new API key, in a new account or in that of another caller."""
    account_id = like.account_id if like is not None else new_id()
    return Caller(account_id=account_id, name="", role_name="", permissions=frozenset(), api_key_id=new_id())


def limit(credential: int = 0, account: int = 0, address: int = 0, burst_seconds: int = 60) -> LimitSettings:
    """Requests a minute; a burst of 60 seconds is all of them at once."""
    return LimitSettings(credential, account, address, burst_seconds)


@asynccontextmanager
async def limiters(count: int, url: str, settings: LimitSettings) -> AsyncIterator[list[RateLimiter]]:
    """So many limiters that share nothing but the database: each stands for an API process."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(_limiter(url, settings)) for _ in range(count)]


@asynccontextmanager
async def _limiter(url: str, settings: LimitSettings) -> AsyncIterator[RateLimiter]:
    database = Database(url, process="limits", pool_size=1, connect_timeout=5, role=API_ROLE)
    limiter = RateLimiter(database, settings)
    tidying = asyncio.create_task(limiter.tidy())
    try:
        yield limiter
    finally:
        await end_tasks(tidying)
        await limiter.stop()
        await database.close()


async def store_key(url: str, account_id: str, *networks: str) -> dict[str, str]:
    """A new API key of the account that may read events and messages; the headers of its requests."""
    secret = new_secret()
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "INSERT INTO api_keys (id, account_id, name, prefix, secret_hash, permissions, allowed_networks)"
            " VALUES ($1, $2, $3, 'tk_test', $4, $5, $6)",
            new_id(),
            account_id,
            secret[-12:],
            secret_hash(secret),
            '{"events": ["read"], "messages": ["read"]}',
            list(networks),
        )
    finally:
        await connection.close()
    return {"Authorization": f"Bearer {secret}"}
