"""Receipts and messages of contacts on their way to the applications that bind to us: rows of the outbox.

They go to accounts that were bound within `SMPP_KEPT_SECONDS`: the others have no queue any more, and what is older
would not be delivered anyway.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.outbox.repository import NewOutboxRow, insert_outbox
from app.domain.smpp_accounts.events import MAX_ITEMS, SmppDelivery, SmppInbound, SmppReceipt, encode
from app.lib.broker import SMPP_KEPT_SECONDS, smpp_queue
from app.lib.ids import NewId

FINAL = frozenset({"delivered", "read", "failed", "expired"})
"""Statuses that a receipt is about."""

INTERMEDIATE = frozenset({"sent", "unknown"})
"""Statuses that only an intermediate notification is about."""

_RECEIPTS_WANTED = 0x03
_FAILURES_ONLY = 0x02
_INTERMEDIATE_WANTED = 0x10

_BOUND = text(
    """
    SELECT id FROM smpp_accounts
    WHERE id = ANY(CAST(:ids AS uuid[])) AND account_id = :account_id
          AND last_bound_at > now() - make_interval(secs => :kept)
    """
)

_RECEIVING = text(
    """
    SELECT id FROM smpp_accounts
    WHERE channel_id = :channel_id AND account_id = :account_id AND enabled
          AND CAST(settings ->> 'receive_inbound' AS boolean)
          AND last_bound_at > now() - make_interval(secs => :kept)
    """
)


class ChangedMessage(NamedTuple):
    """A message that an application submitted over SMPP and whose status has changed.

    `before` is the status it had; `beginning` is the start of its text.
    """

    id: UUID
    before: str
    status: str
    at: datetime
    provider_code: str | None
    smpp_account_id: UUID
    registered_delivery: int | None
    recipient: str
    sender: str | None
    created_at: datetime
    beginning: str | None


def wants_receipt(before: str, status: str, registered_delivery: int | None) -> bool:
    """Whether a client that asked so is told of this change (SMPP 3.4 §5.2.17)."""
    asked = registered_delivery or 0
    if before in FINAL:
        # Delivered and then read: SMPP knows only the first.
        return False
    if status in INTERMEDIATE:
        return bool(asked & _INTERMEDIATE_WANTED)
    if status not in FINAL or not asked & _RECEIPTS_WANTED:
        return False
    return asked & _RECEIPTS_WANTED != _FAILURES_ONLY or status in ("failed", "expired")


async def forward_receipts(
    session: AsyncSession, account_id: UUID, changed: Iterable[ChangedMessage], new_id: NewId
) -> None:
    """Outbox rows for those changes whose message came over SMPP and wants to be told, in the caller's transaction."""
    wanted: dict[UUID, list[SmppReceipt]] = {}
    for row in changed:
        if wants_receipt(row.before, row.status, row.registered_delivery):
            wanted.setdefault(row.smpp_account_id, []).append(
                SmppReceipt(
                    row.id.bytes,
                    row.recipient,
                    row.sender,
                    row.status,
                    row.created_at.timestamp(),
                    row.at.timestamp(),
                    row.beginning or "",
                    row.registered_delivery or 0,
                    row.provider_code,
                )
            )
    if not wanted:
        return
    bound = await session.execute(
        _BOUND, {"ids": list(wanted), "account_id": account_id, "kept": float(SMPP_KEPT_SECONDS)}
    )
    rows = [
        _row(new_id(), smpp_account_id, receipts=some)
        for smpp_account_id in bound.scalars()
        for some in _cut(wanted[smpp_account_id])
    ]
    if rows:
        await insert_outbox(session, rows)


async def forward_inbound(
    session: AsyncSession, account_id: UUID, channel_id: UUID, messages: Iterable[SmppInbound], new_id: NewId
) -> None:
    """Outbox rows that take messages of contacts to every receiving account of their channel."""
    receiving = await session.execute(
        _RECEIVING, {"channel_id": channel_id, "account_id": account_id, "kept": float(SMPP_KEPT_SECONDS)}
    )
    cut = list(_cut(list(messages)))
    rows = [_row(new_id(), smpp_account_id, inbound=some) for smpp_account_id in receiving.scalars() for some in cut]
    if rows:
        await insert_outbox(session, rows)


def _row(event_id: UUID, smpp_account_id: UUID, **items: Any) -> NewOutboxRow:
    return NewOutboxRow(event_id, smpp_queue(smpp_account_id), encode(SmppDelivery(event_id, smpp_account_id, **items)))


def _cut(items: list[Any]) -> list[list[Any]]:
    return [items[start : start + MAX_ITEMS] for start in range(0, len(items), MAX_ITEMS)]
