"""What writes whole contacts in MongoDB. The unique index decides whose an address is: the first one's."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError, DuplicateKeyError

from app.domain.contacts.stores.contract import Contact, Refusal, Replacement
from app.domain.contacts.stores.mongo_database import DUPLICATE_KEY
from app.domain.contacts.stores.mongo_documents import micros, new_document, written_fields

T = TypeVar("T")
U = TypeVar("U")

Contacts = AsyncCollection[dict[str, Any]]

AT_ONCE = 16
"""How many operations on single documents one call has under way."""


async def insert(collection: Contacts, account_id: UUID, contacts: Sequence[Contact]) -> frozenset[UUID]:
    """Add contacts; the ids of those that were refused because an address of theirs is another's."""
    if not contacts:
        return frozenset()
    try:
        # Not ordered: a refused one does not keep those behind it from being tried, in their order.
        await collection.insert_many([new_document(each, account_id) for each in contacts], ordered=False)
    except BulkWriteError as error:
        failed = _duplicates(error)
    else:
        return frozenset()
    refused = {contacts[index].id for index in failed}
    there = await existing(collection, account_id, refused)
    return frozenset(refused.difference(there))


def _duplicates(error: BulkWriteError) -> list[int]:
    """The positions of those that were duplicates; raises the error when it tells of anything else."""
    details = error.details or {}
    failures = details.get("writeErrors", [])
    if details.get("writeConcernErrors") or any(each["code"] != DUPLICATE_KEY for each in failures):
        raise error
    return [each["index"] for each in failures]


async def replace(collection: Contacts, account_id: UUID, changes: Sequence[Replacement]) -> dict[UUID, Refusal]:
    """Write contacts that were read before, each whole or not at all; the refused ones with the reason."""
    refused: dict[UUID, Refusal] = {}
    # Addresses that go from one of them to another have to be given up first. What only a circle of them keeps from
    # being written is taken.
    waiting = list(changes)
    while waiting:
        outcomes = await side_by_side(lambda change: _replace_one(collection, account_id, change), waiting)
        refused = {
            **{contact_id: why for contact_id, why in refused.items() if why is Refusal.CHANGED},
            **{change.after.id: why for change, why in zip(waiting, outcomes, strict=True) if why is not None},
        }
        taken = [change for change in waiting if refused.get(change.after.id) is Refusal.TAKEN]
        if len(taken) == len(waiting) or not _given_up(waiting, refused):
            break
        waiting = taken
    return refused


def _given_up(changes: Iterable[Replacement], refused: Collection[UUID]) -> bool:
    """Whether one that was written has an address less."""
    return any(
        {each.key for each in change.before.addresses} - {each.key for each in change.after.addresses}
        for change in changes
        if change.after.id not in refused
    )


async def _replace_one(collection: Contacts, account_id: UUID, change: Replacement) -> Refusal | None:
    version = {"account_id": account_id, "_id": change.after.id, "updated_at": micros(change.before.updated_at)}
    try:
        result = await collection.update_one(version, {"$set": written_fields(change.after)})
    except DuplicateKeyError:
        return Refusal.TAKEN
    return None if result.matched_count else Refusal.CHANGED


async def delete(collection: Contacts, account_id: UUID, ids: Collection[UUID]) -> list[UUID]:
    """Remove contacts with everything of theirs; which of them there were, in the order of ids."""
    there = await existing(collection, account_id, ids)
    if there:
        await collection.delete_many(of_these(account_id, there))
    return there


async def purge(collection: Contacts, account_id: UUID, limit: int) -> int:
    """Remove up to `limit` contacts of the account with everything of theirs; how many."""
    found = await collection.find({"account_id": account_id}, {"_id": 1}).limit(limit).to_list()
    if not found:
        return 0
    return (await collection.delete_many(of_these(account_id, [each["_id"] for each in found]))).deleted_count


async def existing(collection: Contacts, account_id: UUID, ids: Collection[UUID]) -> list[UUID]:
    """Which of the contacts there are, in the order of ids."""
    if not ids:
        return []
    found = await collection.find(of_these(account_id, ids), {"_id": 1}).sort("_id", 1).to_list()
    return [each["_id"] for each in found]


def of_these(account_id: UUID, ids: Collection[UUID]) -> dict[str, Any]:
    """The query for contacts of the account by their ids."""
    return {"account_id": account_id, "_id": {"$in": list(ids)}}


async def side_by_side(job: Callable[[T], Awaitable[U]], each: Sequence[T]) -> list[U]:
    """`job` of each, `AT_ONCE` at a time; the results in their order. The first failure ends it and is raised."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(subject: T) -> U:
        async with slots:
            return await job(subject)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(subject)) for subject in each]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    return [task.result() for task in tasks]
