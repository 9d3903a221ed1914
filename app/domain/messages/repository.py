"""Messages in PostgreSQL: set-based statements for the hot path, scoped selects for the lists."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

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

BATCH_SECONDS = 60.0
"""A dispatch batch holds at most so many seconds of its channel's rate: RabbitMQ bounds how long one may be unacked."""


class NewMessage(msgspec.Struct, frozen=True, gc=False):
    """An accepted outbound message on its way into the table, all values checked.

    `smpp_account_id` is the SMPP account that submitted it, with the receipts it asked for (SMPP 3.4 §5.2.17).
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

    def dispatched(self) -> DispatchMessage:
        """Its first attempt, as it travels to the sender."""
        return DispatchMessage(self.id.bytes, 1, self.to, self.sender, self.text, self.validity_seconds, self.sms)


_INSERT = text(
    """
    INSERT INTO messages (id, account_id, channel_id, status, lane, recipient, sender, body, encoding, segments,
                          validity_seconds, metadata, created_at, updated_at, sms, smpp_account_id,
                          registered_delivery)
    SELECT x.id, x.account_id, x.channel_id, 'queued', x.lane, x.recipient, x.sender, x.body, x.encoding, x.segments,
           x.validity_seconds, CAST(x.metadata AS jsonb), x.created_at, x.created_at, x.sms, x.smpp_account_id,
           x.registered_delivery
    FROM unnest(CAST(:ids AS uuid[]), CAST(:account_ids AS uuid[]), CAST(:channel_ids AS uuid[]),
                CAST(:lanes AS text[]), CAST(:recipients AS text[]), CAST(:senders AS text[]), CAST(:bodies AS text[]),
                CAST(:encodings AS text[]), CAST(:segments AS smallint[]), CAST(:validity AS integer[]),
                CAST(:metadata AS text[]), CAST(:created AS timestamptz[]), CAST(:sms AS bytea[]),
                CAST(:smpp_accounts AS uuid[]), CAST(:registered AS smallint[]))
         AS x(id, account_id, channel_id, lane, recipient, sender, body, encoding, segments, validity_seconds, metadata,
              created_at, sms, smpp_account_id, registered_delivery)
    """
)


async def insert_messages(session: AsyncSession, rows: list[NewMessage]) -> None:
    """Store accepted messages in one statement."""
    await session.execute(
        _INSERT,
        {
            "ids": [row.id for row in rows],
            "account_ids": [row.account_id for row in rows],
            "channel_ids": [row.channel_id for row in rows],
            "lanes": [row.lane.value for row in rows],
            "recipients": [row.to for row in rows],
            "senders": [row.sender for row in rows],
            "bodies": [row.text for row in rows],
            "encodings": [row.encoding for row in rows],
            "segments": [row.segments for row in rows],
            "validity": [row.validity_seconds for row in rows],
            "metadata": [row.metadata.decode() for row in rows],
            "created": [row.created_at for row in rows],
            "sms": [row.sms for row in rows],
            "smpp_accounts": [row.smpp_account_id for row in rows],
            "registered": [row.registered_delivery for row in rows],
        },
    )


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
    SELECT number, provider_message_id, status FROM message_parts
    WHERE message_id = :id AND account_id = :account_id AND submitted_at >= :since ORDER BY number
    """
)
_ATTEMPTS = text(
    """
    SELECT attempt, started_at, ended_at, outcome, code, detail, provider_code FROM message_attempts
    WHERE message_id = :id AND account_id = :account_id ORDER BY attempt
    """
)


async def get_history(
    session: AsyncSession, scope: Scope, message: Message
) -> tuple[list[Row[Any]], list[Row[Any]], list[Row[Any]]]:
    """The message's events, parts and attempts, each in order."""
    keys = {"id": message.id, "account_id": scope.account_id}
    events = await session.execute(_EVENTS, keys)
    parts = await session.execute(_PARTS, {**keys, "since": message.created_at - timedelta(minutes=5)})
    attempts = await session.execute(_ATTEMPTS, keys)
    return list(events), list(parts), list(attempts)
