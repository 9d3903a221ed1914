"""Accepting and showing messages."""

import re
import unicodedata
from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec
import phonenumbers
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.channels.directory import ChannelDirectory, ChannelRecord
from app.domain.idempotency.schemas import StoredAnswer
from app.domain.messages.content import sms_options
from app.domain.messages.events import Lane, encode
from app.domain.messages.intake import MessageIntake
from app.domain.messages.models import Message
from app.domain.messages.repository import NewMessage, get_history, get_message, list_messages
from app.domain.messages.schemas import (
    MAX_METADATA_BYTES,
    MAX_SEGMENTS,
    AttemptOut,
    BatchItem,
    BatchResult,
    EventOut,
    MessageBatch,
    MessageCreate,
    MessageDetail,
    MessageOut,
    PartOut,
    message_out,
)
from app.domain.messages.sms import NO_OPTIONS, carries_options, count_text, with_metadata
from app.lib.clock import Clock
from app.lib.db import Scope
from app.lib.errors import AppError, FieldError, InvalidValue, NotFound, Unavailable
from app.lib.ids import NewId
from app.lib.pagination import ListQuery, Page
from app.lib.problems import decode_error, problem_of

BINARY_COUNT = ("binary", 1, 0, 140)
"""Encoding, segments, length and room of a message that brings its data."""

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_NATIONAL = re.compile(r"\(?[0-9][0-9 ()./-]{2,30}")
_decode_message = msgspec.json.Decoder(MessageCreate).decode
_encode_json = msgspec.json.Encoder().encode


class MessageService:
    """The messages of one account. Commits nothing itself: accepting goes through the intake's shared transaction."""

    __slots__ = ("_channels", "_clock", "_intake", "_new_id", "_scope")

    def __init__(
        self, account_id: UUID, channels: ChannelDirectory, intake: MessageIntake, clock: Clock, new_id: NewId
    ) -> None:
        self._scope = Scope(account_id)
        self._channels = channels
        self._intake = intake
        self._clock = clock
        self._new_id = new_id

    @property
    def account_id(self) -> UUID:
        """Whose messages these are."""
        return self._scope.account_id

    async def send(
        self, data: MessageCreate, answered: Callable[[MessageOut], StoredAnswer] | None = None
    ) -> MessageOut:
        """Accept one message: returned once it is stored and sure to be sent. Raises `InvalidValue`, `Unavailable`.

        `answered` makes the answer that is stored along with it, for a request with an idempotency key; `Conflict`
        when that key has an answer already.
        """
        channel, message = await self._prepare(data, Lane.HIGH)
        accepted = _accepted(message, data)
        await self._intake.accept([(channel, [message])], None if answered is None else answered(accepted))
        return accepted

    async def send_batch(
        self, batch: MessageBatch, base_url: str, answered: Callable[[BatchResult], StoredAnswer] | None = None
    ) -> BatchResult:
        """Accept the good ones of up to 1,000 messages in one transaction, and say of each what became of it.

        Raises `Unavailable` for the batch as a whole: an outage is nobody's mistake in one message. `answered` is as
        for `send`; it is not called when no message was good.
        """
        items: list[BatchItem] = []
        groups: dict[UUID, tuple[ChannelRecord, list[NewMessage]]] = {}
        accepted = 0
        for index, raw in enumerate(batch.messages):
            try:
                data = self._decode(raw)
                channel, message = await self._prepare(data, Lane.BULK)
            except Unavailable:
                raise
            except AppError as error:
                items.append(BatchItem(index, error.status, problem=problem_of(error, base_url=base_url)))
                continue
            groups.setdefault(channel.id, (channel, []))[1].append(message)
            items.append(BatchItem(index, 201, message=_accepted(message, data)))
            accepted += 1
        result = BatchResult(items, accepted, len(items) - accepted)
        if groups:
            await self._intake.accept(list(groups.values()), None if answered is None else answered(result))
        return result

    async def page(self, session: AsyncSession, query: ListQuery) -> Page[MessageOut]:
        """One page of the account's messages."""
        page = await list_messages(session, self._scope, query)
        return Page([message_out(row) for row in page.items], page.next_cursor, page.total)

    async def detail(self, session: AsyncSession, message_id: UUID) -> MessageDetail:
        """One message with its history; raises `NotFound`."""
        row = await get_message(session, self._scope, message_id)
        if row is None:
            raise NotFound("There is no such message in this account.")
        events, parts, attempts = await get_history(session, self._scope, row)
        first = "received" if row.direction == "inbound" else "queued"
        return MessageDetail(
            **msgspec.structs.asdict(message_out(row)),
            events=[
                EventOut(row.created_at, first, None, None, None),
                *(EventOut(*event) for event in events),
            ],
            parts=[PartOut(*part) for part in parts],
            attempts=[_attempt_out(row, attempt) for attempt in attempts],
        )

    @staticmethod
    def _decode(raw: msgspec.Raw) -> MessageCreate:
        try:
            return _decode_message(raw)
        except msgspec.DecodeError as error:
            raise decode_error(error) from error

    async def _prepare(self, data: MessageCreate, lane: Lane) -> tuple[ChannelRecord, NewMessage]:
        errors: list[FieldError] = []
        channel = await self._channels.get(self._scope.account_id, data.channel_id)
        if channel is None or channel.deleted:
            errors.append(FieldError("/channel_id", "not_found", "There is no such channel in this account."))
        to = check_recipient(data.to, errors, None if channel is None else channel.default_country)
        body = check_text(data.text or "", errors)
        if data.text is None and (data.content is None or data.content.data is None):
            errors.append(FieldError("/text", "missing_field", "A message needs a text, or data in its content."))
        options = NO_OPTIONS if data.content is None else sms_options(data.content, data.text is not None, errors)
        config = None if channel is None else channel.config
        if config is not None:
            options = with_metadata(options, data.metadata, config, errors)
            if data.content is not None and not carries_options(config):
                errors.append(FieldError("/content", "not_allowed", "This channel sends texts only."))
        encoding, segments, _, _ = count_text(body, config) if data.text is not None else BINARY_COUNT
        if segments > MAX_SEGMENTS:
            errors.append(
                FieldError(
                    "/text",
                    "too_long",
                    f"The text needs {segments} segments in {encoding}; {MAX_SEGMENTS} is the limit.",
                )
            )
        metadata = _encode_json(data.metadata)
        if len(metadata) > MAX_METADATA_BYTES:
            errors.append(FieldError("/metadata", "too_long", f"metadata may take {MAX_METADATA_BYTES} bytes."))
        elif b"\\u0000" in metadata:
            errors.append(FieldError("/metadata", "not_allowed", "NUL characters cannot be stored."))
        if data.sender is not None and not data.sender.isprintable():
            errors.append(FieldError("/from", "not_allowed", "The sender holds control characters."))
        if errors or channel is None:
            raise InvalidValue.of(errors)
        return channel, NewMessage(
            self._new_id(),
            self._scope.account_id,
            channel.id,
            data.lane or lane,
            to,
            data.sender if data.sender is not None else channel.default_from,
            body,
            encoding,
            segments,
            data.validity_seconds,
            metadata,
            self._clock(),
            None if options == NO_OPTIONS else encode(options),
        )


def check_recipient(value: str, errors: list[FieldError], country: str | None = None) -> str:
    """The recipient in E.164 (ITU-T E.164 §6), or `value` and an error.

    A number without a plus is one of `country` (ISO 3166-1), written as people there dial it; without a country only
    international numbers are read.
    """
    try:
        if _E164.fullmatch(value):
            if phonenumbers.is_possible_number(phonenumbers.parse(value, None)):
                return value
        elif country is not None and _NATIONAL.fullmatch(value):
            number = phonenumbers.parse(value, country)
            if phonenumbers.is_possible_number(number):
                return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    except phonenumbers.NumberParseException:
        pass
    if country is None:
        detail = "The recipient must be an international number such as +251911000100."
    else:
        detail = f"The recipient must be an international number such as +251911000100, or a number of {country}."
    errors.append(FieldError("/to", "not_e164", detail))
    return value


def check_text(value: str, errors: list[FieldError]) -> str:
    """The text in NFC; NUL, which no database and no operator takes, adds an error."""
    if "\0" in value:
        errors.append(FieldError("/text", "not_allowed", "The text holds a NUL character."))
    if value.isascii() or unicodedata.is_normalized("NFC", value):
        return value
    return unicodedata.normalize("NFC", value)


def _attempt_out(message: Message, attempt: Row[Any]) -> AttemptOut:
    shown = AttemptOut(*attempt)
    if shown.outcome is None and message.sent_at is not None:
        # Successful attempts are not written twice: the message itself says when the provider took it.
        shown.outcome, shown.ended_at = "sent", message.sent_at
    return shown


def _accepted(message: NewMessage, data: MessageCreate) -> MessageOut:
    return MessageOut(
        id=message.id,
        account_id=message.account_id,
        channel_id=message.channel_id,
        contact_id=None,
        direction="outbound",
        to=message.to,
        sender=message.sender,
        text=message.text,
        status="queued",
        lane=message.lane.value,
        encoding=message.encoding,
        segments=message.segments,
        validity_seconds=message.validity_seconds,
        error=None,
        content=data.content,
        metadata=data.metadata,
        created_at=message.created_at,
        updated_at=message.created_at,
        sent_at=None,
        delivered_at=None,
    )
