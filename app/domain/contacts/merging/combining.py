"""What becomes of several contacts that are one, and of one that is several again. Pure: nothing is read or written."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from app.domain.contacts.schemas import MAX_NOTES
from app.domain.contacts.stores.contract import Activity, Address, AddressKey, Contact
from app.domain.contacts.writing import is_overfull

T = TypeVar("T", str, UUID)

FILLED = ("first_name", "last_name", "language", "timezone")
"""Texts that the kept contact gets where it has none."""

_BETWEEN = "\n\n"


class Snapshot(msgspec.Struct, frozen=True):
    """A contact as it was when it was merged, with its groups and its activity."""

    contact: Contact
    activity: list[Activity] = []


def combine(kept: Contact, merged: Sequence[Contact]) -> Contact:
    """The kept contact with what the others have and it does not; doing it again changes nothing.

    Addresses, tags and groups are united, the kept one's addresses first; attributes and texts are filled from the
    first one that has any; notes are joined. The status is the kept one's. `updated_at` stays.
    """
    addresses: dict[AddressKey, Address] = {}
    attributes: dict[str, Any] = {}
    for contact in (kept, *merged):
        attributes = contact.attributes | attributes
        for address in contact.addresses:
            addresses.setdefault(address.key, address)
    return msgspec.structs.replace(
        kept,
        **{name: _first(name, kept, merged) for name in FILLED},
        notes=_joined(kept.notes, merged),
        addresses=tuple(addresses.values()),
        tags=tuple(sorted({tag for contact in (kept, *merged) for tag in contact.tags})),
        attributes=attributes,
        groups=tuple(sorted({group for contact in (kept, *merged) for group in contact.groups})),
    )


def take_back(now: Contact, before: Contact, merged: Sequence[Contact]) -> Contact:
    """The kept contact without what came from the others and has not been changed since.

    `before` is what it was like before the merge. What somebody has removed or changed meanwhile stays so.
    """
    combined = combine(before, merged)
    moved = {address.key for contact in merged for address in contact.addresses}
    changes: dict[str, Any] = {
        name: getattr(before, name) for name in (*FILLED, "notes") if getattr(now, name) == getattr(combined, name)
    }
    given = {key: value for key, value in combined.attributes.items() if key not in before.attributes}
    return msgspec.structs.replace(
        now,
        **changes,
        addresses=tuple(address for address in now.addresses if address.key not in moved),
        tags=_less(now.tags, combined.tags, before.tags),
        groups=_less(now.groups, combined.groups, before.groups),
        attributes={key: value for key, value in now.attributes.items() if not (key in given and given[key] == value)},
    )


def restored(
    contact: Contact, consent: Mapping[AddressKey, tuple[str, ...]], foreign: Collection[AddressKey] = ()
) -> Contact:
    """A merged contact as it comes back: its addresses with what they are opted out of now, without `foreign` ones."""
    addresses = tuple(
        Address(each.type, each.value, consent.get(each.key, ()))
        for each in contact.addresses
        if each.key not in foreign
    )
    return msgspec.structs.replace(contact, addresses=addresses)


def is_too_much(contact: Contact) -> bool:
    """Whether it has more than one contact may have."""
    return is_overfull(contact) or len(contact.notes) > MAX_NOTES


def own_fields(contact: Contact) -> Contact:
    """What of it a store writes with `replace`, without the version: for comparing."""
    return msgspec.structs.replace(
        contact, groups=(), last_inbound_at=None, last_outbound_at=None, updated_at=contact.created_at
    )


def _first(name: str, kept: Contact, merged: Sequence[Contact]) -> str:
    return next((value for contact in (kept, *merged) if (value := str(getattr(contact, name)))), "")


def _joined(notes: str, merged: Sequence[Contact]) -> str:
    for contact in merged:
        if contact.notes and contact.notes not in notes:
            notes = f"{notes}{_BETWEEN}{contact.notes}" if notes else contact.notes
    return notes


def _less(now: tuple[T, ...], combined: tuple[T, ...], before: tuple[T, ...]) -> tuple[T, ...]:
    gained = set(combined).difference(before)
    return tuple(each for each in now if each not in gained)
