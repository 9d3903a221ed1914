"""How many binds an account has on all daemons together: PostgreSQL advisory locks, one for each.

A bind holds one of `max_binds` numbered locks on a connection of this process. PostgreSQL frees those of a process that
died, so no ghost keeps a client out, and there is no table to sweep.
"""

import asyncio
import hashlib
from collections.abc import Iterable
from contextlib import suppress
from uuid import UUID

import asyncpg

from app.lib.db import CONNECTION_ERRORS, Database
from app.lib.errors import Unavailable
from app.lib.logging import get_logger
from app.lib.service import backoff

log = get_logger(__name__)

PING_SECONDS = 5.0
STATEMENT_SECONDS = 5.0


def slot_key(smpp_account_id: UUID, number: int) -> int:
    """An advisory lock number, in the range of bigint."""
    named = b"smpp-bind" + smpp_account_id.bytes + number.to_bytes(2, "big")
    return int.from_bytes(hashlib.blake2b(named, digest_size=8).digest(), "big", signed=True)


class BindSlots:
    """The slots of this process. `run` keeps their connection up, and takes them again after it was lost."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._held: dict[UUID, set[int]] = {}
        # A connection of asyncpg does one thing at a time.
        self._using = asyncio.Lock()

    async def take(self, smpp_account_id: UUID, most: int) -> int | None:
        """The number of a free slot that is now ours, None when all `most` are in use. Raises `Unavailable`."""
        async with self._using:
            held = self._held.setdefault(smpp_account_id, set())
            try:
                for number in range(most):
                    # A lock can be taken twice by its own session, so ours are left out here.
                    if number not in held and await self._try(smpp_account_id, number):
                        held.add(number)
                        return number
            except CONNECTION_ERRORS as error:
                if self._connection is not None:
                    self._connection.terminate()
                raise Unavailable("The database is not reachable.", retry_after=2.0) from error
            finally:
                if not held:
                    self._held.pop(smpp_account_id, None)
        return None

    async def release(self, smpp_account_id: UUID, number: int) -> None:
        """Free a slot; the end of the connection does so as well."""
        async with self._using:
            held = self._held.get(smpp_account_id)
            if held is None or number not in held:
                return
            held.discard(number)
            if not held:
                del self._held[smpp_account_id]
            if self._connection is None or self._connection.is_closed():
                return
            try:
                await self._connection.execute(
                    "SELECT pg_advisory_unlock($1)", slot_key(smpp_account_id, number), timeout=STATEMENT_SECONDS
                )
            except CONNECTION_ERRORS:
                self._connection.terminate()

    async def run(self) -> None:
        """Keep the connection up until cancelled."""
        failures = 0
        while True:
            try:
                connection = await self._database.connect_raw()
                gone = asyncio.Event()
                connection.add_termination_listener(lambda _, gone=gone: gone.set())
                failures = 0
                async with self._using:
                    self._connection = connection
                    await self._retake()
                await self._until_lost(gone)
            except CONNECTION_ERRORS as error:
                log.warning("binds cannot be counted", reason=str(error) or type(error).__name__)
            # One that failed while it lived would keep its slots beside the next one.
            self._drop()
            failures += 1
            await asyncio.sleep(backoff(failures, most=3.0))

    async def close(self) -> None:
        """Free everything."""
        connection, self._connection = self._connection, None
        self._held.clear()
        if connection is not None:
            with suppress(*CONNECTION_ERRORS):
                await connection.close(timeout=STATEMENT_SECONDS)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _try(self, smpp_account_id: UUID, number: int) -> bool:
        if self._connection is None:
            raise Unavailable("The database is not reachable.", retry_after=2.0)
        return bool(
            await self._connection.fetchval(
                "SELECT pg_try_advisory_lock($1)", slot_key(smpp_account_id, number), timeout=STATEMENT_SECONDS
            )
        )

    async def _retake(self) -> None:
        # Another daemon may have taken some meanwhile: that account has more binds than it should until one ends.
        for smpp_account_id, number in _pairs(self._held):
            await self._try(smpp_account_id, number)

    async def _until_lost(self, gone: asyncio.Event) -> None:
        while not gone.is_set():
            try:
                async with asyncio.timeout(PING_SECONDS):
                    await gone.wait()
            except TimeoutError:
                async with self._using:
                    if self._connection is not None:
                        await self._connection.execute("SELECT 1", timeout=STATEMENT_SECONDS)


def _pairs(held: dict[UUID, set[int]]) -> Iterable[tuple[UUID, int]]:
    return [(smpp_account_id, number) for smpp_account_id, numbers in held.items() for number in numbers]
