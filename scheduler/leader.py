"""One scheduler leads; the lock only saves work, because everything a leader does is correct when two do it."""

import asyncpg

from app.lib.db import CONNECTION_ERRORS, Database
from app.lib.logging import get_logger
from app.lib.metrics import leader as leader_gauge

log = get_logger(__name__)

LEADER_LOCK = 0x5475_7275_4C65_6164


class Leader:
    """A session advisory lock on a connection of its own; lost with the connection, taken over within a tick."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._held = False

    async def ensure(self) -> bool:
        """Whether this process leads now; tries to when nobody does."""
        try:
            if self._connection is None or self._connection.is_closed():
                self._held = False
                self._connection = await self._database.connect_raw()
            if self._held:
                await self._connection.execute("SELECT 1", timeout=5)
            else:
                self._held = await self._connection.fetchval("SELECT pg_try_advisory_lock($1)", LEADER_LOCK, timeout=5)
                if self._held:
                    log.info("leading")
        except CONNECTION_ERRORS as error:
            log.warning("leadership unknown", reason=str(error) or type(error).__name__)
            await self.resign()
        leader_gauge.set(int(self._held))
        return self._held

    async def resign(self) -> None:
        """Give the lock up."""
        connection, self._connection, self._held = self._connection, None, False
        if connection is not None:
            connection.terminate()
