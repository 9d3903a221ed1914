"""How the processes of one installation learn that a channel changed."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

CHANNEL_CHANGED = "turumba_channel_changed"
"""The NOTIFY channel; the payload is the id of a channel that was made, changed, paused, resumed or deleted, or
`ALL_CHANNELS`."""

ALL_CHANNELS = "all"
"""Something changed that decides about channels of one account or of several."""

_CHANGED_HERE = "channels_changed"


async def announce_change(session: AsyncSession, channel_id: UUID) -> None:
    """Tell all listeners when, and only if, the transaction commits."""
    await _announce(session, str(channel_id))


async def announce_all(session: AsyncSession) -> None:
    """Tell all listeners, when the transaction commits, that any of the channels may be seen differently now."""
    session.info[_CHANGED_HERE] = True
    await _announce(session, ALL_CHANNELS)


def all_were_announced(session: AsyncSession) -> bool:
    """Whether `announce_all` was called in the unit of work of this session."""
    return session.info.get(_CHANGED_HERE, False) is True


async def _announce(session: AsyncSession, payload: str) -> None:
    await session.execute(
        text("SELECT pg_notify(:notify_channel, :payload)"), {"notify_channel": CHANNEL_CHANGED, "payload": payload}
    )
