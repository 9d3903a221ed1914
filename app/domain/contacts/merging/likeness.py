"""What makes two contacts likely the same person. Pure: nothing is read or written."""

import re
import unicodedata
from collections.abc import Collection, Sequence

import phonenumbers

from app.domain.contacts.fields import fold
from app.domain.contacts.merging.schemas import DuplicateReason
from app.domain.contacts.stores.contract import Address, AddressKey, AddressType, Contact, Recipient

_WEIGHTS = {
    DuplicateReason.SAME_NUMBER: 0.9,
    DuplicateReason.SAME_MAILBOX: 0.8,
    DuplicateReason.SIMILAR_NUMBER: 0.6,
    DuplicateReason.SAME_NAME: 0.5,
}
"""How likely two contacts are one person for each reason alone; reasons add up as if they were independent."""

_NUMBERS = (AddressType.PHONE, AddressType.WHATSAPP)
_GOOGLE = frozenset({"gmail.com", "googlemail.com"})
_E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_TAIL = 9
"""Digits at the end of a number that are alike when only the country code is wrong."""


def full_name(first_name: str, last_name: str) -> str:
    """The name in one form, whatever is its first and its last part; empty where it has no two parts."""
    parts = fold(unicodedata.normalize("NFKC", f"{first_name} {last_name}")).split()
    return " ".join(sorted(parts)) if len(parts) > 1 else ""


def numbers(addresses: Collection[Address]) -> set[str]:
    """The telephone numbers among addresses, whatever they are for."""
    return {each.value for each in addresses if each.type in _NUMBERS and _E164.fullmatch(each.value)}


def mailbox(email: str) -> str:
    """The mailbox that an e-mail address means: tags after a plus do not count, nor dots where Google ignores them."""
    local, _, domain = email.rpartition("@")
    local = local.partition("+")[0] or local
    if domain in _GOOGLE:
        local, domain = local.replace(".", ""), "gmail.com"
    return f"{local}@{domain}"


def mailboxes(addresses: Collection[Address]) -> set[str]:
    """The mailboxes among addresses."""
    return {mailbox(each.value) for each in addresses if each.type is AddressType.EMAIL}


def keys_of(contact: Recipient) -> dict[str, DuplicateReason]:
    """What the contact has in common with its duplicates, each with the reason."""
    keys = dict.fromkeys((f"p{each}" for each in numbers(contact.addresses)), DuplicateReason.SAME_NUMBER)
    keys |= dict.fromkeys((f"m{each}" for each in mailboxes(contact.addresses)), DuplicateReason.SAME_MAILBOX)
    name = full_name(contact.first_name, contact.last_name)
    return keys | ({f"n{name}": DuplicateReason.SAME_NAME} if name else {})


def reasons_for(one: Contact, other: Contact) -> list[DuplicateReason]:
    """Why they may be one person, the strongest reason first; empty for none."""
    found = []
    mine, theirs = numbers(one.addresses), numbers(other.addresses)
    if mine & theirs:
        found.append(DuplicateReason.SAME_NUMBER)
    if mailboxes(one.addresses) & mailboxes(other.addresses):
        found.append(DuplicateReason.SAME_MAILBOX)
    if _tails(mine - theirs) & _tails(theirs - mine):
        found.append(DuplicateReason.SIMILAR_NUMBER)
    name = full_name(one.first_name, one.last_name)
    if name and name == full_name(other.first_name, other.last_name):
        found.append(DuplicateReason.SAME_NAME)
    return found


def score_of(reasons: Sequence[DuplicateReason]) -> int:
    """From 0 to 100."""
    doubt = 1.0
    for reason in reasons:
        doubt *= 1 - _WEIGHTS[reason]
    return round(100 * (1 - doubt))


def lookups(contact: Contact, country: str | None) -> set[AddressKey]:
    """Addresses that the contact's duplicates may have, to be looked up; without its own.

    `country` (ISO 3166-1) is that of numbers which have lost their country code.
    """
    found: set[AddressKey] = set()
    mine = numbers(contact.addresses)
    for number in {*mine, *_misspelled(mine, country)}:
        found |= {AddressKey(kind, number) for kind in _NUMBERS}
    for address in contact.addresses:
        if address.type is AddressType.EMAIL:
            local, _, domain = address.value.rpartition("@")
            plain = local.partition("+")[0] or local
            domains = _GOOGLE if domain in _GOOGLE else {domain}
            locals_ = {local, plain, plain.replace(".", "")} if domain in _GOOGLE else {local, plain}
            found |= {AddressKey(AddressType.EMAIL, f"{one}@{two}") for one in locals_ for two in domains}
    return found - {address.key for address in contact.addresses}


def spellings(name: str) -> list[str]:
    """A name in the cases that people write it in."""
    return sorted({name, name.lower(), name.upper(), name.title(), name.capitalize()})


def beginnings(contact: Contact) -> list[str]:
    """How e-mail addresses begin that may be the same mailbox with a tag or other dots."""
    found = set()
    for box in mailboxes(contact.addresses):
        local, _, domain = box.rpartition("@")
        found.add(f"{local}+")
        if domain in _GOOGLE:
            # Where the dots are is not known; in practice they stand where they stand here, or nowhere.
            found |= {
                f"{each.value.rpartition('@')[0].partition('+')[0]}+"
                for each in contact.addresses
                if each.type is AddressType.EMAIL and mailbox(each.value) == box
            }
    return sorted(found)


def _tails(values: Collection[str]) -> set[str]:
    return {value[-_TAIL:] for value in values if len(value) > _TAIL}


def _misspelled(values: Collection[str], country: str | None) -> set[str]:
    """The numbers with a wrong country code, with none, and with one too many."""
    codes = {str(phonenumbers.country_code_for_region(country))} if country else set()
    nationals = set()
    for value in values:
        try:
            parsed = phonenumbers.parse(value, None)
        except phonenumbers.NumberParseException:
            continue
        codes.add(str(parsed.country_code))
        nationals.add(str(parsed.national_number))
    digits = {*nationals, *(value[1:] for value in values)}
    found = {f"+{code}{each}" for each in digits for code in ("", *codes)}
    return {each for each in found if _E164.fullmatch(each)} - set(values)
