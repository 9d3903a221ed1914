"""What happens to group messages, for their owners and for the workers."""

from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.events.schemas import EventType, NewEvent
from app.domain.events.service import record_events
from app.domain.group_messages.models import GroupMessage
from app.domain.group_messages.progress import Settled
from app.lib.ids import NewId

GROUP_MESSAGES_CHANGED = "turumba_group_messages"
"""NOTIFY channel: one of them can go on. Polling is the truth."""

_NOTIFY = text("SELECT pg_notify(:channel, '')")


async def announce(session: AsyncSession) -> None:
    """Wake the workers when the transaction commits."""
    await session.execute(_NOTIFY, {"channel": GROUP_MESSAGES_CHANGED})


PROGRESS_SECONDS = 10.0
"""Between two events that only say how far one has come, at least."""


async def group_message_event(
    session: AsyncSession,
    group_message: GroupMessage,
    happened: str,
    new_id: NewId,
    counted: Settled | None = None,
) -> None:
    """Write `group_message.<happened>`, in the transaction that makes it true.

    `counted` is what has become of its messages.
    """
    data: dict[str, Any] = {
        "group_message_id": str(group_message.id),
        "name": group_message.name,
        "status": group_message.status,
        "total": group_message.total,
        "accepted": group_message.accepted,
        "skipped": group_message.skipped,
        "reason": group_message.paused_because or (group_message.approval or {}).get("reason"),
    }
    if counted is not None:
        data["messages"] = msgspec.to_builtins(counted)
    event = NewEvent(group_message.account_id, EventType(f"group_message.{happened}"), group_message.id, data)
    await record_events(session, [event], new_id)
