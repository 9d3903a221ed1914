"""How a text becomes one or more short messages, and how many (3GPP TS 23.040 §9.2.3.24.1, TS 23.038 §4)."""

from collections.abc import Sequence
from typing import NamedTuple, TypedDict

import msgspec

from connectors.sms_text import gsm7, udh
from connectors.sms_text.capacity import MAX_SEGMENTS, Encoding, Style, TextTooLongError, checked, cuts
from connectors.sms_text.encoding import Alphabet, ByteOrder, DefaultAlphabet, decode_user_data
from connectors.sms_text.layout import EncodingChoice, lay_out, lay_out_binary
from connectors.sms_text.national import NationalLanguage

__all__ = [
    "MAX_SEGMENTS",
    "Count",
    "Encoding",
    "EncodingChoice",
    "Segment",
    "SegmentedText",
    "Style",
    "TextOptions",
    "TextTooLongError",
    "count",
    "count_binary",
    "part_texts",
    "segment",
    "segment_binary",
]

# A header of 6 octets leaves 153 septets or 67 units, one of 7 octets 152 or 66: `capacity.room` for the usual cases.
_GSM7_ROOM: dict[Style, int] = {"udh8": 153, "udh16": 152, "sar": 153, "payload": 153}
_UCS2_ROOM: dict[Style, int] = {"udh8": 67, "udh16": 66, "sar": 67, "payload": 67}
# A member is found through its class three times slower than by a name of the module.
_GSM7, _UCS2 = Encoding.GSM7, Encoding.UCS2
_PLAIN = ("auto", "gsm7", "ucs2")
_REWRITTEN = ("gsm7_packed", "ucs2_le")
_NUMBERS = tuple(bytes((number,)) for number in range(MAX_SEGMENTS + 1))


class TextOptions(TypedDict, total=False):
    """How one account wants its texts: what `count` and `segment` take as `**options`."""

    encoding: EncodingChoice
    style: Style
    national: NationalLanguage | None
    packed: bool
    default_alphabet: DefaultAlphabet
    byte_order: ByteOrder


class Count(NamedTuple):
    """`length` in the units of `encoding`; `per_segment` is what one segment holds at this number of segments."""

    encoding: Encoding
    segments: int
    length: int
    per_segment: int


class Segment(msgspec.Struct, frozen=True, gc=False):
    """One short message. `number` counts from 1; `reference` is 0 for a text of one segment.

    `udh` is the whole header with its length octet; empty when there is nothing to say in it. `user_data` is the text
    without it, in the `alphabet` of the text.
    """

    number: int
    total: int
    reference: int
    udh: bytes
    user_data: bytes


class SegmentedText(msgspec.Struct, frozen=True, gc=False):
    """A text ready to be sent. In style `payload` there is one segment object however many the SMSC will make of it.

    `alphabet` is how user data is written, for `encoding.data_coding`; it differs from `encoding`, in which segments
    are counted, where septets are packed, UCS-2 is little-endian, or the SMSC's default alphabet is another.
    """

    encoding: Encoding
    length: int
    per_segment: int
    style: Style
    segments: list[Segment]
    alphabet: Alphabet


def count(
    text: str,
    *,
    encoding: EncodingChoice = "auto",
    style: Style = "udh8",
    national: NationalLanguage | None = None,
    packed: bool = False,
    default_alphabet: DefaultAlphabet = "gsm7",
    byte_order: ByteOrder = "big",
    elements: Sequence[udh.Element] = (),
) -> Count:
    """Encoding, number of segments and length of a text, without building the segments. An empty text is one segment.

    The options mean what they mean for `segment`. Raises ValueError when a character is not in the `encoding` asked
    for, or for a lone surrogate; `TextTooLongError`.
    """
    if national is not None or packed or elements or default_alphabet != "gsm7" or encoding not in _PLAIN:
        layout = lay_out(text, encoding, style, national, packed, default_alphabet, elements)
        return Count(layout.encoding, layout.total, layout.length, layout.per_segment)
    return _count_plain(text, encoding, style)


def _count_plain(text: str, encoding: EncodingChoice, style: Style) -> Count:
    """As `count` without options, which is what nearly all texts are: nothing is laid out that need not be."""
    length = gsm7.septets(text) if encoding != "ucs2" else None
    if length is not None:
        if length <= 160:
            return Count(_GSM7, 1, length, 160)
        room = _GSM7_ROOM[style]
        if length == len(text):
            return Count(_GSM7, checked(-(-length // room)), length, room)
        return Count(_GSM7, checked(len(cuts(gsm7.encode(text), _GSM7, room))), length, room)
    if encoding == "gsm7":
        gsm7.encode(text)
    data = text.encode("utf-16-be")
    length = len(data) // 2
    if length <= 70:
        return Count(_UCS2, 1, length, 70)
    room = _UCS2_ROOM[style]
    if length == len(text):
        return Count(_UCS2, checked(-(-length // room)), length, room)
    return Count(_UCS2, checked(len(cuts(data, _UCS2, room))), length, room)


def segment(
    text: str,
    *,
    reference: int | None = None,
    encoding: EncodingChoice = "auto",
    style: Style = "udh8",
    national: NationalLanguage | None = None,
    packed: bool = False,
    default_alphabet: DefaultAlphabet = "gsm7",
    byte_order: ByteOrder = "big",
    elements: Sequence[udh.Element] = (),
) -> SegmentedText:
    """Cuts a text into segments; escape pairs and surrogate pairs stay whole.

    `reference` tells the parts of one text from those of others: 0..255 for udh8, 0..65535 for udh16 and sar. It is
    needed as soon as there are several segments (not for `payload`), so that the caller decides how references repeat.

    `encoding` forces one, `auto` is GSM 7-bit where possible and else UCS-2. `national` allows the shift tables of a
    language: of the default alphabet, its single shift, its locking shift and both, the one with the fewest segments is
    taken, and of equals the first. They need a header, so several segments have them in the udh styles only. `packed`
    puts eight septets into seven octets. `default_alphabet` is what the SMSC reads under data_coding 0: text is then
    written in it, yet limited to the GSM alphabet and counted in septets, because that is what goes over the air.
    `byte_order` is that of UCS-2. `elements` go into every segment's header, behind those of this function.

    Raises ValueError for a missing or too large reference, for elements that leave no room or that this function
    writes, and as `count` does.
    """
    if national is not None or packed or elements or default_alphabet != "gsm7" or encoding not in _PLAIN:
        layout = lay_out(text, encoding, style, national, packed, default_alphabet, elements)
        return _build(*layout, reference, style, _alphabet(layout.encoding, packed, default_alphabet, byte_order))
    chosen, total, length, per_segment = _count_plain(text, encoding, style)
    data = gsm7.encode(text) if chosen is _GSM7 else text.encode("utf-16-be")
    alphabet = _alphabet(chosen, packed, default_alphabet, byte_order)
    if total == 1 and alphabet != "ucs2_le":
        return SegmentedText(chosen, length, per_segment, style, [Segment(1, 1, 0, b"", data)], alphabet)
    return _build(chosen, data, length, per_segment, cuts(data, chosen, per_segment), b"", reference, style, alphabet)


def count_binary(data: bytes, *, style: Style = "udh8", elements: Sequence[udh.Element] = ()) -> Count:
    """As `count`, for octets that are no text: 140 fit into one segment, 134 or 133 into one of several."""
    layout = lay_out_binary(data, style, elements)
    return Count(layout.encoding, layout.total, layout.length, layout.per_segment)


def segment_binary(
    data: bytes, *, reference: int | None = None, style: Style = "udh8", elements: Sequence[udh.Element] = ()
) -> SegmentedText:
    """As `segment`, for octets that are no text; `elements` usually address an application (`udh.port_element`)."""
    return _build(*lay_out_binary(data, style, elements), reference, style, "binary")


def part_texts(cut: SegmentedText) -> list[str]:
    """The text of each segment, read as a receiver reads it."""
    texts = []
    for part in cut.segments:
        header, data = udh.split_user_data(part.udh + part.user_data) if part.udh else (None, part.user_data)
        texts.append(decode_user_data(data, header, cut.alphabet))
    return texts


def _alphabet(encoding: Encoding, packed: bool, default_alphabet: DefaultAlphabet, byte_order: ByteOrder) -> Alphabet:
    if encoding is _GSM7:
        return "gsm7_packed" if packed and default_alphabet == "gsm7" else default_alphabet
    if encoding is _UCS2:
        return "ucs2" if byte_order == "big" else "ucs2_le"
    return "latin1" if encoding is Encoding.LATIN1 else "ascii"


def _build(
    encoding: Encoding,
    data: bytes,
    length: int,
    per_segment: int,
    ends: list[int],
    elements: bytes,
    reference: int | None,
    style: Style,
    alphabet: Alphabet,
) -> SegmentedText:
    """The segments of a `Layout`, whose fields come first."""
    total = len(ends)
    if total == 1 or style == "payload":
        header = bytes((len(elements),)) + elements if elements else b""
        segments = [Segment(1, 1, 0, header, _written(data, alphabet, len(header)))]
        return SegmentedText(encoding, length, per_segment, style, segments, alphabet)
    highest = 0xFF if style == "udh8" else 0xFFFF
    if reference is None or not 0 <= reference <= highest:
        raise ValueError(f"a text of {total} segments needs a reference from 0 to {highest}, not {reference}")
    before = _concatenation(style, reference, total, len(elements))
    rewritten = alphabet in _REWRITTEN
    header = b""
    start = 0
    segments = []
    for number, end in enumerate(ends, start=1):
        if before:
            header = before + _NUMBERS[number] + elements
        part = data[start:end]
        if rewritten:
            part = _written(part, alphabet, len(header))
        segments.append(Segment(number, total, reference, header, part))
        start = end
    return SegmentedText(encoding, length, per_segment, style, segments, alphabet)


def _concatenation(style: Style, reference: int, total: int, more: int) -> bytes:
    """The header up to the number of the segment; empty when the SMSC writes it. `more` octets follow the element."""
    if style == "udh8":
        return bytes((5 + more, udh.CONCAT_8BIT, 3, reference, total))
    if style == "udh16":
        return bytes((6 + more, udh.CONCAT_16BIT, 4, reference >> 8, reference & 0xFF, total))
    return b""


def _written(data: bytes, alphabet: Alphabet, header: int) -> bytes:
    """Septets, UTF-16BE or octets → user data in `alphabet` behind a header of so many octets."""
    if alphabet == "gsm7_packed":
        return gsm7.pack(data, gsm7.fill_bits_after(header))
    if alphabet == "ucs2_le":
        return data.decode("utf-16-be").encode("utf-16-le")
    return data
