"""National language tables against another implementation, and what they save."""

import gsmcodecs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sms_text import gsm7
from connectors.sms_text.encoding import decode_user_data
from connectors.sms_text.national import NationalLanguage, alphabet
from connectors.sms_text.segments import Encoding, SegmentedText, Style, TextOptions, count, part_texts, segment
from connectors.sms_text.udh import split_user_data
from connectors.sms_text.warnings import substitute, warnings

IDENTIFIERS = range(14)
LANGUAGES = st.sampled_from(NationalLanguage)
ESCAPE = gsm7.ESCAPE

# Where the other implementation is wrong: it has an apostrophe for the comma in the locking tables of Bengali to Urdu,
# which would leave those languages without a comma and with two apostrophes (the other is in their single shift
# tables), and in Kannada a second PA in the place of DDA. Handsets have the comma and DDA.
ERRATA = {(language, 0x2C): "," for language in range(4, 14)} | {(7, 0x24): "\u0ca1"}


def headers_of(cut: SegmentedText) -> list[tuple[int | None, int | None]]:
    """Locking and single shift of each part's header."""
    headers = [split_user_data(part.udh)[0] if part.udh else None for part in cut.segments]
    return [(h.locking_shift, h.single_shift) if h else (None, None) for h in headers]


@pytest.mark.parametrize("single", IDENTIFIERS)
@pytest.mark.parametrize("locking", IDENTIFIERS)
def test_every_pair_of_tables_agrees_with_another_implementation(locking: int, single: int) -> None:
    table = alphabet(locking, single)
    oracle = gsmcodecs.Codec(locking, single)
    for code in range(128):
        if code == ESCAPE:
            continue
        expected = ERRATA.get((locking, code)) or oracle.decode(bytes((code,)), "ignore")[0] or gsm7.UNDEFINED
        assert gsm7.decode(bytes((code,)), table) == expected, hex(code)
        shifted = oracle.decode(bytes((ESCAPE, code)), "ignore")[0]
        assert gsm7.decode(bytes((ESCAPE, code)), table) == (shifted or expected), hex(code)
    differing = {ERRATA[key] for key in ERRATA if key[0] == locking} | {"'", "\u0caa"}
    for character, septets in table.codes.items():
        if character not in differing:
            written = oracle.encode(character)[0]
            # Some single shift tables have a character twice.
            assert septets == written or oracle.decode(septets)[0] == character


def test_a_published_vector_of_turkish() -> None:
    assert gsm7.encode("ğüşİ", alphabet(1, 1)).hex() == "0c7e1d40"


def test_unknown_languages_mean_the_default_tables() -> None:
    assert alphabet(None, None) is gsm7.DEFAULT
    assert alphabet(0, 0) is gsm7.DEFAULT
    assert alphabet(200, 14) is gsm7.DEFAULT
    assert alphabet(2, None) is gsm7.DEFAULT  # Spanish has no locking shift table


@given(st.integers(0, 14), st.integers(0, 14), st.data())
def test_round_trip_in_every_pair(locking: int, single: int, data: st.DataObject) -> None:
    table = alphabet(locking, single)
    text = data.draw(st.text(alphabet=sorted(table.codes), max_size=200))
    septets = gsm7.encode(text, table)
    assert gsm7.decode(septets, table) == text
    assert gsm7.septets(text, table) == len(septets)


@given(st.integers(0, 14), st.integers(0, 14), st.binary(max_size=200))
def test_no_septets_break_a_table(locking: int, single: int, data: bytes) -> None:
    gsm7.decode(data, alphabet(locking, single))


@pytest.mark.parametrize(
    ("text", "language", "segments", "per_segment", "shifts"),
    [
        ("a" * 160, NationalLanguage.TURKISH, 1, 160, (None, None)),
        ("ş" * 77, NationalLanguage.TURKISH, 1, 155, (None, 1)),
        ("ş" * 155, NationalLanguage.TURKISH, 1, 155, (1, None)),
        ("ş" * 152 + "Ê", NationalLanguage.TURKISH, 3, 67, (None, None)),  # not in any Turkish table
        ("ş" * 156, NationalLanguage.TURKISH, 2, 149, (1, None)),
        ("a" * 150 + "ş" * 2, NationalLanguage.TURKISH, 1, 155, (None, 1)),
        ("ñ" * 80 + "á" * 37, NationalLanguage.SPANISH, 1, 155, (None, 2)),
        ("á" * 78, NationalLanguage.SPANISH, 2, 149, (None, 2)),
        ("क" * 155, NationalLanguage.HINDI, 1, 155, (6, None)),
        ("क" * 150 + "A", NationalLanguage.HINDI, 1, 152, (6, 6)),
        ("क" * 151 + "A", NationalLanguage.HINDI, 2, 146, (6, 6)),
        ("ب" * 155, NationalLanguage.URDU, 1, 155, (13, None)),
    ],
)
def test_the_cheapest_tables_are_taken(
    text: str, language: NationalLanguage, segments: int, per_segment: int, shifts: tuple[int | None, int | None]
) -> None:
    counted = count(text, national=language)
    assert (counted.segments, counted.per_segment) == (segments, per_segment)
    cut = segment(text, national=language, reference=9)
    assert headers_of(cut) == [shifts] * segments
    assert "".join(part_texts(cut)) == text


def test_capacities_behind_shift_elements() -> None:
    single, both = NationalLanguage.TURKISH, NationalLanguage.HINDI
    assert count("Ğ" + "a" * 200, national=single, style="udh16").per_segment == 148
    assert count("A" * 2 + "क" * 300, national=both, style="udh16").per_segment == 145
    assert segment("Ğ", national=single).segments[0].udh.hex() == "03240101"
    first = segment("Ğ" + "a" * 200, national=single, reference=7).segments[0]
    assert first.udh.hex() == "080003070201240101"


def test_several_segments_without_a_header_use_no_shift_tables() -> None:
    styles: tuple[Style, ...] = ("sar", "payload")
    for style in styles:
        assert count("ş" * 155, national=NationalLanguage.TURKISH, style=style).encoding is Encoding.GSM7
        assert count("ş" * 156, national=NationalLanguage.TURKISH, style=style).encoding is Encoding.UCS2


def test_national_tables_are_off_unless_asked_for() -> None:
    assert count("ş").encoding is Encoding.UCS2
    assert count("ş", national=NationalLanguage.TURKISH).encoding is Encoding.GSM7
    with pytest.raises(ValueError, match="'ş' is not in the GSM"):
        count("ş", encoding="gsm7", national=NationalLanguage.SPANISH)


def test_incoming_text_is_read_with_the_tables_its_header_names() -> None:
    header, data = split_user_data(bytes.fromhex("06240101250101") + bytes.fromhex("0c7e1d40"))
    assert decode_user_data(data, header, "gsm7") == "ğüşİ"
    assert decode_user_data(b"\x0c", None, "gsm7") == "ø"
    unknown, data = split_user_data(bytes.fromhex("032401ff") + b"a\x1b\x65")
    assert decode_user_data(data, unknown, "gsm7") == "a€"
    assert decode_user_data("é".encode("utf-16-be"), header, "ucs2") == "é"


@given(LANGUAGES, st.sampled_from(["udh8", "udh16", "sar"]), st.booleans(), st.data())
def test_national_segments_join_to_the_text_and_agree_with_the_count(
    language: NationalLanguage, style: Style, packed: bool, data: st.DataObject
) -> None:
    characters = sorted({*alphabet(language, language).codes, *gsm7.DEFAULT.codes} - {"\r"})
    text = data.draw(st.text(alphabet=characters, max_size=500))
    options: TextOptions = {"national": language, "style": style, "packed": packed}
    counted = count(text, **options)
    cut = segment(text, reference=3, **options)
    assert (cut.encoding, len(cut.segments), cut.length, cut.per_segment) == counted
    assert counted.segments <= count(text, style=style).segments
    assert "".join(part_texts(cut)) == text
    if packed or cut.encoding is Encoding.UCS2:
        room = 140 if style != "sar" or counted.segments == 1 else 134
        assert all(len(part.udh) + len(part.user_data) <= room for part in cut.segments)


def test_characters_of_the_language_are_no_warning() -> None:
    assert [w.character for w in warnings("Şişli – ğ", NationalLanguage.TURKISH)] == ["–"]
    assert [w.character for w in warnings("हिन्दी – ok", NationalLanguage.HINDI)] == ["–"]
    assert substitute("Şişli – ğ", NationalLanguage.TURKISH)[0] == "Şişli - ğ"
    assert substitute("हिन्दी – ok", NationalLanguage.HINDI)[0] == "हिन्दी - ok"
    assert substitute("हिन्दी – ok") == ("हिन्दी – ok", [])
