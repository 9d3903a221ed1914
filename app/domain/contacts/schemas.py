"""What goes in and out about contacts."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.domain.contacts.addresses import MAX_ADDRESS_LENGTH
from app.domain.contacts.stores.contract import AddressType, ContactStatus
from app.domain.identity.accounts.settings import Language, TimeZone
from app.lib.pagination import DEFAULT_LIMIT, MAX_LIMIT

MAX_ADDRESSES = 50
MAX_TAGS = 100
MAX_ATTRIBUTES = 100
MAX_GROUPS = 1_000
"""Groups that one request puts a contact into; more are joined through the groups."""

MAX_NOTES = 10_000
MAX_MEMBERS = 1_000

_LINE = r"^[^\x00-\x1f\x7f]*$(?!\n)"

PersonName = Annotated[str, Meta(max_length=200, pattern=_LINE)]
Notes = Annotated[str, Meta(max_length=MAX_NOTES, pattern=r"^[^\x00]*\Z", description="Whatever is to be remembered.")]
Tag = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^(?=.*\S)[^\x00-\x1f\x7f]*$(?!\n)")]
Tags = Annotated[list[Tag], Meta(max_length=MAX_TAGS, description="Words of your own, each once.", examples=[["vip"]])]
AddressText = Annotated[str, Meta(min_length=1, max_length=MAX_ADDRESS_LENGTH)]
Phone = Annotated[
    AddressText,
    Meta(
        description="The primary address of type `phone`: international, or a number of the account's country.",
        examples=["+251911000001"],
    ),
]
Email = Annotated[AddressText, Meta(description="The primary address of type `email`.", examples=["abebe@example.com"])]
AttributeKey = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$(?!\n)", max_length=64)]
Attributes = Annotated[
    dict[str, Any],
    Meta(
        max_length=MAX_ATTRIBUTES,
        description=(
            "Values of custom attributes, by key: `^[a-z][a-z0-9_]{0,63}$`. One that nobody has defined is defined by "
            "its first value."
        ),
        examples=[{"city": "Addis Ababa"}],
    ),
]
GroupIds = Annotated[list[UUID], Meta(max_length=MAX_GROUPS, description="Ids of the groups the contact is in.")]


class NewContactAddress(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A way to reach a contact. `primary` puts it before the others of its type."""

    type: AddressType
    value: AddressText
    primary: bool = False


Addresses = Annotated[
    list[NewContactAddress], Meta(max_length=MAX_ADDRESSES, description="In the order of preference, each once.")
]


class ContactCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new contact; every field may be left out. `phone` and `email` are addresses as well."""

    first_name: PersonName | None = None
    last_name: PersonName | None = None
    language: Language | None = None
    timezone: TimeZone | None = None
    phone: Phone | None = None
    email: Email | None = None
    addresses: Addresses | None = None
    tags: Tags | None = None
    attributes: Attributes | None = None
    groups: GroupIds | None = None
    status: ContactStatus = ContactStatus.ACTIVE
    notes: Notes | None = None


class ContactPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change (JSON merge patch): `attributes` are merged by key, lists are replaced whole, null clears.

    `phone` and `email` replace the primary address of their type, or move one that is there to the front; null removes
    all of the type. They come after `addresses`. Null is read for the status, so that its refusal can say so.
    """

    first_name: PersonName | UnsetType | None = UNSET
    last_name: PersonName | UnsetType | None = UNSET
    language: Language | UnsetType | None = UNSET
    timezone: TimeZone | UnsetType | None = UNSET
    phone: Phone | UnsetType | None = UNSET
    email: Email | UnsetType | None = UNSET
    addresses: Addresses | UnsetType | None = UNSET
    tags: Tags | UnsetType | None = UNSET
    attributes: Attributes | UnsetType | None = UNSET
    groups: GroupIds | UnsetType | None = UNSET
    status: ContactStatus | UnsetType | None = UNSET
    notes: Notes | UnsetType | None = UNSET


CLEARABLE = tuple(name for name in ContactPatch.__struct_fields__ if name != "status")
"""What null clears."""


class ContactAddressOut(msgspec.Struct, frozen=True, kw_only=True):
    """An address in its canonical form.

    `primary`: the first of its type. `opted_out`: the topics it wants nothing about, `all` for any. `last_inbound`:
    when it last wrote, by the id of the channel.
    """

    type: AddressType
    value: str
    primary: bool
    opted_out: tuple[str, ...]
    last_inbound: dict[UUID, datetime]


class ContactOut(msgspec.Struct, frozen=True, kw_only=True):
    """A contact; null for what it does not have. `phone` and `email` are the primary addresses of these types."""

    id: UUID
    account_id: UUID
    first_name: str | None
    last_name: str | None
    language: str | None
    timezone: str | None
    phone: str | None
    email: str | None
    addresses: list[ContactAddressOut]
    tags: tuple[str, ...]
    attributes: dict[str, Any]
    groups: list[UUID]
    status: ContactStatus
    notes: str | None
    last_inbound_at: datetime | None
    last_outbound_at: datetime | None
    created_at: datetime
    updated_at: datetime


Filter = Annotated[
    dict[str, Any],
    Meta(
        description=(
            "A condition `{field, op, value}`, or `and`, `or`, `not` of filters. `now-7d` is relative to now."
        ),
        examples=[{"field": "tags", "op": "contains", "value": "vip"}],
    ),
]


class ContactSearch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of a list, with a filter that no query string has room for. `include` and the others are as in lists."""

    filter: Filter | None = None
    sort: Annotated[str, Meta(max_length=100)] = "-created_at"
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT
    cursor: Annotated[str, Meta(max_length=10_000)] | None = None
    include: Annotated[str, Meta(pattern=r"^total$(?!\n)")] | None = None
