"""Contacts in PostgreSQL, in the caller's own transaction."""

from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ARRAY, ColumnElement, Row, Select, Text, Uuid, any_, cast, func, literal, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.models import contacts
from app.domain.contacts.stores import postgres_changes, postgres_writing
from app.domain.contacts.stores.contract import (
    Activity,
    Address,
    AddressKey,
    AddressType,
    Amendment,
    Contact,
    ContactStatus,
    Recipient,
    Refusal,
    Replacement,
    Window,
)
from app.domain.contacts.stores.postgres_filter import compile_filter, lookups
from app.lib.filters import Expression

_ADDRESSES = msgspec.json.Decoder(tuple[Address, ...])
_ATTRIBUTES = msgspec.json.Decoder(dict[str, Any])
_STATUS = {status.value: status for status in ContactStatus}

_c = contacts.c
# JSON comes as text: msgspec reads it into what it shall be, several times faster than the driver into dicts.
_COLUMNS: tuple[ColumnElement[Any], ...] = (
    _c.id,
    _c.first_name,
    _c.last_name,
    _c.language,
    _c.timezone,
    _c.status,
    cast(_c.addresses, Text).label("addresses"),
    cast(_c.attributes, Text).label("attributes"),
)
_MORE_COLUMNS: tuple[ColumnElement[Any], ...] = (_c.notes, _c.tags, _c.created_at, _c.updated_at)

_FEW = 1000
"""Of so many contacts with a rare value each is read, which takes as long as a page of a list."""

_LOOKUPS = 3
"""So many conditions are tried whether they are rare: what is asked for first usually is."""

_FEW_CONTACTS = text(
    "SELECT few_contacts(:account_id, CAST(CAST(:parts AS text[]) AS jsonb[]), CAST(:tags AS text[]), :most)"
)
_GROUPS = text(
    """
    SELECT contact_id, array_agg(group_id ORDER BY group_id) FROM contact_group_members
    WHERE account_id = :account_id AND contact_id = ANY (CAST(:ids AS uuid[])) GROUP BY contact_id
    """
)
_LATEST = text(
    """
    SELECT contact_id, max(last_inbound_at), max(last_outbound_at) FROM contact_activity
    WHERE account_id = :account_id AND contact_id = ANY (CAST(:ids AS uuid[])) GROUP BY contact_id
    """
)
_ACTIVITY = text(
    """
    SELECT contact_id, channel_id, type, value, last_inbound_at, last_outbound_at FROM contact_activity
    WHERE account_id = :account_id AND contact_id = ANY (CAST(:ids AS uuid[]))
    ORDER BY contact_id, channel_id, type, value
    """
)
_GROUP_SIZES = text(
    """
    SELECT group_id, count(*) FROM contact_group_members
    WHERE account_id = :account_id AND group_id = ANY (CAST(:ids AS uuid[])) GROUP BY group_id
    """
)


class PostgresContactStore:
    """The contacts of one account in PostgreSQL; see `ContactStore` for what each method promises."""

    def __init__(self, session: AsyncSession, account_id: UUID) -> None:
        self._session = session
        self._account_id = account_id

    async def get(self, ids: Collection[UUID]) -> dict[UUID, Contact]:
        """Those of the contacts that there are."""
        if not ids:
            return {}
        found = await self._contacts(
            self._select(*_COLUMNS, *_MORE_COLUMNS).where(_c.id == any_(literal(list(ids), ARRAY(Uuid))))
        )
        return {contact.id: contact for contact in found}

    async def activity(self, ids: Collection[UUID]) -> list[Activity]:
        """What is known of their addresses' activity on each channel."""
        return [
            Activity(contact_id, channel_id, AddressKey(AddressType(kind), value), inbound, outbound)
            for contact_id, channel_id, kind, value, inbound, outbound in await self._of(_ACTIVITY, ids)
        ]

    async def owners(self, addresses: Collection[AddressKey]) -> dict[AddressKey, UUID]:
        """Whose addresses these are; without those that are nobody's."""
        return await postgres_writing.owners(self._session, self._account_id, addresses)

    async def page(self, window: Window) -> list[Contact]:
        """At most `window.limit` contacts."""
        statement = self._matching(window.filter, *_COLUMNS, *_MORE_COLUMNS, part=True)
        statement = await self._narrowed(statement, window.filter)
        keys = [_c.id] if window.sort == "created_at" else [_c[window.sort], _c.id]
        if window.after is not None:
            value, last_id = window.after
            left: Any = _c.id if len(keys) == 1 else tuple_(*keys)
            right: Any = last_id if len(keys) == 1 else tuple_(literal(value), literal(last_id))
            statement = statement.where(left < right if window.descending else left > right)
        order = [key.desc() if window.descending else key.asc() for key in keys]
        return await self._contacts(statement.order_by(*order).limit(window.limit))

    async def count(self, where: Expression | None) -> int:
        """How many match, counted now."""
        counted = await self._session.execute(await self._narrowed(self._matching(where, func.count()), where))
        number: int = counted.scalar_one()
        return number

    async def recipients(self, where: Expression | None, after: UUID | None, limit: int) -> list[Recipient]:
        """The next ones that match in the order of ids after `after`."""
        rows = await self._session.execute(self._walk(where, after, limit, *_COLUMNS))
        return [
            Recipient(
                contact_id,
                first_name,
                last_name,
                language,
                timezone,
                _STATUS[status],
                _ADDRESSES.decode(addresses),
                _ATTRIBUTES.decode(attributes),
            )
            for contact_id, first_name, last_name, language, timezone, status, addresses, attributes in rows
        ]

    async def ids(self, where: Expression | None, after: UUID | None, limit: int) -> list[UUID]:
        """As `recipients`, the ids only."""
        return list((await self._session.execute(self._walk(where, after, limit, _c.id))).scalars())

    async def insert(self, contacts: Sequence[Contact]) -> frozenset[UUID]:
        """Add contacts; the ids of those that were refused."""
        return await postgres_writing.insert(self._session, self._account_id, contacts)

    async def replace(self, changes: Sequence[Replacement]) -> dict[UUID, Refusal]:
        """Write contacts that were read before, each whole or not at all; the refused ones with the reason."""
        return await postgres_writing.replace(self._session, self._account_id, changes)

    async def amend(self, ids: Collection[UUID], amendment: Amendment, now: datetime) -> int:
        """Change many at once; how many were changed."""
        return await postgres_changes.amend(self._session, self._account_id, ids, amendment, now)

    async def delete(self, ids: Collection[UUID]) -> list[UUID]:
        """Remove contacts with their addresses, memberships and activity; which of them there were."""
        return await postgres_writing.delete(self._session, self._account_id, ids)

    async def group_sizes(self, group_ids: Collection[UUID]) -> dict[UUID, int]:
        """How many contacts are in each group, 0 for none."""
        sizes = dict.fromkeys(group_ids, 0)
        sizes.update((group_id, size) for group_id, size in await self._of(_GROUP_SIZES, group_ids))
        return sizes

    async def drop_group(self, group_id: UUID, limit: int) -> int:
        """Take up to `limit` contacts out of a group; how many were taken. 0: it is empty."""
        return await postgres_changes.drop_group(self._session, self._account_id, group_id, limit)

    async def record_activity(self, activities: Sequence[Activity]) -> None:
        """Remember the latest of each moment; of contacts that are there, and in any order."""
        await postgres_changes.record_activity(self._session, self._account_id, activities)

    async def set_opted_out(self, states: dict[AddressKey, tuple[str, ...]]) -> list[UUID]:
        """Write the topics that addresses are opted out of; the contacts whose state changed."""
        return await postgres_changes.set_opted_out(self._session, self._account_id, states)

    async def purge(self, limit: int) -> int:
        """Remove about `limit` contacts of the account with everything of theirs; how many. 0: nothing is left."""
        return await postgres_writing.purge(self._session, self._account_id, limit)

    def _select(self, *columns: ColumnElement[Any]) -> Select[Any]:
        return select(*columns).select_from(contacts).where(_c.account_id == self._account_id)

    def _matching(self, where: Expression | None, *columns: ColumnElement[Any], part: bool = False) -> Select[Any]:
        statement = self._select(*columns)
        return statement if where is None else statement.where(compile_filter(where, self._account_id, part=part))

    def _walk(
        self, where: Expression | None, after: UUID | None, limit: int, *columns: ColumnElement[Any]
    ) -> Select[Any]:
        statement = self._matching(where, *columns, part=True).order_by(_c.id).limit(limit)
        return statement if after is None else statement.where(_c.id > after)

    async def _narrowed(self, statement: Select[Any], where: Expression | None) -> Select[Any]:
        """The statement, looking only at the few contacts that meet one of its conditions, where there is such a one.

        The planner knows by itself, except under row-level security (see `few_contacts` in the migrations).
        """
        for lookup in islice(lookups(where), _LOOKUPS):
            values = {"account_id": self._account_id, "parts": lookup.parts, "tags": lookup.tags, "most": _FEW}
            few: list[UUID] | None = (await self._session.execute(_FEW_CONTACTS, values)).scalar_one()
            if few is not None:
                return statement.where(_c.id == any_(literal(few, ARRAY(Uuid))))
        return statement

    async def _of(self, statement: Any, ids: Collection[UUID]) -> Sequence[Row[Any]]:
        if not ids:
            return []
        return (await self._session.execute(statement, {"account_id": self._account_id, "ids": list(ids)})).all()

    async def _contacts(self, statement: Select[Any]) -> list[Contact]:
        """The rows as contacts: two more statements for all of them."""
        rows = (await self._session.execute(statement)).all()
        ids = [row.id for row in rows]
        groups = {contact_id: tuple(joined) for contact_id, joined in await self._of(_GROUPS, ids)}
        latest = {contact_id: (inbound, outbound) for contact_id, inbound, outbound in await self._of(_LATEST, ids)}
        return [self._contact(row, groups.get(row.id, ()), *latest.get(row.id, (None, None))) for row in rows]

    def _contact(
        self, row: Row[Any], groups: tuple[UUID, ...], inbound: datetime | None, outbound: datetime | None
    ) -> Contact:
        return Contact(
            id=row.id,
            account_id=self._account_id,
            first_name=row.first_name,
            last_name=row.last_name,
            language=row.language,
            timezone=row.timezone,
            status=ContactStatus(row.status),
            notes=row.notes,
            addresses=_ADDRESSES.decode(row.addresses),
            tags=tuple(row.tags),
            attributes=_ATTRIBUTES.decode(row.attributes),
            created_at=row.created_at,
            updated_at=row.updated_at,
            groups=groups,
            last_inbound_at=inbound,
            last_outbound_at=outbound,
        )


class PostgresContactStores:
    """Contacts beside everything else: each unit of work has its store, and there is nothing more to reach or close."""

    transactional = True

    def of(self, session: AsyncSession, account_id: UUID) -> PostgresContactStore:
        """The store of an account, in a unit of work that names the account."""
        return PostgresContactStore(session, account_id)

    async def owners(
        self, session: AsyncSession, addresses: Collection[tuple[UUID, AddressKey]]
    ) -> dict[tuple[UUID, AddressKey], UUID]:
        """Whose the addresses of several accounts are; without those that are nobody's."""
        return await postgres_writing.owners_across(session, addresses)

    async def ping(self) -> None:
        """The database is the one that everything needs, and asked by those who need it."""

    async def close(self) -> None:
        """It holds nothing."""
