"""How far a group message has come: counters that change in the transactions that change its messages."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.messages.states import MessageStatus

COUNTED = tuple(
    status.value
    for status in (
        *(MessageStatus.SENT, MessageStatus.DELIVERED, MessageStatus.READ, MessageStatus.FAILED),
        *(MessageStatus.EXPIRED, MessageStatus.CANCELED, MessageStatus.UNKNOWN),
    )
)
"""Every status that a message of a group message can have after `queued`; what is in none of them is queued."""

_COLUMNS = ", ".join(COUNTED)
_CHANGES = ", ".join(f"{name} = p.{name} + x.{name}" for name in COUNTED)
_ARRAYS = ", ".join(f"CAST(:{name} AS bigint[])" for name in COUNTED)

# In the order of ids, so that two transactions never wait for each other.
_APPLY = text(
    f"""
    WITH changed AS (
        SELECT * FROM unnest(CAST(:ids AS uuid[]), {_ARRAYS}) AS x(group_message_id, {_COLUMNS})
    ), held AS (
        SELECT group_message_id FROM group_message_progress
        WHERE group_message_id = ANY (CAST(:ids AS uuid[])) AND account_id = :account_id
        ORDER BY group_message_id FOR UPDATE
    )
    UPDATE group_message_progress p SET {_CHANGES}
    FROM changed x JOIN held USING (group_message_id)
    WHERE p.group_message_id = x.group_message_id
    """  # noqa: S608 - names of ours
)

_READ = text(
    f"""
    SELECT group_message_id, {_COLUMNS} FROM group_message_progress
    WHERE account_id = :account_id AND group_message_id = ANY (CAST(:ids AS uuid[]))
    """  # noqa: S608 - names of ours
)

_START = text(
    """
    INSERT INTO group_message_progress (group_message_id, account_id) VALUES (:id, :account_id) ON CONFLICT DO NOTHING
    """
)


class Move(NamedTuple):
    """That messages of a group message went from one status to another."""

    group_message_id: UUID
    before: str
    after: str


class Settled(msgspec.Struct, frozen=True):
    """How many messages have each status; those that have none of these are queued."""

    sent: int = 0
    delivered: int = 0
    read: int = 0
    failed: int = 0
    expired: int = 0
    canceled: int = 0
    unknown: int = 0

    @property
    def count(self) -> int:
        """All of them: those that have left, or will not."""
        return self.sent + self.delivered + self.read + self.failed + self.expired + self.canceled + self.unknown

    @property
    def ended(self) -> int:
        """Those of which it is known what became of them."""
        return self.count - self.sent


async def start_counting(session: AsyncSession, account_id: UUID, group_message_id: UUID) -> None:
    """Make the counters of a group message that is being started; those that there are stay."""
    await session.execute(_START, {"id": group_message_id, "account_id": account_id})


async def count_moves(session: AsyncSession, account_id: UUID, moves: Mapping[Move, int]) -> None:
    """Count messages whose status the same transaction has changed: so many of each move."""
    changes: dict[UUID, Counter[str]] = {}
    for (group_message_id, before, after), count in moves.items():
        change = changes.setdefault(group_message_id, Counter())
        change[before] -= count
        change[after] += count
    if not changes:
        return
    columns = {name: [change[name] for change in changes.values()] for name in COUNTED}
    await session.execute(_APPLY, {"account_id": account_id, "ids": list(changes), **columns})


async def settled(session: AsyncSession, account_id: UUID, ids: Iterable[UUID]) -> dict[UUID, Settled]:
    """The counters of these group messages; without those that were never started."""
    rows = await session.execute(_READ, {"account_id": account_id, "ids": list(ids)})
    return {row.group_message_id: Settled(*[getattr(row, name) for name in COUNTED]) for row in rows}
