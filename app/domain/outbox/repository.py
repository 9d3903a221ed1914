"""The outbox table: what must be published is a row of the transaction that made it true."""

from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

OUTBOX_CHANNEL = "turumba_outbox"
"""NOTIFY channel that wakes the relay; polling is the truth."""


class NewOutboxRow(msgspec.Struct, frozen=True):
    """One body for one queue; consumers are idempotent by `event_id`."""

    event_id: UUID
    queue: str
    body: bytes


class OutboxRow(msgspec.Struct, frozen=True):
    """A claimed row."""

    id: int
    event_id: UUID
    queue: str
    body: bytes


_INSERT = text(
    """
    INSERT INTO outbox (event_id, queue, body)
    SELECT * FROM unnest(CAST(:event_ids AS uuid[]), CAST(:queues AS text[]), CAST(:bodies AS bytea[]))
    """
)

# Walks from queue to queue by the index, so that neither a flood into one queue nor the backlog of a blocked one costs
# the others anything.
_CLAIM = text(
    """
    WITH RECURSIVE queues AS (
        (SELECT queue FROM outbox ORDER BY queue LIMIT 1)
        UNION ALL
        SELECT (SELECT o.queue FROM outbox o WHERE o.queue > q.queue ORDER BY o.queue LIMIT 1)
        FROM queues q WHERE q.queue IS NOT NULL
    )
    SELECT o.id, o.event_id, q.queue, o.body
    FROM queues q
    CROSS JOIN LATERAL (
        SELECT id, event_id, body FROM outbox WHERE queue = q.queue ORDER BY id LIMIT :share FOR UPDATE SKIP LOCKED
    ) o
    WHERE q.queue IS NOT NULL AND q.queue <> ALL(CAST(:blocked AS text[]))
    LIMIT :most
    """
)

_DELETE = text("DELETE FROM outbox WHERE id = ANY(CAST(:ids AS bigint[]))")


async def insert_outbox(session: AsyncSession, rows: list[NewOutboxRow]) -> None:
    """Add rows to the caller's transaction; never commits."""
    await session.execute(
        _INSERT,
        {
            "event_ids": [row.event_id for row in rows],
            "queues": [row.queue for row in rows],
            "bodies": [row.body for row in rows],
        },
    )


async def claim_outbox(session: AsyncSession, most: int, share: int, blocked: list[str]) -> list[OutboxRow]:
    """Lock up to `most` rows until the caller's transaction ends: of each queue its oldest `share`, in order.

    The `blocked` queues are passed over.
    """
    rows = await session.execute(_CLAIM, {"most": most, "share": share, "blocked": blocked})
    return [OutboxRow(row.id, row.event_id, row.queue, row.body) for row in rows]


async def delete_outbox(session: AsyncSession, ids: list[int]) -> None:
    """Settle rows whose publication was confirmed."""
    await session.execute(_DELETE, {"ids": ids})
