"""Putting contacts back into a store, however much of them is there."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from app.domain.contacts.stores.contract import Address, Contact, ContactStore, Refusal, Replacement
from app.lib.versions import changed_at


async def restore(store: ContactStore, contacts: Sequence[Contact], now: datetime) -> dict[UUID, Refusal]:
    """Insert contacts, or give those that are there their addresses back; the refused ones.

    Versions are new ones: whoever read a contact before it was merged is not to change it without a look.
    """
    there = await store.get([contact.id for contact in contacts])
    new = [
        msgspec.structs.replace(contact, updated_at=changed_at(now, contact.updated_at))
        for contact in contacts
        if contact.id not in there
    ]
    changes = []
    for contact in contacts:
        found = there.get(contact.id)
        if found is None:
            continue
        addresses = _united(found.addresses, contact.addresses)
        if addresses != found.addresses:
            version = changed_at(now, found.updated_at)
            changes.append(Replacement(found, msgspec.structs.replace(found, addresses=addresses, updated_at=version)))
    refused = dict.fromkeys(await store.insert(new), Refusal.TAKEN) if new else {}
    return refused | (await store.replace(changes) if changes else {})


def _united(some: tuple[Address, ...], more: tuple[Address, ...]) -> tuple[Address, ...]:
    known = {each.key for each in some}
    return (*some, *(each for each in more if each.key not in known))
