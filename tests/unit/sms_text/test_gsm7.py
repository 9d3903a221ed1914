"""The GSM 7-bit alphabet against published vectors and its own laws."""

import gsm0338
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sms_text import gsm7

GSM_TEXT = st.text(alphabet=sorted(gsm7.DEFAULT.codes), max_size=400)
SEPTETS = st.lists(st.integers(0, 127), max_size=200).map(bytes)


def test_the_table_has_127_basic_characters_and_ten_extensions() -> None:
    basic = [septets for septets in gsm7.DEFAULT.codes.values() if len(septets) == 1]
    assert len(basic) == 127
    assert len(gsm7.DEFAULT.extension) == 10
    assert len(gsm7.DEFAULT.basic) == 128


@pytest.mark.parametrize(
    ("character", "septets"),
    [
        ("\f", "1b0a"), ("^", "1b14"), ("{", "1b28"), ("}", "1b29"), ("\\", "1b2f"), ("[", "1b3c"), ("~", "1b3d"),
        ("]", "1b3e"), ("|", "1b40"), ("€", "1b65"), ("@", "00"), ("$", "02"), ("_", "11"), ("Ç", "09"), ("à", "7f"),
        ("Δ", "10"), ("¡", "40"), ("¿", "60"), ("§", "5f"), ("\n", "0a"), ("\r", "0d"), (" ", "20"), ("ß", "1e"),
    ],
)  # fmt: skip
def test_septets_of_single_characters(character: str, septets: str) -> None:
    assert gsm7.encode(character).hex() == septets
    assert gsm7.decode(bytes.fromhex(septets)) == character
    assert gsm7.septets(character) == len(septets) // 2


@pytest.mark.parametrize("character", ["`", "ç", "’", "\t", "\x00", "\x1b", "日", "😀", "\xa0"])
def test_what_is_not_in_the_alphabet(character: str) -> None:
    assert not gsm7.is_gsm7(f"abc{character}")
    with pytest.raises(ValueError, match="not in the GSM 7-bit alphabet"):
        gsm7.encode(f"abc{character}")


@pytest.mark.parametrize(
    ("text", "packed"),
    [
        ("hellohello", "e8329bfd4697d9ec37"),
        ("hello", "e8329bfd06"),
        ("", ""),
        ("1234567", "31d98c56b3dd1a"),  # seven bits left: CR instead of a trailing @ (go-smpp#109)
        ("12345678", "31d98c56b3dd70"),
        ("€", "9b32"),
    ],
)
def test_packed_vectors(text: str, packed: str) -> None:
    assert gsm7.pack(gsm7.encode(text)).hex() == packed


def test_packing_after_a_six_octet_header_needs_one_fill_bit() -> None:
    assert gsm7.fill_bits_after(6) == 1
    assert gsm7.fill_bits_after(7) == 0
    septets = gsm7.encode("a" * 153)
    packed = gsm7.pack(septets, 1)
    assert len(packed) + 6 == 140
    assert gsm7.unpack(packed, 153, 1) == septets


def test_undefined_pairs_show_the_basic_character_and_escapes_a_space() -> None:
    assert gsm7.decode(b"a\x1bbc") == "abc"
    assert gsm7.decode(b"a\x1b\x1bb") == "a b"
    assert gsm7.decode(b"a\x1b") == "a "
    assert gsm7.decode(b"a\x80b") == "a\ufffdb"
    assert gsm7.decode(b"\x1b\x80b") == "\ufffdb"


@given(GSM_TEXT)
def test_round_trip(text: str) -> None:
    octets = gsm7.encode(text)
    assert gsm7.decode(octets) == text
    assert gsm7.septets(text) == len(octets)


@given(GSM_TEXT)
def test_another_implementation_agrees(text: str) -> None:
    assert gsm0338.Codec().encode(text)[0] == gsm7.encode(text)
    assert gsm0338.Codec().decode(gsm7.encode(text))[0] == text


@given(SEPTETS, st.integers(0, 6))
def test_packing_round_trip(septets: bytes, fill_bits: int) -> None:
    packed = gsm7.pack(septets, fill_bits)
    assert gsm7.unpack(packed, len(septets), fill_bits) == septets
    assert len(packed) == -(-(fill_bits + 7 * len(septets)) // 8)


@given(st.binary(max_size=300))
def test_decoding_never_fails(data: bytes) -> None:
    gsm7.decode(data)
    gsm7.unpack(data, 500, 3)
