"""LISTEN that survives the loss of the database."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import asyncpg

from app.lib.db import CONNECTION_ERRORS, Database
from app.lib.logging import get_logger
from app.lib.service import backoff

log = get_logger(__name__)

PING_SECONDS = 15.0
"""How often a silent connection is probed: a peer that vanished without a word is noticed by nothing else."""

PING_TIMEOUT_SECONDS = 5.0


async def listen(database: Database, channel: str, notified: Callable[[str | None], None]) -> None:
    """Call `notified` with the payload of every NOTIFY on `channel`, until cancelled.

    After each (re)connection it is called with None, because what was announced while nobody listened is lost.
    """
    failures = 0
    while True:
        try:
            connection = await database.connect_raw()
            try:
                await connection.add_listener(channel, lambda *arguments: notified(str(arguments[3])))
                failures = 0
                notified(None)
                await _until_lost(connection)
            finally:
                with suppress(*CONNECTION_ERRORS):
                    await connection.close(timeout=PING_TIMEOUT_SECONDS)
        except CONNECTION_ERRORS as error:
            log.warning("notifications interrupted", channel=channel, reason=str(error) or type(error).__name__)
        failures += 1
        await asyncio.sleep(backoff(failures))


async def _until_lost(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _: lost.set())
    while not lost.is_set():
        try:
            await asyncio.wait_for(lost.wait(), PING_SECONDS)
        except TimeoutError:
            await connection.execute("SELECT 1", timeout=PING_TIMEOUT_SECONDS)
