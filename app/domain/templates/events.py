"""How the processes of one installation learn that a template has a new version, or none any more."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

TEMPLATE_CHANGED = "turumba_template_changed"
"""The NOTIFY channel; the payload is the id of a template that was changed or deleted."""

_CHANGED_HERE = "templates_changed"


async def announce_change(session: AsyncSession, template_id: UUID) -> None:
    """Tell all listeners when, and only if, the transaction commits."""
    session.info.setdefault(_CHANGED_HERE, set()).add(template_id)
    await session.execute(
        text("SELECT pg_notify(:notify_channel, :payload)"),
        {"notify_channel": TEMPLATE_CHANGED, "payload": str(template_id)},
    )


def announced(session: AsyncSession) -> set[UUID]:
    """The templates that were announced in the unit of work of this session."""
    found: set[UUID] = session.info.get(_CHANGED_HERE, set())
    return found
