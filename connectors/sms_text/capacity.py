"""How much fits into a short message, and where a text may be cut (3GPP TS 23.040 §9.2.3.24, TS 23.038 §4)."""

from enum import StrEnum
from typing import Literal

from connectors.sms_text import gsm7

USER_DATA_OCTETS = 140
"""What one short message carries, header and text together."""

MAX_SEGMENTS = 255
"""The total is one octet in every concatenation scheme."""


class Encoding(StrEnum):
    """What a text is counted in: `gsm7` and `ascii` in septets, `ucs2` in UTF-16 units, the others in octets."""

    GSM7 = "gsm7"
    UCS2 = "ucs2"
    LATIN1 = "latin1"
    ASCII = "ascii"
    BINARY = "binary"


Style = Literal["udh8", "udh16", "sar", "payload"]
"""How parts say that they belong together: a header with an 8-bit or a 16-bit reference, the sar_* TLVs, or not at all
because message_payload carries the whole text and the SMSC cuts it."""

# With sar_* and message_payload the SMSC writes the element, which is the one of 5 octets wherever it was seen.
_CONCATENATION: dict[Style, int] = {"udh8": 5, "udh16": 6, "sar": 5, "payload": 5}


class TextTooLongError(ValueError):
    """The text would take more than `MAX_SEGMENTS` segments."""


def header_octets(elements: int, style: Style | None = None) -> int:
    """The length of a user data header, its length octet included; 0 when there is nothing in it.

    `elements` are the octets of information elements that every segment carries; `style` adds the one that joins
    segments.
    """
    octets = elements + (_CONCATENATION[style] if style is not None else 0)
    return octets + 1 if octets else 0


def room(encoding: Encoding, elements: int, style: Style | None = None) -> int:
    """What one segment holds, in the units of `encoding`, behind the header that `header_octets` measures.

    Raises ValueError when the header leaves no room for a character.
    """
    header = header_octets(elements, style)
    free = USER_DATA_OCTETS - header
    if encoding in (Encoding.GSM7, Encoding.ASCII):
        units = free * 8 // 7
    else:
        units = free // 2 if encoding is Encoding.UCS2 else free
    if units < 2:
        raise ValueError(f"a user data header of {header} octets leaves no room for text")
    return units


def cuts(data: bytes, encoding: Encoding, units: int, packed_after: int | None = None) -> list[int]:
    """Where each segment of at most `units` ends, in octets of `data`: septets one an octet, UTF-16BE or octets.

    Escape pairs and surrogate pairs stay whole. `packed_after` is the length of the header behind which septets are
    packed: a CR then never ends a segment where it could be taken for the fill (`gsm7.unpack_text`).
    """
    septets = encoding is Encoding.GSM7
    width = 2 if encoding is Encoding.UCS2 else 1
    step = units * width
    size = len(data)
    ends: list[int] = []
    end = 0
    while size - end > step:
        start = end
        end += step
        # An encoded text has ESC only in front of an extension character, and D800..DBFF only in front of its low half.
        last = data[end - width]
        if septets:
            if last == gsm7.ESCAPE:
                end -= 1
            if packed_after is not None and data[end - 1] == gsm7.CARRIAGE_RETURN:
                bits = gsm7.fill_bits_after(packed_after) + 7 * (end - start)
                end -= bits % 8 == 0
        elif width == 2 and last & 0xFC == 0xD8:
            end -= 2
        ends.append(end)
    ends.append(size)
    return ends


def checked(segments: int) -> int:
    """`segments`; raises `TextTooLongError` when there are too many."""
    if segments > MAX_SEGMENTS:
        raise TextTooLongError(f"the text would take {segments} segments; {MAX_SEGMENTS} is the most there can be")
    return segments
