"""Finds the message a delivery receipt belongs to, and keeps those that belong to none yet.

Operators write one id in two notations (hexadecimal in one place, decimal in the other, padded or not), so a receipt is
looked up by every reading of its ids: verbatim first, and a converted one only if the recipient's number agrees too.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.channels.sharing import channels_of_same_operator
from app.domain.messages.events import Receipt, ReceiptStatus, ResultBatch, encode
from app.domain.outbox.repository import NewOutboxRow
from app.lib.broker import RESULTS_QUEUE
from app.lib.db import Scope
from app.lib.ids import NewId
from connectors.sms_text.receipts import match_keys, normalise_id

MATCH_DAYS = 10
"""How long after its submission a part can still be matched: SMPP validity periods end well before."""

_encode = msgspec.msgpack.Encoder().encode
decode_receipt = msgspec.msgpack.Decoder(Receipt).decode
_NOT_DIGITS = re.compile(r"[^0-9]")
UNDECIDED = frozenset({ReceiptStatus.SENT, ReceiptStatus.UNKNOWN})
"""What an operator says before it knows."""


class MatchedReceipt(msgspec.Struct, frozen=True, gc=False):
    """A receipt and the message it is about.

    `complete` says that the message's status is decided: always for one part, for several when all of them arrived or
    one failed; `verdict` is then the status of the whole.
    """

    message_id: UUID
    receipt: Receipt
    complete: bool
    verdict: ReceiptStatus


class Matches(NamedTuple):
    """Receipts of one channel, in order: `own` belong to its messages, `elsewhere` to those of another channel that
    uses the same operator, `unmatched` to none.
    """

    own: list[MatchedReceipt]
    elsewhere: dict[UUID, list[Receipt]]
    unmatched: list[Receipt]


class FoundPart(NamedTuple):
    """The part that a receipt is about."""

    channel_id: UUID
    message_id: UUID
    total: int
    match_key: str


class _Decisive(NamedTuple):
    """A receipt that settles a part of several; `found` is that part."""

    receipt: Receipt
    found: FoundPart


# By a list of keys, for which the index is gone through once. What the planner does not know of a new partition must
# not lead it elsewhere: see `app.domain.messages.changes`.
_FIND = text(
    """
    SELECT match_key, recipient_tail, nullif(channel_id, :channel_id) AS channel_id, message_id, total
    FROM message_parts
    WHERE channel_id = ANY (CAST(:channel_ids AS uuid[])) AND match_key = ANY (CAST(:keys AS text[]))
          AND CASE WHEN account_id = :account_id THEN true ELSE false END
          AND submitted_at > now() - make_interval(days => :days) AND submitted_at < now() + interval '1 hour'
    ORDER BY submitted_at
    """
)

# Of a text of one part the message says it all. Of several each settles once: operators send "delivered" and then
# "pending", and some of them twice what they say.
_UPDATE_PARTS = text(
    """
    UPDATE message_parts p SET status = x.status
    FROM unnest(CAST(:ids AS uuid[]), CAST(:keys AS text[]), CAST(:statuses AS text[])) AS x(id, match_key, status)
    WHERE p.channel_id = :channel_id AND p.account_id = :account_id AND p.match_key = x.match_key
          AND p.match_key = ANY (CAST(:keys AS text[])) AND p.message_id = x.id
          AND p.submitted_at > now() - make_interval(days => :days)
          AND (p.status = 'sent' OR x.status = 'read')
    """
)

_UPDATE_ALL_PARTS = text(
    """
    UPDATE message_parts p SET status = x.status
    FROM unnest(CAST(:ids AS uuid[]), CAST(:statuses AS text[])) AS x(id, status)
    WHERE p.channel_id = :channel_id AND p.account_id = :account_id AND p.message_id = x.id
          AND p.submitted_at > now() - make_interval(days => :days) AND (p.status = 'sent' OR x.status = 'read')
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


def receipt_keys(receipt: Receipt) -> dict[str, int]:
    """Spellings under which the submitted part may be stored → 0 for the one that needs no other evidence.

    Of two ids the second one is the text's, which may be another message's in another base.
    """
    keys: dict[str, int] = {}
    for least, identifier in enumerate((receipt.provider_message_id, receipt.second_id)):
        if identifier:
            for preference, key in enumerate(match_keys(identifier, receipt.id_format), least):
                keys[key] = min(preference, keys.get(key, preference))
    return keys


def _likeliest_key(receipt: Receipt) -> str | None:
    """The one of `receipt_keys` that needs no other evidence; None where there is no id of the provider's."""
    if receipt.message_id is not None or not receipt.provider_message_id:
        return None
    if receipt.id_format in ("auto", "exact"):
        return normalise_id(receipt.provider_message_id)
    return match_keys(receipt.provider_message_id, receipt.id_format)[0]


def _digits(address: str) -> str:
    return address if address.isdecimal() and address.isascii() else _NOT_DIGITS.sub("", address)


async def match_receipts(session: AsyncSession, account_id: UUID, channel_id: UUID, receipts: list[Receipt]) -> Matches:
    """Receipts that arrived on one channel → whose they are."""
    owner = {"account_id": account_id, "channel_id": channel_id, "days": MATCH_DAYS}
    found = await find_parts(session, account_id, (channel_id,), receipts)
    elsewhere: dict[UUID, list[Receipt]] = {}
    matched: list[tuple[Receipt, UUID, FoundPart | None]] = []
    lost = [
        position for position, receipt in enumerate(receipts) if receipt.message_id is None and position not in found
    ]
    strayed = await find_strayed(session, account_id, channel_id, [receipts[position] for position in lost])
    for place, part in strayed.items():
        elsewhere.setdefault(part.channel_id, []).append(receipts[lost[place]])
    unmatched = [receipts[position] for place, position in enumerate(lost) if place not in strayed]
    for position, receipt in enumerate(receipts):
        if receipt.message_id is not None:
            matched.append((receipt, UUID(bytes=receipt.message_id), None))
        elif position in found:
            matched.append((receipt, found[position].message_id, found[position]))
    await _settle_parts(
        session,
        owner,
        [
            _Decisive(receipt, part)
            for receipt, _, part in matched
            if part is not None and part.total > 1 and receipt.status not in UNDECIDED
        ],
    )
    several = {part.message_id for receipt, _, part in matched if part and part.total > 1 and not receipt.whole}
    verdicts = await _aggregate(session, owner, several) if several else {}
    return Matches(_concluded(matched, verdicts), elsewhere, unmatched)


async def find_parts(
    session: AsyncSession,
    account_id: UUID,
    channel_ids: Sequence[UUID],
    receipts: list[Receipt],
    *,
    recipient_must_agree: bool = False,
) -> dict[int, FoundPart]:
    """The part of one of these channels that each receipt is about, by the receipt's place in the list."""
    if not channel_ids:
        return {}
    plain = {
        position: {key: 0} for position, receipt in enumerate(receipts) if (key := _likeliest_key(receipt)) is not None
    }
    best = await _look_up(session, account_id, channel_ids, receipts, plain, recipient_must_agree=True)
    # Nothing beats a part that has the id as it is written, and the recipient: other readings are for the rest.
    doubtful = {
        position: keys
        for position, receipt in enumerate(receipts)
        if position not in best and receipt.message_id is None and (keys := receipt_keys(receipt))
    }
    return best | await _look_up(
        session, account_id, channel_ids, receipts, doubtful, recipient_must_agree=recipient_must_agree
    )


async def _look_up(
    session: AsyncSession,
    account_id: UUID,
    channel_ids: Sequence[UUID],
    receipts: list[Receipt],
    keys: Mapping[int, Mapping[str, int]],
    *,
    recipient_must_agree: bool,
) -> dict[int, FoundPart]:
    if not keys:
        return {}
    rows = await session.execute(
        _FIND,
        {
            "account_id": account_id,
            "channel_ids": list(channel_ids),
            "channel_id": channel_ids[0],
            "days": MATCH_DAYS,
            "keys": list({key for spellings in keys.values() for key in spellings}),
        },
    )
    stored: dict[str, list[tuple[str, int, FoundPart]]] = {}
    for age, (key, tail, channel_id, message_id, total) in enumerate(rows):
        part = FoundPart(channel_id or channel_ids[0], message_id, total, key)
        stored.setdefault(key, []).append((tail, age, part))
    best: dict[int, FoundPart] = {}
    for position, spellings in keys.items():
        said = _digits(receipts[position].recipient or "")
        # A part whose recipient agrees wins, since operators give one id to several recipients of a submission; then
        # the best reading; then the youngest, since they use ids again after a while.
        chosen: tuple[bool, int, int] | None = None
        for key, preference in spellings.items():
            for tail, age, part in stored.get(key, ()):
                rank = (said[-len(tail) :] == tail, -preference, age)
                if not rank[0] and (preference or recipient_must_agree):
                    continue
                if chosen is None or rank > chosen:
                    chosen, best[position] = rank, part
    return best


async def find_strayed(
    session: AsyncSession, account_id: UUID, channel_id: UUID, receipts: list[Receipt]
) -> dict[int, FoundPart]:
    """As `find_parts`, among the messages of other channels that may share this channel's operator login.

    Two channels with one login have sessions that the operator cannot tell apart: it sends receipts on any of them.
    """
    if not receipts:
        return {}
    others = await channels_of_same_operator(session, Scope(account_id), channel_id)
    return await find_parts(session, account_id, others, receipts, recipient_must_agree=True)


def rerouted(account_id: UUID, elsewhere: dict[UUID, list[Receipt]], new_id: NewId) -> list[NewOutboxRow]:
    """Receipts on their way to the channels they belong to: only under its own lock is a message changed."""
    rows = []
    for channel_id, receipts in elsewhere.items():
        event_id = new_id()
        body = encode(ResultBatch(event_id, account_id, channel_id, receipts=receipts))
        rows.append(NewOutboxRow(event_id, RESULTS_QUEUE, body))
    return rows


async def _settle_parts(session: AsyncSession, owner: dict[str, object], decisive: list[_Decisive]) -> None:
    parts: dict[tuple[UUID, str], ReceiptStatus] = {}
    texts: dict[UUID, ReceiptStatus] = {}
    for receipt, found in decisive:
        # Of several in one batch the first counts, as it would in batches of their own.
        if receipt.whole:
            texts[found.message_id] = _first(texts.get(found.message_id, receipt.status), receipt.status)
        else:
            key = (found.message_id, found.match_key)
            parts[key] = _first(parts.get(key, receipt.status), receipt.status)
    if parts:
        await session.execute(
            _UPDATE_PARTS,
            {
                **owner,
                "ids": [message_id for message_id, _ in parts],
                "keys": [key for _, key in parts],
                "statuses": [status.value for status in parts.values()],
            },
        )
    if texts:
        statuses = [status.value for status in texts.values()]
        await session.execute(_UPDATE_ALL_PARTS, {**owner, "ids": list(texts), "statuses": statuses})


def _first(before: ReceiptStatus, after: ReceiptStatus) -> ReceiptStatus:
    return after if (before, after) == (ReceiptStatus.DELIVERED, ReceiptStatus.READ) else before


def _concluded(
    matched: list[tuple[Receipt, UUID, FoundPart | None]], verdicts: dict[UUID, ReceiptStatus | None]
) -> list[MatchedReceipt]:
    """Each receipt with what it means for its message. Of several that complete one text, the last speaks for it."""
    spokesmen: dict[UUID, int] = {}
    for position, (receipt, message_id, part) in enumerate(matched):
        verdict = verdicts.get(message_id)
        if verdict is None or part is None or receipt.status in UNDECIDED:
            continue
        if receipt.status is verdict or message_id not in spokesmen:
            spokesmen[message_id] = position
    concluded = []
    for position, (receipt, message_id, part) in enumerate(matched):
        if part is None or part.total == 1 or receipt.whole:
            concluded.append(MatchedReceipt(message_id, receipt, True, receipt.status))
        else:
            verdict = verdicts.get(message_id) or receipt.status
            concluded.append(MatchedReceipt(message_id, receipt, spokesmen.get(message_id) == position, verdict))
    return concluded


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
            "match_keys": ["\1".join(receipt_keys(receipt)) for receipt in receipts],
            "receipts": [_encode(receipt) for receipt in receipts],
        },
    )


async def take_parked(session: AsyncSession, channel_id: UUID, keys: list[str]) -> list[Receipt]:
    """Remove and return the parked receipts that may belong to parts with these keys, the oldest first."""
    if not keys:
        return []
    rows = await session.execute(_TAKE_PARKED, {"channel_id": channel_id, "keys": keys})
    return [decode_receipt(row.receipt) for row in sorted(rows, key=lambda row: row.parked_at)]
