"""Contacts to test stores with.

Addresses and groups are the same in every account, so that a store that mixes accounts up is seen.
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import msgspec

from app.domain.contacts.fields import AttributeType, at, fields_with
from app.domain.contacts.stores.contract import (
    Activity,
    Address,
    AddressKey,
    AddressType,
    Amendment,
    Contact,
    ContactStatus,
    ContactStore,
    ContactStores,
    Window,
)
from app.lib.db import Database
from app.lib.filters import Expression, parse_json
from app.lib.ids import new_id

NOW = datetime(2026, 11, 26, 12, 30, 15, 123456, UTC)
HOUR = timedelta(hours=1)
ONE, TWO = UUID("0199aaaa-0000-7000-8000-0000000000a1"), UUID("0199aaaa-0000-7000-8000-0000000000a2")
"""Groups."""
SMS, CHAT = UUID("0199aaaa-0000-7000-8000-0000000000c1"), UUID("0199aaaa-0000-7000-8000-0000000000c2")
"""Channels."""
PHONE = AddressKey(AddressType.PHONE, "+251911000100")
OTHER_PHONE = AddressKey(AddressType.PHONE, "+251911000200")
THIRD_PHONE = AddressKey(AddressType.PHONE, "+251911000300")
EMAIL = AddressKey(AddressType.EMAIL, "selam@example.com")
WHATSAPP = AddressKey(AddressType.WHATSAPP, "+251911000100")
ALL_ADDRESSES = (PHONE, OTHER_PHONE, THIRD_PHONE, EMAIL, WHATSAPP)
TYPES = {
    "city": AttributeType.TEXT,
    "score": AttributeType.NUMBER,
    "member": AttributeType.BOOLEAN,
    "born": AttributeType.DATE,
    "likes": AttributeType.LIST,
}


class _Committed:
    def __init__(self, database: Database, stores: ContactStores, account_id: UUID) -> None:
        self._database, self._stores, self._account_id = database, stores, account_id

    def __getattr__(self, method: str) -> Any:
        async def call(*arguments: Any) -> Any:
            async with self._database.unit_of_work(self._account_id) as session:
                return await getattr(self._stores.of(session, self._account_id), method)(*arguments)

        return call


def committed(database: Database, stores: ContactStores, account_id: UUID) -> ContactStore:
    """The store of an account, each call in a unit of work of its own."""
    return cast(ContactStore, _Committed(database, stores, account_id))


class Account(msgspec.Struct, frozen=True):
    """An account with its store (each call a unit of work of its own), and what was put there."""

    id: UUID
    store: ContactStore
    contact_ids: tuple[UUID, ...] = ()

    def contact(self, *addresses: AddressKey | Address, **fields: Any) -> Contact:
        """A contact of the account that is not stored yet; later ones have later ids."""
        given = tuple(each if isinstance(each, Address) else Address(*each) for each in addresses)
        made = Contact(id=new_id(), account_id=self.id, addresses=given, created_at=NOW, updated_at=NOW)
        return msgspec.structs.replace(made, **fields)

    async def add(self, *addresses: AddressKey | Address, **fields: Any) -> Contact:
        """A contact that is stored."""
        made = self.contact(*addresses, **fields)
        assert await self.store.insert([made]) == frozenset()
        return made

    async def one(self, contact_id: UUID) -> Contact:
        """A contact that is there."""
        return (await self.store.get([contact_id]))[contact_id]

    async def snapshot(self, ids: Collection[UUID]) -> Any:
        """Whatever can be read of the account and of these contacts."""
        store = self.store
        return (
            await store.get(ids),
            sorted(await store.activity(ids), key=repr),
            await store.owners(ALL_ADDRESSES),
            await store.group_sizes([ONE, TWO]),
            await store.page(Window(None, 100)),
            await store.count(None),
        )


class Opened(msgspec.Struct, frozen=True):
    """Stores, the database of the units of work they are used in, and how many elements a call is tried with."""

    stores: ContactStores
    database: Database
    largest: int = 5000

    def account(self) -> Account:
        """A new account, with nothing in it."""
        account_id = new_id()
        return Account(account_id, committed(self.database, self.stores, account_id))


async def settled(account: Account) -> Account:
    """The account with two contacts in it that have everything a contact can have."""
    first = account.contact(
        *(Address(PHONE.type, PHONE.value, ("marketing",)), EMAIL, WHATSAPP),
        first_name="Selam",
        last_name="Tesfaye",
        language="am",
        timezone="Africa/Addis_Ababa",
        notes="Likes buna",
        tags=("new", "vip"),
        attributes={"city": "Adama", "score": 7, "member": True, "born": "1990-05-01", "likes": ["buna", "injera"]},
    )
    second = account.contact(OTHER_PHONE, THIRD_PHONE, first_name="Abebe", status=ContactStatus.BLOCKED, tags=("vip",))
    assert await account.store.insert([first, second]) == frozenset()
    ids = (first.id, second.id)
    assert await account.store.amend(ids, Amendment(join_groups=(ONE, TWO)), NOW) == 2
    await account.store.record_activity(
        [Activity(first.id, SMS, PHONE, NOW, NOW - HOUR), Activity(second.id, CHAT, OTHER_PHONE, NOW - HOUR, None)]
    )
    return msgspec.structs.replace(account, contact_ids=ids)


def where(field: str, value: Any, op: str = "eq") -> Expression:
    """One condition, as a client would ask it."""
    return read({"field": field, "op": op, "value": value})


def read(document: Any) -> Expression:
    """A filter, as a client would ask it, at the moment `NOW`."""
    return at(parse_json(document, fields_with(TYPES)), TYPES, NOW)


def changed(contact: Contact, **fields: Any) -> Contact:
    """The contact with other values in some fields; a tick later unless `updated_at` is given."""
    return msgspec.structs.replace(contact, **{"updated_at": contact.updated_at + timedelta(milliseconds=1)} | fields)
