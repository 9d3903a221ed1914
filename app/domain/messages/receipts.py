"""Finds the message a delivery receipt belongs to, and keeps those that belong to none yet.

Operators write one id in two notations (hexadecimal in one place, decimal in the other, padded or not), so a receipt is
looked up by every reading of its id: verbatim first, and a converted one only if the recipient's number agrees too.
"""

import re
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.messages.events import Receipt, ReceiptStatus
from app.lib.ids import NewId
from connectors.sms_text.receipts import match_keys

MATCH_DAYS = 10
"""How long after its submission a part can still be matched: SMPP validity periods end well before."""

_encode = msgspec.msgpack.Encoder().encode
decode_receipt = msgspec.msgpack.Decoder(Receipt).decode
_NOT_DIGITS = re.compile(r"\D")


class MatchedReceipt(msgspec.Struct, frozen=True, gc=False):
    """A receipt and the message it is about.

    `complete` says that the message's status is decided: always for one part, for several when all of them arrived or
    one failed; `verdict` is then the status of the whole.
    """

    message_id: UUID
    receipt: Receipt
    complete: bool
    verdict: ReceiptStatus


_FIND = text(
    """
    SELECT k.position, k.preference, p.message_id, p.number, p.total, p.submitted_at, p.recipient_tail, p.match_key
    FROM unnest(CAST(:positions AS integer[]), CAST(:preferences AS smallint[]), CAST(:keys AS text[]))
         AS k(position, preference, match_key)
    JOIN message_parts p ON p.channel_id = :channel_id AND p.match_key = k.match_key AND p.account_id = :account_id
         AND p.submitted_at > now() - make_interval(days => :days)
    """
)

_UPDATE_PARTS = text(
    """
    UPDATE message_parts p SET status = x.status
    FROM unnest(CAST(:ids AS uuid[]), CAST(:keys AS text[]), CAST(:statuses AS text[])) AS x(id, match_key, status)
    WHERE p.channel_id = :channel_id AND p.account_id = :account_id AND p.match_key = x.match_key
          AND p.message_id = x.id AND p.submitted_at > now() - make_interval(days => :days)
          AND (p.status = 'sent' OR x.status = 'read')
    """
)

_PART_STATUSES = text(
    """
    SELECT message_id, max(total) AS total, array_agg(status) AS statuses FROM message_parts
    WHERE message_id = ANY(CAST(:ids AS uuid[])) AND account_id = :account_id
          AND submitted_at > now() - make_interval(days => :days)
    GROUP BY message_id
    """
)

_PARK = text(
    """
    INSERT INTO parked_receipts (id, account_id, channel_id, match_keys, receipt)
    SELECT x.id, :account_id, :channel_id, string_to_array(x.match_keys, chr(1)), x.receipt
    FROM unnest(CAST(:ids AS uuid[]), CAST(:match_keys AS text[]), CAST(:receipts AS bytea[]))
         AS x(id, match_keys, receipt)
    """
)

_TAKE_PARKED = text(
    """
    DELETE FROM parked_receipts
    WHERE channel_id = :channel_id AND match_keys && CAST(:keys AS text[]) RETURNING receipt, parked_at
    """
)


async def match_receipts(
    session: AsyncSession, account_id: UUID, channel_id: UUID, receipts: list[Receipt]
) -> tuple[list[MatchedReceipt], list[Receipt]]:
    """Receipts of one channel → those that belong to a part, in order, and those that belong to none."""
    owner = {"account_id": account_id, "channel_id": channel_id, "days": MATCH_DAYS}
    found = await _find(session, owner, receipts)
    matched: list[tuple[Receipt, UUID, int, str | None]] = []
    unmatched: list[Receipt] = []
    for position, receipt in enumerate(receipts):
        if receipt.message_id is not None:
            matched.append((receipt, UUID(bytes=receipt.message_id), 1, None))
        elif position in found:
            message_id, total, key = found[position]
            matched.append((receipt, message_id, total, key))
        else:
            unmatched.append(receipt)
    decisive = [
        item for item in matched if item[3] and item[0].status not in (ReceiptStatus.SENT, ReceiptStatus.UNKNOWN)
    ]
    if decisive:
        await session.execute(
            _UPDATE_PARTS,
            {
                **owner,
                "ids": [message_id for _, message_id, _, _ in decisive],
                "keys": [key for _, _, _, key in decisive],
                "statuses": [receipt.status.value for receipt, _, _, _ in decisive],
            },
        )
    several = {message_id for _, message_id, total, _ in decisive if total > 1}
    verdicts = await _aggregate(session, owner, several) if several else {}
    return [
        MatchedReceipt(
            message_id,
            receipt,
            message_id not in several or verdicts[message_id] is not None,
            (verdicts.get(message_id) or receipt.status) if message_id in several else receipt.status,
        )
        for receipt, message_id, _, _ in matched
    ], unmatched


async def _find(
    session: AsyncSession, owner: dict[str, object], receipts: list[Receipt]
) -> dict[int, tuple[UUID, int, str]]:
    positions: list[int] = []
    preferences: list[int] = []
    keys: list[str] = []
    for position, receipt in enumerate(receipts):
        if receipt.message_id is None:
            for preference, key in enumerate(match_keys(receipt.provider_message_id)):
                positions.append(position)
                preferences.append(preference)
                keys.append(key)
    if not keys:
        return {}
    rows = await session.execute(_FIND, {**owner, "positions": positions, "preferences": preferences, "keys": keys})
    # The best reading wins; among equal ones the youngest part, since operators use ids again after a while.
    ranked = sorted(rows, key=lambda row: (row.preference, -row.submitted_at.timestamp()))
    best: dict[int, tuple[UUID, int, str]] = {}
    for row in ranked:
        if row.position in best:
            continue
        if row.preference and not _same_recipient(receipts[row.position].recipient, row.recipient_tail):
            continue
        best[row.position] = (row.message_id, row.total, row.match_key)
    return best


def _same_recipient(said: str | None, tail: str) -> bool:
    return said is not None and _NOT_DIGITS.sub("", said)[-len(tail) :] == tail


async def _aggregate(
    session: AsyncSession, owner: dict[str, object], ids: set[UUID]
) -> dict[UUID, ReceiptStatus | None]:
    rows = await session.execute(_PART_STATUSES, {**owner, "ids": list(ids)})
    return {row.message_id: whole_status(row.statuses, row.total) for row in rows}


def whole_status(parts: list[str], total: int) -> ReceiptStatus | None:
    """The status of a message of `total` parts, or None while that is open: one lost part spoils the whole text."""
    for status in (ReceiptStatus.FAILED, ReceiptStatus.EXPIRED):
        if status in parts:
            return status
    if len(parts) < total or any(status not in (ReceiptStatus.DELIVERED, ReceiptStatus.READ) for status in parts):
        return None
    return ReceiptStatus.READ if all(status == ReceiptStatus.READ for status in parts) else ReceiptStatus.DELIVERED


async def park_receipts(
    session: AsyncSession, account_id: UUID, channel_id: UUID, receipts: list[Receipt], new_id: NewId
) -> None:
    """Keep receipts until the submit result they belong to arrives, or until they are declared orphans."""
    await session.execute(
        _PARK,
        {
            "account_id": account_id,
            "channel_id": channel_id,
            "ids": [new_id() for _ in receipts],
            "match_keys": ["\1".join(match_keys(receipt.provider_message_id)) for receipt in receipts],
            "receipts": [_encode(receipt) for receipt in receipts],
        },
    )


async def take_parked(session: AsyncSession, channel_id: UUID, keys: list[str]) -> list[Receipt]:
    """Remove and return the parked receipts that may belong to parts with these keys, the oldest first."""
    if not keys:
        return []
    rows = await session.execute(_TAKE_PARKED, {"channel_id": channel_id, "keys": keys})
    return [decode_receipt(row.receipt) for row in sorted(rows, key=lambda row: row.parked_at)]
