"""Making, changing and removing single contacts, and finding them. Nothing here commits: the unit of work does."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.events import changed_fields, contact_created, contact_updated
from app.domain.contacts.filtering import ContactFilters, both
from app.domain.contacts.intake import Change, ContactIntake
from app.domain.contacts.listing import contact_page, listing_of
from app.domain.contacts.merging.aliases import current_ids
from app.domain.contacts.schemas import ContactCreate, ContactOut, ContactPatch, ContactSearch
from app.domain.contacts.shown import shown_contacts
from app.domain.contacts.stores.contract import Amendment, Contact, ContactStore, Refusal, Replacement
from app.domain.events.schemas import NewEvent
from app.domain.events.service import record_events
from app.domain.identity.audit.service import AuditTrail
from app.lib.clock import Clock
from app.lib.errors import Conflict, FieldError, NotFound
from app.lib.filters import Expression
from app.lib.ids import NewId
from app.lib.pagination import Listing, ListQuery, Page, parse_list_query
from app.lib.versions import changed_at, check_version

ATTEMPTS = 20
"""How often a change is applied to what others have made of the contact meanwhile."""


class ContactService:
    """The contacts of one account, inside one unit of work.

    Methods raise `NotFound` for a contact of another account as for none, `InvalidValue` with pointers into the body,
    and `PreconditionFailed` when `if_match` holds versions and none of them is the stored one. The audit log gets who
    did something to which contact, not what the contact is like: people can ask to be forgotten.
    """

    def __init__(
        self,
        session: AsyncSession,
        store: ContactStore,
        account_id: UUID,
        *,
        audit: AuditTrail,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._session = session
        self._store = store
        self._account_id = account_id
        self._filters = ContactFilters(session, account_id, clock=clock, new_id=new_id)
        self._intake = ContactIntake(session, account_id, clock=clock, new_id=new_id)
        self._audit = audit
        self._clock = clock
        self._new_id = new_id

    async def listing(self) -> Listing:
        """What lists of the account's contacts can be filtered and sorted by, its attributes among it."""
        return listing_of(await self._filters.fields())

    async def page(self, listing: Listing, query: ListQuery, among: Expression | None = None) -> Page[ContactOut]:
        """One page of the contacts, or of those `among` them that match; `query` was read by `listing`."""
        where = both(among, await self._filters.of_query(query.filter, listing.fields))
        return await contact_page(self._session, self._store, where, query)

    async def search(self, data: ContactSearch) -> Page[ContactOut]:
        """One page of those that match a filter. Raises `Malformed` for a sort or a cursor that is none."""
        where = None if data.filter is None else await self._filters.read(data.filter)
        given: Mapping[str, Any] = {"sort": data.sort, "limit": data.limit, "cursor": data.cursor}
        pairs = [(name, str(value)) for name, value in given.items() if value is not None]
        if data.include is not None:
            pairs.append(("include", data.include))
        return await contact_page(self._session, self._store, where, parse_list_query(pairs, listing_of({})))

    async def get(self, contact_id: UUID) -> ContactOut:
        """One contact; of one that was merged, the contact that stands for it now."""
        merged_into = await current_ids(self._session, self._account_id, [contact_id])
        return await self._shown(await self._find(merged_into.get(contact_id, contact_id)))

    async def create(self, data: ContactCreate) -> ContactOut:
        """A new contact. Raises `Conflict` (`address_taken`) when another one has an address of it."""
        sent = {name: value for name in data.__struct_fields__ if (value := getattr(data, name)) is not None}
        change = await self._intake.read(ContactPatch(**sent))
        for _ in range(ATTEMPTS):
            now = self._clock()
            new = Contact(id=self._new_id(), account_id=self._account_id, created_at=now, updated_at=now)
            contact = change.apply(new)
            await self._check_free(contact, change)
            if not await self._store.insert([contact]):
                await self._join(contact, contact.groups, ())
                await self._record("created", contact_created(contact))
                return await self._shown(await self._find(contact.id))
        raise _busy()

    async def patch(self, contact_id: UUID, data: ContactPatch, if_match: Collection[str] | None = None) -> ContactOut:
        """Change what is sent. A change of nothing keeps the version, and so do groups.

        A change is applied to what others have made of the contact meanwhile. Raises `Conflict` (`address_taken`).
        """
        # Before the body is looked at: whoever may not know of a contact learns nothing from what is wrong with it.
        await self._find(contact_id, if_match)
        change = await self._intake.read(data)
        for _ in range(ATTEMPTS):
            before = await self._find(contact_id, if_match)
            after = change.apply(before)
            fields = changed_fields(before, after)
            if not fields:
                return await self._shown(before)
            if fields != ["groups"]:
                await self._check_free(after, change)
                after = msgspec.structs.replace(after, updated_at=changed_at(self._clock(), before.updated_at))
                refused = await self._store.replace([Replacement(before, after)])
                # An address that is free by now, or a contact that has changed: another look at it.
                if refused.get(contact_id) in (Refusal.TAKEN, Refusal.CHANGED):
                    continue
            await self._join(after, set(after.groups) - set(before.groups), set(before.groups) - set(after.groups))
            await self._record("updated", contact_updated(self._account_id, contact_id, fields))
            return await self._shown(await self._find(contact_id))
        raise _busy()

    async def delete(self, contact_id: UUID, if_match: Collection[str] | None = None) -> None:
        """Remove the contact from everywhere it is kept as one; messages stay."""
        await self._find(contact_id, if_match)
        if not await self._store.delete([contact_id]):
            raise _no_contact()
        await self._audit.record(self._account_id, "deleted", "contact", contact_id)

    async def _find(self, contact_id: UUID, if_match: Collection[str] | None = None) -> Contact:
        contact = (await self._store.get([contact_id])).get(contact_id)
        if contact is None:
            raise _no_contact()
        check_version(contact.updated_at, if_match, "contact")
        return contact

    async def _shown(self, contact: Contact) -> ContactOut:
        return (await shown_contacts(self._session, self._store, [contact]))[0]

    async def _check_free(self, contact: Contact, change: Change) -> None:
        """Raises `Conflict` when an address that was sent is another contact's."""
        pointers = change.pointers
        owners = await self._store.owners(list(pointers)) if pointers else {}
        taken = [
            FieldError(pointers[key], "address_taken", f"{key.value} is an address of the contact {owner}.")
            for key, owner in owners.items()
            if owner != contact.id
        ]
        if taken:
            detail = "An address belongs to another contact; errors say which one."
            raise Conflict(detail, code="address_taken", errors=taken)

    async def _join(self, contact: Contact, joining: Collection[UUID], leaving: Collection[UUID]) -> None:
        if joining or leaving:
            amendment = Amendment(join_groups=tuple(joining), leave_groups=tuple(leaving))
            await self._store.amend([contact.id], amendment, self._clock())

    async def _record(self, action: str, event: NewEvent) -> None:
        await record_events(self._session, [event], self._new_id)
        await self._audit.record(self._account_id, action, "contact", event.subject_id)


def _no_contact() -> NotFound:
    return NotFound("There is no such contact.")


def _busy() -> Conflict:
    return Conflict("Others keep changing this contact; try again.", code="contact_busy")
