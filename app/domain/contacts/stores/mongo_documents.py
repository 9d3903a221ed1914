"""How a contact lies in MongoDB: one document with everything of it, so that each change of a contact is atomic.

Moments are whole microseconds since 1970: BSON's own dates end at the millisecond, and `updated_at` is a version.
An address is one text, `phone:+4915112345678`, because an index over several keys of an array's elements would pair
the type of one address with the value of another. What is absent is left out and never null.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from beanie import Document
from pydantic import BaseModel, Field
from pymongo import ASCENDING, IndexModel

from app.domain.contacts.stores.contract import (
    Activity,
    Address,
    AddressKey,
    AddressType,
    Contact,
    ContactStatus,
    Recipient,
)

COLLECTION = "contacts"
SHARD_KEY = {"account_id": 1}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(moment: datetime) -> int:
    """A moment as it is stored: microseconds since 1970, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(stored: int) -> datetime:
    """The moment that `micros` made the number of."""
    return _EPOCH + timedelta(microseconds=stored)


def address_text(key: AddressKey) -> str:
    """An address as it is stored and looked up."""
    return f"{key.type}:{key.value}"


def address_key(stored: str) -> AddressKey:
    """The address that `address_text` made the text of."""
    kind, _, value = stored.partition(":")
    return AddressKey(AddressType(kind), value)


def _index(name: str, *keys: str, **options: Any) -> IndexModel:
    return IndexModel([(key, ASCENDING) for key in ("account_id", *keys)], name=name, **options)


INDEXES = [
    _index("account_id_id", "_id"),
    _index("account_id_updated_at", "updated_at", "_id"),
    _index("account_id_first_name", "first_name", "_id"),
    _index("account_id_last_name", "last_name", "_id"),
    # Who has no address is not in it: nobody's absence of an address is another's duplicate.
    _index(
        "account_id_address", "addresses.key", unique=True, partialFilterExpression={"addresses.key": {"$exists": True}}
    ),
    # With the id behind, so that the audience of a tag or group is walked in the order of ids without sorting.
    _index("account_id_tags", "tags", "_id"),
    _index("account_id_groups", "groups", "_id"),
    # Every attribute of every account, whatever its key.
    _index("account_id_attributes", "attributes.$**"),
]
"""All begin with the account, which is also the shard key: a unique index of a sharded collection has to."""


class AddressDocument(BaseModel):
    """An address: `key` is its `address_text`."""

    key: str
    opted_out: list[str]


class ActivityDocument(BaseModel):
    """What one address (`key`) did on one channel, in microseconds since 1970."""

    channel_id: UUID
    key: str
    inbound: int | None = None
    outbound: int | None = None


class StoredContact(BaseModel):
    """Of the document what a contact is read from.

    `opted_out`, `last_inbound_at` and `last_outbound_at` follow from the rest and are kept because they are asked for.
    """

    id: UUID = Field(alias="_id")
    account_id: UUID
    first_name: str
    last_name: str
    language: str
    timezone: str
    status: ContactStatus
    notes: str
    addresses: list[AddressDocument]
    tags: list[str]
    attributes: dict[str, Any]
    groups: list[UUID]
    opted_out: list[str]
    created_at: int
    updated_at: int
    last_inbound_at: int | None = None
    last_outbound_at: int | None = None

    def contact(self) -> Contact:
        """The contact that lies here."""
        return Contact(
            id=self.id,
            account_id=self.account_id,
            first_name=self.first_name,
            last_name=self.last_name,
            language=self.language,
            timezone=self.timezone,
            status=self.status,
            notes=self.notes,
            addresses=tuple(_address(each.key, each.opted_out) for each in self.addresses),
            tags=tuple(self.tags),
            attributes=self.attributes,
            created_at=moment(self.created_at),
            updated_at=moment(self.updated_at),
            groups=tuple(self.groups),
            last_inbound_at=None if self.last_inbound_at is None else moment(self.last_inbound_at),
            last_outbound_at=None if self.last_outbound_at is None else moment(self.last_outbound_at),
        )


def contact_document() -> type[Document]:
    """The whole document, as a class of its own for one database: beanie keeps the connection in the class."""

    # Document's own id is an ObjectId, or None before it is stored. Ours are made by who makes the contact.
    class ContactDocument(StoredContact, Document):  # type: ignore[misc]
        """A contact with its addresses, tags, attributes, groups and activity."""

        activity: list[ActivityDocument]

        class Settings:
            """What beanie makes the collection from."""

            name = COLLECTION
            indexes = INDEXES

    return ContactDocument


def stored_addresses(addresses: Iterable[Address]) -> list[dict[str, Any]]:
    """Addresses as they lie in a document."""
    return [{"key": address_text(each.key), "opted_out": list(each.opted_out)} for each in addresses]


def addresses_of(stored: Mapping[str, Any]) -> tuple[Address, ...]:
    """The addresses in a raw document."""
    return tuple(_address(each["key"], each["opted_out"]) for each in stored["addresses"])


def written_fields(contact: Contact) -> dict[str, Any]:
    """The part of a document that `insert` and `replace` write: neither groups nor activity."""
    return {
        "first_name": contact.first_name,
        "last_name": contact.last_name,
        "language": contact.language,
        "timezone": contact.timezone,
        "status": contact.status.value,
        "notes": contact.notes,
        "addresses": stored_addresses(contact.addresses),
        "tags": list(contact.tags),
        "attributes": contact.attributes,
        "opted_out": list(contact.opted_out),
        "updated_at": micros(contact.updated_at),
    }


def new_document(contact: Contact, account_id: UUID) -> dict[str, Any]:
    """The document of a contact that is not there yet."""
    return {
        "_id": contact.id,
        "account_id": account_id,
        "created_at": micros(contact.created_at),
        **written_fields(contact),
        "groups": [],
        "activity": [],
    }


RECIPIENT_FIELDS = ("first_name", "last_name", "language", "timezone", "status", "addresses", "attributes")


def recipient(stored: Mapping[str, Any]) -> Recipient:
    """What sending needs, from the id and the `RECIPIENT_FIELDS` of a raw document."""
    return Recipient(
        stored["_id"],
        stored["first_name"],
        stored["last_name"],
        stored["language"],
        stored["timezone"],
        ContactStatus(stored["status"]),
        addresses_of(stored),
        stored["attributes"],
    )


def activities(stored: Mapping[str, Any]) -> list[Activity]:
    """The activity in a raw document, in the order of channels and addresses."""
    found = sorted(stored["activity"], key=lambda each: (each["channel_id"], each["key"]))
    return [
        Activity(
            stored["_id"],
            each["channel_id"],
            address_key(each["key"]),
            moment(each["inbound"]) if "inbound" in each else None,
            moment(each["outbound"]) if "outbound" in each else None,
        )
        for each in found
    ]


def _address(stored: str, opted_out: list[str]) -> Address:
    key = address_key(stored)
    return Address(key.type, key.value, tuple(opted_out))
