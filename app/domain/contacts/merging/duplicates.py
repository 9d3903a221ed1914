"""Contacts that are likely the same person as one contact."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.merging.aliases import current_ids
from app.domain.contacts.merging.likeness import (
    beginnings,
    full_name,
    lookups,
    reasons_for,
    score_of,
    spellings,
)
from app.domain.contacts.merging.schemas import DuplicateOut, DuplicatesOut
from app.domain.contacts.shown import shown_contacts
from app.domain.contacts.stores.contract import Contact, ContactStore
from app.domain.contacts.tenants import default_country
from app.lib.errors import NotFound
from app.lib.filters import All, Condition, Expression, Operator

MOST = 50
"""Duplicates that are shown."""

_CANDIDATES = 200
"""Contacts of the same name that are looked at."""

_MAILBOXES = 4
"""Mailboxes of which tagged addresses are looked for: that reads the e-mail addresses of the account."""


class DuplicateFinder:
    """Finds duplicates among the contacts of one account, inside one unit of work: by look-ups, without a walk."""

    def __init__(self, session: AsyncSession, store: ContactStore, account_id: UUID) -> None:
        self._session = session
        self._store = store
        self._account_id = account_id

    async def of(self, contact_id: UUID) -> DuplicatesOut:
        """Those of one contact. Raises `NotFound`."""
        contact = await self._find(contact_id)
        country = await default_country(self._session, self._account_id)
        candidates = set((await self._store.owners(lookups(contact, country))).values())
        for where in _likely(contact):
            candidates.update(await self._store.ids(where, None, _CANDIDATES))
        candidates.discard(contact.id)
        likely = []
        for other in (await self._store.get(candidates)).values():
            reasons = reasons_for(contact, other)
            if reasons:
                likely.append((score_of(reasons), other, reasons))
        likely.sort(key=lambda each: (-each[0], each[1].id))
        del likely[MOST:]
        shown = await shown_contacts(self._session, self._store, [other for _, other, _ in likely])
        return DuplicatesOut(
            [DuplicateOut(one, score, reasons) for one, (score, _, reasons) in zip(shown, likely, strict=True)]
        )

    async def _find(self, contact_id: UUID) -> Contact:
        now = (await current_ids(self._session, self._account_id, [contact_id])).get(contact_id, contact_id)
        contact = (await self._store.get([now])).get(now)
        if contact is None:
            raise NotFound("There is no such contact.")
        return contact


def _likely(contact: Contact) -> list[Expression]:
    """Filters for those whose addresses cannot be looked up; each by itself, so that an index is used."""
    found: list[Expression] = []
    if full_name(contact.first_name, contact.last_name):
        one, two = spellings(contact.first_name), spellings(contact.last_name)
        found += (
            All((Condition("first_name", Operator.IN, first), Condition("last_name", Operator.IN, last)))
            for first, last in ((one, two), (two, one))
        )
    return [*found, *(Condition("email", Operator.STARTSWITH, each) for each in beginnings(contact)[:_MAILBOXES])]
