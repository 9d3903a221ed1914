"""Takes a message back before it is handed over.

Cancelling is claiming: whoever has the claim of the next attempt (`handover`) decides what becomes of the message, so a
sender and a cancellation that come at the same moment cannot both have their way.
"""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_CANCEL = text(
    """
    WITH queued AS (
        SELECT m.id, m.channel_id, coalesce(a.attempt, 0) + 1 AS attempt
        FROM messages m
        LEFT JOIN LATERAL (
            SELECT attempt, outcome FROM message_attempts WHERE message_id = m.id ORDER BY attempt DESC LIMIT 1
        ) a ON true
        WHERE m.id = :id AND m.account_id = :account_id AND m.status = 'queued'
              AND (CAST(:smpp_account_id AS uuid) IS NULL OR m.smpp_account_id = :smpp_account_id)
              -- An attempt without an outcome is under way.
              AND (a.attempt IS NULL OR a.outcome IS NOT NULL)
        FOR UPDATE OF m
    ), claimed AS (
        INSERT INTO message_attempts (message_id, attempt, account_id, channel_id, ended_at, outcome)
        SELECT id, attempt, :account_id, channel_id, now(), 'canceled' FROM queued
        ON CONFLICT DO NOTHING RETURNING message_id
    ), logged AS (
        INSERT INTO message_events (message_id, account_id, at, status)
        SELECT message_id, :account_id, now(), 'canceled' FROM claimed
    )
    UPDATE messages m SET status = 'canceled', updated_at = now()
    FROM claimed WHERE m.id = claimed.message_id AND m.id = :id AND m.account_id = :account_id RETURNING m.id
    """
)


async def cancel_queued(
    session: AsyncSession, account_id: UUID, message_id: UUID, *, smpp_account_id: UUID | None = None
) -> bool:
    """Cancel a message that is queued and not claimed, in the caller's transaction; whether it was.

    With `smpp_account_id` only a message that this SMPP account submitted.
    """
    keys = {"id": message_id, "account_id": account_id, "smpp_account_id": smpp_account_id}
    return (await session.execute(_CANCEL, keys)).first() is not None
