"""How workers learn that there is something to do."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

JOBS_READY = "turumba_jobs_ready"
"""The NOTIFY channel: a job was queued, or a place for one became free. Without a payload."""

_ANNOUNCE = text(f"NOTIFY {JOBS_READY}")


async def announce_ready(session: AsyncSession) -> None:
    """Tell all workers when, and only if, the transaction commits."""
    await session.execute(_ANNOUNCE)
