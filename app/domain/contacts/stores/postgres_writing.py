"""What writes contacts in PostgreSQL: a handful of statements for however many contacts.

An address belongs to whoever's row in `contact_addresses` is first: of two transactions that add the same one, the
second waits for the first and then finds it taken. Rows are locked and addresses added in the order of their keys, so
that no two calls wait for each other.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.stores.contract import (
    Address,
    AddressKey,
    AddressType,
    Contact,
    Refusal,
    Replacement,
)

_OWNERS = text(
    """
    SELECT a.account_id, a.type, a.value, a.contact_id
    FROM unnest(CAST(:accounts AS uuid[]), CAST(:types AS text[]), CAST(:values AS text[]))
         AS k(account_id, type, value)
    JOIN contact_addresses a ON a.account_id = k.account_id AND a.type = k.type AND a.value = k.value
    """
)
_CLAIM = text(
    """
    INSERT INTO contact_addresses (account_id, type, value, contact_id)
    SELECT :account_id, k.type, k.value, k.contact_id
    FROM unnest(CAST(:types AS text[]), CAST(:values AS text[]), CAST(:ids AS uuid[])) AS k(type, value, contact_id)
    ORDER BY k.type COLLATE "C", k.value COLLATE "C"
    ON CONFLICT DO NOTHING
    RETURNING type, value
    """
)
_RELEASE = text(
    """
    DELETE FROM contact_addresses a
    USING unnest(CAST(:types AS text[]), CAST(:values AS text[]), CAST(:ids AS uuid[])) AS k(type, value, contact_id)
    WHERE a.account_id = :account_id AND a.type = k.type AND a.value = k.value AND a.contact_id = k.contact_id
    """
)
_FIND = text("SELECT id FROM contacts WHERE account_id = :account_id AND id = ANY (CAST(:ids AS uuid[]))")
_LOCK = text(
    """
    SELECT id, updated_at FROM contacts WHERE account_id = :account_id AND id = ANY (CAST(:ids AS uuid[]))
    ORDER BY id FOR NO KEY UPDATE
    """
)
_INSERT = text(
    """
    INSERT INTO contacts (id, account_id, first_name, last_name, language, timezone, status, notes, addresses, tags,
                          attributes, opted_out, created_at, updated_at)
    SELECT x.id, :account_id, x.first_name, x.last_name, x.language, x.timezone, x.status, x.notes, x.addresses, x.tags,
           x.attributes, x.opted_out, x.created_at, x.updated_at
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x (
        id uuid, first_name text, last_name text, language text, timezone text, status text, notes text,
        addresses jsonb, tags text[], attributes jsonb, opted_out text[], created_at timestamptz,
        updated_at timestamptz
    )
    ON CONFLICT (id) DO NOTHING
    """
)
_REPLACE = text(
    """
    UPDATE contacts c
    SET first_name = x.first_name, last_name = x.last_name, language = x.language, timezone = x.timezone,
        status = x.status, notes = x.notes, addresses = x.addresses, tags = x.tags, attributes = x.attributes,
        opted_out = x.opted_out, updated_at = x.updated_at
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x (
        id uuid, first_name text, last_name text, language text, timezone text, status text, notes text,
        addresses jsonb, tags text[], attributes jsonb, opted_out text[], updated_at timestamptz
    )
    WHERE c.account_id = :account_id AND c.id = x.id
    """
)


class _Stored(msgspec.Struct, frozen=True):
    """A row of `contacts`."""

    id: str
    first_name: str
    last_name: str
    language: str
    timezone: str
    status: str
    notes: str
    addresses: tuple[Address, ...]
    tags: tuple[str, ...]
    attributes: dict[str, Any]
    opted_out: tuple[str, ...]
    created_at: datetime
    updated_at: datetime


def _rows(contacts: Iterable[Contact]) -> str:
    return msgspec.json.encode(
        [
            _Stored(
                str(each.id),
                each.first_name,
                each.last_name,
                each.language,
                each.timezone,
                each.status,
                each.notes,
                each.addresses,
                each.tags,
                each.attributes,
                each.opted_out,
                each.created_at,
                each.updated_at,
            )
            for each in contacts
        ]
    ).decode()


async def owners(session: AsyncSession, account_id: UUID, addresses: Collection[AddressKey]) -> dict[AddressKey, UUID]:
    """Whose addresses these are; without those that are nobody's."""
    found = await owners_across(session, {(account_id, key) for key in addresses})
    return {key: contact_id for (_, key), contact_id in found.items()}


async def owners_across(
    session: AsyncSession, addresses: Collection[tuple[UUID, AddressKey]]
) -> dict[tuple[UUID, AddressKey], UUID]:
    """Whose the addresses of several accounts are; see `ContactStores.owners`."""
    if not addresses:
        return {}
    wanted = set(addresses)
    accounts = [account_id for account_id, _ in wanted]
    rows = await session.execute(_OWNERS, {"accounts": accounts, **columns([key for _, key in wanted])})
    return {(owner, AddressKey(AddressType(kind), value)): contact_id for owner, kind, value, contact_id in rows}


async def insert(session: AsyncSession, account_id: UUID, contacts: Sequence[Contact]) -> frozenset[UUID]:
    """Add contacts; see `ContactStore.insert`."""
    if not contacts:
        return frozenset()
    known = await _existing(session, account_id, [contact.id for contact in contacts])
    new = {contact.id: contact for contact in contacts if contact.id not in known}
    wishes = {contact.id: [address.key for address in contact.addresses] for contact in new.values()}
    refused = await _claim(session, account_id, wishes)
    if refused:
        # Somebody who repeats the same step at this very moment refuses nothing: it is the same contact.
        keys = [key for contact_id in refused for key in wishes[contact_id]]
        own = set((await owners(session, account_id, keys)).values()) & refused
        refused -= own
        for contact_id in own:
            del new[contact_id]
    rows = [contact for contact in new.values() if contact.id not in refused]
    if rows:
        await session.execute(_INSERT, {"account_id": account_id, "rows": _rows(rows)})
    return frozenset(refused)


async def replace(session: AsyncSession, account_id: UUID, changes: Sequence[Replacement]) -> dict[UUID, Refusal]:
    """Write contacts that were read before; see `ContactStore.replace`.

    An address that another of `changes` gives up is still taken.
    """
    if not changes:
        return {}
    versions = await lock(session, account_id, [change.after.id for change in changes])
    same = [change for change in changes if versions.get(change.after.id) == change.before.updated_at]
    refused = {change.after.id: Refusal.CHANGED for change in changes}
    for change in same:
        del refused[change.after.id]
    gained = {after.id: keys for before, after in same if (keys := _without(after, before))}
    for contact_id in await _claim(session, account_id, gained):
        refused[contact_id] = Refusal.TAKEN
    written = [change for change in same if change.after.id not in refused]
    lost = [(key, after.id) for before, after in written for key in _without(before, after)]
    if lost:
        await _release(session, account_id, lost)
    if written:
        rows = _rows(change.after for change in written)
        await session.execute(_REPLACE, {"account_id": account_id, "rows": rows})
    return refused


def _without(contact: Contact, other: Contact) -> list[AddressKey]:
    """The addresses of `contact` that `other` does not have."""
    keys = {address.key for address in other.addresses}
    return [address.key for address in contact.addresses if address.key not in keys]


async def _claim(session: AsyncSession, account_id: UUID, wishes: Mapping[UUID, Sequence[AddressKey]]) -> set[UUID]:
    """Make the addresses theirs, for each contact all or none; the contacts that got none.

    Where two of them wish for the same address, the first comes first; the other tries once the first was refused.
    """
    refused: set[UUID] = set()
    given: set[AddressKey] = set()
    waiting = dict(wishes)
    while waiting:
        asking: dict[UUID, Sequence[AddressKey]] = {}
        asked: set[AddressKey] = set()
        for contact_id, keys in waiting.items():
            if not given.isdisjoint(keys):
                refused.add(contact_id)
            elif asked.isdisjoint(keys):
                asking[contact_id] = keys
            asked.update(keys)
        pairs = [(key, contact_id) for contact_id, keys in asking.items() for key in keys]
        rows = await session.execute(_CLAIM, _claims(account_id, pairs)) if pairs else ()
        won = {AddressKey(AddressType(kind), value) for kind, value in rows}
        losers = {contact_id for contact_id, keys in asking.items() if not won.issuperset(keys)}
        back = [(key, contact_id) for key, contact_id in pairs if contact_id in losers and key in won]
        if back:
            await _release(session, account_id, back)
        refused |= losers
        given |= won.difference(key for key, _ in back)
        waiting = {each: keys for each, keys in waiting.items() if each not in asking and each not in refused}
    return refused


async def _release(session: AsyncSession, account_id: UUID, pairs: Sequence[tuple[AddressKey, UUID]]) -> None:
    await session.execute(_RELEASE, _claims(account_id, pairs))


def _claims(account_id: UUID, pairs: Sequence[tuple[AddressKey, UUID]]) -> dict[str, Any]:
    return {
        "account_id": account_id,
        "ids": [contact_id for _, contact_id in pairs],
        **columns(key for key, _ in pairs),
    }


def columns(keys: Iterable[AddressKey]) -> dict[str, list[str]]:
    """Addresses as the parameters `types` and `values`."""
    listed = list(keys)
    return {"types": [key.type.value for key in listed], "values": [key.value for key in listed]}


async def _existing(session: AsyncSession, account_id: UUID, ids: Collection[UUID]) -> set[UUID]:
    return set((await session.execute(_FIND, {"account_id": account_id, "ids": list(ids)})).scalars())


async def lock(session: AsyncSession, account_id: UUID, ids: Collection[UUID]) -> dict[UUID, datetime]:
    """Keep other writers from the contacts until the transaction ends; their versions, in the order of ids."""
    rows = await session.execute(_LOCK, {"account_id": account_id, "ids": list(ids)})
    return {row.id: row.updated_at for row in rows}


_DELETE = (
    text(
        """
        DELETE FROM contact_addresses a
        USING contacts c, jsonb_to_recordset(c.addresses) AS k (type text, value text)
        WHERE c.account_id = :account_id AND c.id = ANY (CAST(:ids AS uuid[]))
          AND a.account_id = :account_id AND a.type = k.type AND a.value = k.value AND a.contact_id = c.id
        """
    ),
    text(
        """
        DELETE FROM contact_group_members
        WHERE account_id = :account_id AND contact_id = ANY (CAST(:ids AS uuid[]))
        """
    ),
    text("DELETE FROM contact_activity WHERE account_id = :account_id AND contact_id = ANY (CAST(:ids AS uuid[]))"),
    text("DELETE FROM contacts WHERE account_id = :account_id AND id = ANY (CAST(:ids AS uuid[]))"),
)
# Stronger than `_LOCK`: it waits for those who record activity, which would be left otherwise.
_LOCK_WHOLE = text(
    """
    SELECT id FROM contacts WHERE account_id = :account_id AND id = ANY (CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE
    """
)
_OLDEST = text("SELECT id FROM contacts WHERE account_id = :account_id ORDER BY id LIMIT :limit")


async def delete(session: AsyncSession, account_id: UUID, ids: Collection[UUID]) -> list[UUID]:
    """Remove contacts with everything of theirs; which of them there were."""
    if not ids:
        return []
    there = list((await session.execute(_LOCK_WHOLE, {"account_id": account_id, "ids": list(ids)})).scalars())
    if there:
        for statement in _DELETE:
            await session.execute(statement, {"account_id": account_id, "ids": there})
    return there


async def purge(session: AsyncSession, account_id: UUID, limit: int) -> int:
    """Remove about `limit` contacts with everything of theirs; 0: nothing is left."""
    oldest = list((await session.execute(_OLDEST, {"account_id": account_id, "limit": limit})).scalars())
    return len(await delete(session, account_id, oldest))
