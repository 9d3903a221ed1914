"""Changes of consent: one road for keywords, people, links and imports. In sets, in the caller's transaction.

Changes of one account come one after the other (an advisory lock), so that what is read is what is changed. Each is a
line of the ledger and an event; what is queued for somebody who opts out, and was handed to nobody yet, ends as failed.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.events.service import record_events
from app.domain.identity.audit.schemas import ActorOut
from app.domain.messages.unwanted import Unwanted, fail_queued
from app.domain.opt_outs.classes import Address, ChannelClass, Source, Topic
from app.domain.opt_outs.events import consent_event
from app.domain.opt_outs.listeners import NOBODY, OptState, OptStateListener
from app.domain.opt_outs.lookup import lock_consent
from app.lib.ids import NewId

MAX_PROOF = 1000
"""Characters of a message that are kept as proof."""

_CURRENT = text(
    """
    SELECT o.id, o.channel_class, o.address, o.topic
    FROM (SELECT DISTINCT * FROM unnest(CAST(:classes AS text[]), CAST(:addresses AS text[]))
          AS u(channel_class, address)) AS x
    JOIN opt_outs o ON o.account_id = :account_id AND o.channel_class = x.channel_class AND o.address = x.address
    """
)

_COLUMNS = (
    "CAST(:ids AS uuid[]), CAST(:changes AS text[]), CAST(:opt_outs AS uuid[]), CAST(:classes AS text[]),"
    " CAST(:addresses AS text[]), CAST(:topics AS text[]), CAST(:sources AS text[]), CAST(:messages AS uuid[]),"
    " CAST(:channels AS uuid[]), CAST(:texts AS text[]), CAST(:actor_types AS text[]), CAST(:actors AS uuid[]),"
    " CAST(:actor_names AS text[]), CAST(:details AS text[])"
)
_NAMES = "channel_class, address, topic, source, message_id, channel_id, text, actor_type, actor_id, actor_name, detail"
_GIVEN = f"unnest({_COLUMNS}) AS x(id, change, opt_out_id, {_NAMES})"

_ADD = text(
    f"INSERT INTO opt_outs (id, account_id, {_NAMES}) SELECT opt_out_id, :account_id, {_NAMES} FROM {_GIVEN}"  # noqa: S608 - names of ours
)

_RECORD = text(
    f"INSERT INTO consent_events (id, account_id, change, opt_out_id, {_NAMES})"  # noqa: S608 - names of ours
    f" SELECT id, :account_id, change, opt_out_id, {_NAMES} FROM {_GIVEN}"
)

_REMOVE = text("DELETE FROM opt_outs WHERE id = ANY(CAST(:ids AS uuid[])) AND account_id = :account_id")


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """Why a change is right: the message that asked for it, or who made it and what they said."""

    source: Source
    message_id: UUID | None = None
    channel_id: UUID | None = None
    text: str | None = None
    actor: ActorOut | None = None
    detail: str | None = None


class Wish(msgspec.Struct, frozen=True):
    """Somebody wants no more of a topic at an address (`out`), or wants it again; None is all they did not want."""

    address: Address
    topic: Topic | None
    out: bool
    proof: Proof


class Change(msgspec.Struct, frozen=True):
    """What a wish came to: `opt_out_id` is the opt-out that began or ended."""

    opt_out_id: UUID
    wish: Wish
    topic: Topic


async def change_consent(
    session: AsyncSession,
    account_id: UUID,
    wishes: Sequence[Wish],
    new_id: NewId,
    listener: OptStateListener = NOBODY,
) -> list[Change]:
    """Carry the wishes out, in their order; what was so already changes nothing.

    Somebody who is opted out of `all` stays so although they want one topic again.
    """
    if not wishes:
        return []
    await lock_consent(session, account_id)
    before = await _current(session, account_id, [wish.address for wish in wishes])
    now = {address: dict(topics) for address, topics in before.items()}
    changes: list[Change] = []
    for wish in wishes:
        topics = now.setdefault(wish.address, {})
        if wish.out:
            topic = wish.topic or Topic.ALL
            if topic not in topics:
                topics[topic] = new_id()
                changes.append(Change(topics[topic], wish, topic))
        else:
            ended = [topic for topic in topics if wish.topic in (None, topic)]
            changes += [Change(topics.pop(topic), wish, topic) for topic in ended]
    if not changes:
        return []
    await _write(session, account_id, before, now, changes, new_id)
    await record_events(
        session,
        [
            consent_event(
                account_id,
                each.opt_out_id,
                each.wish.address,
                each.topic,
                each.wish.proof.source,
                out=each.wish.out,
            )
            for each in changes
        ],
        new_id,
    )
    unwanted = {Unwanted(*each.wish.address, each.topic) for each in changes if each.wish.out}
    if unwanted:
        await fail_queued(session, account_id, sorted(unwanted), new_id)
    changed = dict.fromkeys(each.wish.address for each in changes)
    await listener.changed(
        session, account_id, [OptState(*address, frozenset(now.get(address, {}))) for address in changed]
    )
    return changes


async def _current(
    session: AsyncSession, account_id: UUID, addresses: Sequence[Address]
) -> dict[Address, dict[Topic, UUID]]:
    rows = await session.execute(
        _CURRENT,
        {
            "account_id": account_id,
            "classes": [channel_class.value for channel_class, _ in addresses],
            "addresses": [address for _, address in addresses],
        },
    )
    found: dict[Address, dict[Topic, UUID]] = {}
    for row in rows:
        found.setdefault((ChannelClass(row.channel_class), row.address), {})[Topic(row.topic)] = row.id
    return found


async def _write(
    session: AsyncSession,
    account_id: UUID,
    before: dict[Address, dict[Topic, UUID]],
    now: dict[Address, dict[Topic, UUID]],
    changes: list[Change],
    new_id: NewId,
) -> None:
    stored = {opt_out_id for topics in before.values() for opt_out_id in topics.values()}
    left = {opt_out_id for topics in now.values() for opt_out_id in topics.values()}
    if stored - left:
        await session.execute(_REMOVE, {"account_id": account_id, "ids": list(stored - left)})
    added = [each for each in changes if each.wish.out and each.opt_out_id in left]
    if added:
        await session.execute(_ADD, _rows(account_id, added, new_id))
    await session.execute(_RECORD, _rows(account_id, changes, new_id))


def _rows(account_id: UUID, changes: list[Change], new_id: NewId) -> dict[str, Any]:
    proofs = [each.wish.proof for each in changes]
    actors = [proof.actor for proof in proofs]
    return {
        "account_id": account_id,
        "ids": [new_id() for _ in changes],
        "changes": ["opted_out" if each.wish.out else "opted_in" for each in changes],
        "opt_outs": [each.opt_out_id for each in changes],
        "classes": [each.wish.address[0].value for each in changes],
        "addresses": [each.wish.address[1] for each in changes],
        "topics": [each.topic.value for each in changes],
        "sources": [proof.source.value for proof in proofs],
        "messages": [proof.message_id for proof in proofs],
        "channels": [proof.channel_id for proof in proofs],
        "texts": [None if proof.text is None else proof.text[:MAX_PROOF] for proof in proofs],
        "actor_types": [None if actor is None else actor.type for actor in actors],
        "actors": [None if actor is None else actor.id for actor in actors],
        "actor_names": [None if actor is None else actor.name for actor in actors],
        "details": [proof.detail for proof in proofs],
    }
