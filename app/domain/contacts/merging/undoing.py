"""Looking at merges, and making several contacts of one again. Nothing here commits: the unit of work does.

The order is that of a merge, backwards: the kept contact gives up what came from the others, these come back under
their own ids, and the row says that it is undone. Each step can be repeated.
"""

from collections.abc import Collection
from typing import Literal, cast
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.attributes import AttributeService, parse_value
from app.domain.contacts.consent import consent_of
from app.domain.contacts.events import changed_fields, contact_created, contact_updated
from app.domain.contacts.groups import hold_groups
from app.domain.contacts.merging.aliases import remove_aliases
from app.domain.contacts.merging.combining import Snapshot, own_fields, restored, take_back
from app.domain.contacts.merging.records import ContactMerge, MergeState
from app.domain.contacts.merging.repository import (
    UNDO_TIME,
    MergeRepository,
    kept_before,
    lock_merges,
    snapshots,
)
from app.domain.contacts.merging.restoring import restore
from app.domain.contacts.merging.schemas import ContactMergeOut, MergedAddressOut, MergedContactOut, MergeTold
from app.domain.contacts.stores.contract import Activity, AddressKey, Amendment, Contact, ContactStores, Replacement
from app.domain.events.schemas import NewEvent
from app.domain.events.service import record_events
from app.domain.identity.audit.service import AuditTrail
from app.domain.jobs.schemas import JobCreatorOut
from app.lib.clock import Clock
from app.lib.errors import Conflict, FieldError, NotFound
from app.lib.ids import NewId
from app.lib.pagination import ListQuery, Page
from app.lib.versions import changed_at

ATTEMPTS = 20
"""How often undoing is tried while others keep changing the kept contact."""


class UndoService:
    """The merges of one account, inside one unit of work.

    Methods raise `NotFound` for a merge of another account as for none. `carry_out` does in one transaction what
    `begin` wrote down; where the store is not transactional, `begin` is to be committed before.
    """

    def __init__(
        self,
        session: AsyncSession,
        stores: ContactStores,
        account_id: UUID,
        *,
        audit: AuditTrail,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._session = session
        self._store = stores.of(session, account_id)
        self._transactional = stores.transactional
        self._account_id = account_id
        self._merges = MergeRepository(session, account_id)
        self._attributes = AttributeService(session, account_id, clock=clock, new_id=new_id)
        self._audit = audit
        self._clock = clock
        self._new_id = new_id

    async def page(self, query: ListQuery) -> Page[ContactMergeOut]:
        """One page of the merges."""
        page = await self._merges.page(query)
        return Page([merge_out(each) for each in page.items], page.next_cursor, page.total)

    async def get(self, merge_id: UUID) -> ContactMergeOut:
        """One merge."""
        return merge_out(await self._find(merge_id))

    async def begin(self, merge_id: UUID) -> None:
        """Check that it can be undone, and write down that it is to be.

        Raises `Conflict`: `already_undone`; `too_late`, also when the person was erased; `merged_further` when later
        merges build on it (errors name them, the newest first); `address_taken` when an address is somebody else's by
        now (errors name whose); `merge_unfinished`.
        """
        await lock_merges(self._session, self._account_id)
        merge = await self._find(merge_id, for_update=True)
        match MergeState(merge.state):
            case MergeState.UNDOING:
                return
            case MergeState.UNDONE:
                raise Conflict("This merge was undone before.", code="already_undone")
            case MergeState.RUNNING:
                raise Conflict("This merge is not finished yet; try again.", code="merge_unfinished")
        if merge.merged is None or await self._merges.now() > merge.created_at + UNDO_TIME:
            raise Conflict("What the contacts were like is not known any more.", code="too_late")
        newer = await self._merges.newer(merge)
        if newer:
            errors = [FieldError("", "merged_further", f"Undo the merge {each} first.") for each in newer]
            raise Conflict("Later merges build on this one; undo them first.", code="merged_further", errors=errors)
        foreign = await self._foreign(merge, [each.contact for each in snapshots(merge)])
        if foreign:
            raise _taken(foreign)
        merge.state = MergeState.UNDOING.value
        merge.updated_at = changed_at(self._clock(), merge.updated_at)
        await self._merges.save()

    async def carry_out(self, merge_id: UUID) -> ContactMergeOut:
        """Do what was begun, or what is left of it.

        Raises `Conflict` (`contact_busy`, `address_taken`). A store that does not wait for the commit goes on without
        an address that was taken since `begin`: too much is done by then.
        """
        await lock_merges(self._session, self._account_id)
        merge = await self._find(merge_id, for_update=True)
        if merge.state != MergeState.UNDOING:
            return merge_out(merge)
        before, known = kept_before(merge), snapshots(merge)
        # The order of locks: definitions of attributes, groups, consent, then contacts.
        coming = [await self._current(each.contact) for each in known]
        groups = await hold_groups(
            self._session, self._account_id, {group for each in known for group in each.contact.groups}
        )
        consent = await consent_of(
            self._session, self._account_id, {each.key for one in known for each in one.contact.addresses}
        )
        if self._transactional:
            # Locks all of them in the order in which everybody else does.
            await self._store.amend([merge.contact_id, *merge.merged_ids], Amendment(), self._clock())
        events: list[NewEvent] = []
        for _ in range(ATTEMPTS):
            kept = (await self._store.get([merge.contact_id])).get(merge.contact_id)
            if kept is None:
                break
            after = take_back(kept, before, [each.contact for each in known])
            if own_fields(after) != own_fields(kept):
                after = msgspec.structs.replace(after, updated_at=changed_at(self._clock(), kept.updated_at))
                if await self._store.replace([Replacement(kept, after)]):
                    continue
            leaving = tuple(sorted(set(kept.groups).difference(after.groups)))
            if leaving:
                await self._store.amend([kept.id], Amendment(leave_groups=leaving), self._clock())
            if fields := changed_fields(kept, after):
                events.append(contact_updated(self._account_id, kept.id, fields))
            break
        else:
            raise _busy()
        back = await self._put_back(merge, coming, consent)
        events += [contact_created(each) for each in back]
        await self._rejoin(merge, known, back, groups)
        await remove_aliases(self._session, self._account_id, merge.merged_ids)
        merge.state = MergeState.UNDONE.value
        merge.undone_at = await self._merges.now()
        merge.updated_at = changed_at(self._clock(), merge.updated_at)
        await self._merges.save()
        await record_events(self._session, events, self._new_id)
        told = MergeTold(merge.id, list(merge.merged_ids))
        await self._audit.record(self._account_id, "unmerged", "contact", merge.contact_id, after=told)
        return merge_out(merge)

    async def _find(self, merge_id: UUID, *, for_update: bool = False) -> ContactMerge:
        merge = await self._merges.find(merge_id, for_update=for_update)
        if merge is None:
            raise NotFound("There is no such merge.")
        return merge

    async def _foreign(self, merge: ContactMerge, contacts: Collection[Contact]) -> dict[AddressKey, UUID]:
        """Addresses of the merged contacts that somebody else has by now."""
        owners = await self._store.owners({each.key for one in contacts for each in one.addresses})
        involved = {merge.contact_id, *merge.merged_ids}
        return {key: owner for key, owner in owners.items() if owner not in involved}

    async def _current(self, contact: Contact) -> Contact:
        """The contact without values of attributes that are defined no more, or otherwise."""
        types = await self._attributes.held(contact.attributes)
        values = {}
        for key, value in contact.attributes.items():
            try:
                values[key] = parse_value(types[key], value)
            except (KeyError, ValueError):
                continue
        return msgspec.structs.replace(contact, attributes={k: v for k, v in values.items() if v is not None})

    async def _put_back(
        self, merge: ContactMerge, contacts: list[Contact], consent: dict[AddressKey, tuple[str, ...]]
    ) -> list[Contact]:
        for _ in range(ATTEMPTS):
            foreign = await self._foreign(merge, contacts)
            if foreign and self._transactional:
                raise _taken(foreign)
            back = [restored(each, consent, foreign) for each in contacts]
            if not await restore(self._store, back, self._clock()):
                return back
        raise _busy()

    async def _rejoin(
        self, merge: ContactMerge, known: list[Snapshot], back: list[Contact], groups: Collection[UUID]
    ) -> None:
        """Groups and activity of those that came back; what has happened to their addresses meanwhile among it."""
        for contact in back:
            joining = tuple(each for each in contact.groups if each in groups)
            if joining:
                await self._store.amend([contact.id], Amendment(join_groups=joining), self._clock())
        owners = {address.key: contact.id for contact in back for address in contact.addresses}
        since = [
            msgspec.structs.replace(each, contact_id=owners[each.address])
            for each in await self._store.activity([merge.contact_id])
            if each.address in owners
        ]
        earlier: list[Activity] = [each for one in known for each in one.activity]
        await self._store.record_activity([*earlier, *since])


def merge_out(merge: ContactMerge) -> ContactMergeOut:
    """The row as clients see it."""
    contacts = None
    if merge.merged is not None:
        contacts = [_merged_out(each.contact) for each in snapshots(merge)]
    return ContactMergeOut(
        id=merge.id,
        account_id=merge.account_id,
        contact_id=merge.contact_id,
        merged_ids=list(merge.merged_ids),
        contacts=contacts,
        state=MergeState(merge.state),
        undo_until=merge.created_at + UNDO_TIME,
        undone_at=merge.undone_at,
        created_by=JobCreatorOut(cast(Literal["user", "api_key", "system"], merge.created_by_type), merge.created_by),
        created_at=merge.created_at,
        updated_at=merge.updated_at,
    )


def _merged_out(contact: Contact) -> MergedContactOut:
    return MergedContactOut(
        id=contact.id,
        first_name=contact.first_name or None,
        last_name=contact.last_name or None,
        addresses=[MergedAddressOut(each.type, each.value) for each in contact.addresses],
        created_at=contact.created_at,
    )


def _taken(foreign: dict[AddressKey, UUID]) -> Conflict:
    errors = [
        FieldError("", "address_taken", f"{key.value} is an address of the contact {owner}.")
        for key, owner in foreign.items()
    ]
    detail = "An address belongs to another contact by now; errors say which one."
    return Conflict(detail, code="address_taken", errors=errors)


def _busy() -> Conflict:
    return Conflict("Others keep changing this contact; try again.", code="contact_busy")
