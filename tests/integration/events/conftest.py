"""Waiting for the feed: PostgreSQL's own transactions (an ANALYZE, say) can hold it back for a moment."""

import asyncio

from sqlalchemy import text

from app.lib.db import Database


async def settle(database: Database) -> None:
    """Wait until every transaction that has begun by now has ended, in the whole server."""
    async with asyncio.timeout(30):
        async with database.reading() as session:
            begun = await session.scalar(text("SELECT CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text)"))
        while True:
            async with database.reading() as session:
                running = await session.scalar(text("SELECT CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text)"))
            if int(running) >= int(begun):
                return
            await asyncio.sleep(0.01)
