"""Checking what somebody asks of an import before the work begins. Nothing here commits: the unit of work does."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

import msgspec
import phonenumbers
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.attributes import KEY, AttributeService
from app.domain.contacts.fields import ATTRIBUTE_PREFIX, AttributeType
from app.domain.contacts.groups import living_groups
from app.domain.contacts.imports.encoding import ENCODINGS, canonical_encoding
from app.domain.contacts.imports.mapping import check_mapping
from app.domain.contacts.imports.schemas import ImportOptions, ImportPreviewOptions
from app.domain.contacts.tenants import default_country
from app.domain.contacts.texts import line_text
from app.lib.clock import Clock
from app.lib.errors import FieldError, InvalidValue
from app.lib.ids import NewId

POINTER = "/options"
"""Where the options are in the form."""


class ImportService:
    """Checks options for one account, inside one unit of work."""

    def __init__(self, session: AsyncSession, account_id: UUID, *, clock: Clock, new_id: NewId) -> None:
        self._session = session
        self._account_id = account_id
        self._attributes = AttributeService(session, account_id, clock=clock, new_id=new_id)

    async def checked(self, options: ImportOptions) -> ImportOptions:
        """The options with everything in its own form, and with a country where the account has one.

        Raises `InvalidValue` with a pointer to everything that is wrong.
        """
        errors = check_mapping(options.mapping, f"{POINTER}/mapping")
        encoding = await self._check_common(options, errors)
        tags = {line_text(tag, 64, f"{POINTER}/tags/{index}", errors) for index, tag in enumerate(options.tags)}
        await self._check_groups(options.group_ids, errors)
        if errors:
            raise InvalidValue.of(errors)
        return msgspec.structs.replace(
            options,
            encoding=encoding,
            tags=sorted(tags - {""}),
            group_ids=sorted(set(options.group_ids)),
            country=options.country or await default_country(self._session, self._account_id),
        )

    async def checked_preview(self, options: ImportPreviewOptions) -> ImportPreviewOptions:
        """As `checked`, of what a preview has."""
        errors = [] if options.mapping is None else check_mapping(options.mapping, f"{POINTER}/mapping")
        # A preview shows what is missing.
        errors = [error for error in errors if error.code != "no_address"]
        encoding = await self._check_common(options, errors)
        if errors:
            raise InvalidValue.of(errors)
        country = options.country or await default_country(self._session, self._account_id)
        return msgspec.structs.replace(options, encoding=encoding, country=country)

    async def definitions(self) -> dict[str, AttributeType]:
        """The types of the account's attributes."""
        return await self._attributes.definitions()

    async def _check_common(
        self, options: ImportOptions | ImportPreviewOptions, errors: list[FieldError]
    ) -> str | None:
        encoding = None
        if options.encoding is not None:
            encoding = canonical_encoding(options.encoding)
            if encoding is None:
                words = f"Encodings: {', '.join(ENCODINGS)}."
                errors.append(FieldError(f"{POINTER}/encoding", "not_allowed", words))
        if options.country is not None and options.country not in phonenumbers.SUPPORTED_REGIONS:
            words = f"{options.country!r} has no telephone numbers we know."
            errors.append(FieldError(f"{POINTER}/country", "not_a_country", words))
        _check_created(options.create_attributes, await self._attributes.definitions(), errors)
        return encoding

    async def _check_groups(self, ids: Collection[UUID], errors: list[FieldError]) -> None:
        there = await living_groups(self._session, self._account_id, set(ids))
        errors += (
            FieldError(f"{POINTER}/group_ids/{index}", "not_found", "There is no such group.")
            for index, group_id in enumerate(ids)
            if group_id not in there
        )


def _check_created(
    wanted: Mapping[str, AttributeType], there: Mapping[str, AttributeType], errors: list[FieldError]
) -> None:
    for target, kind in wanted.items():
        pointer = f"{POINTER}/create_attributes/{target.replace('~', '~0').replace('/', '~1')}"
        key = target.removeprefix(ATTRIBUTE_PREFIX)
        if not target.startswith(ATTRIBUTE_PREFIX) or not KEY.fullmatch(key):
            words = "attributes.<key> is needed, where the key has small letters, digits and _."
            errors.append(FieldError(pointer, "unknown_target", words))
        elif there.get(key, kind) is not kind:
            words = f"The attribute {key} is there already, as {there[key].value}."
            errors.append(FieldError(pointer, "not_allowed", words))


def document(options: ImportOptions) -> dict[str, Any]:
    """Checked options as the spec of a job."""
    spec: dict[str, Any] = msgspec.to_builtins(options)
    return spec
