"""Addresses in one form each, so that an opt-out meets every way of writing the address."""

import phonenumbers

from app.domain.contacts.addresses import parse_address
from app.domain.contacts.stores.contract import AddressType
from app.domain.opt_outs.classes import ChannelClass
from app.lib.errors import FieldError

MAX_LENGTH = 320

_PHONE = frozenset({ChannelClass.SMS, ChannelClass.WHATSAPP})

_EXPECTED = {
    ChannelClass.SMS: ("not_e164", "a telephone number such as +251911000100"),
    ChannelClass.WHATSAPP: ("not_e164", "a telephone number such as +251911000100, or a business-scoped user id"),
    ChannelClass.EMAIL: ("not_an_email", "an e-mail address"),
    ChannelClass.TELEGRAM: ("not_an_id", "a Telegram chat id in digits, or a user name such as @abebe_b"),
    ChannelClass.MESSENGER: ("not_an_id", "a Messenger id, in digits"),
}


def canonical_address(channel_class: ChannelClass, value: str, country: str | None) -> str | None:
    """The one form of an address, which is that of contacts; None when it is none of its class.

    A number without a plus is one of `country` (ISO 3166-1) as people there dial it, or else an international one that
    lost its plus, as some operators hand it over.
    """
    try:
        return parse_address(AddressType.of_class(channel_class), value, country).value
    except ValueError:
        return None


def check_address(channel_class: ChannelClass, value: str, country: str | None, errors: list[FieldError]) -> str:
    """The one form of an address that a client sent, or `value` and an error at `/address`."""
    address = canonical_address(channel_class, value, country)
    if address is None:
        code, words = _EXPECTED[channel_class]
        errors.append(FieldError("/address", code, f"The address must be {words}."))
        return value
    return address


def country_of(channel_class: ChannelClass, address: str) -> str | None:
    """The country (ISO 3166-1) that a canonical address belongs to; None where addresses say nothing about it."""
    if channel_class not in _PHONE:
        return None
    try:
        return phonenumbers.region_code_for_number(phonenumbers.parse(address, None))
    except phonenumbers.NumberParseException:
        return None
