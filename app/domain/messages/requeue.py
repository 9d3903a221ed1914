"""Puts what is queued and was never handed over into the outbox again: for when a queue of RabbitMQ itself was lost.

Safe at any time, because claims make a second dispatch of the same message harmless.
"""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.channels.directory import ChannelRecord
from app.domain.messages.events import DispatchMessage, Lane
from app.domain.messages.repository import dispatch_rows
from app.domain.outbox.repository import insert_outbox
from app.lib.ids import NewId

_STRANDED = text(
    """
    SELECT m.id, m.lane, m.recipient, m.sender, m.body, m.validity_seconds, m.sms
    FROM messages m
    WHERE m.account_id = :account_id AND m.channel_id = :channel_id AND m.status = 'queued' AND m.id > :after
          AND NOT EXISTS (SELECT FROM message_attempts a WHERE a.message_id = m.id)
    ORDER BY m.id LIMIT :most
    """
)

MOST = 5000
FIRST = UUID(int=0)


async def requeue_some(session: AsyncSession, channel: ChannelRecord, after: UUID, new_id: NewId) -> tuple[int, UUID]:
    """Requeue up to `MOST` messages of a channel whose id is above `after`, in the caller's transaction.

    Returns how many, and the id to go on after. A message with any attempt is left alone: its outcome is on its way, or
    its next attempt has a time already.
    """
    rows = list(
        await session.execute(
            _STRANDED,
            {"account_id": channel.account_id, "channel_id": channel.id, "after": after, "most": MOST},
        )
    )
    for lane in Lane:
        messages = [
            DispatchMessage(r.id.bytes, 1, r.recipient, r.sender, r.body, r.validity_seconds, r.sms)
            for r in rows
            if r.lane == lane
        ]
        if messages:
            await insert_outbox(session, dispatch_rows(channel, lane, messages, new_id))
    return len(rows), rows[-1].id if rows else after
