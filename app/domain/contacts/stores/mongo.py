"""Contacts in MongoDB. Each call is done when it returns: the caller's transaction is PostgreSQL's alone.

A contact is one document, and every change of one is one operation of the server on it, so that nothing is half done.
What changes many contacts may have changed some of them when it raises `Unavailable`; all of it can be repeated.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from beanie import SortDirection
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.stores import mongo_changes, mongo_writing
from app.domain.contacts.stores.contract import (
    Activity,
    AddressKey,
    Amendment,
    Contact,
    Recipient,
    Refusal,
    Replacement,
    Window,
)
from app.domain.contacts.stores.mongo_database import MongoDatabase
from app.domain.contacts.stores.mongo_documents import (
    RECIPIENT_FIELDS,
    StoredContact,
    activities,
    address_key,
    address_text,
    micros,
    recipient,
)
from app.domain.contacts.stores.mongo_filter import Query, compile_query
from app.lib.clock import Clock, utc_now
from app.lib.filters import Expression


class MongoContactStore:
    """The contacts of one account in MongoDB; see `ContactStore` for what each method promises."""

    def __init__(self, database: MongoDatabase, account_id: UUID, clock: Clock) -> None:
        self._database = database
        self._account_id = account_id
        self._clock = clock

    async def get(self, ids: Collection[UUID]) -> dict[UUID, Contact]:
        """Those of the contacts that there are."""
        if not ids:
            return {}
        with self._database.operation():
            documents = await self._database.documents()
            found = await documents.find(
                mongo_writing.of_these(self._account_id, ids), projection_model=StoredContact
            ).to_list()
        return {each.id: each.contact() for each in found}

    async def activity(self, ids: Collection[UUID]) -> list[Activity]:
        """What is known of their addresses' activity on each channel."""
        if not ids:
            return []
        query = mongo_writing.of_these(self._account_id, ids)
        found = await self._find(query, ("activity",), [("_id", 1)])
        return [each for stored in found for each in activities(stored)]

    async def owners(self, addresses: Collection[AddressKey]) -> dict[AddressKey, UUID]:
        """Whose addresses these are; without those that are nobody's."""
        if not addresses:
            return {}
        wanted = set(addresses)
        texts = [address_text(each) for each in wanted]
        found = await self._find({"account_id": self._account_id, "addresses.key": {"$in": texts}}, ("addresses.key",))
        return {
            key: stored["_id"]
            for stored in found
            for key in (address_key(each["key"]) for each in stored["addresses"])
            if key in wanted
        }

    async def page(self, window: Window) -> list[Contact]:
        """At most `window.limit` contacts."""
        parts = [self._matching(window.filter)]
        direction = SortDirection.DESCENDING if window.descending else SortDirection.ASCENDING
        # Ids are made in the order of time.
        keys = ["_id"] if window.sort == "created_at" else [window.sort, "_id"]
        if window.after is not None:
            parts.append(_behind(keys, window))
        with self._database.operation():
            documents = await self._database.documents()
            found = documents.find({"$and": parts}, projection_model=StoredContact)
            ordered = found.sort([(key, direction) for key in keys]).limit(window.limit)
            return [each.contact() for each in await ordered.to_list()]

    async def count(self, where: Expression | None) -> int:
        """How many match, counted now."""
        query = self._matching(where)
        with self._database.operation():
            await self._database.documents()
            return await self._database.collection.count_documents(query)

    async def recipients(self, where: Expression | None, after: UUID | None, limit: int) -> list[Recipient]:
        """The next ones that match in the order of ids after `after`."""
        return [recipient(stored) for stored in await self._walk(where, after, limit, RECIPIENT_FIELDS)]

    async def ids(self, where: Expression | None, after: UUID | None, limit: int) -> list[UUID]:
        """As `recipients`, the ids only."""
        return [stored["_id"] for stored in await self._walk(where, after, limit, ("_id",))]

    async def insert(self, contacts: Sequence[Contact]) -> frozenset[UUID]:
        """Add contacts; the ids of those that were refused."""
        with self._database.operation():
            await self._database.documents()
            return await mongo_writing.insert(self._database.collection, self._account_id, contacts)

    async def replace(self, changes: Sequence[Replacement]) -> dict[UUID, Refusal]:
        """Write contacts that were read before, each whole or not at all; the refused ones with the reason."""
        with self._database.operation():
            await self._database.documents()
            return await mongo_writing.replace(self._database.collection, self._account_id, changes)

    async def amend(self, ids: Collection[UUID], amendment: Amendment, now: datetime) -> int:
        """Change many at once; how many were changed."""
        with self._database.operation():
            await self._database.documents()
            return await mongo_changes.amend(self._database.collection, self._account_id, ids, amendment, now)

    async def delete(self, ids: Collection[UUID]) -> list[UUID]:
        """Remove contacts with everything of theirs; which of them there were."""
        with self._database.operation():
            await self._database.documents()
            return await mongo_writing.delete(self._database.collection, self._account_id, ids)

    async def group_sizes(self, group_ids: Collection[UUID]) -> dict[UUID, int]:
        """How many contacts are in each group, 0 for none."""

        async def size(group_id: UUID) -> int:
            # One by one they are counted in the index; all at once would read every contact of theirs.
            return await self._database.collection.count_documents({"account_id": self._account_id, "groups": group_id})

        wanted = list(dict.fromkeys(group_ids))
        with self._database.operation():
            await self._database.documents()
            return dict(zip(wanted, await mongo_writing.side_by_side(size, wanted), strict=True))

    async def drop_group(self, group_id: UUID, limit: int) -> int:
        """Take up to `limit` contacts out of a group; how many were taken. 0: it is empty."""
        with self._database.operation():
            await self._database.documents()
            return await mongo_changes.drop_group(self._database.collection, self._account_id, group_id, limit)

    async def record_activity(self, activities: Sequence[Activity]) -> None:
        """Remember the latest of each moment; of contacts that are there, and in any order."""
        with self._database.operation():
            await self._database.documents()
            await mongo_changes.record_activity(self._database.collection, self._account_id, activities)

    async def set_opted_out(self, states: dict[AddressKey, tuple[str, ...]]) -> list[UUID]:
        """Write the topics that addresses are opted out of; the contacts whose state changed."""
        with self._database.operation():
            await self._database.documents()
            return await mongo_changes.set_opted_out(self._database.collection, self._account_id, states, self._clock)

    async def purge(self, limit: int) -> int:
        """Remove about `limit` contacts of the account with everything of theirs; how many. 0: nothing is left."""
        with self._database.operation():
            await self._database.documents()
            return await mongo_writing.purge(self._database.collection, self._account_id, limit)

    def _matching(self, where: Expression | None) -> Query:
        mine = {"account_id": self._account_id}
        return mine if where is None else {**mine, "$and": [compile_query(where)]}

    async def _walk(
        self, where: Expression | None, after: UUID | None, limit: int, fields: Sequence[str]
    ) -> list[dict[str, Any]]:
        query = self._matching(where)
        if after is not None:
            query["_id"] = {"$gt": after}
        return await self._find(query, fields, [("_id", 1)], limit)

    async def _find(
        self, query: Query, fields: Sequence[str], sort: Sequence[tuple[str, int]] = (), limit: int = 0
    ) -> list[dict[str, Any]]:
        """Raw documents: what is read by the hundred thousand passes no models."""
        with self._database.operation():
            await self._database.documents()
            found = self._database.collection.find(query, list(fields), limit=limit)
            return await (found.sort(list(sort)) if sort else found).to_list()


def _behind(keys: Sequence[str], window: Window) -> Query:
    """What comes after `window.after` in the order of the keys, as a range of the index that has them."""
    assert window.after is not None
    value, last_id = window.after
    beyond = "$lt" if window.descending else "$gt"
    if len(keys) == 1:
        return {"_id": {beyond: last_id}}
    value = micros(value) if isinstance(value, datetime) else value
    field = keys[0]
    return {field: {f"{beyond}e": value}, "$or": [{field: {beyond: value}}, {"_id": {beyond: last_id}}]}


class MongoContactStores:
    """Contacts in a MongoDB; `database.close()` by `close`."""

    transactional = False

    def __init__(self, database: MongoDatabase, clock: Clock = utc_now) -> None:
        self.database = database
        self._clock = clock

    def of(self, session: AsyncSession, account_id: UUID) -> MongoContactStore:
        """The store of an account. What it writes does not wait for the commit of the unit of work."""
        return MongoContactStore(self.database, account_id, self._clock)

    async def owners(
        self, session: AsyncSession, addresses: Collection[tuple[UUID, AddressKey]]
    ) -> dict[tuple[UUID, AddressKey], UUID]:
        """Whose the addresses of several accounts are, asked once for each account: each may be on another shard."""
        wanted: dict[UUID, list[AddressKey]] = {}
        for account_id, key in addresses:
            wanted.setdefault(account_id, []).append(key)
        return {
            (account_id, key): contact_id
            for account_id, keys in wanted.items()
            for key, contact_id in (await self.of(session, account_id).owners(keys)).items()
        }

    async def ping(self) -> None:
        """Raises `Unavailable` unless a primary answers."""
        await self.database.ping()

    async def close(self) -> None:
        """Close the connections."""
        await self.database.close()
