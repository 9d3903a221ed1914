"""The GSM 7-bit alphabet (3GPP TS 23.038 §6.2.1), unpacked (one septet an octet, as SMPP carries it) and packed."""

from collections.abc import Mapping

import msgspec

ESCAPE = 0x1B
CARRIAGE_RETURN = 0x0D

_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)
_EXTENSION = {
    0x0A: "\f",
    0x14: "^",
    0x28: "{",
    0x29: "}",
    0x2F: "\\",
    0x3C: "[",
    0x3D: "~",
    0x3E: "]",
    0x40: "|",
    0x65: "€",
}


class Alphabet(msgspec.Struct, frozen=True):
    """One pair of a locking and a single shift table (3GPP TS 23.038 §6.2.1.2), as look-ups for both directions.

    `codes` maps a character to its one or two septets, `costs` to their number; `basic` and `extension` map septets to
    characters. National language tables are further values of this type.
    """

    codes: Mapping[str, bytes]
    costs: Mapping[str, int]
    basic: str
    extension: Mapping[int, str]


def alphabet(basic: str, extension: Mapping[int, str]) -> Alphabet:
    """Builds the look-ups of a 128-character table and its extension."""
    codes = {character: bytes((code,)) for code, character in enumerate(basic) if code != ESCAPE}
    for code, character in extension.items():
        codes.setdefault(character, bytes((ESCAPE, code)))
    return Alphabet(codes, {character: len(septets) for character, septets in codes.items()}, basic, extension)


DEFAULT = alphabet(_BASIC, _EXTENSION)
"""The default alphabet with its extension table."""

SAME_AS_ASCII = bytes(
    code
    for code, septets in ((ord(c), s) for c, s in DEFAULT.codes.items())
    if code < 128 and septets == bytes((code,))
)
"""ASCII characters whose septet is their ASCII code: nearly all of an English text."""

_ASCII_ONE = b"@$_"
_ASCII_TWO = b"\f^{}\\[~]|"


def septets(text: str) -> int | None:
    """How many septets `text` takes in the default alphabet; None when a character is not in it."""
    if text.isascii():
        rest = text.encode("ascii").translate(None, SAME_AS_ASCII)
        if not rest:
            return len(text)
        rest = rest.translate(None, _ASCII_ONE)
        return None if rest.translate(None, _ASCII_TWO) else len(text) + len(rest)
    costs = DEFAULT.costs
    try:
        return sum([costs[character] for character in text])
    except KeyError:
        return None


def is_gsm7(text: str) -> bool:
    """Whether every character is in the default alphabet or its extension."""
    return septets(text) is not None


def encode(text: str, table: Alphabet = DEFAULT) -> bytes:
    """Unpacked septets, one an octet. Raises ValueError naming the first character that is not in the alphabet."""
    if table is DEFAULT and text.isascii():
        octets = text.encode("ascii")
        if not octets.translate(None, SAME_AS_ASCII):
            return octets
    codes = table.codes
    try:
        return b"".join([codes[character] for character in text])
    except KeyError as error:
        raise ValueError(f"{error.args[0]!r} is not in the GSM 7-bit alphabet") from None


def decode(data: bytes, table: Alphabet = DEFAULT) -> str:
    """Unpacked septets → text. Never fails.

    A pair that the extension does not define shows the basic character of its second septet, and ESC before ESC or at
    the end shows a space (§6.2.1.1). Octets above 0x7F, which are no septets, become U+FFFD.
    """
    characters: list[str] = []
    escaped = False
    for octet in data:
        if octet > 0x7F:
            characters.append("�")
            escaped = False
        elif escaped:
            escaped = False
            characters.append(" " if octet == ESCAPE else table.extension.get(octet) or table.basic[octet])
        elif octet == ESCAPE:
            escaped = True
        else:
            characters.append(table.basic[octet])
    if escaped:
        characters.append(" ")
    return "".join(characters)


def pack(data: bytes, fill_bits: int = 0) -> bytes:
    """Septets → octets (3GPP TS 23.038 §6.1.2.1), after `fill_bits` (0..6) zero bits that follow a user data header.

    When seven bits are left over they carry CR, or the receiver would see a trailing @ (§6.1.2.3.1).
    """
    bits = 0
    for index, septet in enumerate(data):
        bits |= (septet & 0x7F) << (fill_bits + 7 * index)
    used = fill_bits + 7 * len(data)
    if data and -used % 8 == 7:
        bits |= CARRIAGE_RETURN << used
        used += 7
    return bits.to_bytes(-(-used // 8), "little")


def unpack(data: bytes, count: int, fill_bits: int = 0) -> bytes:
    """Octets → `count` septets after `fill_bits`; fewer when the octets end before."""
    bits = int.from_bytes(data, "little") >> fill_bits
    available = max(0, (8 * len(data) - fill_bits) // 7)
    return bytes((bits >> (7 * index)) & 0x7F for index in range(min(count, available)))


def fill_bits_after(header_octets: int) -> int:
    """Zero bits that bring packed text behind a user data header (its length octet included) to a septet boundary."""
    return -8 * header_octets % 7
