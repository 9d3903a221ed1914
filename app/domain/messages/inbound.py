"""Messages from contacts, stored once each; the parts of a long one wait in a table until the rest is there.

Parts belong together when channel, both addresses, reference (with its width) and total agree: two handsets that use
one reference do not mix. They may come in any order, over several binds and daemons, before and after restarts. A part
that came before is dropped. One that differs from what came under its number means that the handset used the reference
again: what there was of the text before is delivered as it is.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.messages.events import Inbound
from app.domain.messages.locks import lock_channel
from app.domain.messages.people import NO_PEOPLE, Letter, People
from app.domain.opt_outs.inbound import Heard, hear_keywords
from app.domain.smpp_accounts.events import SmppInbound
from app.domain.smpp_accounts.forwarding import forward_inbound
from app.lib.ids import NewId, time_of
from app.lib.metrics import inbound_incomplete, results_applied

PARTS_SECONDS = 180.0
"""How long the rest of a long message may take; then what came is delivered. So long, too, a part that is repeated is
known after its message was made.
"""

MAX_OVERDUE = 500
_COMPLETE = b"{}"
_BINARY = "binary"

_NEW_INBOUND = text(
    """
    INSERT INTO inbound_keys (channel_id, dedupe_key)
    SELECT DISTINCT CAST(:channel_id AS uuid), k FROM unnest(CAST(:keys AS text[])) AS k
    ON CONFLICT DO NOTHING RETURNING dedupe_key
    """
)

_STORE = text(
    """
    INSERT INTO messages (id, account_id, channel_id, direction, status, recipient, sender, body, encoding, segments,
                          metadata, contact_id, created_at, updated_at)
    SELECT x.id, :account_id, :channel_id, 'inbound', 'received', x.recipient, x.sender, x.body, x.encoding, x.segments,
           CAST(x.metadata AS jsonb), x.contact_id, now(), now()
    FROM unnest(CAST(:ids AS uuid[]), CAST(:recipients AS text[]), CAST(:senders AS text[]), CAST(:bodies AS text[]),
                CAST(:encodings AS text[]), CAST(:segments AS smallint[]), CAST(:metadata AS text[]),
                CAST(:contacts AS uuid[]))
         AS x(id, recipient, sender, body, encoding, segments, metadata, contact_id)
    """
)

_KNOWN_PARTS = text(
    """
    SELECT p.sender, p.recipient, p.reference, p.total, p.number, p.message_id, p.body, p.encoding,
           p.delivered_at IS NOT NULL AS delivered
    FROM (SELECT DISTINCT * FROM unnest(CAST(:senders AS text[]), CAST(:recipients AS text[]),
                                        CAST(:references AS integer[]), CAST(:totals AS smallint[]))
          AS u(sender, recipient, reference, total)) AS k
    JOIN inbound_parts p ON p.channel_id = :channel_id AND p.sender = k.sender AND p.recipient = k.recipient
         AND p.reference = k.reference AND p.total = k.total
    WHERE p.account_id = :account_id
    """
)

_KEEP_PARTS = text(
    """
    INSERT INTO inbound_parts AS p (channel_id, account_id, sender, recipient, reference, total, number, message_id,
                                    body, encoding, delivered_at)
    SELECT :channel_id, :account_id, x.sender, x.recipient, x.reference, x.total, x.number, x.message_id, x.body,
           x.encoding, CASE WHEN x.delivered THEN now() END
    FROM unnest(CAST(:senders AS text[]), CAST(:recipients AS text[]), CAST(:references AS integer[]),
                CAST(:totals AS smallint[]), CAST(:numbers AS smallint[]), CAST(:ids AS uuid[]),
                CAST(:bodies AS text[]), CAST(:encodings AS text[]), CAST(:delivered AS boolean[]))
         AS x(sender, recipient, reference, total, number, message_id, body, encoding, delivered)
    ON CONFLICT (channel_id, sender, recipient, reference, total, number) DO UPDATE
    SET received_at = CASE WHEN p.message_id = excluded.message_id THEN p.received_at ELSE excluded.received_at END,
        message_id = excluded.message_id, body = excluded.body, encoding = excluded.encoding,
        delivered_at = excluded.delivered_at
    """
)

_OVERDUE_CHANNELS = text(
    """
    SELECT DISTINCT account_id, channel_id FROM (
        SELECT account_id, channel_id FROM inbound_parts
        WHERE delivered_at IS NULL AND received_at < now() - make_interval(secs => :seconds)
        ORDER BY received_at LIMIT :most
    ) AS overdue
    """
)

_OVERDUE_PARTS = text(
    """
    SELECT p.sender, p.recipient, p.reference, p.total, p.number, p.message_id, p.body, p.encoding, false AS delivered
    FROM (SELECT DISTINCT sender, recipient, reference, total FROM inbound_parts
          WHERE channel_id = :channel_id AND account_id = :account_id AND delivered_at IS NULL
                AND received_at < now() - make_interval(secs => :seconds)
          LIMIT :most) AS k
    JOIN inbound_parts p ON p.channel_id = :channel_id AND p.sender = k.sender AND p.recipient = k.recipient
         AND p.reference = k.reference AND p.total = k.total
    WHERE p.delivered_at IS NULL AND p.account_id = :account_id
    """
)

_PRUNE_PARTS = text("DELETE FROM inbound_parts WHERE delivered_at < now() - make_interval(secs => :seconds)")


class _Key(NamedTuple):
    """What the parts of one text have in common, besides the channel."""

    sender: str
    recipient: str
    reference: int
    total: int


class _Part(msgspec.Struct):
    """A part as the table has it or will have it; `delivered` once its message was made."""

    number: int
    message_id: UUID
    body: str
    encoding: str
    delivered: bool
    changed: bool = False


class _Whole(msgspec.Struct, frozen=True):
    """A message ready to be stored; `metadata` is JSON."""

    id: UUID
    sender: str
    recipient: str
    body: str
    encoding: str
    segments: int
    metadata: bytes = _COMPLETE


async def store_inbound(
    session: AsyncSession,
    account_id: UUID,
    channel_id: UUID,
    messages: list[Inbound],
    new_id: NewId,
    people: People = NO_PEOPLE,
) -> None:
    """Store what is new of these, in the caller's transaction, under the channel's lock.

    What says STOP, START or HELP is heeded before anybody else sees it, and its metadata tells so. `people` says which
    contacts they are from.
    """
    owner = {"account_id": account_id, "channel_id": channel_id}
    by_key = {message.dedupe_key: message for message in messages}
    fresh = await session.execute(_NEW_INBOUND, {"channel_id": channel_id, "keys": list(by_key)})
    new_keys = set(fresh.scalars())
    new = [message for message in by_key.values() if message.dedupe_key in new_keys]
    wholes = [
        _Whole(UUID(bytes=each.id), each.sender, each.to, _storable(each.text), each.encoding, 1)
        for each in new
        if each.total <= 1
    ]
    parts = [each for each in new if each.total > 1]
    if parts:
        wholes += await _join(session, owner, parts)
    await _store(session, owner, wholes, new_id, people)


async def overdue_channels(session: AsyncSession) -> list[tuple[UUID, UUID]]:
    """(account, channel) where a long message waits for its rest longer than `PARTS_SECONDS`."""
    rows = await session.execute(_OVERDUE_CHANNELS, {"seconds": PARTS_SECONDS, "most": MAX_OVERDUE})
    return [(row.account_id, row.channel_id) for row in rows]


async def deliver_overdue(
    session: AsyncSession, account_id: UUID, channel_id: UUID, new_id: NewId, people: People = NO_PEOPLE
) -> int:
    """Store what came of one channel's overdue messages as they are; how many messages that made."""
    await lock_channel(session, channel_id)
    owner = {"account_id": account_id, "channel_id": channel_id}
    rows = await session.execute(_OVERDUE_PARTS, {**owner, "seconds": PARTS_SECONDS, "most": MAX_OVERDUE})
    groups = _grouped(rows)
    wholes = [_deliver(key, parts) for key, parts in groups.items()]
    await _keep(session, owner, groups)
    await _store(session, owner, wholes, new_id, people)
    return len(wholes)


async def prune_parts(session: AsyncSession) -> None:
    """Remove parts whose message was made so long ago that nobody repeats them any more."""
    await session.execute(_PRUNE_PARTS, {"seconds": PARTS_SECONDS})


async def _join(session: AsyncSession, owner: dict[str, UUID], messages: list[Inbound]) -> list[_Whole]:
    """Adds parts to those that wait; the messages that are ready because of it."""
    keys = [_Key(each.sender, each.to, each.reference, each.total) for each in messages]
    known = await session.execute(_KNOWN_PARTS, {**owner, **_columns(keys)})
    groups = _grouped(known)
    wholes: list[_Whole] = []
    for key, message in zip(keys, messages, strict=True):
        parts = groups.setdefault(key, {})
        body = _storable(message.text)
        before = parts.get(message.number)
        if before is not None:
            if (before.body, before.encoding) == (body, message.encoding):
                continue
            if not before.delivered:
                wholes.append(_deliver(key, parts))
        parts[message.number] = _Part(
            message.number, UUID(bytes=message.id), body, message.encoding, delivered=False, changed=True
        )
        if sum(not part.delivered for part in parts.values()) == key.total:
            wholes.append(_deliver(key, parts))
    await _keep(session, owner, groups)
    return wholes


def _grouped(rows: Iterable[Any]) -> dict[_Key, dict[int, _Part]]:
    groups: dict[_Key, dict[int, _Part]] = {}
    for row in rows:
        key = _Key(row.sender, row.recipient, row.reference, row.total)
        part = _Part(row.number, row.message_id, row.body, row.encoding, row.delivered)
        groups.setdefault(key, {})[row.number] = part
    return groups


def _deliver(key: _Key, parts: dict[int, _Part]) -> _Whole:
    """The message that the open parts make, under the id of the one that came first."""
    chosen = sorted((part for part in parts.values() if not part.delivered), key=lambda part: part.number)
    for part in chosen:
        part.delivered = part.changed = True
    metadata = _COMPLETE
    if len(chosen) < key.total:
        missing = sorted(set(range(1, key.total + 1)) - {part.number for part in chosen})
        metadata = msgspec.json.encode({"incomplete": True, "parts": key.total, "missing_parts": missing})
        inbound_incomplete.inc()
    encodings = {part.encoding for part in chosen}
    return _Whole(
        min(part.message_id for part in chosen),
        key.sender,
        key.recipient,
        "".join(part.body for part in chosen),
        encodings.pop() if len(encodings) == 1 else "ucs2",
        len(chosen),
        metadata,
    )


async def _keep(session: AsyncSession, owner: dict[str, UUID], groups: dict[_Key, dict[int, _Part]]) -> None:
    changed = [(key, part) for key, parts in groups.items() for part in parts.values() if part.changed]
    if not changed:
        return
    await session.execute(
        _KEEP_PARTS,
        {
            **owner,
            **_columns([key for key, _ in changed]),
            "numbers": [part.number for _, part in changed],
            "ids": [part.message_id for _, part in changed],
            "bodies": [part.body for _, part in changed],
            "encodings": [part.encoding for _, part in changed],
            "delivered": [part.delivered for _, part in changed],
        },
    )


async def _store(
    session: AsyncSession, owner: dict[str, UUID], wholes: list[_Whole], new_id: NewId, people: People
) -> None:
    if not wholes:
        return
    wholes = await _heeded(session, owner, wholes, new_id, people)
    letters = [Letter(whole.sender, time_of(whole.id)) for whole in wholes]
    contacts = await people.senders(session, owner["account_id"], owner["channel_id"], letters)
    await session.execute(
        _STORE,
        {
            **owner,
            "ids": [whole.id for whole in wholes],
            "recipients": [whole.recipient for whole in wholes],
            "senders": [whole.sender for whole in wholes],
            "bodies": [whole.body for whole in wholes],
            "encodings": [whole.encoding for whole in wholes],
            "segments": [whole.segments for whole in wholes],
            "metadata": [whole.metadata.decode() for whole in wholes],
            "contacts": [contacts.get(whole.sender) for whole in wholes],
        },
    )
    received = [SmppInbound(whole.id.bytes, whole.sender, whole.recipient, whole.body) for whole in wholes]
    await forward_inbound(session, owner["account_id"], owner["channel_id"], received, new_id)
    results_applied.labels("received").inc(len(wholes))


async def _heeded(
    session: AsyncSession, owner: dict[str, UUID], wholes: list[_Whole], new_id: NewId, people: People
) -> list[_Whole]:
    """Do what contacts ask for in a word; the messages, those that did so marked with it."""
    # A part that happens to say STOP is not what somebody wrote.
    heard = [
        Heard(whole.id, whole.sender, whole.recipient, whole.body)
        for whole in wholes
        if whole.metadata is _COMPLETE and whole.encoding != _BINARY
    ]
    actions = await hear_keywords(session, owner["account_id"], owner["channel_id"], heard, new_id, people)
    if not actions:
        return wholes
    return [
        msgspec.structs.replace(whole, metadata=msgspec.json.encode({"keyword": actions[whole.id].value}))
        if whole.id in actions
        else whole
        for whole in wholes
    ]


def _columns(keys: list[_Key]) -> dict[str, list[Any]]:
    return {
        "senders": [key.sender for key in keys],
        "recipients": [key.recipient for key in keys],
        "references": [key.reference for key in keys],
        "totals": [key.total for key in keys],
    }


def _storable(value: str) -> str:
    # No database takes a NUL.
    return value.replace("\0", "")
