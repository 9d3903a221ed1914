"""Contacts from one store to another: every account, in the order of ids, to be gone on with from any point.

Whatever is done twice comes to the same: what is missing is added, what differs is written as the source has it, what
is alike is left alone. So it can run once while everything works and again, in a fraction of the time, when nothing
writes any more. A contact whose address another one in the target still has is put aside until its account is through.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from uuid import UUID

import msgspec

from app.domain.contacts.stores.contract import Activity, Amendment, Contact, ContactStore, Replacement
from app.lib.clock import Clock

BATCH = 1_000
IDS = 5_000

Door = Callable[[UUID], AbstractAsyncContextManager[ContactStore]]
"""Opens the store of an account in a unit of work that commits when it ends well."""


class Position(msgspec.Struct, frozen=True):
    """How far the copying is: all accounts before `account`, and of that one the contacts up to `after`.

    `refused` are contacts of `account` that were put aside, `read` is how many contacts were read so far and `written`
    how many of them were new or different.
    """

    account: UUID | None = None
    after: UUID | None = None
    refused: tuple[UUID, ...] = ()
    read: int = 0
    written: int = 0


class Difference(msgspec.Struct, frozen=True):
    """Where the two stores disagree about a contact of an account: it is `missing`, `extra` or `different`."""

    account_id: UUID
    contact_id: UUID
    what: str


SHOWN = 100


class Verdict(msgspec.Struct, frozen=True):
    """What comparing came to: contacts in the source and in the target, how many disagree, and the first of those."""

    source: int = 0
    target: int = 0
    missing: int = 0
    extra: int = 0
    different: int = 0
    shown: tuple[Difference, ...] = ()

    @property
    def alike(self) -> bool:
        """Whether there is nothing to be found."""
        return not (self.missing or self.extra or self.different)


async def occupied(target: Door, accounts: Iterable[UUID]) -> bool:
    """Whether there are contacts already."""
    for account_id in accounts:
        async with target(account_id) as store:
            if await store.ids(None, None, 1):
                return True
    return False


async def copy(
    source: Door,
    target: Door,
    accounts: Sequence[UUID],
    position: Position,
    keep: Callable[[Position], None],
    clock: Clock,
) -> Position:
    """Copy from `position` on; `keep` is called with each position that has been reached.

    `accounts` are in order. Raises `Unavailable` when a database is away: go on from the last position then.
    """
    for account_id in accounts:
        if position.account is not None and account_id < position.account:
            continue
        if account_id != position.account:
            position = Position(account_id, read=position.read, written=position.written)
        while batch := await _read(source, account_id, position.after):
            async with target(account_id) as store:
                written, refused = await _write(store, batch, clock)
            position = Position(
                account_id,
                batch.contacts[-1].id,
                tuple(dict.fromkeys((*position.refused, *refused))),
                position.read + len(batch.contacts),
                position.written + written,
            )
            keep(position)
        for start in range(0, len(position.refused), BATCH):
            await _write_anew(source, target, account_id, position.refused[start : start + BATCH], clock)
        position = msgspec.structs.replace(position, refused=())
        keep(position)
    return position


class _Batch(msgspec.Struct, frozen=True):
    """Contacts in the order of ids, with their activity."""

    contacts: list[Contact]
    activity: list[Activity]


async def _read(source: Door, account_id: UUID, after: UUID | None) -> _Batch | None:
    """The next contacts; None at the end."""
    while True:
        async with source(account_id) as store:
            ids = await store.ids(None, after, BATCH)
            if not ids:
                return None
            batch = await _batch(store, ids)
        if batch.contacts:
            return batch
        after = ids[-1]  # all of them were deleted meanwhile


async def _batch(store: ContactStore, ids: Collection[UUID]) -> _Batch:
    found = await store.get(ids)
    return _Batch(sorted(found.values(), key=lambda each: each.id), await store.activity(ids))


async def _write(store: ContactStore, batch: _Batch, clock: Clock) -> tuple[int, Collection[UUID]]:
    """Bring the target's contacts to what they are in the source: how many differed, and which were refused."""
    there = await store.get([contact.id for contact in batch.contacts])
    new = [contact for contact in batch.contacts if contact.id not in there]
    stale = [
        Replacement(there[contact.id], contact)
        for contact in batch.contacts
        if contact.id in there and _own(there[contact.id]) != _own(contact)
    ]
    # First what gives addresses up.
    refused = {*await store.replace(stale), *await store.insert(new)}
    await _write_groups(store, batch.contacts, {contact_id: each.groups for contact_id, each in there.items()}, clock)
    await store.record_activity(batch.activity)
    return len(new) + len(stale), refused


async def _write_groups(
    store: ContactStore, contacts: Sequence[Contact], before: dict[UUID, tuple[UUID, ...]], clock: Clock
) -> None:
    joining: defaultdict[UUID, list[UUID]] = defaultdict(list)
    leaving: defaultdict[UUID, list[UUID]] = defaultdict(list)
    for contact in contacts:
        for group_id in set(contact.groups).difference(before.get(contact.id, ())):
            joining[group_id].append(contact.id)
        for group_id in set(before.get(contact.id, ())).difference(contact.groups):
            leaving[group_id].append(contact.id)
    for group_id, ids in sorted(joining.items()):
        await store.amend(ids, Amendment(join_groups=(group_id,)), clock())
    for group_id, ids in sorted(leaving.items()):
        await store.amend(ids, Amendment(leave_groups=(group_id,)), clock())


async def _write_anew(source: Door, target: Door, account_id: UUID, refused: Collection[UUID], clock: Clock) -> None:
    """Contacts that were in each other's way: the target's go, and those of the source come whole."""
    async with source(account_id) as store:
        batch = await _batch(store, refused)
    async with target(account_id) as store:
        await store.delete(refused)
        await _write(store, batch, clock)


def _own(contact: Contact) -> Contact:
    """What `replace` writes."""
    return msgspec.structs.replace(contact, groups=(), last_inbound_at=None, last_outbound_at=None)


async def compare(
    source: Door, target: Door, accounts: Iterable[UUID], *, whole: bool, passed: Callable[[int], None]
) -> Verdict:
    """Count and compare the ids of every account's contacts, and with `whole` everything of every contact.

    `passed` is called with the number of contacts that have been looked at.
    """
    verdict = Verdict()
    for account_id in accounts:
        async for alike, missing, extra in _side_by_side(_ids(source, account_id), _ids(target, account_id)):
            different = await _different(source, target, account_id, alike) if whole else []
            kinds = (("missing", missing), ("extra", extra), ("different", different))
            found = [Difference(account_id, each, what) for what, ids in kinds for each in ids]
            verdict = Verdict(
                verdict.source + len(alike) + len(missing),
                verdict.target + len(alike) + len(extra),
                verdict.missing + len(missing),
                verdict.extra + len(extra),
                verdict.different + len(different),
                (*verdict.shown, *found)[:SHOWN],
            )
            passed(verdict.source)
    return verdict


async def remove_extra(source: Door, target: Door, accounts: Iterable[UUID]) -> int:
    """Delete what the target has and the source has not; how many there were."""
    removed = 0
    for account_id in accounts:
        async for _, _, extra in _side_by_side(_ids(source, account_id), _ids(target, account_id)):
            for start in range(0, len(extra), BATCH):
                async with target(account_id) as store:
                    removed += len(await store.delete(extra[start : start + BATCH]))
    return removed


async def _ids(door: Door, account_id: UUID) -> AsyncIterator[list[UUID]]:
    after = None
    while True:
        async with door(account_id) as store:
            ids = await store.ids(None, after, IDS)
        if not ids:
            return
        yield ids
        after = ids[-1]


async def _side_by_side(
    here: AsyncIterator[list[UUID]], there: AsyncIterator[list[UUID]]
) -> AsyncIterator[tuple[list[UUID], list[UUID], list[UUID]]]:
    """Two walks in order as (in both, only here, only there), a stretch of ids at a time."""
    left: list[UUID] = []
    right: list[UUID] = []
    more_left = more_right = True
    while more_left or more_right:
        if more_left and not left:
            left = await anext(here, [])
            more_left = bool(left)
        if more_right and not right:
            right = await anext(there, [])
            more_right = bool(right)
        ends = [each[-1] for each in (left, right) if each]
        if not ends:
            return
        # As far as both are known: a walk that has ended is known to the end.
        end = min(ends)
        in_left = {each for each in left if each <= end}
        in_right = {each for each in right if each <= end}
        left = [each for each in left if each > end]
        right = [each for each in right if each > end]
        yield sorted(in_left & in_right), sorted(in_left - in_right), sorted(in_right - in_left)


async def _different(source: Door, target: Door, account_id: UUID, ids: Sequence[UUID]) -> list[UUID]:
    found = []
    for start in range(0, len(ids), BATCH):
        part = ids[start : start + BATCH]
        here, there = [await _everything(door, account_id, part) for door in (source, target)]
        found += [each for each in part if here.get(each) != there.get(each)]
    return found


async def _everything(
    door: Door, account_id: UUID, ids: Collection[UUID]
) -> dict[UUID, tuple[Contact, frozenset[tuple[object, ...]]]]:
    async with door(account_id) as store:
        batch = await _batch(store, ids)
    activity: defaultdict[UUID, set[tuple[object, ...]]] = defaultdict(set)
    for each in batch.activity:
        activity[each.contact_id].add(msgspec.structs.astuple(each))
    return {each.id: (each, frozenset(activity[each.id])) for each in batch.contacts}
