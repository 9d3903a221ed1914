"""The GSM 7-bit alphabet (3GPP TS 23.038 §6.2.1), unpacked (one septet an octet, as SMPP carries it) and packed."""

import codecs
from collections.abc import Mapping

import msgspec

ESCAPE = 0x1B
CARRIAGE_RETURN = 0x0D
UNDEFINED = "\ufffd"
"""What a septet shows that its table does not define, and an octet that is no septet."""

BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)
EXTENSION = {
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
"""The extension table (§6.2.1.1), on which the single shift tables of the languages build."""


class Alphabet(msgspec.Struct, frozen=True):
    """One pair of a locking and a single shift table (3GPP TS 23.038 §6.2.1.2), as look-ups for both directions.

    `codes` maps a character to its one or two septets; `basic` and `extension` map septets to characters. `encoding`
    and `decoding` are the same in the form that the C loops of the charmap codec take. National language tables are
    further values of this type: `national.alphabet`.
    """

    codes: Mapping[str, bytes]
    basic: str
    extension: Mapping[int, str]
    encoding: dict[int, bytes | int]
    decoding: str


def alphabet(basic: str, extension: Mapping[int, str]) -> Alphabet:
    """Builds the look-ups of a 128-character table, in which U+FFFD stands for nothing, and its extension."""
    codes = {
        character: bytes((code,)) for code, character in enumerate(basic) if code != ESCAPE and character != UNDEFINED
    }
    for code, character in extension.items():
        codes.setdefault(character, bytes((ESCAPE, code)))
    encoding: dict[int, bytes | int] = {
        ord(character): septets[0] if len(septets) == 1 else septets for character, septets in codes.items()
    }
    return Alphabet(codes, basic, extension, encoding, basic + UNDEFINED * 128)


DEFAULT = alphabet(BASIC, EXTENSION)
"""The default alphabet with its extension table."""

SAME_AS_ASCII = bytes(
    code
    for code, septets in ((ord(c), s) for c, s in DEFAULT.codes.items())
    if code < 128 and septets == bytes((code,))
)
"""ASCII characters whose septet is their ASCII code: nearly all of an English text."""

_ESCAPED = bytes((ESCAPE,))
_ASCII_ONE = b"@$_"
_ASCII_TWO = b"\f^{}\\[~]|"


def septets(text: str, table: Alphabet = DEFAULT) -> int | None:
    """How many septets `text` takes in an alphabet; None when a character is not in it."""
    if table is DEFAULT and text.isascii():
        rest = text.encode("ascii").translate(None, SAME_AS_ASCII)
        if not rest:
            return len(text)
        rest = rest.translate(None, _ASCII_ONE)
        return None if rest.translate(None, _ASCII_TWO) else len(text) + len(rest)
    if text and text[0] not in table.codes:
        # Texts in another script show it at once, and for less than the exception below.
        return None
    try:
        return len(codecs.charmap_encode(text, "strict", table.encoding)[0])
    except UnicodeEncodeError:
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
    try:
        return codecs.charmap_encode(text, "strict", table.encoding)[0]
    except UnicodeEncodeError as error:
        raise ValueError(f"{text[error.start]!r} is not in the GSM 7-bit alphabet") from None


def decode(data: bytes, table: Alphabet = DEFAULT) -> str:
    """Unpacked septets → text. Never fails.

    A pair that the extension does not define shows the basic character of its second septet, and ESC before ESC or at
    the end shows a space (§6.2.1.1). Octets above 0x7F, which are no septets, become U+FFFD.
    """
    decoding, extension = table.decoding, table.extension
    start, escape = 0, data.find(ESCAPE)
    if escape < 0:
        return codecs.charmap_decode(data, "replace", decoding)[0]
    pieces: list[str] = []
    while escape >= 0:
        pieces.append(codecs.charmap_decode(data[start:escape], "replace", decoding)[0])
        second = data[escape + 1 : escape + 2] or _ESCAPED
        pieces.append(" " if second == _ESCAPED else extension.get(second[0]) or decoding[second[0]])
        start = escape + 2
        escape = data.find(ESCAPE, start)
    pieces.append(codecs.charmap_decode(data[start:], "replace", decoding)[0])
    return "".join(pieces)


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


def unpack_text(data: bytes, fill_bits: int = 0) -> bytes:
    """Packed octets of which nobody tells the number of septets → all there are, without the CR that fills the end.

    A CR in the last seven bits is the fill (§6.1.2.3.1): a text's own CR there is lost with it.
    """
    count = (8 * len(data) - fill_bits) // 7
    septets = unpack(data, count, fill_bits)
    full = (fill_bits + 7 * count) % 8 == 0
    return septets[:-1] if full and septets[-1:] == b"\r" else septets


def fill_bits_after(header_octets: int) -> int:
    """Zero bits that bring packed text behind a user data header (its length octet included) to a septet boundary."""
    return -8 * header_octets % 7
