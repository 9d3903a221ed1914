"""Lists of contacts: what they can be filtered and sorted by, and their pages."""

from collections.abc import Mapping
from datetime import datetime

import msgspec
from sqlalchemy import column
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.fields import CONTACT_FIELDS
from app.domain.contacts.schemas import ContactOut
from app.domain.contacts.shown import shown_contacts
from app.domain.contacts.stores.contract import ContactStore, Window
from app.lib.errors import Malformed
from app.lib.filters import Expression, FilterField
from app.lib.pagination import Listing, ListQuery, Page, Sort, cursor_after

LISTING = Listing(
    # Stores have columns of their own: nothing is compiled from these.
    id_column=column("id"),
    fields=CONTACT_FIELDS,
    columns={},
    sorts={
        "created_at": Sort(None, datetime),
        "updated_at": Sort(column("updated_at"), datetime),
        "first_name": Sort(column("first_name"), str),
        "last_name": Sort(column("last_name"), str),
    },
)
"""What contacts of every account can be filtered by; `listing_of` has the attributes of one account as well."""


def listing_of(fields: Mapping[str, FilterField]) -> Listing:
    """The listing of an account with these filter fields."""
    return msgspec.structs.replace(LISTING, fields=fields)


async def contact_page(
    session: AsyncSession, store: ContactStore, where: Expression | None, query: ListQuery
) -> Page[ContactOut]:
    """One page of the contacts that match `where`, which takes the place of the filter of `query`."""
    after = query.after
    if after is not None and isinstance(after[0], str) and "\0" in after[0]:
        raise Malformed("This cursor is not one of ours; start again without it.", code="bad_cursor")
    sort, descending = query.sort.removeprefix("-"), query.sort.startswith("-")
    contacts = await store.page(Window(where, query.limit + 1, sort, descending, after))
    total = await store.count(where) if query.include_total else msgspec.UNSET
    next_cursor = None
    if len(contacts) > query.limit:
        contacts = contacts[: query.limit]
        next_cursor = cursor_after(LISTING, query, contacts[-1])
    return Page(await shown_contacts(session, store, contacts), next_cursor, total)
