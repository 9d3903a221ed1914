"""Receipts that belong to no message: looked through again while they are young, then kept for an operator.

An operator of this platform lists them, has them looked up again, or forgets them (`turumba orphans`, `smppctl`).
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.channels.sharing import channels_of_same_operator
from app.domain.messages.events import Receipt
from app.domain.messages.locks import lock_channel
from app.domain.messages.receipts import FoundPart, decode_receipt, find_parts, find_strayed, rerouted
from app.domain.outbox.repository import insert_outbox
from app.lib.db import Scope
from app.lib.ids import NewId
from app.lib.metrics import receipts_rerouted

MOST = 500
"""Receipts looked up in one statement."""

MOST_WAITING = 5000
GRACE_SECONDS = 10.0
"""Age from which a parked receipt is looked up among other channels again: the submit result is on its way."""


class Orphan(msgspec.Struct, frozen=True):
    """A receipt that waits for its message: `parked` for the first minutes, an `orphan` afterwards.

    `received_at` is when the operator sent it, `raw` its text.
    """

    id: UUID
    account_id: UUID
    channel_id: UUID
    state: str
    parked_at: datetime
    received_at: float
    provider_message_id: str
    status: str
    recipient: str | None
    provider_status: str | None
    provider_code: str | None
    raw: str | None


class Position(msgspec.Struct, frozen=True):
    """Where a list goes on: the last one that was shown."""

    parked_at: datetime
    id: UUID


class Replayed(msgspec.Struct, frozen=True):
    """How many receipts found their message now, and how many still have none."""

    matched: int
    unmatched: int


_LIST = text(
    """
    SELECT id, account_id, channel_id, state, parked_at, receipt FROM parked_receipts
    WHERE (CAST(:channel_id AS uuid) IS NULL OR channel_id = :channel_id)
          AND (CAST(:account_id AS uuid) IS NULL OR account_id = :account_id)
          AND (:parked_too OR state = 'orphan')
          AND (CAST(:before AS timestamptz) IS NULL OR (parked_at, id) < (:before, CAST(:before_id AS uuid)))
    ORDER BY parked_at DESC, id DESC LIMIT :most
    """
)
_COUNT = text("SELECT count(*) FROM parked_receipts WHERE channel_id = :channel_id AND state = 'orphan'")
_CHANNELS_OF = text(
    "SELECT DISTINCT account_id, channel_id FROM parked_receipts WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY 2"
)
_TAKE = text(
    """
    SELECT id, receipt FROM parked_receipts
    WHERE channel_id = :channel_id AND account_id = :account_id AND id = ANY(CAST(:ids AS uuid[]))
    ORDER BY parked_at, id FOR UPDATE
    """
)
_FORGET = text("DELETE FROM parked_receipts WHERE id = ANY(CAST(:ids AS uuid[]))")
_WAITING_CHANNELS = text(
    """
    SELECT DISTINCT account_id, channel_id FROM parked_receipts
    WHERE state = 'parked' AND parked_at < now() - make_interval(secs => :grace)
    """
)
_WAITING = text(
    """
    SELECT id, receipt FROM parked_receipts
    WHERE channel_id = :channel_id AND account_id = :account_id AND state = 'parked'
          AND parked_at < now() - make_interval(secs => :grace)
    ORDER BY parked_at, id LIMIT :most FOR UPDATE
    """
)


async def list_orphans(
    session: AsyncSession,
    *,
    channel_id: UUID | None = None,
    account_id: UUID | None = None,
    parked_too: bool = False,
    after: Position | None = None,
    most: int = 50,
) -> list[Orphan]:
    """The newest first, of one channel or account or of all; go on `after` the last one."""
    rows = await session.execute(
        _LIST,
        {
            "channel_id": channel_id,
            "account_id": account_id,
            "parked_too": parked_too,
            "before": None if after is None else after.parked_at,
            "before_id": None if after is None else after.id,
            "most": most,
        },
    )
    found = []
    for row in rows:
        receipt = decode_receipt(row.receipt)
        found.append(
            Orphan(
                row.id,
                row.account_id,
                row.channel_id,
                row.state,
                row.parked_at,
                receipt.at,
                receipt.provider_message_id,
                receipt.status.value,
                receipt.recipient,
                receipt.provider_status,
                receipt.provider_code,
                receipt.raw,
            )
        )
    return found


async def count_orphans(session: AsyncSession, channel_id: UUID) -> int:
    """How many a channel has."""
    return int((await session.execute(_COUNT, {"channel_id": channel_id})).scalar_one())


async def replay_orphans(session: AsyncSession, ids: Sequence[UUID], new_id: NewId) -> Replayed:
    """Look these up again; those that find their message now are applied within moments, the others stay.

    At most `MOST` at a time, in the caller's transaction.
    """
    chosen = list(ids)[:MOST]
    channels = [(row.account_id, row.channel_id) for row in await session.execute(_CHANNELS_OF, {"ids": chosen})]
    matched = unmatched = 0
    for account_id, channel_id in channels:
        await lock_channel(session, channel_id)
        owner = {"account_id": account_id, "channel_id": channel_id}
        rows = list(await session.execute(_TAKE, {**owner, "ids": chosen}))
        receipts = [decode_receipt(row.receipt) for row in rows]
        found = await find_parts(session, account_id, (channel_id,), receipts)
        found |= await _strayed(session, account_id, channel_id, receipts, found)
        await _send_on(session, account_id, [row.id for row in rows], receipts, found, new_id)
        matched += len(found)
        unmatched += len(receipts) - len(found)
    return Replayed(matched, unmatched)


async def forget_orphans(session: AsyncSession, ids: Sequence[UUID]) -> int:
    """Remove these for good; how many there were."""
    result = await session.execute(_FORGET, {"ids": list(ids)})
    return int(getattr(result, "rowcount", 0))


async def waiting_channels(session: AsyncSession) -> list[tuple[UUID, UUID]]:
    """(account, channel) with parked receipts that are old enough to be looked up among other channels."""
    rows = await session.execute(_WAITING_CHANNELS, {"grace": GRACE_SECONDS})
    return [(row.account_id, row.channel_id) for row in rows]


async def rematch_parked(session: AsyncSession, account_id: UUID, channel_id: UUID, new_id: NewId) -> int:
    """Look one channel's parked receipts up among the channels that share its operator; how many were found.

    The submit result of another channel does not wake them: it is applied under another lock.
    """
    others = await channels_of_same_operator(session, Scope(account_id), channel_id)
    if not others:
        return 0
    await lock_channel(session, channel_id)
    owner = {"account_id": account_id, "channel_id": channel_id}
    rows = list(await session.execute(_WAITING, {**owner, "grace": GRACE_SECONDS, "most": MOST_WAITING}))
    count = 0
    for start in range(0, len(rows), MOST):
        some = rows[start : start + MOST]
        receipts = [decode_receipt(row.receipt) for row in some]
        found = await find_parts(session, account_id, others, receipts, recipient_must_agree=True)
        await _send_on(session, account_id, [row.id for row in some], receipts, found, new_id)
        count += len(found)
    receipts_rerouted.inc(count)
    return count


async def _strayed(
    session: AsyncSession, account_id: UUID, channel_id: UUID, receipts: list[Receipt], found: dict[int, FoundPart]
) -> dict[int, FoundPart]:
    left = [position for position in range(len(receipts)) if position not in found]
    strayed = await find_strayed(session, account_id, channel_id, [receipts[position] for position in left])
    return {left[place]: part for place, part in strayed.items()}


async def _send_on(
    session: AsyncSession,
    account_id: UUID,
    ids: list[UUID],
    receipts: list[Receipt],
    found: dict[int, FoundPart],
    new_id: NewId,
) -> None:
    if not found:
        return
    by_channel: dict[UUID, list[Receipt]] = {}
    for position in sorted(found):
        by_channel.setdefault(found[position].channel_id, []).append(receipts[position])
    await insert_outbox(session, rerouted(account_id, by_channel, new_id))
    await session.execute(_FORGET, {"ids": [ids[position] for position in found]})
