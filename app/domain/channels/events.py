"""How the processes of one installation learn that a channel changed."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

CHANNEL_CHANGED = "turumba_channel_changed"
"""The NOTIFY channel; the payload is the id of a channel that was made, changed, paused, resumed or deleted."""


async def announce_change(session: AsyncSession, channel_id: UUID) -> None:
    """Tell all listeners when, and only if, the transaction commits."""
    await session.execute(
        text("SELECT pg_notify(:notify_channel, :payload)"),
        {"notify_channel": CHANNEL_CHANGED, "payload": str(channel_id)},
    )
