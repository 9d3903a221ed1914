"""How a text becomes one or more short messages, and how many (3GPP TS 23.040 §9.2.3.24.1, TS 23.038 §4)."""

from enum import StrEnum
from typing import Literal, NamedTuple

import msgspec

from connectors.sms_text import gsm7

MAX_SEGMENTS = 255
"""The total is one octet in every concatenation scheme."""


class Encoding(StrEnum):
    """`gsm7` is counted in septets, `ucs2` in UTF-16 code units."""

    GSM7 = "gsm7"
    UCS2 = "ucs2"


EncodingChoice = Literal["auto", "gsm7", "ucs2"]

Style = Literal["udh8", "udh16", "sar", "payload"]
"""How parts say that they belong together: a header with an 8-bit or a 16-bit reference, the sar_* TLVs, or not at all
because message_payload carries the whole text and the SMSC cuts it."""

_SINGLE = {Encoding.GSM7: 160, Encoding.UCS2: 70}
# A header of 6 octets leaves 153 septets or 67 units, one of 7 octets 152 or 66. With sar_* and message_payload the
# SMSC writes the header, which is the 6-octet one wherever it was seen.
_MULTI: dict[Style, dict[Encoding, int]] = {
    "udh8": {Encoding.GSM7: 153, Encoding.UCS2: 67},
    "udh16": {Encoding.GSM7: 152, Encoding.UCS2: 66},
    "sar": {Encoding.GSM7: 153, Encoding.UCS2: 67},
    "payload": {Encoding.GSM7: 153, Encoding.UCS2: 67},
}


class TextTooLongError(ValueError):
    """The text would take more than `MAX_SEGMENTS` segments."""


class Count(NamedTuple):
    """`length` in septets or UTF-16 units; `per_segment` is what one segment holds at this number of segments."""

    encoding: Encoding
    segments: int
    length: int
    per_segment: int


class Segment(msgspec.Struct, frozen=True, gc=False):
    """One short message. `number` counts from 1; `reference` is 0 for a text of one segment.

    `udh` is the whole header with its length octet, empty unless the style is udh8 or udh16 and there are several
    segments. `user_data` is the text without it: septets one an octet, or UTF-16BE.
    """

    number: int
    total: int
    reference: int
    udh: bytes
    user_data: bytes


class SegmentedText(msgspec.Struct, frozen=True, gc=False):
    """A text ready to be sent. In style `payload` there is one segment object however many the SMSC will make of it."""

    encoding: Encoding
    length: int
    per_segment: int
    style: Style
    segments: list[Segment]


def count(text: str, *, encoding: EncodingChoice = "auto", style: Style = "udh8") -> Count:
    """Encoding, number of segments and length of a text, without building the segments. An empty text is one segment.

    Raises ValueError when `encoding` is gsm7 and a character is not in it, or for a lone surrogate; `TextTooLongError`.
    """
    length = gsm7.septets(text) if encoding != "ucs2" else None
    if length is not None:
        if length <= 160:
            return Count(Encoding.GSM7, 1, length, 160)
        room = _MULTI[style][Encoding.GSM7]
        if length == len(text):
            return Count(Encoding.GSM7, _checked(-(-length // room)), length, room)
        return Count(Encoding.GSM7, _checked(len(_cuts(gsm7.encode(text), Encoding.GSM7, room))), length, room)
    if encoding == "gsm7":
        gsm7.encode(text)
    data = text.encode("utf-16-be")
    length = len(data) // 2
    if length <= 70:
        return Count(Encoding.UCS2, 1, length, 70)
    room = _MULTI[style][Encoding.UCS2]
    if length == len(text):
        return Count(Encoding.UCS2, _checked(-(-length // room)), length, room)
    return Count(Encoding.UCS2, _checked(len(_cuts(data, Encoding.UCS2, room))), length, room)


def segment(
    text: str, *, encoding: EncodingChoice = "auto", reference: int | None = None, style: Style = "udh8"
) -> SegmentedText:
    """Cuts a text into segments; escape pairs and surrogate pairs stay whole.

    `reference` tells the parts of one text from those of others: 0..255 for udh8, 0..65535 for udh16 and sar. It is
    needed as soon as there are several segments (not for `payload`), so that the caller decides how references repeat.
    Raises ValueError for a missing or too large reference and as `count` does.
    """
    counted = count(text, encoding=encoding, style=style)
    chosen, total = counted.encoding, counted.segments
    data = gsm7.encode(text) if chosen is Encoding.GSM7 else text.encode("utf-16-be")
    if total == 1 or style == "payload":
        segments = [Segment(1, 1, 0, b"", data)]
        return SegmentedText(chosen, counted.length, counted.per_segment, style, segments)
    highest = 0xFF if style == "udh8" else 0xFFFF
    if reference is None or not 0 <= reference <= highest:
        raise ValueError(f"a text of {total} segments needs a reference from 0 to {highest}, not {reference}")
    start = 0
    segments = []
    for number, end in enumerate(_cuts(data, chosen, counted.per_segment), start=1):
        udh = _header(style, reference, total, number)
        segments.append(Segment(number, total, reference, udh, data[start:end]))
        start = end
    return SegmentedText(chosen, counted.length, counted.per_segment, style, segments)


def _header(style: Style, reference: int, total: int, number: int) -> bytes:
    if style == "udh8":
        return bytes((5, 0x00, 3, reference, total, number))
    if style == "udh16":
        return bytes((6, 0x08, 4, reference >> 8, reference & 0xFF, total, number))
    return b""


def _cuts(data: bytes, encoding: Encoding, room: int) -> list[int]:
    """Where each segment ends, in octets."""
    width = 1 if encoding is Encoding.GSM7 else 2
    step = room * width
    size = len(data)
    ends: list[int] = []
    end = 0
    while size - end > step:
        end += step
        # An encoded text has ESC only in front of an extension character, and D800..DBFF only in front of its low half.
        last = data[end - width]
        if last == gsm7.ESCAPE if width == 1 else last & 0xFC == 0xD8:
            end -= width
        ends.append(end)
    ends.append(size)
    return ends


def _checked(segments: int) -> int:
    if segments > MAX_SEGMENTS:
        raise TextTooLongError(f"the text would take {segments} segments; {MAX_SEGMENTS} is the most there can be")
    return segments
