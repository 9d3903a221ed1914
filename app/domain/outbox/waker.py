"""Tells the relay that there is something to publish: at most once every few milliseconds, after the commit.

NOTIFY inside the transaction would serialise every commit of the installation behind one lock; sent afterwards it costs
nothing, and when it is lost the relay's polling finds the row.
"""

import asyncio
import contextlib

import asyncpg

from app.domain.outbox.repository import OUTBOX_CHANNEL
from app.lib.db import CONNECTION_ERRORS, Database

PAUSE_SECONDS = 0.005


class OutboxWaker:
    """Sends NOTIFY on its own connection. `wake` never waits and never fails."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Ask for a notification soon."""
        self._wanted.set()

    def start(self) -> None:
        """Start on the running loop."""
        self._task = asyncio.create_task(self._run(), name="outbox-waker")

    async def stop(self) -> None:
        """End; a notification still wanted is left to the relay's polling."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        connection: asyncpg.Connection[asyncpg.Record] | None = None
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                try:
                    if connection is None or connection.is_closed():
                        connection = await self._database.connect_raw()
                    await connection.execute(f"NOTIFY {OUTBOX_CHANNEL}", timeout=5)
                except CONNECTION_ERRORS:
                    connection = None
                    await asyncio.sleep(1)
                await asyncio.sleep(PAUSE_SECONDS)
        finally:
            if connection is not None:
                connection.terminate()
