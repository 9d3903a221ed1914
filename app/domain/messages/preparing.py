"""Checking what a client sends about messages, and making what is stored of them."""

import re
import unicodedata
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from uuid import UUID

import msgspec
import phonenumbers

from app.domain.channels.directory import ChannelDirectory, ChannelRecord
from app.domain.contacts.filling import template_values
from app.domain.contacts.stores.contract import AddressType, Contact, ContactStatus
from app.domain.messages.content import sms_options
from app.domain.messages.events import Lane, encode
from app.domain.messages.repository import NewMessage
from app.domain.messages.schemas import MAX_METADATA_BYTES, MAX_SEGMENTS, MessageCreate
from app.domain.messages.sms import NO_OPTIONS, carries_options, count_text, with_metadata
from app.domain.opt_outs.classes import class_of
from app.domain.templates.directory import TemplateDirectory, TemplateRecord
from app.domain.templates.rendering import RenderedMessage, kind_of, refusal
from app.lib.clock import Clock
from app.lib.errors import AppError, FieldError, InvalidValue, Unavailable
from app.lib.ids import NewId
from app.lib.zones import zone_named

BINARY_COUNT = ("binary", 1, 0, 140)
"""Encoding, segments, length and room of a message that brings its data."""

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_NATIONAL = re.compile(r"\(?[0-9][0-9 ()./-]{2,30}")
_encode_json = msgspec.json.Encoder().encode

FindContacts = Callable[[Collection[UUID]], Awaitable[Mapping[UUID, Contact]]]
"""The contacts with these ids, also with ids they had before a merge; those that there are."""

Prepared = tuple[ChannelRecord, NewMessage]


class Preparation:
    """Prepares the messages of one account."""

    __slots__ = ("_account_id", "_channels", "_clock", "_find_contacts", "_new_id", "_templates")

    def __init__(
        self,
        account_id: UUID,
        channels: ChannelDirectory,
        templates: TemplateDirectory,
        find_contacts: FindContacts,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._account_id = account_id
        self._channels = channels
        self._templates = templates
        self._find_contacts = find_contacts
        self._clock = clock
        self._new_id = new_id

    async def prepare(self, wanted: Sequence[MessageCreate], lane: Lane) -> list[Prepared | AppError]:
        """Each of the messages, or what is wrong with it. `lane` is for those that do not say. Raises `Unavailable`."""
        named = {data.contact_id for data in wanted if data.contact_id is not None}
        contacts = await self._find_contacts(named) if named else {}
        prepared: list[Prepared | AppError] = []
        for data in wanted:
            try:
                prepared.append(await self._one(data, lane, contacts))
            except Unavailable:
                raise
            except AppError as error:
                prepared.append(error)
        return prepared

    async def _one(self, data: MessageCreate, lane: Lane, contacts: Mapping[UUID, Contact]) -> Prepared:
        errors: list[FieldError] = []
        channel = await self._channels.get(self._account_id, data.channel_id)
        if channel is None or channel.deleted:
            errors.append(FieldError("/channel_id", "not_found", "There is no such channel in this account."))
            channel = None
        contact = None if data.contact_id is None else contacts.get(data.contact_id)
        to = _recipient(data, contact, channel, errors)
        template = await self._template(data, errors)
        text = data.text
        if template is not None and channel is not None:
            text = _rendered(template, data, contact, channel, errors)
        body = check_text(text or "", errors)
        if text is None and data.template_id is None and (data.content is None or data.content.data is None):
            errors.append(FieldError("/text", "missing_field", "A message needs a text, or data in its content."))
        options = NO_OPTIONS if data.content is None else sms_options(data.content, text is not None, errors)
        config = None if channel is None else channel.config
        if config is not None:
            options = with_metadata(options, data.metadata, config, errors)
            if data.content is not None and not carries_options(config):
                errors.append(FieldError("/content", "not_allowed", "This channel sends texts only."))
        encoding, segments, _, _ = count_text(body, config) if text is not None else BINARY_COUNT
        if segments > MAX_SEGMENTS:
            detail = f"The text needs {segments} segments in {encoding}; {MAX_SEGMENTS} is the limit."
            errors.append(FieldError("/text", "too_long", detail))
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
            self._account_id,
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
            topic=None if data.topic is None else data.topic.value,
            contact_id=None if contact is None else contact.id,
            template_id=None if template is None else template.template_id,
            template_version=None if template is None else template.version,
        )

    async def _template(self, data: MessageCreate, errors: list[FieldError]) -> TemplateRecord | None:
        if data.template_id is None:
            if data.variables:
                errors.append(FieldError("/variables", "not_allowed", "Variables go with a template_id."))
            return None
        if data.text is not None:
            errors.append(FieldError("/text", "not_allowed", "Send either text or template_id."))
        template = await self._templates.get(self._account_id, data.template_id)
        if template is None:
            errors.append(FieldError("/template_id", "not_found", "There is no such template in this account."))
        return template


def _recipient(
    data: MessageCreate, contact: Contact | None, channel: ChannelRecord | None, errors: list[FieldError]
) -> str:
    if (data.to is None) == (data.contact_id is None):
        errors.append(FieldError("/to", "missing_field", "Send either to or contact_id."))
        return ""
    if data.to is not None:
        return check_recipient(data.to, errors, None if channel is None else channel.default_country)
    if contact is None:
        errors.append(FieldError("/contact_id", "not_found", "There is no such contact in this account."))
    elif contact.status is not ContactStatus.ACTIVE:
        detail = f"The contact is {contact.status}: nothing is sent to it."
        errors.append(FieldError("/contact_id", f"contact_{contact.status}", detail))
    elif channel is not None:
        kind = AddressType.of_class(class_of(channel.type))
        for address in contact.addresses:
            if address.type is kind:
                return address.value
        detail = f"The contact has no address of the type {kind}, which this channel would reach."
        errors.append(FieldError("/contact_id", "no_address", detail))
    return ""


def _rendered(
    template: TemplateRecord,
    data: MessageCreate,
    contact: Contact | None,
    channel: ChannelRecord,
    errors: list[FieldError],
) -> str | None:
    values = None if contact is None else template_values(contact)
    plan = template.plan(kind_of(channel.type), None if contact is None else contact.language or None)
    outcome = plan.render(
        plan.values(data.variables, values), zone_named(None if contact is None else contact.timezone)
    )
    if not isinstance(outcome, RenderedMessage):
        errors.append(refusal(outcome))
        return None
    if not outcome.text:
        errors.append(FieldError("/template_id", "empty_text", "The template makes an empty text of these values."))
    return outcome.text


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
