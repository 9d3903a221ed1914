"""Packed septets, other alphabets, binary data and caller's header elements: exact capacities, and nothing lost."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sms_text import gsm7, udh
from connectors.sms_text.encoding import Alphabet, Flash, alphabet_of, data_coding, decode_text, decode_user_data
from connectors.sms_text.segments import (
    Encoding,
    SegmentedText,
    Style,
    TextOptions,
    TextTooLongError,
    count,
    count_binary,
    part_texts,
    segment,
    segment_binary,
)

PORTS = udh.port_element(9200, 2948)
STYLES = st.sampled_from(["udh8", "udh16", "sar"])
HEADER_STYLES = st.sampled_from(["udh8", "udh16"])
GSM = st.text(alphabet="ab\r€[]é\n@", max_size=700)
ANY = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=300)
TEXTS = st.one_of(GSM, st.text(alphabet="abc日😀é", max_size=400), ANY)


def sizes(cut: SegmentedText) -> list[int]:
    return [len(part.udh) + len(part.user_data) for part in cut.segments]


@pytest.mark.parametrize(
    ("text", "style", "octets"),
    [
        ("a" * 160, "udh8", [140]),
        ("a" * 161, "udh8", [140, 14]),
        ("a" * 306, "udh8", [140, 140]),
        ("a" * 304, "udh16", [140, 140]),
        ("a" * 305, "udh16", [140, 140, 8]),
        ("hellohello", "udh8", [9]),
    ],
)
def test_packed_text_fills_140_octets(text: str, style: Style, octets: list[int]) -> None:
    cut = segment(text, packed=True, style=style, reference=1)
    assert sizes(cut) == octets
    assert cut.alphabet == "gsm7_packed"
    assert part_texts(cut) == [text[start : start + cut.per_segment] for start in range(0, len(text), cut.per_segment)]


def test_a_packed_header_is_padded_to_a_septet_boundary() -> None:
    whole = segment("a" * 161, packed=True, reference=1).segments[0]
    # One fill bit behind a header of six octets: the first septet begins at bit 49.
    assert whole.user_data[0] & 0x01 == 0
    assert gsm7.unpack(whole.user_data, 153, 1) == b"a" * 153
    assert segment("hellohello", packed=True).segments[0].user_data.hex() == "e8329bfd4697d9ec37"


def test_seven_spare_bits_hold_a_carriage_return_that_nobody_sees() -> None:
    (part,) = segment("1234567", packed=True).segments
    assert part.user_data[-1] >> 1 == gsm7.CARRIAGE_RETURN
    assert decode_text(part.user_data, "gsm7_packed") == "1234567"
    # An escape pair that does not fit leaves seven bits in the middle of a text, too.
    cut = segment("a" * 152 + "€" + "b" * 9, packed=True, reference=1)
    assert part_texts(cut) == ["a" * 152, "€" + "b" * 9]


def test_a_carriage_return_is_never_where_it_looks_like_the_fill() -> None:
    text = "a" * 152 + "\r" + "b" * 152
    cut = segment(text, packed=True, reference=1)
    assert part_texts(cut) == ["a" * 152, "\r" + "b" * 152]
    assert count(text, packed=True).segments == 2
    assert count(text + "c", packed=True).segments == 3
    assert count(text + "c").segments == 2


@given(TEXTS, STYLES)
def test_packed_segments_join_to_the_text_and_agree_with_the_count(text: str, style: Style) -> None:
    counted = count(text, packed=True, style=style)
    cut = segment(text, packed=True, style=style, reference=77)
    assert (cut.encoding, len(cut.segments), cut.length, cut.per_segment) == counted
    assert all(size <= 140 for size in sizes(cut))
    # A last CR on the last octet's end cannot be told from the fill.
    joined = "".join(part_texts(cut))
    assert joined == text or joined + "\r" == text


@given(
    TEXTS,
    STYLES,
    st.sampled_from(["auto", "ucs2"]),
    st.sampled_from(["gsm7", "latin1", "ascii", "ucs2"]),
    st.sampled_from(["big", "little"]),
)
def test_every_default_alphabet_and_byte_order_joins_to_the_text(
    text: str, style: Style, encoding: str, default: str, order: str
) -> None:
    options: TextOptions = {
        "style": style,
        "encoding": encoding,  # type: ignore[typeddict-item]
        "default_alphabet": default,  # type: ignore[typeddict-item]
        "byte_order": order,  # type: ignore[typeddict-item]
    }
    counted = count(text, **options)
    cut = segment(text, reference=0xFF, **options)
    assert (cut.encoding, len(cut.segments), cut.length, cut.per_segment) == counted
    assert "".join(part_texts(cut)) == text
    coding = data_coding(cut.alphabet, default=default)  # type: ignore[arg-type]
    assert alphabet_of(coding, default, byte_order=order) == cut.alphabet  # type: ignore[arg-type]


@given(ANY, STYLES, st.sampled_from(["latin1", "ascii"]))
def test_forced_alphabets_hold_the_text_or_refuse_it(text: str, style: Style, encoding: Alphabet) -> None:
    fits = all(ord(character) < (256 if encoding == "latin1" else 128) for character in text)
    if not fits:
        with pytest.raises(ValueError, match="ordinal not in range"):
            count(text, encoding=encoding, style=style)  # type: ignore[arg-type]
        return
    counted = count(text, encoding=encoding, style=style)  # type: ignore[arg-type]
    cut = segment(text, encoding=encoding, style=style, reference=0)  # type: ignore[arg-type]
    assert (len(cut.segments), cut.alphabet) == (counted.segments, encoding)
    assert "".join(part_texts(cut)) == text


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("é" * 140, {"encoding": "latin1"}, (Encoding.LATIN1, 1, 140, 140)),
        ("ê" * 141, {"encoding": "latin1"}, (Encoding.LATIN1, 2, 141, 134)),
        ("ê" * 267, {"encoding": "latin1", "style": "udh16"}, (Encoding.LATIN1, 3, 267, 133)),
        ("`" * 160, {"encoding": "ascii"}, (Encoding.ASCII, 1, 160, 160)),
        ("`" * 161, {"encoding": "ascii"}, (Encoding.ASCII, 2, 161, 153)),
        ("é" * 160, {"default_alphabet": "latin1"}, (Encoding.GSM7, 1, 160, 160)),
        ("{" * 81, {"default_alphabet": "latin1"}, (Encoding.GSM7, 2, 162, 153)),
        ("ê", {"default_alphabet": "latin1"}, (Encoding.UCS2, 1, 1, 70)),
        ("€", {"default_alphabet": "latin1"}, (Encoding.UCS2, 1, 1, 70)),
        ("é", {"default_alphabet": "ascii"}, (Encoding.UCS2, 1, 1, 70)),
        ("a" * 71, {"default_alphabet": "ucs2"}, (Encoding.UCS2, 2, 71, 67)),
        ("日" * 70, {"byte_order": "little"}, (Encoding.UCS2, 1, 70, 70)),
    ],
)
def test_exact_counts_of_other_alphabets(
    text: str, options: TextOptions, expected: tuple[Encoding, int, int, int]
) -> None:
    assert count(text, **options) == expected
    assert len(segment(text, reference=1, **options).segments) == expected[1]


def test_text_for_a_latin1_default_alphabet_is_written_in_it() -> None:
    """Field problem 35: what data_coding 0 means is the operator's choice."""
    (part,) = segment("{à la carte}", default_alphabet="latin1").segments
    assert part.user_data == b"{\xe0 la carte}"
    assert data_coding("latin1", default="latin1") == 0
    cut = segment("{" * 100, default_alphabet="latin1", reference=1)
    assert [len(part.user_data) for part in cut.segments] == [76, 24]
    with pytest.raises(ValueError, match="default alphabet, ascii"):
        count("é", encoding="gsm7", default_alphabet="ascii")
    with pytest.raises(ValueError, match="'ê' is not in the GSM"):
        count("ê", encoding="gsm7", default_alphabet="latin1")


def test_little_endian_text_keeps_surrogates_whole() -> None:
    """Field problem 36: some SMSCs want UCS-2 the other way round, and pairs stay whole either way."""
    cut = segment("日" * 66 + "😀" + "日" * 5, byte_order="little", reference=1)
    assert cut.segments[0].user_data == "日".encode("utf-16-le") * 66
    assert str(cut.segments[1].user_data, "utf-16-le").startswith("😀")
    assert cut.alphabet == "ucs2_le"
    assert data_coding(cut.alphabet) == 0x08


@pytest.mark.parametrize(
    ("octets", "style", "elements", "expected"),
    [
        (140, "udh8", (), (1, 140)),
        (141, "udh8", (), (2, 134)),
        (268, "udh8", (), (2, 134)),
        (266, "udh16", (), (2, 133)),
        (267, "udh16", (), (3, 133)),
        (133, "udh8", (PORTS,), (1, 133)),
        (134, "udh8", (PORTS,), (2, 128)),
        (254, "udh16", (PORTS,), (2, 127)),
        (0, "udh8", (), (1, 140)),
    ],
)
def test_binary_capacities(
    octets: int, style: Style, elements: tuple[udh.Element, ...], expected: tuple[int, int]
) -> None:
    counted = count_binary(bytes(octets), style=style, elements=elements)
    assert (counted.encoding, counted.segments, counted.per_segment) == (Encoding.BINARY, *expected)
    cut = segment_binary(bytes(octets), style=style, elements=elements, reference=5)
    assert len(cut.segments) == counted.segments
    assert cut.alphabet == "binary"


@given(st.binary(max_size=2000), HEADER_STYLES, st.lists(st.sampled_from([PORTS, (0x70, b""), (0x0B, b"ab")])))
def test_binary_parts_join_and_carry_the_callers_elements(
    data: bytes, style: Style, elements: list[udh.Element]
) -> None:
    cut = segment_binary(data, style=style, elements=elements[:4], reference=250)
    joined = b""
    for part in cut.segments:
        assert len(part.udh) + len(part.user_data) <= 140
        header, rest = udh.split_user_data(part.udh + part.user_data) if part.udh else (None, part.user_data)
        joined += rest
        carried = [] if header is None else [each for each in header.elements if each[0] not in (0x00, 0x08)]
        assert carried == elements[:4]
        if len(cut.segments) > 1:
            assert header is not None
            assert header.concatenation is not None
            assert header.concatenation.number == part.number
    assert joined == data


def test_ports_join_with_concatenation_and_reduce_the_room() -> None:
    cut = segment("a" * 153, elements=[PORTS], reference=0xAB)
    assert (len(cut.segments), cut.per_segment) == (2, 146)
    assert cut.segments[1].udh.hex() == "0b" + "0003ab0202" + "050423f00b84"
    assert count("a" * 152, elements=[PORTS]) == (Encoding.GSM7, 1, 152, 152)
    assert count("日" * 66, elements=[PORTS]) == (Encoding.UCS2, 1, 66, 66)
    (single,) = segment("hi", elements=[PORTS]).segments
    assert single.udh.hex() == "06050423f00b84"


def test_elements_that_cannot_be_sent_are_refused() -> None:
    with pytest.raises(ValueError, match="0x00 is written by"):
        segment("a", elements=[(0x00, b"\x01\x02\x01")])
    with pytest.raises(ValueError, match="leaves no room"):
        segment("a", elements=[(0x70, bytes(136))])
    with pytest.raises(ValueError, match="cannot be repeated in the segments of style sar"):
        segment("a" * 200, elements=[PORTS], style="sar", reference=1)
    assert segment("a", elements=[PORTS], style="sar").segments[0].udh
    with pytest.raises(TextTooLongError):
        count_binary(bytes(134 * 255 + 1))


def test_a_payload_is_one_object_whatever_its_alphabet() -> None:
    cut = segment("a" * 400, style="payload", packed=True)
    assert (len(cut.segments), len(cut.segments[0].user_data)) == (1, 350)
    assert count("a" * 400, style="payload", packed=True).segments == 3
    assert segment_binary(bytes(400), style="payload").segments[0].user_data == bytes(400)


@pytest.mark.parametrize(
    ("alphabet", "default", "flash", "expected"),
    [
        ("gsm7", "gsm7", "none", 0x00),
        ("gsm7_packed", "gsm7", "none", 0x00),
        ("ucs2", "gsm7", "none", 0x08),
        ("ucs2_le", "gsm7", "none", 0x08),
        ("ucs2", "ucs2", "none", 0x00),
        ("latin1", "gsm7", "none", 0x03),
        ("latin1", "latin1", "none", 0x00),
        ("ascii", "gsm7", "none", 0x01),
        ("binary", "gsm7", "none", 0x04),
        ("gsm7", "gsm7", "data_coding", 0x10),
        ("latin1", "latin1", "data_coding", 0x10),
        ("ucs2", "gsm7", "data_coding", 0x18),
        ("binary", "gsm7", "data_coding", 0x14),
        ("gsm7", "gsm7", "data_coding_f0", 0xF0),
        ("binary", "gsm7", "data_coding_f0", 0xF4),
        ("ucs2", "gsm7", "data_coding_f0", 0x18),
    ],
)
def test_data_coding_of_what_is_sent(alphabet: Alphabet, default: str, flash: Flash, expected: int) -> None:
    assert data_coding(alphabet, default=default, flash=flash) == expected  # type: ignore[arg-type]


def test_data_coding_can_be_the_operators_own() -> None:
    """Field problem 35: the values themselves differ too."""
    assert data_coding("gsm7", overrides={"gsm7": 0xF1}) == 0xF1
    assert data_coding("ucs2", overrides={"gsm7": 0xF1}) == 0x08
    assert data_coding("gsm7", overrides={"gsm7": 0xF1}, flash="data_coding") == 0x10
    with pytest.raises(ValueError, match="latin1 cannot be a flash message"):
        data_coding("latin1", flash="data_coding")


def test_packed_text_comes_in_packed_too() -> None:
    """Field problem 35: an account's default alphabet counts in both directions."""
    assert alphabet_of(0, "gsm7_packed") == "gsm7_packed"
    assert alphabet_of(0xF0, "gsm7_packed") == alphabet_of(0xC8, "gsm7_packed") == "gsm7_packed"
    header, data = udh.split_user_data(bytes.fromhex("050003ab0201") + gsm7.pack(b"hello", 1))
    assert decode_user_data(data, header, "gsm7_packed") == "hello"
    assert decode_user_data(gsm7.pack(b"hello"), None, "gsm7_packed") == "hello"
    assert decode_text(b"a\x00", "ucs2_le") == "a"


@given(st.binary(max_size=150), st.integers(0, 255), st.booleans())
def test_no_user_data_breaks_the_reader(data: bytes, coding: int, with_header: bool) -> None:
    header, rest = udh.split_user_data(data) if with_header else (None, data)
    for default, order in product(("gsm7", "gsm7_packed", "latin1", "ucs2"), ("big", "little")):
        decode_user_data(rest, header, alphabet_of(coding, default, byte_order=order))  # type: ignore[arg-type]
