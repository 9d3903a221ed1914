"""Writing many contacts at once, matched by their addresses."""

from collections.abc import Collection, Iterator, Sequence, Set
from typing import Any, Literal, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.attributes import AttributeService, infer_type
from app.domain.contacts.consent import consent_of
from app.domain.contacts.drafts import Draft, Fate, Written
from app.domain.contacts.events import changed_fields, contact_created, contact_updated
from app.domain.contacts.groups import hold_groups
from app.domain.contacts.schemas import MAX_ADDRESSES, MAX_ATTRIBUTES, MAX_TAGS
from app.domain.contacts.stores.contract import Address, AddressKey, Amendment, Contact, ContactStore, Replacement
from app.domain.events.schemas import NewEvent
from app.domain.events.service import record_events
from app.lib.clock import Clock
from app.lib.ids import NewId
from app.lib.versions import changed_at

T = TypeVar("T")

OnMatch = Literal["update", "skip"]

ATTEMPTS = 5
"""How often contacts are read and written before it is given up that others keep changing them."""

_MOST = 5_000
_OWN_FIELDS = ("first_name", "last_name", "language", "timezone", "status", "notes")


class ContactWriter:
    """Writes the contacts of one account, inside one unit of work."""

    def __init__(
        self, store: ContactStore, session: AsyncSession, account_id: UUID, *, clock: Clock, new_id: NewId
    ) -> None:
        self._store = store
        self._session = session
        self._account_id = account_id
        self._clock = clock
        self._new_id = new_id
        self._attributes = AttributeService(session, account_id, clock=clock, new_id=new_id)

    async def upsert(self, drafts: Sequence[Draft], on_match: OnMatch, announce: bool = True) -> list[Written]:
        """Create contacts, or add to those that have one of the addresses; what became of each draft, in their order.

        At most 1,000 drafts. Of those that are about one contact each sees what the ones before it did. A draft without
        addresses is a new contact. Attributes that nobody has defined are defined by their values; groups that are gone
        are passed over. With `announce` there are events of what was created and updated. Raises `Conflict`
        (`too_many_attributes`).
        """
        values = {key: value for draft in drafts for key, value in draft.attributes.items() if value is not None}
        await self._attributes.define_missing({key: infer_type(value) for key, value in values.items()})
        groups = await hold_groups(self._session, self._account_id, {each for draft in drafts for each in draft.groups})
        addresses = {each for draft in drafts for each in draft.addresses}
        consent = await consent_of(self._session, self._account_id, addresses)
        made = _Wishes(drafts, on_match, groups, consent, self._account_id, self._new_id)
        written: dict[int, Written] = {}
        pending: Collection[int] = range(len(drafts))
        for _ in range(ATTEMPTS):
            plan = await self._plan(made, pending)
            refused = await self._carry_out(plan, announce)
            written |= plan.written
            # Whatever these drafts met is not what it was: they are looked at again.
            pending = sorted(index for index, met in plan.met.items() if not refused.isdisjoint(met))
            if not pending:
                break
        return [Written(Fate.BUSY, None) if index in pending else written[index] for index in range(len(drafts))]

    async def _plan(self, wishes: "_Wishes", pending: Collection[int]) -> "_Plan":
        keys = {key for index in pending for key in wishes.drafts[index].addresses}
        owners: dict[AddressKey, UUID] = {}
        for some in _chunks(keys):
            owners |= await self._store.owners(some)
        there: dict[UUID, Contact] = {}
        for ids in _chunks(set(owners.values())):
            there |= await self._store.get(ids)
        plan = _Plan(there, {key: owner for key, owner in owners.items() if owner in there})
        for index in sorted(pending):
            plan.add(index, wishes, self._clock)
        return plan

    async def _carry_out(self, plan: "_Plan", announce: bool) -> Set[UUID]:
        """Write what was planned; the contacts that were refused."""
        now = self._clock()
        created = [plan.now[contact_id] for contact_id in plan.created]
        changed = [
            Replacement(before, msgspec.structs.replace(after, updated_at=changed_at(now, before.updated_at)))
            for contact_id, before in plan.before.items()
            if _stored(after := plan.now[contact_id]) != _stored(before)
        ]
        refused: set[UUID] = set(await self._store.insert(created)) if created else set()
        if changed:
            refused |= (await self._store.replace(changed)).keys()
        joining: dict[tuple[UUID, ...], list[UUID]] = {}
        events: list[NewEvent] = []
        for contact_id, after in plan.now.items():
            if contact_id in refused:
                continue
            known = plan.before.get(contact_id)
            joined = after.groups if known is None else tuple(sorted(set(after.groups) - set(known.groups)))
            if joined:
                joining.setdefault(joined, []).append(contact_id)
            if known is None:
                events.append(contact_created(after))
            elif fields := changed_fields(known, after):
                events.append(contact_updated(self._account_id, contact_id, fields))
        for groups, ids in joining.items():
            await self._store.amend(ids, Amendment(join_groups=groups), now)
        if announce:
            await record_events(self._session, events, self._new_id)
        return refused


class _Wishes(msgspec.Struct, frozen=True):
    """What is wanted: the same in every attempt."""

    drafts: Sequence[Draft]
    on_match: OnMatch
    groups: Set[UUID]
    consent: dict[AddressKey, tuple[str, ...]]
    account_id: UUID
    new_id: NewId


class _Plan:
    """What the drafts make of the contacts that there are.

    `before` holds the contacts that were met, `now` what has become of them and of the `created` ones; `met` says which
    of them each draft depended on.
    """

    def __init__(self, there: dict[UUID, Contact], owners: dict[AddressKey, UUID]) -> None:
        self.before = there
        self.now = dict(there)
        self.created: list[UUID] = []
        self.written: dict[int, Written] = {}
        self.met: dict[int, Set[UUID]] = {}
        self._owners = owners

    def add(self, index: int, wishes: _Wishes, clock: Clock) -> None:
        """Do what a draft says, after all those before it."""
        draft = wishes.drafts[index]
        owners = {owner for key in draft.addresses if (owner := self._owners.get(key)) is not None}
        self.met[index] = owners
        if len(owners) > 1:
            self.written[index] = Written(Fate.TAKEN, None)
            return
        if not owners:
            contact_id, at = wishes.new_id(), clock()
            new = Contact(id=contact_id, account_id=wishes.account_id, created_at=at, updated_at=at)
            self._become(index, draft, add_draft(new, draft, wishes.groups, wishes.consent), Fate.CREATED)
            return
        (contact_id,) = owners
        if wishes.on_match == "skip":
            self.written[index] = Written(Fate.SKIPPED, contact_id)
            return
        contact = self.now[contact_id]
        after = add_draft(contact, draft, wishes.groups, wishes.consent)
        self._become(index, draft, after, Fate.UNCHANGED if after == contact else Fate.UPDATED)

    def _become(self, index: int, draft: Draft, after: Contact, fate: Fate) -> None:
        if is_overfull(after):
            self.written[index] = Written(Fate.FULL, None if fate is Fate.CREATED else after.id)
            return
        if fate is Fate.CREATED:
            self.created.append(after.id)
            self.met[index] = {after.id}
        self.now[after.id] = after
        self._owners |= dict.fromkeys(draft.addresses, after.id)
        self.written[index] = Written(fate, after.id)


def add_draft(
    contact: Contact, draft: Draft, groups: Collection[UUID], consent: dict[AddressKey, tuple[str, ...]]
) -> Contact:
    """The contact with what the draft adds to it; of its groups those in `groups`. `updated_at` stays as it is."""
    changes: dict[str, Any] = {name: value for name in _OWN_FIELDS if (value := getattr(draft, name)) is not None}
    known = {address.key for address in contact.addresses}
    added = [key for key in dict.fromkeys(draft.addresses) if key not in known]
    if added:
        new = (Address(key.type, key.value, consent.get(key, ())) for key in added)
        changes["addresses"] = (*contact.addresses, *new)
    if draft.tags:
        changes["tags"] = tuple(sorted({*contact.tags, *draft.tags}))
    if draft.attributes:
        both = contact.attributes | draft.attributes
        changes["attributes"] = {key: value for key, value in both.items() if value is not None}
    if draft.groups:
        changes["groups"] = tuple(sorted({*contact.groups, *(each for each in draft.groups if each in groups)}))
    return msgspec.structs.replace(contact, **changes)


def is_overfull(contact: Contact) -> bool:
    """Whether it has more of something than one contact may have."""
    return (
        len(contact.addresses) > MAX_ADDRESSES
        or len(contact.tags) > MAX_TAGS
        or len(contact.attributes) > MAX_ATTRIBUTES
    )


def _stored(contact: Contact) -> Contact:
    """What of it `replace` writes."""
    return msgspec.structs.replace(contact, groups=())


def _chunks(values: Set[T]) -> Iterator[list[T]]:
    some = list(values)
    for start in range(0, len(some), _MOST):
        yield some[start : start + _MOST]
