"""What clients send and receive about messages."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.domain.messages.content import SmsContent, content_out
from app.domain.messages.events import Lane
from app.domain.messages.models import Message
from app.domain.opt_outs.classes import MessageTopic

MAX_TEXT = 4096
MAX_BATCH_ITEMS = 1000
MAX_SEGMENTS = 10
MAX_METADATA_BYTES = 4096
MAX_VALIDITY = 604_800

Recipient = Annotated[
    str,
    Meta(
        description="The recipient in E.164, or as it is dialled in the account's default country.",
        examples=["+251911000100"],
        max_length=64,
    ),
]


class MessageCreate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, rename={"sender": "from"}):
    """A single message. `lane` defaults to `high` here and to `bulk` inside a batch.

    It goes to an address (`to`), or to the first address that the channel reaches of a contact (`contact_id`). `text`
    may be left out when a template makes it (`template_id`, with values for its `variables`), or when `content` brings
    the data itself. `topic` is what it is about, which decides whether somebody who opted out of one topic still gets
    it; null is `service`.
    """

    channel_id: UUID
    to: Recipient | None = None
    contact_id: UUID | None = None
    template_id: UUID | None = None
    variables: dict[str, Any] = {}
    text: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT, examples=["Hello"])] | None = None
    content: SmsContent | None = None
    sender: Annotated[str, Meta(min_length=1, max_length=21)] | None = None
    lane: Lane | None = None
    validity_seconds: Annotated[int, Meta(ge=1, le=MAX_VALIDITY)] | None = None
    topic: MessageTopic | None = None
    metadata: dict[str, Any] = {}


class MessageBatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Up to 1,000 messages; each is checked by itself, so that a wrong one does not stop the others."""

    messages: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=MAX_BATCH_ITEMS)]


class MessageFailure(msgspec.Struct):
    """Why a message failed: `class` is recipient, message, opted_out, channel, throttled, transient or unknown."""

    kind: str = msgspec.field(name="class")
    code: str
    detail: str
    provider_code: str | None
    advice: str | None


class MessageOut(msgspec.Struct, rename={"sender": "from"}):
    """A message as every route shows it."""

    id: UUID
    account_id: UUID
    channel_id: UUID
    contact_id: UUID | None
    group_message_id: UUID | None
    template_id: UUID | None
    template_version: int | None
    direction: str
    to: str
    sender: str | None
    text: str
    status: str
    lane: str
    encoding: str
    segments: int
    validity_seconds: int | None
    topic: str | None
    error: MessageFailure | None
    content: SmsContent | None
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    sent_at: datetime | None
    delivered_at: datetime | None


class EventOut(msgspec.Struct):
    """One change of status, or something learnt without one (an intermediate receipt)."""

    at: datetime
    status: str
    code: str | None
    detail: str | None
    provider_code: str | None


class PartOut(msgspec.Struct):
    """One segment as the provider knows it."""

    number: int
    provider_message_id: str
    status: str


class AttemptOut(msgspec.Struct):
    """One hand-over to a provider. `outcome` is null while it is under way."""

    number: int
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    code: str | None
    detail: str | None
    provider_code: str | None


class MessageDetail(MessageOut, kw_only=True):
    """A single message with its history."""

    events: list[EventOut]
    parts: list[PartOut]
    attempts: list[AttemptOut]


class BatchItem(msgspec.Struct, omit_defaults=True):
    """The answer to one message of a batch: its `message` with 201, or its `problem` with that problem's status."""

    index: int
    status: int
    message: MessageOut | UnsetType = UNSET
    problem: Any | UnsetType = UNSET


class BatchResult(msgspec.Struct):
    """One item for each message sent, in the same order."""

    items: list[BatchItem]
    accepted: int
    rejected: int


class MessagePreview(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A text to look at before it is sent, as a channel of a type would send it or as one channel does."""

    text: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT, examples=["Hello"])]
    channel_type: Annotated[str, Meta(max_length=64, examples=["smpp"])] | None = None
    channel_id: UUID | None = None


class PreviewWarning(msgspec.Struct):
    """A character that keeps the text out of the GSM 7-bit alphabet. `index` counts characters of `text` from 0.

    `suggestion` could stand in its place (empty: it could go), null when nothing comes close.
    """

    index: int
    character: str
    code: str
    suggestion: str | None


class PreviewReplacement(msgspec.Struct):
    """A character that the channel replaces. `index` counts characters of the text that was sent in, from 0."""

    index: int
    character: str
    replacement: str


class PreviewOut(msgspec.Struct):
    """What a text becomes. `length` and `per_segment` are in septets for `gsm7` and in UTF-16 units for `ucs2`.

    `text` is as it would be sent, `parts` the same cut into segments. `cost` is null where there are no prices.
    """

    text: str
    encoding: str
    segments: int
    length: int
    per_segment: int
    warnings: list[PreviewWarning]
    replacements: list[PreviewReplacement]
    parts: list[str]
    cost: None


def message_out(row: Message) -> MessageOut:
    """The stored row as clients see it."""
    return MessageOut(
        id=row.id,
        account_id=row.account_id,
        channel_id=row.channel_id,
        contact_id=row.contact_id,
        group_message_id=row.group_message_id,
        template_id=row.template_id,
        template_version=row.template_version,
        direction=row.direction,
        to=row.recipient,
        sender=row.sender,
        text=row.body,
        status=row.status,
        lane=row.lane,
        encoding=row.encoding,
        segments=row.segments,
        validity_seconds=row.validity_seconds,
        topic=row.topic,
        error=msgspec.convert(row.error, MessageFailure) if row.error else None,
        content=content_out(row.sms),
        metadata=row.message_metadata,
        created_at=row.created_at,
        updated_at=row.updated_at,
        sent_at=row.sent_at,
        delivered_at=row.delivered_at,
    )
