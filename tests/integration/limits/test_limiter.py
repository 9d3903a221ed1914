"""The limiters of several processes on one database."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from app.domain.identity.schemas import Caller
from app.domain.limits.repository import FULL_AGAIN_MINUTES, purge_full
from app.domain.limits.service import RateLimiter
from app.lib.db import Database
from tests.integration.limits.conftest import limit, limiters, some_caller

WAIT_SECONDS = 30


async def burst(processes: list[RateLimiter], who: Caller, requests: int) -> int:
    """Send so many at once, spread over the processes; how many were let in."""
    standings = await asyncio.gather(*(processes[n % len(processes)].admit_caller(who) for n in range(requests)))
    return sum(standing is not None and standing.retry_after is None for standing in standings)


class TestSmallLimits:
    async def test_a_burst_is_exact(self, database_url: str) -> None:
        async with limiters(4, database_url, limit(credential=30)) as processes:
            started = asyncio.get_running_loop().time()
            admitted = await burst(processes, some_caller(), 200)
            elapsed = asyncio.get_running_loop().time() - started
        assert 30 <= admitted <= 30 + elapsed * 30 / 60

    async def test_keys_of_an_account_share_its_limit(self, database_url: str) -> None:
        one = some_caller()
        other = some_caller(like=one)
        async with limiters(2, database_url, limit(credential=25, account=30)) as processes:
            started = asyncio.get_running_loop().time()
            admitted = await asyncio.gather(burst(processes, one, 60), burst(processes, other, 60))
            elapsed = asyncio.get_running_loop().time() - started
        assert 30 <= sum(admitted) <= 30 + elapsed * 30 / 60
        assert max(admitted) <= 25 + elapsed * 25 / 60

    async def test_a_refused_request_costs_nothing(self, database_url: str) -> None:
        one = some_caller()
        other = some_caller(like=one)
        async with limiters(1, database_url, limit(credential=10, account=5)) as (process,):
            assert await burst([process], one, 5) == 5
            assert await burst([process], one, 50) == 0, "the account has no more"
            # What the key gave for requests that the account refused is in its bucket again, long before it refills.
            async with asyncpg_connection(database_url) as connection, asyncio.timeout(10):
                while await balance(connection, one) < 5:
                    await asyncio.sleep(0.05)
            assert await burst([process], other, 1) == 0

    async def test_says_how_long_to_wait_and_then_lets_in(self, database_url: str) -> None:
        who = some_caller()
        async with limiters(2, database_url, limit(credential=120, burst_seconds=1)) as (one, two):
            assert await burst([one, two], who, 10) == 2
            refused = await one.admit_caller(who)
            assert refused is not None
            assert refused.remaining == 0
            assert refused.retry_after is not None
            assert 0 < refused.retry_after <= 0.5
            await asyncio.sleep(refused.retry_after + 0.05)
            async with asyncio.timeout(WAIT_SECONDS):
                while not await burst([two], who, 1):
                    await asyncio.sleep(0.05)

    async def test_others_are_not_affected(self, database_url: str) -> None:
        async with limiters(1, database_url, limit(credential=3)) as processes:
            assert await burst(processes, some_caller(), 10) == 3
            assert await burst(processes, some_caller(), 10) == 3

    async def test_no_limit(self, database_url: str) -> None:
        async with limiters(1, database_url, limit()) as (process,):
            assert await process.admit_caller(some_caller()) is None
            assert await process.admit_address("192.0.2.1") is None


class TestBigLimits:
    async def test_many_requests_need_few_statements_and_no_more_are_let_in(self, database_url: str) -> None:
        who = some_caller()
        statements = 0

        def count(*_: object) -> None:
            nonlocal statements
            statements += 1

        async with limiters(4, database_url, limit(credential=60_000, account=60_000, burst_seconds=10)) as processes:
            event.listen(Engine, "before_cursor_execute", count)
            try:
                started = asyncio.get_running_loop().time()
                admitted = 0
                for _ in range(300):
                    admitted += await burst(processes, who, 100)
                elapsed = asyncio.get_running_loop().time() - started
            finally:
                event.remove(Engine, "before_cursor_execute", count)
        assert 10_000 - 4 * 400 <= admitted <= 10_000 + elapsed * 1000
        # 30,000 requests; a few statements to find out how much each process needs, then one for hundreds of requests,
        # and at most 20 a second from each process while there is nothing to be had.
        assert statements <= 300 + 80 * elapsed

    async def test_what_is_not_used_goes_back(self, database_url: str) -> None:
        who = some_caller()
        async with limiters(2, database_url, limit(credential=6_000)) as (one, two):
            for _ in range(20):
                await burst([one], who, 20)
            async with asyncpg_connection(database_url) as connection:
                async with asyncio.timeout(WAIT_SECONDS):
                    # 400 were used, and what was taken in advance is in the bucket again; 100 a second come back.
                    while (await balance(connection, who)) < 6_000 - 400:
                        await asyncio.sleep(0.1)
            assert await burst([two], who, 1) == 1


class TestDatabase:
    async def test_while_it_cannot_be_asked_everybody_is_let_in(
        self, database_url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.CRITICAL)
        who = some_caller()
        async with limiters(1, database_url, limit(credential=2)) as (process,):
            assert await burst([process], who, 5) == 2
            async with asyncpg_connection(database_url) as connection, connection.transaction():
                await connection.execute("LOCK TABLE rate_limits IN ACCESS EXCLUSIVE MODE")
                other = some_caller()
                standings = await asyncio.gather(*(process.admit_caller(other) for _ in range(50)))
                assert standings == [None] * 50
                assert await process.admit_caller(who) is None
            async with asyncio.timeout(WAIT_SECONDS):
                while await process.admit_caller(other) is None:
                    await asyncio.sleep(0.05)

    async def test_who_gives_up_takes_nothing(self, database_url: str) -> None:
        who = some_caller()
        async with limiters(1, database_url, limit(credential=5)) as (process,):
            waiting = [asyncio.create_task(process.admit_caller(who)) for _ in range(20)]
            await asyncio.sleep(0)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            async with asyncio.timeout(WAIT_SECONDS):
                admitted = 0
                while admitted < 5:
                    admitted += await burst([process], who, 5)
                    await asyncio.sleep(0.05)

    async def test_a_clock_that_was_set_back_does_not_stop_the_refilling(self, database_url: str) -> None:
        who = some_caller()
        async with asyncpg_connection(database_url) as connection:
            await connection.execute(
                "INSERT INTO rate_limits (subject, tokens, updated_at) VALUES ($1, 0, now() + interval '1 hour')",
                who.credential,
            )
            async with limiters(1, database_url, limit(credential=6_000)) as (process,):
                async with asyncio.timeout(WAIT_SECONDS):
                    while not await burst([process], who, 1):
                        await asyncio.sleep(0.05)

    async def test_rows_that_say_nothing_are_deleted(self, database: Database, database_url: str) -> None:
        old, new = some_caller(), some_caller()
        async with asyncpg_connection(database_url) as connection:
            for who, minutes in ((old, FULL_AGAIN_MINUTES + 1), (new, 0)):
                await connection.execute(
                    "INSERT INTO rate_limits (subject, tokens, updated_at)"
                    " VALUES ($1, 0, now() - make_interval(mins => $2))",
                    who.credential,
                    minutes,
                )
            async with database.engine.begin() as purging:
                await purge_full(purging)
            left = await connection.fetch(
                "SELECT subject FROM rate_limits WHERE subject = ANY($1)", [old.credential, new.credential]
            )
        assert [row["subject"] for row in left] == [new.credential]


async def test_addresses_of_one_network_are_one_customer(database_url: str) -> None:
    prefix = f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}"
    async with limiters(1, database_url, limit(address=2)) as (process,):
        standings = [await process.admit_address(f"{prefix}::{n}") for n in range(1, 4)]
    assert [standing is not None and standing.retry_after is None for standing in standings] == [True, True, False]


@asynccontextmanager
async def asyncpg_connection(url: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def balance(connection: "asyncpg.Connection[asyncpg.Record]", who: Caller) -> float:
    tokens: float = await connection.fetchval("SELECT tokens FROM rate_limits WHERE subject = $1", who.credential)
    return tokens
