"""Addresses in their canonical form: whatever people write, the same address is the same text."""

import re
import unicodedata
from collections.abc import Callable

import phonenumbers

from app.domain.contacts.stores.contract import AddressKey, AddressType
from app.domain.identity.emails import normalise_email

MAX_ADDRESS_LENGTH = 320
"""Characters of an address as it is written; RFC 5321 allows e-mail addresses 254."""

_PHONE = re.compile(r"\+?[\d\s().\-/\u2010-\u2015]+")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_TELEGRAM_ID = re.compile(r"-?[1-9][0-9]{0,15}", re.ASCII)
_TELEGRAM_NAME = re.compile(r"@?([a-z][a-z0-9_]{3,31})", re.ASCII | re.IGNORECASE)
_WHATSAPP_USER = re.compile(r"[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}", re.ASCII)
_MESSENGER_USER = re.compile(r"[1-9][0-9]{0,31}", re.ASCII)


def parse_address(kind: AddressType, value: str, country: str | None) -> AddressKey:
    """The canonical form of an address; parsing that again gives it back.

    `country` (ISO 3166-1) is that of phone numbers without a plus, None for none. Raises `ValueError` with words for
    people. Whether anybody can be reached there is not asked.
    """
    text = unicodedata.normalize("NFKC" if kind is not AddressType.EMAIL else "NFC", value).strip()
    if len(value) > MAX_ADDRESS_LENGTH or len(text) > MAX_ADDRESS_LENGTH:
        raise ValueError(f"an address has at most {MAX_ADDRESS_LENGTH} characters")
    match kind:
        case AddressType.PHONE:
            found = _phone(text, country)
            if found is None:
                or_national = "" if country is None else f", or a number of {country}"
                raise ValueError(f"an international phone number such as +251911000100{or_national} is needed")
        case AddressType.EMAIL:
            found = _email(text)
            if found is None:
                raise ValueError("an e-mail address such as abebe@example.com is needed")
        case AddressType.TELEGRAM:
            found = _telegram(text)
            if found is None:
                raise ValueError("a numeric Telegram id or a user name such as @abebe_b is needed")
        case AddressType.WHATSAPP:
            found = _whatsapp(text, country)
            if found is None:
                raise ValueError("a phone number such as +251911000100 or a business-scoped user id is needed")
        case AddressType.MESSENGER:
            found = text if _MESSENGER_USER.fullmatch(text) else None
            if found is None:
                raise ValueError("a page-scoped id, which has digits only, is needed")
    return AddressKey(kind, found)


def _phone(text: str, country: str | None) -> str | None:
    if not _PHONE.fullmatch(text):
        return None
    if text.startswith("+"):
        return _number(text, None, phonenumbers.is_possible_number)
    # A number of the country first, then an international one that lost its plus, as spreadsheets take it away.
    national = None if country is None else _number(text, country, phonenumbers.is_valid_number)
    if national is not None:
        return national
    digits = re.sub(r"\D", "", text).removeprefix("00")
    international = _number(f"+{digits}", None, phonenumbers.is_valid_number)
    if international is not None or country is None:
        return international
    # Numbering plans change faster than what is known of them.
    return _number(text, country, phonenumbers.is_possible_number)


def _number(text: str, country: str | None, good: Callable[[phonenumbers.PhoneNumber], bool]) -> str | None:
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None
    if not good(number):
        return None
    written: str = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return written if _E164.fullmatch(written) else None


def _email(text: str) -> str | None:
    found = None if "\0" in text else normalise_email(text)
    # Lower case of a composed letter can be two.
    return None if found is None else unicodedata.normalize("NFC", found)


def _telegram(text: str) -> str | None:
    if _TELEGRAM_ID.fullmatch(text):
        return text
    name = _TELEGRAM_NAME.fullmatch(text)
    return None if name is None else f"@{name[1].lower()}"


def _whatsapp(text: str, country: str | None) -> str | None:
    # A `wa_id` of the provider is an international number without its plus.
    return text if _WHATSAPP_USER.fullmatch(text) else _phone(text, country)
