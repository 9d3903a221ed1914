"""data_coding ↔ alphabet (SMPP 3.4 §5.2.19, 3GPP TS 23.038 §4), and user data as it arrives → text."""

from collections.abc import Mapping
from typing import Literal

from connectors.sms_text import gsm7, national
from connectors.sms_text.udh import UserDataHeader

Alphabet = Literal[
    "gsm7",
    "gsm7_packed",
    "ucs2",
    "ucs2_le",
    "latin1",
    "ascii",
    "binary",
    "iso8859_5",
    "iso8859_8",
    "shift_jis",
    "iso2022_jp",
    "euc_kr",
]
"""How user data is written. `gsm7` has a septet an octet, `gsm7_packed` eight in seven; `ucs2_le` is little-endian."""

DefaultAlphabet = Literal["gsm7", "latin1", "ascii", "ucs2"]
"""What an SMSC reads where data_coding names its default alphabet."""

ByteOrder = Literal["big", "little"]
"""Of UCS-2. The standard says big (3GPP TS 23.038 §6.2.3), some SMSCs do not."""

Flash = Literal["none", "data_coding", "data_coding_f0"]
"""How message class 0, which handsets show at once and do not store, is asked for: not at all, in the general data
coding group (0x10, 0x14, 0x18), or in the message class group (0xF0, 0xF4), which some SMSCs insist on."""

_BY_CODING: dict[int, Alphabet] = {
    0x01: "ascii",
    0x02: "binary",
    0x03: "latin1",
    0x04: "binary",
    0x05: "shift_jis",
    0x06: "iso8859_5",
    0x07: "iso8859_8",
    0x08: "ucs2",
    0x0A: "iso2022_jp",
    0x0D: "iso2022_jp",
    0x0E: "euc_kr",
}
_CODING: dict[Alphabet, int] = {
    "gsm7": 0x00,
    "gsm7_packed": 0x00,
    "ascii": 0x01,
    "latin1": 0x03,
    "binary": 0x04,
    "shift_jis": 0x05,
    "iso8859_5": 0x06,
    "iso8859_8": 0x07,
    "ucs2": 0x08,
    "ucs2_le": 0x08,
    "iso2022_jp": 0x0A,
    "euc_kr": 0x0E,
}
_FLASH: dict[Flash, dict[int, int]] = {
    "data_coding": {0x00: 0x10, 0x04: 0x14, 0x08: 0x18},
    # The message class group has no UCS-2 (3GPP TS 23.038 §4).
    "data_coding_f0": {0x00: 0xF0, 0x04: 0xF4, 0x08: 0x18},
}


def alphabet_of(data_coding: int, default: Alphabet = "gsm7", *, byte_order: ByteOrder = "big") -> Alphabet:
    """Which alphabet a data_coding means. 0 is whatever the SMSC's default is: `default`.

    0x10-0x1F and 0xF0-0xFF carry a message class, 0xC0-0xEF an indication of waiting messages. `byte_order` is that of
    this SMSC's UCS-2.
    """
    ucs2: Alphabet = "ucs2" if byte_order == "big" else "ucs2_le"
    if default == "ucs2":
        default = ucs2
    if data_coding == 0:
        return default
    known = _BY_CODING.get(data_coding)
    if known is not None:
        return ucs2 if known == "ucs2" else known
    septets: Alphabet = "gsm7_packed" if default == "gsm7_packed" else "gsm7"
    group = data_coding & 0xF0
    if group == 0xE0:
        return ucs2
    if group in (0xC0, 0xD0):
        return septets
    if group == 0xF0:
        return "binary" if data_coding & 0x04 else septets
    if group in (0x00, 0x10):
        # General data coding: bits 3 and 2 name the alphabet, class or not.
        if data_coding & 0x0C == 0x04:
            return "binary"
        return ucs2 if data_coding & 0x0C == 0x08 else default
    return default


def data_coding(
    alphabet: Alphabet,
    *,
    default: DefaultAlphabet = "gsm7",
    flash: Flash = "none",
    overrides: Mapping[Alphabet, int] | None = None,
) -> int:
    """The data_coding of user data in an alphabet, for an SMSC whose default alphabet is `default`.

    `overrides` holds what an SMSC wants instead of the standard's values, for messages without a class. Raises
    ValueError for `flash` in an alphabet that no class can be given to (Latin-1 where it is not the default).
    """
    plain = 0x00 if alphabet == default or (alphabet, default) == ("ucs2_le", "ucs2") else _CODING[alphabet]
    if flash == "none":
        return plain if overrides is None else overrides.get(alphabet, plain)
    coding = _FLASH[flash].get(plain)
    if coding is None:
        raise ValueError(f"text in {alphabet} cannot be a flash message")
    return coding


def decode_user_data(data: bytes, header: UserDataHeader | None, alphabet: Alphabet) -> str:
    """The text of a short message: `data` is what follows `header`, both as `split_user_data` gives them.

    National language shift tables named in the header are used for GSM 7-bit data (3GPP TS 23.040 §9.2.3.24.15-16).
    Never fails: what the alphabet does not have becomes U+FFFD.
    """
    if alphabet == "gsm7_packed":
        data = gsm7.unpack_text(data, gsm7.fill_bits_after(header.octets) if header is not None else 0)
    elif alphabet != "gsm7":
        return decode_text(data, alphabet)
    if header is None:
        return gsm7.decode(data)
    return gsm7.decode(data, national.alphabet(header.locking_shift, header.single_shift))


def decode_text(data: bytes, alphabet: Alphabet) -> str:
    """User data without its header → text. Never fails: what the alphabet does not have becomes U+FFFD."""
    match alphabet:
        case "gsm7":
            return gsm7.decode(data)
        case "gsm7_packed":
            return gsm7.decode(gsm7.unpack_text(data))
        case "ucs2":
            return decode_ucs2(data)
        case "ucs2_le":
            return decode_ucs2(data, "little")
        case "binary" | "latin1":
            return str(data, "latin-1")
        case _:
            return str(data, alphabet, "replace")


def decode_ucs2(data: bytes, byte_order: ByteOrder = "big") -> str:
    """UTF-16 in `byte_order` unless a byte order mark says otherwise; an odd octet at the end is dropped.

    Surrogate pairs are joined although UCS-2 has none, because every handset sends emoji that way.
    """
    even = data[: len(data) & ~1]
    mark = even[:2]
    if mark == b"\xff\xfe":
        return str(even[2:], "utf-16-le", "replace")
    if mark == b"\xfe\xff":
        return str(even[2:], "utf-16-be", "replace")
    return str(even, "utf-16-be" if byte_order == "big" else "utf-16-le", "replace")
