"""Puts messages back for another attempt when their time has come. Retries are rows, so nothing spins in a queue.

What was refused "not now" after its group message was canceled gets no other attempt.
"""

from itertools import groupby
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.messages.cancellation import cancel_with_groups, hold_canceled_groups
from app.domain.messages.events import DispatchBatch, DispatchMessage, Lane, encode
from app.domain.outbox.repository import NewOutboxRow, insert_outbox
from app.lib.broker import dispatch_queue
from app.lib.ids import NewId

_TAKE_DUE = text(
    """
    WITH due AS (
        SELECT message_id, attempt FROM message_retries WHERE next_attempt_at <= now()
        ORDER BY next_attempt_at LIMIT :most FOR UPDATE SKIP LOCKED
    ), taken AS (
        DELETE FROM message_retries r USING due WHERE r.message_id = due.message_id AND r.attempt = due.attempt
        RETURNING r.message_id, r.attempt, r.account_id, r.channel_id, r.next_attempt_at
    )
    SELECT t.account_id, t.channel_id, m.lane, m.id, t.attempt, m.recipient, m.sender, m.body, m.validity_seconds,
           m.sms
    FROM taken t JOIN messages m ON m.id = t.message_id AND m.account_id = t.account_id
    WHERE m.status = 'queued'
    ORDER BY t.account_id, t.channel_id, m.lane, t.next_attempt_at
    """
)


async def enqueue_due_retries(session: AsyncSession, new_id: NewId, most: int = 500) -> int:
    """Move up to `most` due retries to the outbox in the caller's transaction; returns how many."""
    rows = list(await session.execute(_TAKE_DUE, {"most": most}))
    canceled: set[UUID] = set()
    for account_id, of_account in groupby(rows, key=lambda r: r.account_id):
        attempts = [(r.id, r.attempt) for r in of_account]
        groups = await hold_canceled_groups(session, account_id, [each for each, _ in attempts])
        canceled |= await cancel_with_groups(session, account_id, attempts, groups)
    outbox: list[NewOutboxRow] = []
    wanted = [r for r in rows if r.id not in canceled]
    for (account_id, channel_id, lane), group in groupby(wanted, key=lambda r: (r.account_id, r.channel_id, r.lane)):
        messages = [
            DispatchMessage(r.id.bytes, r.attempt, r.recipient, r.sender, r.body, r.validity_seconds, r.sms)
            for r in group
        ]
        event_id = new_id()
        batch = DispatchBatch(event_id, account_id, channel_id, Lane(lane), messages)
        outbox.append(NewOutboxRow(event_id, dispatch_queue(channel_id, lane), encode(batch)))
    if outbox:
        await insert_outbox(session, outbox)
    return len(rows)
