"""Takes a message back before it is handed over.

Cancelling is claiming: whoever has the claim of the next attempt (`handover`) decides what becomes of the message, so a
sender and a cancellation that come at the same moment cannot both have their way.
"""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.group_messages.progress import Move, count_moves
from app.domain.group_messages.states import GroupStatus

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
    FROM claimed WHERE m.id = claimed.message_id AND m.id = :id AND m.account_id = :account_id
    RETURNING m.group_message_id
    """
)

_GROUPS = text(
    """
    SELECT DISTINCT group_message_id FROM messages
    WHERE id = ANY (CAST(:ids AS uuid[])) AND group_message_id IS NOT NULL
          AND CASE WHEN account_id = :account_id THEN true ELSE false END
    """
)

# Locked before anything else is, as a cancellation does: whoever comes second sees what the first has done.
_HOLD = text(
    """
    SELECT id, status FROM group_messages
    WHERE account_id = :account_id AND id = ANY (CAST(:ids AS uuid[])) ORDER BY id FOR SHARE
    """
)

_CANCEL_WITH_GROUP = text(
    """
    WITH claimed AS (
        INSERT INTO message_attempts (message_id, attempt, account_id, channel_id, ended_at, outcome)
        SELECT m.id, x.attempt, m.account_id, m.channel_id, now(), 'canceled'
        FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS smallint[])) AS x(id, attempt)
        JOIN messages m ON m.id = x.id
        WHERE m.id = ANY (CAST(:ids AS uuid[])) AND m.status = 'queued'
              AND m.group_message_id = ANY (CAST(:groups AS uuid[]))
              AND CASE WHEN m.account_id = :account_id THEN true ELSE false END
        ORDER BY m.id
        ON CONFLICT DO NOTHING RETURNING message_id
    ), logged AS (
        INSERT INTO message_events (message_id, account_id, at, status)
        SELECT message_id, :account_id, now(), 'canceled' FROM claimed
    )
    UPDATE messages m SET status = 'canceled', updated_at = now()
    FROM claimed
    WHERE m.id = ANY (CAST(:ids AS uuid[])) AND m.id = claimed.message_id AND m.account_id = :account_id
    RETURNING m.id, m.group_message_id
    """
)


async def cancel_queued(
    session: AsyncSession, account_id: UUID, message_id: UUID, *, smpp_account_id: UUID | None = None
) -> bool:
    """Cancel a message that is queued and not claimed, in the caller's transaction; whether it was.

    With `smpp_account_id` only a message that this SMPP account submitted.
    """
    keys = {"id": message_id, "account_id": account_id, "smpp_account_id": smpp_account_id}
    canceled = (await session.execute(_CANCEL, keys)).first()
    if canceled is None:
        return False
    if canceled.group_message_id is not None:
        await count_moves(session, account_id, {Move(canceled.group_message_id, "queued", "canceled"): 1})
    return True


async def hold_canceled_groups(session: AsyncSession, account_id: UUID, message_ids: Sequence[UUID]) -> list[UUID]:
    """Those group messages of these messages that were canceled, and perhaps deleted since.

    No other of theirs is canceled until the caller's transaction ends.
    """
    found = (await session.execute(_GROUPS, {"account_id": account_id, "ids": message_ids})).scalars().all()
    if not found:
        return []
    held = await session.execute(_HOLD, {"account_id": account_id, "ids": found})
    going_on = {row.id for row in held if row.status != GroupStatus.CANCELED}
    return [each for each in found if each not in going_on]


async def cancel_with_groups(
    session: AsyncSession, account_id: UUID, attempts: Sequence[tuple[UUID, int]], groups: Sequence[UUID]
) -> set[UUID]:
    """Cancel those messages of canceled `groups` whose next attempt, as given, nobody has claimed; which they were.

    A cancellation leaves alone what somebody has in hand. This is for what comes back unsent from there.
    """
    if not groups:
        return set()
    values = {
        "account_id": account_id,
        "ids": [message_id for message_id, _ in attempts],
        "attempts": [attempt for _, attempt in attempts],
        "groups": groups,
    }
    canceled = list(await session.execute(_CANCEL_WITH_GROUP, values))
    moves = Counter(Move(row.group_message_id, "queued", "canceled") for row in canceled)
    await count_moves(session, account_id, moves)
    return {row.id for row in canceled}
