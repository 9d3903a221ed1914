"""Which encoding and shift tables a text is sent with, and where it is cut: what counting and segmenting share."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from connectors.sms_text import gsm7, udh
from connectors.sms_text.capacity import Encoding, Style, checked, cuts, header_octets, room
from connectors.sms_text.encoding import DefaultAlphabet
from connectors.sms_text.national import NationalLanguage, alphabet
from connectors.sms_text.national_tables import LOCKING

EncodingChoice = Literal["auto", "gsm7", "ucs2", "latin1", "ascii"]

_OWN = frozenset({udh.CONCAT_8BIT, udh.CONCAT_16BIT, udh.NATIONAL_SINGLE_SHIFT, udh.NATIONAL_LOCKING_SHIFT})


class Layout(NamedTuple):
    """`data` is septets one an octet, UTF-16BE, or octets; `ends` are where its segments end.

    `elements` are the information elements of every segment, without the one that joins segments.
    """

    encoding: Encoding
    data: bytes
    length: int
    per_segment: int
    ends: list[int]
    elements: bytes

    @property
    def total(self) -> int:
        """The number of segments."""
        return len(self.ends)


def lay_out(
    text: str,
    encoding: EncodingChoice,
    style: Style,
    national: NationalLanguage | None,
    packed: bool,
    default_alphabet: DefaultAlphabet,
    elements: Sequence[udh.Element],
) -> Layout:
    """The layout of a text; the parameters and errors are those of `segments.segment`."""
    own = _encoded(elements)
    if encoding in ("auto", "gsm7") and default_alphabet != "ucs2":
        if default_alphabet == "gsm7":
            found = _septets(text, style, national, packed, own)
        else:
            found = _written_in(text, default_alphabet, style, own)
        if found is not None:
            return _checked(found, style, elements)
    match encoding:
        case "gsm7":
            # Names the character; when all are GSM, the default alphabet is what lacks one of them.
            gsm7.encode(text)
            raise ValueError(f"the text cannot be written in the SMSC's default alphabet, {default_alphabet}")
        case "latin1" | "ascii":
            laid = _lay_out(Encoding(encoding), text.encode(encoding), own, style)
        case "auto" | "ucs2":
            laid = _lay_out(Encoding.UCS2, text.encode("utf-16-be"), own, style)
    return _checked(laid, style, elements)


def lay_out_binary(data: bytes, style: Style, elements: Sequence[udh.Element]) -> Layout:
    """The layout of octets; the parameters and errors are those of `segments.segment_binary`."""
    return _checked(_lay_out(Encoding.BINARY, data, _encoded(elements), style), style, elements)


def _encoded(elements: Sequence[udh.Element]) -> bytes:
    for identifier, _ in elements:
        if identifier in _OWN:
            raise ValueError(f"information element 0x{identifier:02X} is written by the segmentation itself")
    return udh.encode_elements(elements)


def _septets(
    text: str, style: Style, national: NationalLanguage | None, packed: bool, elements: bytes
) -> Layout | None:
    """GSM 7-bit text with the tables that take the fewest segments; None when no allowed pair has all characters."""
    best: Layout | None = None
    for locking, single in _pairs(national):
        try:
            data = gsm7.encode(text, alphabet(locking, single))
        except ValueError:
            continue
        shifts = udh.encode_elements(_shifts(locking, single))
        laid = _lay_out(Encoding.GSM7, data, shifts + elements, style, packed)
        if shifts and laid.total > 1 and style in ("sar", "payload"):
            continue
        if best is None or laid.total < best.total:
            best = laid
        if best.total == 1:
            break
    return best


def _pairs(national: NationalLanguage | None) -> Iterator[tuple[int | None, int | None]]:
    yield None, None
    if national is not None:
        yield None, national
        if national in LOCKING:
            yield national, None
            yield national, national


def _shifts(locking: int | None, single: int | None) -> list[udh.Element]:
    shifts = ((udh.NATIONAL_SINGLE_SHIFT, single), (udh.NATIONAL_LOCKING_SHIFT, locking))
    return [(identifier, bytes((language,))) for identifier, language in shifts if language is not None]


def _written_in(text: str, charset: str, style: Style, elements: bytes) -> Layout | None:
    """GSM 7-bit text that the SMSC takes in another alphabet: counted and cut in septets, written in `charset`."""
    septets = gsm7.septets(text)
    if septets is None:
        return None
    try:
        written = text.encode(charset)
    except UnicodeEncodeError:
        return None
    laid = _lay_out(Encoding.GSM7, gsm7.encode(text), elements, style)
    if len(written) == septets:
        return laid._replace(data=written)
    ends, start, position = [], 0, 0
    for end in laid.ends:
        position += len(gsm7.decode(laid.data[start:end]))
        ends.append(position)
        start = end
    return laid._replace(data=written, ends=ends)


def _lay_out(encoding: Encoding, data: bytes, elements: bytes, style: Style, packed: bool = False) -> Layout:
    width = 2 if encoding is Encoding.UCS2 else 1
    length = len(data) // width
    units = room(encoding, len(elements))
    if length <= units:
        return Layout(encoding, data, length, units, [len(data)], elements)
    units, header = room(encoding, len(elements), style), header_octets(len(elements), style)
    return Layout(encoding, data, length, units, cuts(data, encoding, units, header if packed else None), elements)


def _checked(laid: Layout, style: Style, elements: Sequence[udh.Element]) -> Layout:
    if elements and laid.total > 1 and style in ("sar", "payload"):
        raise ValueError(f"information elements cannot be repeated in the segments of style {style}")
    checked(laid.total)
    return laid
