"""Messages in PostgreSQL: set-based statements for the hot path, scoped selects for the lists."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.channels.directory import ChannelRecord
from app.domain.messages.events import (
    MAX_BATCH,
    DispatchBatch,
    DispatchMessage,
    Lane,
    encode,
)
from app.domain.messages.models import Message
from app.domain.messages.states import MessageStatus
from app.domain.outbox.repository import NewOutboxRow
from app.lib.broker import dispatch_queue
from app.lib.db import Scope
from app.lib.filters import FilterField, Kind
from app.lib.ids import NewId
from app.lib.pagination import Listing, ListQuery, Page, Sort, fetch_page
from app.lib.sets import column, shared

BATCH_SECONDS = 60.0
"""A dispatch batch holds at most so many seconds of its channel's rate: RabbitMQ bounds how long one may be unacked."""


class NewMessage(msgspec.Struct, frozen=True, gc=False):
    """An accepted outbound message on its way into the table, all values checked.

    `smpp_account_id` is the SMPP account that submitted it, with the receipts it asked for (SMPP 3.4 §5.2.17). `topic`
    is what it says it is about (`app.domain.opt_outs.classes.MessageTopic`).
    """

    id: UUID
    account_id: UUID
    channel_id: UUID
    lane: Lane
    to: str
    sender: str | None
    text: str
    encoding: str
    segments: int
    validity_seconds: int | None
    metadata: bytes
    created_at: datetime
    sms: bytes | None = None
    smpp_account_id: UUID | None = None
    registered_delivery: int | None = None
    topic: str | None = None
    contact_id: UUID | None = None
    group_message_id: UUID | None = None
    template_id: UUID | None = None
    template_version: int | None = None

    def dispatched(self) -> DispatchMessage:
        """Its first attempt, as it travels to the sender."""
        return DispatchMessage(self.id.bytes, 1, self.to, self.sender, self.text, self.validity_seconds, self.sms)


# What all messages of a set have in common, as most of what those of a group message say, travels once.
_INSERT_ROWS = """
    INSERT INTO messages (id, account_id, channel_id, status, lane, recipient, sender, body, encoding, segments,
                          validity_seconds, metadata, created_at, updated_at, sms, smpp_account_id,
                          registered_delivery, topic, contact_id, group_message_id, template_id, template_version)
    SELECT x.id, coalesce(x.account_id, :account_id), coalesce(x.channel_id, :channel_id), 'queued',
           coalesce(x.lane, :lane), x.recipient, coalesce(x.sender, :sender), x.body, coalesce(x.encoding, :encoding),
           coalesce(x.segments, :segment_count), coalesce(x.validity_seconds, :validity_seconds),
           CAST(coalesce(x.metadata, :metadata) AS jsonb), coalesce(x.created_at, :created_at),
           coalesce(x.created_at, :created_at), x.sms, x.smpp_account_id, x.registered_delivery,
           coalesce(x.topic, :topic), {contact}, coalesce(x.group_message_id, :group_message_id),
           coalesce(x.template_id, :template_id), coalesce(x.template_version, :template_version)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:account_ids AS uuid[]), CAST(:channel_ids AS uuid[]),
                CAST(:lanes AS text[]), CAST(:recipients AS text[]), CAST(:senders AS text[]), CAST(:bodies AS text[]),
                CAST(:encodings AS text[]), CAST(:segments AS smallint[]), CAST(:validity AS integer[]),
                CAST(:metadatas AS text[]), CAST(:created AS timestamptz[]), CAST(:sms AS bytea[]),
                CAST(:smpp_accounts AS uuid[]), CAST(:registered AS smallint[]), CAST(:topics AS text[]),
                CAST(:contacts AS uuid[]), CAST(:group_messages AS uuid[]), CAST(:templates AS uuid[]),
                CAST(:template_versions AS integer[]))
         AS x(id, account_id, channel_id, lane, recipient, sender, body, encoding, segments, validity_seconds, metadata,
              created_at, sms, smpp_account_id, registered_delivery, topic, contact_id, group_message_id, template_id,
              template_version)
    """

_INSERT = text(_INSERT_ROWS.format(contact="x.contact_id"))

# Contacts that are in this database are found on the way: another round trip would be a fifth of what accepting takes.
_INSERT_WITH_CONTACTS = text(
    _INSERT_ROWS.format(contact="coalesce(x.contact_id, a.contact_id)")
    + """
    LEFT JOIN unnest(CAST(:channels_of_types AS uuid[]), CAST(:types AS text[])) AS t(channel_id, type)
         ON t.channel_id = coalesce(x.channel_id, :channel_id) AND x.contact_id IS NULL
    LEFT JOIN contact_addresses a ON a.account_id = coalesce(x.account_id, :account_id)
         AND a.type = t.type AND a.value = x.recipient
    """
)


async def insert_messages(
    session: AsyncSession, rows: list[NewMessage], address_types: Mapping[UUID, str] | None = None
) -> None:
    """Store accepted messages in one statement.

    `address_types` says of each channel which addresses of contacts it reaches, where contacts are in this database:
    messages to such an address are then the contact's, unless they name one.
    """
    await session.execute(
        _INSERT if address_types is None else _INSERT_WITH_CONTACTS,
        {
            "ids": [row.id for row in rows],
            **_shared("account_id", "account_ids", [row.account_id for row in rows]),
            **_shared("channel_id", "channel_ids", [row.channel_id for row in rows]),
            **_shared("lane", "lanes", [row.lane.value for row in rows]),
            "recipients": [row.to for row in rows],
            **_shared("sender", "senders", [row.sender for row in rows]),
            "bodies": [row.text for row in rows],
            **_shared("encoding", "encodings", [row.encoding for row in rows]),
            **_shared("segment_count", "segments", [row.segments for row in rows]),
            **_shared("validity_seconds", "validity", [row.validity_seconds for row in rows]),
            **_shared("metadata", "metadatas", [row.metadata.decode() for row in rows]),
            **_shared("created_at", "created", [row.created_at for row in rows]),
            "sms": column([row.sms for row in rows]),
            "smpp_accounts": column([row.smpp_account_id for row in rows]),
            "registered": column([row.registered_delivery for row in rows]),
            **_shared("topic", "topics", [row.topic for row in rows]),
            "contacts": column([row.contact_id for row in rows]),
            **_shared("group_message_id", "group_messages", [row.group_message_id for row in rows]),
            **_shared("template_id", "templates", [row.template_id for row in rows]),
            **_shared("template_version", "template_versions", [row.template_version for row in rows]),
            **(
                {}
                if address_types is None
                else {"channels_of_types": list(address_types), "types": list(address_types.values())}
            ),
        },
    )


_COLUMNS = (
    *("id", "account_id", "channel_id", "status", "lane", "recipient", "sender", "body", "encoding", "segments"),
    *("validity_seconds", "metadata", "created_at", "updated_at", "sms", "topic", "contact_id", "group_message_id"),
    *("template_id", "template_version"),
)


async def copy_messages(session: AsyncSession, rows: Sequence[NewMessage]) -> None:
    """Store many accepted messages the fastest way (COPY): for those of group messages, of which no id is stored yet.

    Not for a process with a role, whose row-level security knows no COPY.
    """
    connection = await (await session.connection()).get_raw_connection()
    driver = cast("asyncpg.Connection", connection.driver_connection)
    records = [
        (
            *(row.id, row.account_id, row.channel_id, "queued", row.lane.value, row.to, row.sender, row.text),
            *(row.encoding, row.segments, row.validity_seconds, row.metadata.decode(), row.created_at, row.created_at),
            *(row.sms, row.topic, row.contact_id, row.group_message_id, row.template_id, row.template_version),
        )
        for row in rows
    ]
    await driver.copy_records_to_table("messages", records=records, columns=_COLUMNS)


def _shared(one: str, each: str, values: Sequence[object]) -> dict[str, object]:
    array, value = shared(values)
    return {each: array, one: value}


def batch_limit(rate_per_second: float | None) -> int:
    """How many messages of a channel one dispatch event may carry."""
    return MAX_BATCH if rate_per_second is None else max(1, min(MAX_BATCH, int(rate_per_second * BATCH_SECONDS)))


def dispatch_rows(
    channel: ChannelRecord, lane: Lane, messages: list[DispatchMessage], new_id: NewId
) -> list[NewOutboxRow]:
    """The outbox rows that send `messages` of one channel and lane, in order."""
    limit = batch_limit(channel.rate_per_second)
    rows = []
    for start in range(0, len(messages), limit):
        event_id = new_id()
        batch = DispatchBatch(event_id, channel.account_id, channel.id, lane, messages[start : start + limit])
        rows.append(NewOutboxRow(event_id, dispatch_queue(channel.id, lane.value), encode(batch)))
    return rows


LISTING = Listing(
    id_column=Message.__table__.c.id,
    fields={
        "id": FilterField(Kind.UUID),
        "channel_id": FilterField(Kind.UUID),
        "contact_id": FilterField(Kind.UUID),
        "status": FilterField(Kind.CHOICE, tuple(status.value for status in MessageStatus)),
        "direction": FilterField(Kind.CHOICE, ("outbound", "inbound")),
        "lane": FilterField(Kind.CHOICE, tuple(lane.value for lane in Lane)),
        "to": FilterField(Kind.TEXT),
        "from": FilterField(Kind.TEXT),
        "created_at": FilterField(Kind.DATETIME),
        "updated_at": FilterField(Kind.DATETIME),
    },
    columns={
        "id": Message.__table__.c.id,
        "channel_id": Message.__table__.c.channel_id,
        "contact_id": Message.__table__.c.contact_id,
        "status": Message.__table__.c.status,
        "direction": Message.__table__.c.direction,
        "lane": Message.__table__.c.lane,
        "to": Message.__table__.c.recipient,
        "from": Message.__table__.c.sender,
        "created_at": Message.__table__.c.created_at,
        "updated_at": Message.__table__.c.updated_at,
    },
    sorts={"created_at": Sort(None, datetime)},
)
"""Messages are listed in order of their ids, which is the order of creation; no other order has an index."""


async def list_messages(session: AsyncSession, scope: Scope, query: ListQuery) -> Page[Message]:
    """One page of the account's messages."""
    return await fetch_page(session, scope.select(Message), LISTING, query)


async def get_message(session: AsyncSession, scope: Scope, message_id: UUID) -> Message | None:
    """One message of the account."""
    rows = await session.execute(scope.select(Message).where(Message.id == message_id))
    return rows.scalar_one_or_none()


_EVENTS = text(
    """
    SELECT at, status, code, detail, provider_code FROM message_events
    WHERE message_id = :id AND account_id = :account_id ORDER BY at, recorded_at
    """
)
_PARTS = text(
    """
    -- Of a text of one part the message says what became of it.
    SELECT number, provider_message_id,
           CASE WHEN total > 1 THEN status WHEN CAST(:status AS text) IN ('queued', 'unknown') THEN 'sent'
                ELSE CAST(:status AS text) END AS status
    FROM message_parts
    WHERE message_id = :id AND account_id = :account_id AND submitted_at >= :since ORDER BY number
    """
)
_ATTEMPTS = text(
    """
    SELECT attempt, started_at, ended_at, outcome, code, detail, provider_code FROM message_attempts
    WHERE message_id = :id AND account_id = :account_id ORDER BY attempt
    """
)


class StatusEvent(NamedTuple):
    """A status that a message took, or something learnt without a change."""

    at: datetime
    status: str
    code: str | None = None
    detail: str | None = None
    provider_code: str | None = None


async def get_history(
    session: AsyncSession, scope: Scope, message: Message
) -> tuple[list[StatusEvent], list[Row[Any]], list[Row[Any]]]:
    """The message's events, parts and attempts, each in order.

    That it was sent and delivered has a row only where more is known of it than when.
    """
    keys = {"id": message.id, "account_id": scope.account_id}
    events = [StatusEvent(*row) for row in await session.execute(_EVENTS, keys)]
    if message.direction == "outbound":
        # One that has a row, or was reported read at once, took its time from there.
        told = {event.at for event in events}
        times = {MessageStatus.SENT: message.sent_at, MessageStatus.DELIVERED: message.delivered_at}
        events += [StatusEvent(at, status) for status, at in times.items() if at is not None and at not in told]
        events.sort(key=lambda event: event.at)
    parts = await session.execute(
        _PARTS, {**keys, "status": message.status, "since": message.created_at - timedelta(minutes=5)}
    )
    attempts = await session.execute(_ATTEMPTS, keys)
    return events, list(parts), list(attempts)
