"""Which daemon serves a channel: PostgreSQL session advisory locks on one connection of its own."""

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

import asyncpg

from app.lib.db import Database
from app.lib.logging import get_logger
from app.lib.service import backoff

log = get_logger(__name__)

PING_SECONDS = 3.0
STATEMENT_SECONDS = 5.0
_PASSING = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


def lease_key(channel_id: UUID) -> int:
    """A channel's advisory lock number, in the range of bigint."""
    return int.from_bytes(hashlib.blake2b(b"smppd" + channel_id.bytes, digest_size=8).digest(), "big", signed=True)


class Leases:
    """The leases of this process. They live and die with the connection: `lost` is called when it goes, `ready` when
    there is a new one, on which nothing is leased yet. PostgreSQL itself frees the locks of a process that died.
    """

    def __init__(self, database: Database, *, ready: Callable[[], None], lost: Callable[[], None]) -> None:
        self._database = database
        self._ready = ready
        self._lost = lost
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._held: set[UUID] = set()
        # A connection of asyncpg does one thing at a time.
        self._using = asyncio.Lock()

    def holds(self, channel_id: UUID) -> bool:
        """Whether the lease is ours for certain, as far as this side can know."""
        return channel_id in self._held

    @property
    def connected(self) -> bool:
        """Whether leases can be taken now."""
        return self._connection is not None and not self._connection.is_closed()

    async def acquire(self, channel_id: UUID) -> bool:
        """Take the lease of a channel if nobody has it; False as well while the database is away."""
        if channel_id in self._held:
            return True
        if not await self._lock("pg_try_advisory_lock", channel_id):
            return False
        self._held.add(channel_id)
        return True

    async def release(self, channel_id: UUID) -> None:
        """Give a lease up."""
        if channel_id in self._held:
            self._held.discard(channel_id)
            await self._lock("pg_advisory_unlock", channel_id)

    async def run(self) -> None:
        """Keep the connection up until cancelled."""
        failures = 0
        while True:
            try:
                self._connection = await self._database.connect_raw()
                gone = asyncio.Event()
                self._connection.add_termination_listener(lambda _, gone=gone: gone.set())
                failures = 0
                self._ready()
                await self._until_lost(gone)
            except _PASSING as error:
                log.warning("leases are not possible", reason=str(error) or type(error).__name__)
            await self._drop()
            failures += 1
            await asyncio.sleep(backoff(failures, most=3.0))

    async def close(self) -> None:
        """Give everything up."""
        connection, self._connection = self._connection, None
        self._held.clear()
        if connection is not None:
            with suppress(*_PASSING):
                await connection.close(timeout=STATEMENT_SECONDS)

    async def _until_lost(self, gone: asyncio.Event) -> None:
        while not gone.is_set():
            try:
                async with asyncio.timeout(PING_SECONDS):
                    await gone.wait()
            except TimeoutError:
                async with self._using:
                    if self._connection is not None:
                        await self._connection.execute("SELECT 1", timeout=STATEMENT_SECONDS)

    async def _lock(self, function: str, channel_id: UUID) -> bool:
        async with self._using:
            connection = self._connection
            if connection is None or connection.is_closed():
                return False
            try:
                return bool(
                    await connection.fetchval(
                        f"SELECT {function}($1)", lease_key(channel_id), timeout=STATEMENT_SECONDS
                    )
                )
            except _PASSING as error:
                log.warning("lease failed", channel_id=str(channel_id), reason=str(error) or type(error).__name__)
                # Whether the lock was taken is not known; with its connection it is certainly gone.
                connection.terminate()
                return False

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if self._held:
            log.warning("leases lost", channels=len(self._held))
        self._held.clear()
        self._lost()
        if connection is not None and not connection.is_closed():
            connection.terminate()
