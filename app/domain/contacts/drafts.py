"""A contact as somebody wants it, checked and in canonical form, and what became of the wish."""

from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from app.domain.contacts.stores.contract import AddressKey, ContactStatus


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be written of one contact; None says nothing about a field.

    Addresses, tags, groups and attributes are added to those of a contact that is there: the order of the addresses it
    has stays. None as the value of an attribute takes it away.
    """

    first_name: str | None = None
    last_name: str | None = None
    language: str | None = None
    timezone: str | None = None
    status: ContactStatus | None = None
    notes: str | None = None
    addresses: tuple[AddressKey, ...] = ()
    tags: tuple[str, ...] = ()
    attributes: dict[str, Any] = {}
    groups: tuple[UUID, ...] = ()


class Fate(StrEnum):
    """What became of a draft.

    `taken`: its addresses are those of several contacts. `full`: the contact would have more addresses, tags or
    attributes than one may have. `busy`: others kept changing it.
    """

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    TAKEN = "taken"
    FULL = "full"
    BUSY = "busy"


class Written(msgspec.Struct, frozen=True):
    """The contact that a draft became or met; None where there is not one."""

    fate: Fate
    contact_id: UUID | None
