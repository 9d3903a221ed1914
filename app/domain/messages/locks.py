"""The lock under which what a channel's sender learnt is applied."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_CHANNEL_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 1))")


async def lock_channel(session: AsyncSession, channel_id: UUID) -> None:
    """Hold it until the transaction ends: one at a time, a receipt and its submit result cannot miss each other."""
    await session.execute(_CHANNEL_LOCK, {"key": str(channel_id)})
