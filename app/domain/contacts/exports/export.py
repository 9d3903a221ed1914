"""Contacts as CSV, a piece at a time: as many as there are, and no more than a batch of them in memory."""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any
from uuid import UUID

from app.domain.contacts.fields import ATTRIBUTE_PREFIX
from app.domain.contacts.stores.contract import AddressType, Contact, ContactStores
from app.lib.clock import rfc3339
from app.lib.db import Database
from app.lib.filters import Expression
from app.lib.spreadsheets import csv_bytes

BATCH = 1_000

TEXTS = ("first_name", "last_name", "language", "timezone", "status", "notes")
OWN_COLUMNS = ("id", *TEXTS, *(kind.value for kind in AddressType), "tags")
"""The columns before those of the attributes; all but `id` are named like the targets of an import."""

TIMES = ("created_at", "updated_at")


async def export_contacts(
    database: Database, stores: ContactStores, account_id: UUID, where: Expression | None, attributes: Iterable[str]
) -> AsyncIterator[bytes]:
    """The contacts that match, in the order in which they were made, with the names of the columns before them.

    Each batch is read by a transaction of its own: no connection is held while whoever reads this takes their time, and
    who is changed meanwhile is shown before or after that. Raises `Unavailable` at any point; what came before is
    complete lines.
    """
    keys = sorted(attributes)
    header = (*OWN_COLUMNS, *(f"{ATTRIBUTE_PREFIX}{key}" for key in keys), *TIMES)
    yield csv_bytes([header])
    after: UUID | None = None
    while True:
        async with database.reading(account_id) as session:
            store = stores.of(session, account_id)
            ids = await store.ids(where, after, BATCH)
            there = await store.get(ids)
        if ids:
            yield csv_bytes(_cells(there[contact_id], keys) for contact_id in ids if contact_id in there)
        if len(ids) < BATCH:
            return
        after = ids[-1]


def _cells(contact: Contact, keys: Sequence[str]) -> list[str]:
    by_type: dict[AddressType, list[str]] = {}
    for address in contact.addresses:
        by_type.setdefault(address.type, []).append(address.value)
    return [
        str(contact.id),
        *(str(getattr(contact, name)) for name in TEXTS),
        *(";".join(by_type.get(kind, ())) for kind in AddressType),
        _value(contact.tags),
        *(_value(contact.attributes.get(key)) for key in keys),
        rfc3339(contact.created_at),
        rfc3339(contact.updated_at),
    ]


def _value(value: Any) -> str:
    """A value of an attribute as an import reads it."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case list() | tuple():
            # One text that has commas in it is still one text, and not several.
            return ";".join(value) + (";" if len(value) == 1 and "," in value[0] else "")
        case _:
            return str(value)
