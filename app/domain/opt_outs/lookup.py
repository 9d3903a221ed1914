"""Who must not be written to: for whatever sends, in sets."""

from collections.abc import Iterable, Sequence
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.opt_outs.classes import Address, ChannelClass, MessageTopic, Topic
from app.lib.sets import shared

_HOLD = text(
    """
    SELECT hold_opted_out(
        CAST(:owners AS uuid[]),
        coalesce(CAST(:accounts AS uuid[]), array_fill(CAST(:account AS uuid), ARRAY[CAST(:count AS integer)])),
        coalesce(CAST(:classes AS text[]), array_fill(CAST(:class AS text), ARRAY[CAST(:count AS integer)])),
        CAST(:addresses AS text[]),
        coalesce(CAST(:topics AS text[]), array_fill(CAST(:topic AS text), ARRAY[CAST(:count AS integer)]))
    )
    """
)

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('opt_outs:' || CAST(:account AS text), 0))")

_TOPICS = text(
    """
    SELECT o.channel_class, o.address, o.topic
    FROM unnest(CAST(:classes AS text[]), CAST(:addresses AS text[])) AS x(channel_class, address)
    JOIN opt_outs o ON o.account_id = :account_id AND o.channel_class = x.channel_class AND o.address = x.address
    """
)


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A message that is about to be accepted; `address` is canonical, `topic` is what it says it is about."""

    account_id: UUID
    channel_class: ChannelClass
    address: str
    topic: str | None


async def hold_consent(session: AsyncSession, messages: Sequence[Outgoing]) -> list[int]:
    """The positions of those messages whose recipients do not want them.

    Until the transaction ends nobody's consent changes in these accounts. So every message is either stored before an
    opt-out, which then finds it in the queue, or refused: an opt-out and a message that come at the same moment cannot
    pass each other by.
    """
    if not messages:
        return []
    accounts, account = shared([message.account_id for message in messages])
    classes, channel_class = shared([message.channel_class.value for message in messages])
    topics, topic = shared([message.topic or MessageTopic.SERVICE.value for message in messages])
    found = await session.execute(
        _HOLD,
        {
            # In order, so that two of these never wait for each other.
            "owners": sorted({message.account_id for message in messages}),
            "accounts": accounts,
            "account": account,
            "classes": classes,
            "class": channel_class,
            "addresses": [message.address for message in messages],
            "topics": topics,
            "topic": topic,
            "count": len(messages),
        },
    )
    return [number - 1 for number in found.scalars()]


async def opted_out(
    session: AsyncSession, account_id: UUID, addresses: Sequence[Address], topic: MessageTopic | None
) -> set[Address]:
    """Those of the addresses, canonical ones, to which messages of this topic must not go.

    For whoever stores messages in the same transaction: it holds consent as `hold_consent` does. To only look, use
    `topics_of`.
    """
    about = None if topic is None else topic.value
    positions = await hold_consent(session, [Outgoing(account_id, *address, about) for address in addresses])
    return {addresses[position] for position in positions}


async def topics_of(
    session: AsyncSession, account_id: UUID, addresses: Iterable[Address]
) -> dict[Address, frozenset[Topic]]:
    """What each of these addresses is opted out of; addresses that are not opted out of anything are left out."""
    wanted = list(addresses)
    if not wanted:
        return {}
    rows = await session.execute(
        _TOPICS,
        {
            "account_id": account_id,
            "classes": [channel_class.value for channel_class, _ in wanted],
            "addresses": [address for _, address in wanted],
        },
    )
    topics: dict[Address, set[Topic]] = {}
    for row in rows:
        topics.setdefault((ChannelClass(row.channel_class), row.address), set()).add(Topic(row.topic))
    return {address: frozenset(some) for address, some in topics.items()}


async def lock_consent(session: AsyncSession, account_id: UUID) -> None:
    """Change consent in this account alone until the transaction ends, and let no message in meanwhile."""
    await session.execute(_LOCK, {"account": str(account_id)})
