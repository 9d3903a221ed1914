"""Who is erased: every id and every address the person has here, under which things about them are found."""

from collections.abc import Collection
from uuid import UUID

import msgspec
import phonenumbers
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.merging.aliases import current_ids, former_ids
from app.domain.contacts.merging.records import ContactMerge
from app.domain.contacts.merging.repository import kept_before, snapshots
from app.domain.contacts.stores.contract import Address, AddressKey, AddressType, Contact, ContactStore
from app.domain.contacts.tenants import default_country
from app.lib.db import Scope

_NUMBERS = (AddressType.PHONE, AddressType.WHATSAPP)


class Person(msgspec.Struct, frozen=True):
    """`ids` are those of the contact and of all that were merged into it; `addresses` are nobody else's.

    `country` (ISO 3166-1) is the account's, None for none: numbers from there can stand in messages without its code.
    """

    ids: list[UUID]
    addresses: list[AddressKey]
    country: str | None = None

    def with_more(self, other: "Person") -> "Person":
        """The person with what is known elsewhere, the ids of `other` first; itself when that is nothing new."""
        ids = list(dict.fromkeys((*other.ids, *self.ids)))
        addresses = sorted({*self.addresses, *other.addresses})
        if len(ids) == len(self.ids) and addresses == self.addresses:
            return self
        return msgspec.structs.replace(self, ids=ids, addresses=addresses)

    @property
    def spellings(self) -> list[tuple[AddressType, str]]:
        """The addresses as they can stand in messages: operators hand numbers over without a plus, or with zeros."""
        found = set()
        for kind, value in self.addresses:
            found.add((kind, value))
            if kind in _NUMBERS and value.startswith("+"):
                written = {value[1:], f"00{value[1:]}", *_national(value, self.country)}
                found |= {(kind, each) for each in written}
        return sorted(found)

    @property
    def texts(self) -> list[str]:
        """The canonical addresses, as texts."""
        return sorted({each.value for each in self.addresses})


def _national(number: str, country: str | None) -> list[str]:
    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return []
    if country is None or phonenumbers.country_code_for_region(country) != parsed.country_code:
        return []
    return [f"0{parsed.national_number}", str(parsed.national_number)]


async def person_of(session: AsyncSession, store: ContactStore, account_id: UUID, contact_id: UUID) -> Person:
    """Who a contact is, or was before it was merged."""
    current = (await current_ids(session, account_id, [contact_id])).get(contact_id, contact_id)
    ids = [current, *await former_ids(session, account_id, current)]
    addresses: set[Address] = set()
    for contact in (await store.get(ids)).values():
        addresses.update(contact.addresses)
    for merge in await merges_of(session, account_id, ids):
        if merge.merged is not None:
            remembered: list[Contact] = [kept_before(merge), *(each.contact for each in snapshots(merge))]
            addresses.update(each for contact in remembered if contact.id in ids for each in contact.addresses)
    keys = {each.key for each in addresses}
    # Given to somebody else since.
    owners = await store.owners(keys)
    own = sorted(key for key in keys if owners.get(key, current) in ids)
    return Person(ids, own, await default_country(session, account_id))


async def merges_of(session: AsyncSession, account_id: UUID, ids: Collection[UUID]) -> list[ContactMerge]:
    """The merges that any of these contacts had to do with."""
    wanted = list(ids)
    statement = (
        Scope(account_id)
        .select(ContactMerge)
        .where(ContactMerge.contact_id.in_(wanted) | ContactMerge.merged_ids.overlap(wanted))
        .order_by(ContactMerge.id)
    )
    return list((await session.execute(statement)).scalars())
