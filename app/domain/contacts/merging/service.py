"""Making one contact of several, in one unit of work. Nothing here commits: the unit of work does.

The kept contact's addresses, tags and so on are `combine`'s doing. Whatever the store, the row of the merge comes
first, as what is intended, with everything that undoing needs. Then the merged contacts give up their addresses, the
kept one takes them, and the merged ones are deleted. Each of these steps can be repeated: where a store does not wait
for the commit, whoever finds a merge that was begun and not finished carries it out again from its row.
"""

from collections.abc import Collection, Sequence
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.consent import consent_of
from app.domain.contacts.events import changed_fields, contact_updated
from app.domain.contacts.groups import hold_groups
from app.domain.contacts.merging.aliases import add_aliases, current_ids
from app.domain.contacts.merging.combining import Snapshot, combine, is_too_much, own_fields, restored
from app.domain.contacts.merging.records import ContactMerge, MergeState
from app.domain.contacts.merging.repository import (
    MergeRepository,
    documents,
    kept_before,
    lock_merges,
    snapshots,
)
from app.domain.contacts.merging.restoring import restore
from app.domain.contacts.merging.schemas import MergeTold
from app.domain.contacts.schemas import ContactOut
from app.domain.contacts.shown import shown_contacts
from app.domain.contacts.stores.contract import Amendment, Contact, ContactStores, Replacement
from app.domain.events.service import record_events
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.schemas import Caller
from app.lib.clock import Clock
from app.lib.errors import Conflict, FieldError, InvalidValue, NotFound
from app.lib.ids import NewId
from app.lib.versions import changed_at, check_version

ATTEMPTS = 20
"""How often a merge is tried while others keep changing its contacts."""


class MergeService:
    """Merges contacts of one account, inside one unit of work.

    `carry_out` does in one transaction what `begin` wrote down; where the store is not transactional, `begin` is to be
    committed before.
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
        caller: Caller | None = None,
    ) -> None:
        self._session = session
        self._store = stores.of(session, account_id)
        self._transactional = stores.transactional
        self._account_id = account_id
        self._merges = MergeRepository(session, account_id)
        self._audit = audit
        self._clock = clock
        self._new_id = new_id
        self._caller = caller

    async def begin(
        self, contact_id: UUID, contact_ids: Sequence[UUID], if_match: Collection[str] | None = None
    ) -> UUID | None:
        """Check everything and write down what is to be done; None when all of it was done before.

        Raises `NotFound` for a contact that there is not, `InvalidValue` with pointers for others, `PreconditionFailed`
        by `if_match`, and `Conflict` (`contact_full`) when one contact cannot have all that they have together.
        """
        await lock_merges(self._session, self._account_id)
        there = await self._hold({contact_id, *contact_ids})
        kept = there.get(contact_id)
        if kept is None:
            raise NotFound("There is no such contact.")
        check_version(kept.updated_at, if_match, "contact")
        merged = await self._merged(kept, contact_ids, there)
        if not merged:
            return None
        if is_too_much(combine(kept, merged)):
            raise Conflict("Together they have more than one contact may have.", code="contact_full")
        now, caller = self._clock(), self._caller
        before, others = documents(kept, [Snapshot(each) for each in merged])
        merge = ContactMerge(
            id=self._new_id(),
            account_id=self._account_id,
            contact_id=contact_id,
            merged_ids=[each.id for each in merged],
            state=MergeState.RUNNING.value,
            kept_before=before,
            merged=others,
            created_by_type="system" if caller is None else "api_key" if caller.api_key_id else "user",
            created_by=None if caller is None else caller.api_key_id or caller.user_id,
            undone_at=None,
            created_at=now,
            updated_at=now,
        )
        await self._merges.add(merge)
        return merge.id

    async def carry_out(self, merge_id: UUID) -> bool:
        """Do what was begun, or what is left of it; whether it is done.

        Where the kept contact is gone meanwhile, the others are what they were, and the merge is forgotten. Raises
        `Conflict` (`contact_busy`).
        """
        await lock_merges(self._session, self._account_id)
        merge = await self._merges.find(merge_id, for_update=True)
        if merge is None:
            return False
        if merge.state != MergeState.RUNNING:
            return True
        known = {each.contact.id: each.contact for each in snapshots(merge)}
        consent = await consent_of(
            self._session, self._account_id, {each.key for one in known.values() for each in one.addresses}
        )
        stripped: set[UUID] = set()
        for _ in range(ATTEMPTS):
            there = await self._store.get([merge.contact_id, *known])
            before = there.get(merge.contact_id)
            if before is None:
                await restore(self._store, [restored(each, consent) for each in known.values()], self._clock())
                await self._merges.remove(merge)
                return False
            if not await self._strip(known, there, stripped):
                continue
            after = combine(before, [restored(each, consent) for each in known.values()])
            after = await self._without_foreign(before, after)
            if own_fields(after) != own_fields(before):
                version = changed_at(self._clock(), before.updated_at)
                after = msgspec.structs.replace(after, updated_at=version)
                if await self._store.replace([Replacement(before, after)]):
                    continue
            await self._finish(merge, before, after, known)
            return True
        raise Conflict("Others keep changing these contacts; try again.", code="contact_busy")

    async def shown(self, contact_id: UUID) -> ContactOut:
        """The contact as its own route shows it. Raises `NotFound`."""
        contact = (await self._store.get([contact_id])).get(contact_id)
        if contact is None:
            raise NotFound("There is no such contact.")
        return (await shown_contacts(self._session, self._store, [contact]))[0]

    async def _hold(self, ids: Collection[UUID]) -> dict[UUID, Contact]:
        """The contacts; where the store can, nobody else changes them until the unit of work ends."""
        there = await self._store.get(ids)
        # The order of locks: groups, consent, then contacts.
        groups = {group for contact in there.values() for group in contact.groups}
        await hold_groups(self._session, self._account_id, groups)
        addresses = {each.key for contact in there.values() for each in contact.addresses}
        await consent_of(self._session, self._account_id, addresses)
        if self._transactional:
            # Changes nothing, and locks all of them in the order in which everybody else does.
            await self._store.amend(ids, Amendment(), self._clock())
            there = await self._store.get(ids)
        return there

    async def _merged(self, kept: Contact, contact_ids: Sequence[UUID], there: dict[UUID, Contact]) -> list[Contact]:
        missing = [each for each in contact_ids if each not in there]
        already = await current_ids(self._session, self._account_id, missing)
        errors = []
        for index, contact_id in enumerate(contact_ids):
            pointer = f"/contact_ids/{index}"
            if contact_id in contact_ids[:index]:
                errors.append(FieldError(pointer, "repeated", "This contact is named before."))
            elif contact_id == kept.id:
                errors.append(FieldError(pointer, "not_allowed", "A contact is not merged into itself."))
            elif contact_id not in there and already.get(contact_id) != kept.id:
                errors.append(FieldError(pointer, "not_found", "There is no such contact."))
        if errors:
            raise InvalidValue.of(errors)
        return [there[contact_id] for contact_id in contact_ids if contact_id in there]

    async def _strip(self, known: dict[UUID, Contact], there: dict[UUID, Contact], stripped: set[UUID]) -> bool:
        """Take the addresses away from the merged ones; False when somebody was faster with one of them.

        `known` becomes what they were like until then.
        """
        changes = []
        for contact_id, now in there.items():
            if contact_id not in known or contact_id in stripped:
                continue
            # Without any, in a store that does not wait for the commit: an attempt before this one took them.
            whole = self._transactional or now.addresses
            known[contact_id] = now if whole else msgspec.structs.replace(now, addresses=known[contact_id].addresses)
            # Where there are none to take away, the new version still keeps others out.
            version = changed_at(self._clock(), now.updated_at)
            changes.append(Replacement(now, msgspec.structs.replace(now, addresses=(), updated_at=version)))
        refused = await self._store.replace(changes) if changes else {}
        stripped.update(change.before.id for change in changes if change.before.id not in refused)
        return not refused

    async def _without_foreign(self, before: Contact, after: Contact) -> Contact:
        """Without addresses that somebody else was given while nobody had them."""
        own = {address.key for address in before.addresses}
        owners = await self._store.owners([each.key for each in after.addresses if each.key not in own])
        foreign = {key for key, owner in owners.items() if owner != before.id}
        kept = tuple(each for each in after.addresses if each.key not in foreign)
        return msgspec.structs.replace(after, addresses=kept)

    async def _finish(self, merge: ContactMerge, before: Contact, after: Contact, known: dict[UUID, Contact]) -> None:
        activity = await self._store.activity(list(known))
        # Only now: joining a group does not change the version.
        for contact_id, now in (await self._store.get(list(known))).items():
            known[contact_id] = msgspec.structs.replace(known[contact_id], groups=now.groups)
        groups = await hold_groups(
            self._session, self._account_id, {group for each in known.values() for group in each.groups}
        )
        joining = tuple(sorted(groups.difference(before.groups)))
        if joining:
            await self._store.amend([before.id], Amendment(join_groups=joining), self._clock())
        await self._store.record_activity([msgspec.structs.replace(each, contact_id=before.id) for each in activity])
        ordered = [
            Snapshot(known[each], [one for one in activity if one.contact_id == each] or earlier.activity)
            for each, earlier in zip(merge.merged_ids, snapshots(merge), strict=True)
        ]
        if self._transactional:
            merge.kept_before, merge.merged = documents(before, ordered)
        else:
            # The kept one may have been written by an attempt before this one.
            merge.kept_before, merge.merged = documents(kept_before(merge), ordered)
        merge.state = MergeState.DONE.value
        merge.updated_at = changed_at(self._clock(), merge.updated_at)
        await self._merges.save()
        await add_aliases(self._session, self._account_id, list(known), before.id)
        await self._store.delete(list(known))
        fields = changed_fields(before, msgspec.structs.replace(after, groups=(*before.groups, *joining)))
        if fields:
            event = contact_updated(self._account_id, before.id, fields)
            await record_events(self._session, [event], self._new_id)
        told = MergeTold(merge.id, list(merge.merged_ids))
        await self._audit.record(self._account_id, "merged", "contact", before.id, after=told)
