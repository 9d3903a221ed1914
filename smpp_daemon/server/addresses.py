"""Addresses in PDUs of applications ↔ addresses as we keep them (SMPP 3.4 §5.2.5-9)."""

import re

import phonenumbers

from smpp_daemon.addresses import (
    NPI_E164,
    NPI_UNKNOWN,
    TON_ALPHANUMERIC,
    TON_INTERNATIONAL,
    TON_NETWORK_SPECIFIC,
    TON_UNKNOWN,
    Address,
)
from smpp_daemon.protocol.status import RINVDSTADR, RINVSRCADR
from smpp_daemon.server.refusals import RefusedError

TON_NATIONAL = 2
MAX_SENDER = 20

_E164 = re.compile(r"^[1-9][0-9]{6,14}$")
_DIGITS = re.compile(r"^[0-9]{1,20}$")


def recipient(ton: int, address: str, country: str | None) -> str:
    """A destination in E.164 with its plus. Raises `RefusedError` (RINVDSTADR).

    TON 1, a leading plus or the prefix 00 make a number international, TON 2 national. TON 0 says nothing: a number
    that begins with 0 is then national, any other one international. National ones need the account's `country`.
    """
    if address.startswith("+"):
        return _international(address[1:])
    if ton not in (TON_UNKNOWN, TON_INTERNATIONAL, TON_NATIONAL):
        raise RefusedError(RINVDSTADR)
    if ton != TON_NATIONAL and address.startswith("00"):
        return _international(address[2:])
    if ton == TON_NATIONAL or (ton == TON_UNKNOWN and address.startswith("0")):
        return _national(address, country)
    return _international(address)


def _international(digits: str) -> str:
    if _E164.match(digits):
        written = f"+{digits}"
        try:
            if phonenumbers.is_possible_number(phonenumbers.parse(written, None)):
                return written
        except phonenumbers.NumberParseException:
            pass
    raise RefusedError(RINVDSTADR)


def _national(digits: str, country: str | None) -> str:
    if country is not None and _DIGITS.match(digits):
        try:
            number = phonenumbers.parse(digits, country)
        except phonenumbers.NumberParseException:
            raise RefusedError(RINVDSTADR) from None
        if phonenumbers.is_possible_number(number):
            return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    raise RefusedError(RINVDSTADR)


def sender(ton: int, address: str) -> str | None:
    """A source address: a text as it is, an international number with its plus, None when there is none.

    Raises `RefusedError` (RINVSRCADR) for what no handset could show.
    """
    if not address:
        return None
    if len(address) > MAX_SENDER or not (address.isascii() and address.isprintable()) or not address.strip():
        raise RefusedError(RINVSRCADR)
    if ton == TON_INTERNATIONAL and not address.startswith("+"):
        if not _DIGITS.match(address):
            raise RefusedError(RINVSRCADR)
        return f"+{address}"
    return address


def pdu_address(address: str | None) -> Address:
    """An address of ours as it stands in a deliver_sm: 1/1 with a plus, 0/1 for other numbers, 5/0 for texts.

    What PDUs cannot carry is left out: 20 characters of Latin-1 are their limit.
    """
    if not address:
        return Address(TON_UNKNOWN, NPI_UNKNOWN, "")
    digits = address.removeprefix("+")
    if digits.isascii() and digits.isdigit():
        if address.startswith("+"):
            return Address(TON_INTERNATIONAL, NPI_E164, digits[:20])
        return Address(TON_UNKNOWN if len(digits) > 6 else TON_NETWORK_SPECIFIC, NPI_E164, digits[:20])
    return Address(TON_ALPHANUMERIC, NPI_UNKNOWN, str(address.encode("latin-1", "replace"), "latin-1")[:20])
