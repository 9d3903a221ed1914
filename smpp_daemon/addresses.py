"""Sender and recipient → type of number, numbering plan and address (SMPP 3.4 §5.2.5-9)."""

from typing import NamedTuple

from connectors.smpp.config import SmppConfig
from connectors.smpp.options import AddressSide

TON_UNKNOWN = 0
TON_INTERNATIONAL = 1
TON_NETWORK_SPECIFIC = 3
TON_ALPHANUMERIC = 5
NPI_UNKNOWN = 0
NPI_E164 = 1

SHORT_CODE_DIGITS = 6
"""Numbers of up to so many digits are short codes."""


class Address(NamedTuple):
    """An address as it stands in a PDU."""

    ton: int
    npi: int
    address: str


def source_address(sender: str | None, config: SmppConfig) -> Address:
    """The sender's address; empty when there is none, so that the operator puts in its own.

    A text is alphanumeric whatever the channel says. For a number the channel's TON and NPI count, unless they are
    those of alphanumeric senders: then a short code is network specific (3/0), which is what operators that do not
    care accept, and a longer number international (1/1). The plus sign never travels: TON says the same. The channel's
    `address_rules` have the last word.
    """
    if not sender:
        return Address(TON_UNKNOWN, NPI_UNKNOWN, "")
    digits = sender.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        address = Address(TON_ALPHANUMERIC, NPI_UNKNOWN, sender)
    elif config.source_ton != TON_ALPHANUMERIC:
        address = Address(config.source_ton, config.source_npi, digits)
    elif len(digits) <= SHORT_CODE_DIGITS and not sender.startswith("+"):
        address = Address(TON_NETWORK_SPECIFIC, NPI_UNKNOWN, digits)
    else:
        address = Address(TON_INTERNATIONAL, NPI_E164, digits)
    return _ruled(address, AddressSide.SOURCE, config) if config.address_rules else address


def destination_address(to: str, config: SmppConfig) -> Address:
    """The recipient's address: `to` in E.164, with the channel's TON and NPI and what its `address_rules` say."""
    address = Address(config.dest_ton, config.dest_npi, to.removeprefix("+"))
    return _ruled(address, AddressSide.DESTINATION, config) if config.address_rules else address


def _ruled(address: Address, side: AddressSide, config: SmppConfig) -> Address:
    """As the first rule wants it that fits."""
    written = address.address
    for rule in config.address_rules:
        if rule.side is side and len(written) <= rule.longest and written.startswith(rule.prefix):
            return Address(
                address.ton if rule.ton is None else rule.ton,
                address.npi if rule.npi is None else rule.npi,
                written if rule.replace is None else rule.replace + written[len(rule.prefix) :],
            )
    return address


def written_address(ton: int, address: str) -> str:
    """An address of an inbound message as we write it: international numbers carry a plus."""
    if ton == TON_INTERNATIONAL and address.isascii() and address.isdigit():
        return f"+{address}"
    return address
