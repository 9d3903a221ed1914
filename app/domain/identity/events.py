"""What the processes tell each other about who may do what."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

IDENTITY_CHANGED = "turumba_identity_changed"
"""The NOTIFY channel: a role, a membership, an account, a key or a session has changed; forget what you remember."""

_CHANGED_HERE = "identity_changed"


async def announce_change(session: AsyncSession) -> None:
    """Tell every API process, when the transaction commits; call it once whatever decides about permissions changes."""
    session.info[_CHANGED_HERE] = True
    await session.execute(text("SELECT pg_notify(:channel, '')"), {"channel": IDENTITY_CHANGED})


def was_announced(session: AsyncSession) -> bool:
    """Whether `announce_change` was called in the unit of work of this session."""
    return session.info.get(_CHANGED_HERE, False) is True
