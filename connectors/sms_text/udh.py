"""The user data header: a list of information elements in front of the text (3GPP TS 23.040 §9.2.3.24)."""

from collections.abc import Iterable

import msgspec

CONCAT_8BIT = 0x00
CONCAT_16BIT = 0x08
PORTS_8BIT = 0x04
PORTS_16BIT = 0x05
NATIONAL_SINGLE_SHIFT = 0x24
NATIONAL_LOCKING_SHIFT = 0x25


Element = tuple[int, bytes]
"""An information element: its identifier and its data."""


class Concatenation(msgspec.Struct, frozen=True, gc=False):
    """Which part of which text this is. `width` is the reference's size in bits, 8 or 16: part of its identity."""

    reference: int
    total: int
    number: int
    width: int


class UserDataHeader(msgspec.Struct, frozen=True, gc=False):
    """`elements` are (identifier, data) in wire order, unknown ones too. `ports` is (destination, source).

    `octets` is the length of the whole header, its length octet included.
    """

    elements: tuple[Element, ...]
    concatenation: Concatenation | None
    ports: tuple[int, int] | None
    single_shift: int | None
    locking_shift: int | None
    octets: int


def split_user_data(data: bytes) -> tuple[UserDataHeader | None, bytes]:
    """User data with UDHI set → its header and the rest. None and all the data when the length is impossible.

    An element that runs over the header's end finishes the list; what was read before it counts. A part number or a
    total of 0, or a part above the total, is not a concatenation (§9.2.3.24.1); reference 0 is one.
    """
    if not data or 1 + data[0] > len(data):
        return None, data
    end = 1 + data[0]
    elements: list[Element] = []
    position = 1
    while position + 2 <= end:
        identifier, length = data[position], data[position + 1]
        after = position + 2 + length
        if after > end:
            break
        elements.append((identifier, data[position + 2 : after]))
        position = after
    return _interpret(elements, end), data[end:]


def port_element(destination: int, source: int) -> Element:
    """The element that addresses an application by 16-bit ports (§9.2.3.24.4). Raises OverflowError beyond 65535."""
    return PORTS_16BIT, destination.to_bytes(2, "big") + source.to_bytes(2, "big")


def encode_elements(elements: Iterable[Element]) -> bytes:
    """Elements in the order given, without the length octet of the header. Raises ValueError for more than 255 octets.

    An identifier beyond one octet is a ValueError too.
    """
    return b"".join([bytes((identifier, len(data))) + data for identifier, data in elements])


def _interpret(elements: list[Element], octets: int) -> UserDataHeader:
    concatenation: Concatenation | None = None
    ports: tuple[int, int] | None = None
    shifts: dict[int, int] = {}
    for identifier, value in elements:
        # When an element repeats, the last one counts (§9.2.3.24).
        if identifier == CONCAT_8BIT and len(value) == 3:
            concatenation = _concatenation(value[0], value[1], value[2], 8)
        elif identifier == CONCAT_16BIT and len(value) == 4:
            concatenation = _concatenation(int.from_bytes(value[:2], "big"), value[2], value[3], 16)
        elif identifier == PORTS_8BIT and len(value) == 2:
            ports = (value[0], value[1])
        elif identifier == PORTS_16BIT and len(value) == 4:
            ports = (int.from_bytes(value[:2], "big"), int.from_bytes(value[2:], "big"))
        elif identifier in (NATIONAL_SINGLE_SHIFT, NATIONAL_LOCKING_SHIFT) and len(value) == 1:
            shifts[identifier] = value[0]
    return UserDataHeader(
        tuple(elements),
        concatenation,
        ports,
        shifts.get(NATIONAL_SINGLE_SHIFT),
        shifts.get(NATIONAL_LOCKING_SHIFT),
        octets,
    )


def _concatenation(reference: int, total: int, number: int, width: int) -> Concatenation | None:
    if not 1 <= number <= total:
        return None
    return Concatenation(reference, total, number, width)
