"""User data as it arrives → text, by data_coding (SMPP 3.4 §5.2.19, 3GPP TS 23.038 §4)."""

from typing import Literal

from connectors.sms_text import gsm7

Alphabet = Literal[
    "gsm7", "ucs2", "latin1", "ascii", "binary", "iso8859_5", "iso8859_8", "shift_jis", "iso2022_jp", "euc_kr"
]

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


def alphabet_of(data_coding: int, default: Alphabet = "gsm7") -> Alphabet:
    """Which alphabet a data_coding means. 0 is whatever the SMSC's default is: `default`.

    0x10-0x1F and 0xF0-0xFF carry a message class, 0xC0-0xEF an indication of waiting messages.
    """
    if data_coding == 0:
        return default
    known = _BY_CODING.get(data_coding)
    if known is not None:
        return known
    group = data_coding & 0xF0
    if group == 0xE0:
        return "ucs2"
    if group in (0xC0, 0xD0):
        return "gsm7"
    if group == 0xF0:
        return "binary" if data_coding & 0x04 else "gsm7"
    if group in (0x00, 0x10):
        # General data coding: bits 3 and 2 name the alphabet, class or not.
        return {0x04: "binary", 0x08: "ucs2"}.get(data_coding & 0x0C, default)  # type: ignore[return-value]
    return default


def decode_text(data: bytes, alphabet: Alphabet) -> str:
    """User data without its header → text. Never fails: what the alphabet does not have becomes U+FFFD."""
    match alphabet:
        case "gsm7":
            return gsm7.decode(data)
        case "ucs2":
            return decode_ucs2(data)
        case "binary" | "latin1":
            return str(data, "latin-1")
        case _:
            return str(data, alphabet, "replace")


def decode_ucs2(data: bytes) -> str:
    """UTF-16, big-endian unless a byte order mark says otherwise; an odd octet at the end is dropped.

    Surrogate pairs are joined although UCS-2 has none, because every handset sends emoji that way.
    """
    even = data[: len(data) & ~1]
    if even[:2] == b"\xff\xfe":
        return str(even[2:], "utf-16-le", "replace")
    if even[:2] == b"\xfe\xff":
        even = even[2:]
    return str(even, "utf-16-be", "replace")
