"""What changes contacts of MongoDB without writing them whole: amendments, memberships, activity, opt state."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pymongo import UpdateOne

from app.domain.contacts.stores.contract import Activity, Address, AddressKey, Amendment, opted_out_of
from app.domain.contacts.stores.mongo_documents import address_text, addresses_of, micros, stored_addresses
from app.domain.contacts.stores.mongo_writing import Contacts, of_these, side_by_side
from app.lib.clock import Clock

Pipeline = list[dict[str, Any]]


async def amend(
    collection: Contacts, account_id: UUID, ids: Collection[UUID], amendment: Amendment, now: datetime
) -> int:
    """Change many at once; how many were changed. A tag or group both added and removed is removed."""
    pipeline = _amending(amendment, micros(now))
    if not ids or not pipeline:
        return 0
    return (await collection.update_many(of_these(account_id, ids), pipeline)).modified_count


def _amending(amendment: Amendment, now: int) -> Pipeline:
    """The change as a pipeline: what it leaves as it was does not count as modified."""
    values: dict[str, Any] = {}
    changes: list[Any] = []
    if amendment.add_tags or amendment.remove_tags:
        values["tags"] = _set_of("$tags", amendment.add_tags, amendment.remove_tags)
        changes.append({"$ne": ["$tags", values["tags"]]})
    if amendment.status is not None:
        values["status"] = amendment.status.value
        changes.append({"$ne": ["$status", amendment.status.value]})
    for key, value in amendment.attributes.items():
        path = f"attributes.{key}"
        if value is None:
            changes.append({"$ne": [{"$type": f"${path}"}, "missing"]})
            values[path] = "$$REMOVE"
        else:
            given = {"$literal": value}
            changes.append({"$ne": [f"${path}", given]})
            # 1 and 1.0 are the same and stay what they are: that is no change.
            values[path] = {"$cond": [{"$eq": [f"${path}", given]}, f"${path}", given]}
    if changes:
        newer = {"$max": [now, {"$add": ["$updated_at", 1]}]}
        values["updated_at"] = {"$cond": [{"$or": changes}, newer, "$updated_at"]}
    if amendment.join_groups or amendment.leave_groups:
        values["groups"] = _set_of("$groups", amendment.join_groups, amendment.leave_groups)
    return [{"$set": values}] if values else []


def _set_of(path: str, added: Collection[Any], removed: Collection[Any]) -> dict[str, Any]:
    union = {"$setUnion": [path, {"$literal": list(added)}]}
    rest = {"$setDifference": [union, {"$literal": list(removed)}]}
    return {"$sortArray": {"input": rest, "sortBy": 1}}


async def drop_group(collection: Contacts, account_id: UUID, group_id: UUID, limit: int) -> int:
    """Take up to `limit` contacts out of a group; how many were taken."""
    members = {"account_id": account_id, "groups": group_id}
    found = await collection.find(members, {"_id": 1}).limit(limit).to_list()
    if not found:
        return 0
    chosen = {**of_these(account_id, [each["_id"] for each in found]), "groups": group_id}
    return (await collection.update_many(chosen, {"$pull": {"groups": group_id}})).modified_count


async def record_activity(collection: Contacts, account_id: UUID, activities: Sequence[Activity]) -> None:
    """Remember the latest of each moment; of contacts that are there, and in any order."""
    latest: defaultdict[tuple[UUID, UUID, str], dict[str, int]] = defaultdict(dict)
    for each in activities:
        known = latest[each.contact_id, each.channel_id, address_text(each.address)]
        for name, at in (("inbound", each.last_inbound_at), ("outbound", each.last_outbound_at)):
            if at is not None:
                known[name] = max(known.get(name, 0), micros(at))
    updates: list[UpdateOne] = []
    for (contact_id, channel_id, key), moments in latest.items():
        contact = {"account_id": account_id, "_id": contact_id}
        entry = {"channel_id": channel_id, "key": key}
        overall = {f"last_{name}_at": at for name, at in moments.items()}
        # In this order: whoever adds the entry first, nobody's moment is lost.
        updates.append(
            UpdateOne(
                {**contact, "activity": {"$not": {"$elemMatch": entry}}},
                {"$push": {"activity": entry | moments}},
            )
        )
        if moments:
            latest_of = {f"activity.$.{name}": at for name, at in moments.items()}
            updates.append(UpdateOne({**contact, "activity": {"$elemMatch": entry}}, {"$max": latest_of | overall}))
    if updates:
        await collection.bulk_write(updates, ordered=True)


async def set_opted_out(
    collection: Contacts, account_id: UUID, states: Mapping[AddressKey, tuple[str, ...]], clock: Clock
) -> list[UUID]:
    """Write the topics that addresses are opted out of; the contacts whose state changed, in the order of ids."""
    changed: set[UUID] = set()
    # What was changed by others between the reading and the writing is read again.
    waiting = list(states)
    while waiting:
        found = await collection.find(
            {"account_id": account_id, "addresses.key": {"$in": [address_text(key) for key in waiting]}},
            {"addresses": 1, "updated_at": 1},
        ).to_list()
        todo = []
        for stored in found:
            before = addresses_of(stored)
            after = tuple(Address(each.type, each.value, states.get(each.key, each.opted_out)) for each in before)
            if after != before:
                todo.append((stored, after))
        written = await side_by_side(lambda each: _set_addresses(collection, account_id, *each, clock), todo)
        missed = []
        for (stored, after), done in zip(todo, written, strict=True):
            if done:
                changed.add(stored["_id"])
            else:
                missed += [each.key for each in after if each.key in states]
        waiting = missed
    return sorted(changed)


async def _set_addresses(
    collection: Contacts, account_id: UUID, stored: Mapping[str, Any], after: tuple[Address, ...], clock: Clock
) -> bool:
    """False when the contact has changed since it was read."""
    version = {"account_id": account_id, "_id": stored["_id"], "updated_at": stored["updated_at"]}
    values = {
        "addresses": stored_addresses(after),
        "opted_out": list(opted_out_of(after)),
        "updated_at": max(micros(clock()), stored["updated_at"] + 1),
    }
    return bool((await collection.update_one(version, {"$set": values})).matched_count)
