"""Checking what a client sends about a group message: everything wrong with it is found at once."""

import re
import unicodedata
from collections.abc import Collection, Sequence
from typing import TypeVar
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.channels.directory import ChannelDirectory
from app.domain.contacts.addresses import parse_address
from app.domain.contacts.groups import living_groups
from app.domain.contacts.merging.aliases import current_ids
from app.domain.contacts.records import Segment
from app.domain.contacts.stores.contract import AddressType, ContactStore
from app.domain.contacts.texts import line_text
from app.domain.group_messages.plan import Content
from app.domain.group_messages.schemas import MAX_TAG, Audience, AudiencePart
from app.domain.messages.schemas import MAX_METADATA_BYTES
from app.domain.messages.sms import NO_OPTIONS, with_metadata
from app.domain.opt_outs.classes import class_of
from app.domain.templates.checks import checked_content
from app.domain.templates.directory import TemplateDirectory
from app.lib.db import Scope
from app.lib.errors import FieldError, InvalidValue

PartT = TypeVar("PartT", bound=AudiencePart)

_MOST_ASKED = 5_000
_SURROGATE = re.compile("[\ud800-\udfff\0]")


class GroupChecks:
    """Checks contents for one account, inside one unit of work."""

    def __init__(
        self,
        session: AsyncSession,
        store: ContactStore,
        account_id: UUID,
        channels: ChannelDirectory,
        templates: TemplateDirectory,
    ) -> None:
        self._session = session
        self._store = store
        self._account_id = account_id
        self._channels = channels
        self._templates = templates

    async def checked(self, channel_id: UUID, content: Content) -> Content:
        """The content with its addresses in canonical form. Raises `InvalidValue` with all that is wrong with it."""
        errors: list[FieldError] = []
        channel = await self._channels.get(self._account_id, channel_id)
        country, kind = None, AddressType.PHONE
        if channel is None or channel.deleted:
            errors.append(FieldError("/channel_id", "not_found", "There is no such channel in this account."))
        else:
            country, kind = channel.default_country, AddressType.of_class(class_of(channel.type))
            with_metadata(NO_OPTIONS, content.metadata, channel.config, errors)
        await self._check_text(content, errors)
        if content.audience.is_empty:
            errors.append(FieldError("/audience", "missing_field", "Nobody is meant: name groups, segments or people."))
        audience = await self._checked_audience(content.audience, kind, country, errors)
        if len(msgspec.json.encode(content.metadata)) > MAX_METADATA_BYTES:
            errors.append(FieldError("/metadata", "too_long", f"metadata may take {MAX_METADATA_BYTES} bytes."))
        errors += (
            FieldError(f"/{name}", "not_allowed", "NUL characters cannot be stored.")
            for name in ("metadata", "variables")
            if b"\\u0000" in msgspec.json.encode(getattr(content, name))
        )
        if content.sender is not None and not content.sender.isprintable():
            errors.append(FieldError("/from", "not_allowed", "The sender holds control characters."))
        quiet = content.quiet_hours
        if quiet is not None and quiet.start == quiet.end:
            errors.append(FieldError("/quiet_hours/end", "not_allowed", "start and end must differ."))
        if errors:
            raise InvalidValue.of(errors)
        text = None if content.text is None else unicodedata.normalize("NFC", content.text)
        return msgspec.structs.replace(content, audience=audience, text=text)

    async def _check_text(self, content: Content, errors: list[FieldError]) -> None:
        if (content.text is None) == (content.template_id is None):
            errors.append(FieldError("/text", "missing_field", "Send either text or template_id."))
        if content.text is not None:
            try:
                checked_content(text_fields(content))
            except InvalidValue as error:
                errors += [
                    msgspec.structs.replace(each, pointer=each.pointer.replace("/body", "/text", 1))
                    for each in error.errors
                ]
        if content.template_id is not None:
            if content.fallback is not None:
                errors.append(FieldError("/fallback", "not_allowed", "A template has fallbacks of its own."))
            if await self._templates.get(self._account_id, content.template_id) is None:
                errors.append(FieldError("/template_id", "not_found", "There is no such template in this account."))

    async def _checked_audience(
        self, audience: Audience, kind: AddressType, country: str | None, errors: list[FieldError]
    ) -> Audience:
        exclude = await self._checked_part(audience.exclude, "/audience/exclude", kind, country, errors)
        included = await self._checked_part(audience, "/audience", kind, country, errors)
        return msgspec.structs.replace(included, exclude=exclude)

    async def _checked_part(
        self, part: PartT, pointer: str, kind: AddressType, country: str | None, errors: list[FieldError]
    ) -> PartT:
        groups = await living_groups(self._session, self._account_id, set(part.group_ids))
        _missing(part.group_ids, groups, f"{pointer}/group_ids", "group", errors)
        _missing(part.segment_ids, await self._segments(part), f"{pointer}/segment_ids", "segment", errors)
        part = await with_current_contacts(self._session, self._account_id, part)
        contacts: set[UUID] = set()
        for start in range(0, len(part.contact_ids), _MOST_ASKED):
            contacts |= (await self._store.get(part.contact_ids[start : start + _MOST_ASKED])).keys()
        _missing(part.contact_ids, contacts, f"{pointer}/contact_ids", "contact", errors)
        tags = [line_text(tag, MAX_TAG, f"{pointer}/tags/{index}", errors) for index, tag in enumerate(part.tags)]
        addresses = _addresses(part.addresses, kind, country, f"{pointer}/addresses", errors)
        return msgspec.structs.replace(part, tags=tags, addresses=addresses)

    async def _segments(self, part: AudiencePart) -> set[UUID]:
        if not part.segment_ids:
            return set()
        scope = Scope(self._account_id)
        found = await self._session.execute(scope.select(Segment).where(Segment.id.in_(part.segment_ids)))
        return {segment.id for segment in found.scalars()}


async def with_current_contacts(session: AsyncSession, account_id: UUID, part: PartT) -> PartT:
    """The part of an audience with the contacts that those it names have been merged into."""
    current = await current_ids(session, account_id, part.contact_ids) if part.contact_ids else {}
    if not current:
        return part
    return msgspec.structs.replace(part, contact_ids=[current.get(each, each) for each in part.contact_ids])


def text_fields(content: Content) -> dict[str, object]:
    """The text of a content as the fields of a template."""
    fields: dict[str, object] = {"body": content.text}
    if content.fallback is not None:
        fields["fallback"] = msgspec.to_builtins(content.fallback)
    return fields


def _missing(named: Sequence[UUID], there: Collection[UUID], pointer: str, what: str, errors: list[FieldError]) -> None:
    errors += (
        FieldError(f"{pointer}/{index}", "not_found", f"There is no such {what} in this account.")
        for index, each in enumerate(named)
        if each not in there
    )


def _addresses(
    values: Sequence[str], kind: AddressType, country: str | None, pointer: str, errors: list[FieldError]
) -> list[str]:
    found: dict[str, None] = {}
    for index, value in enumerate(values):
        try:
            if _SURROGATE.search(value):
                raise ValueError("an address without NUL characters is needed")
            found[parse_address(kind, value, country).value] = None
        except ValueError as error:
            words = str(error)
            errors.append(FieldError(f"{pointer}/{index}", "not_an_address", f"{words[0].upper()}{words[1:]}."))
    return list(found)
