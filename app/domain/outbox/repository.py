"""The outbox table: what must be published is a row of the transaction that made it true."""

from uuid import UUID

import msgspec
from sqlalchemy import bindparam, text
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

_CLAIM = text(
    """
    SELECT id, event_id, queue, body FROM outbox
    WHERE queue <> ALL(CAST(:blocked AS text[]))
    ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED
    """
)

_DELETE = text("DELETE FROM outbox WHERE id = ANY(CAST(:ids AS bigint[]))").bindparams(bindparam("ids"))


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


async def claim_outbox(session: AsyncSession, most: int, blocked: list[str]) -> list[OutboxRow]:
    """Lock up to `most` of the oldest rows until the caller's transaction ends, passing over the `blocked` queues."""
    rows = await session.execute(_CLAIM, {"most": most, "blocked": blocked})
    return [OutboxRow(row.id, row.event_id, row.queue, row.body) for row in rows]


async def delete_outbox(session: AsyncSession, ids: list[int]) -> None:
    """Settle rows whose publication was confirmed."""
    await session.execute(_DELETE, {"ids": ids})
