"""Warnings, incoming alphabets and user data headers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sms_text.encoding import alphabet_of, decode_text, decode_ucs2
from connectors.sms_text.gsm7 import is_gsm7
from connectors.sms_text.udh import Concatenation, split_user_data
from connectors.sms_text.warnings import (
    SUBSTITUTIONS,
    CharacterWarning,
    Replacement,
    substitute,
    suggestion,
    warnings,
)


def test_warnings_give_place_character_and_replacement() -> None:
    assert warnings("It’s “ok” – yes…\xa0now") == [
        CharacterWarning(2, "’", "not_gsm7", "'"),
        CharacterWarning(5, "“", "not_gsm7", '"'),
        CharacterWarning(8, "”", "not_gsm7", '"'),
        CharacterWarning(10, "–", "not_gsm7", "-"),
        CharacterWarning(15, "…", "not_gsm7", "..."),
        CharacterWarning(16, "\xa0", "not_gsm7", " "),
    ]
    assert warnings("Plain {text} für 5 €") == []


@pytest.mark.parametrize(
    ("character", "expected"),
    [("ê", "e"), ("ç", "c"), ("ﬁ", "fi"), ("日", None), ("😀", None), ("\u200d", ""), ("\u0301", ""), ("Ş", "S")],
)
def test_suggestions(character: str, expected: str | None) -> None:
    assert suggestion(character) == expected


def test_every_substitution_is_gsm_and_replaces_something_that_is_not() -> None:
    assert all(is_gsm7(replacement) for replacement in SUBSTITUTIONS.values())
    assert not [character for character in SUBSTITUTIONS if is_gsm7(character)]


@given(st.text(max_size=100))
def test_every_warning_points_at_its_character(text: str) -> None:
    for warning in warnings(text):
        assert text[warning.index] == warning.character
        assert warning.suggestion is None or is_gsm7(warning.suggestion)


def test_substitution_says_what_it_changed() -> None:
    text, replaced = substitute("It’s “ok”…\u200b")
    assert text == 'It\'s "ok"...'
    assert replaced == [
        Replacement(2, "’", "'"),
        Replacement(5, "“", '"'),
        Replacement(8, "”", '"'),
        Replacement(9, "…", "..."),
        Replacement(10, "\u200b", ""),
    ]
    assert substitute("Plain {text} für 5 €") == ("Plain {text} für 5 €", [])


def test_a_text_that_needs_ucs2_anyway_keeps_its_characters() -> None:
    assert substitute("“日本” – ok") == ("“日本” – ok", [])


@given(st.text(alphabet="abc’“…–ê\u200b€日", max_size=60))
def test_substitution_gives_gsm_text_or_the_text_itself(text: str) -> None:
    result, replaced = substitute(text)
    assert is_gsm7(result) or (result == text and not replaced)
    assert [(r.index, r.character) for r in replaced] == (
        [(w.index, w.character) for w in warnings(text)] if is_gsm7(result) else []
    )


@pytest.mark.parametrize(
    ("data_coding", "alphabet"),
    [
        (0, "gsm7"),
        (1, "ascii"),
        (2, "binary"),
        (3, "latin1"),
        (4, "binary"),
        (6, "iso8859_5"),
        (7, "iso8859_8"),
        (8, "ucs2"),
        (0x10, "gsm7"),
        (0x14, "binary"),
        (0x18, "ucs2"),
        (0xC8, "gsm7"),
        (0xE0, "ucs2"),
        (0xF0, "gsm7"),
        (0xF5, "binary"),
        (0x80, "gsm7"),
    ],
)
def test_data_coding(data_coding: int, alphabet: str) -> None:
    assert alphabet_of(data_coding) == alphabet


def test_data_coding_zero_is_the_operators_own() -> None:
    """Field problem 35: data_coding 0 is whatever the operator's default alphabet is."""
    assert alphabet_of(0, "latin1") == "latin1"
    assert decode_text(b"caf\xe9", "latin1") == "café"
    assert decode_text(b"caf\x05", "gsm7") == "café"


def test_ucs2_tolerates_odd_octets_marks_and_surrogates() -> None:
    """Field problem 36: odd octets, byte order marks and pairs come in from the field."""
    assert decode_ucs2("日a".encode("utf-16-be") + b"\x00") == "日a"
    assert decode_ucs2(b"\xfe\xff\x00a") == "a"
    assert decode_ucs2(b"\xff\xfea\x00") == "a"
    assert decode_ucs2("😀".encode("utf-16-be")) == "😀"
    assert decode_ucs2(b"\xd8\x3d\x00a") == "\ufffda"


@given(st.binary(max_size=200), st.integers(0, 255))
def test_decoding_never_fails(data: bytes, data_coding: int) -> None:
    decode_text(data, alphabet_of(data_coding))
    split_user_data(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("050003ab0201", Concatenation(0xAB, 2, 1, 8)),
        ("060804abcd0302", Concatenation(0xABCD, 3, 2, 16)),
        ("0b05040b8423f00003ab0201", Concatenation(0xAB, 2, 1, 8)),
        ("092401010804ab000201", Concatenation(0xAB00, 2, 1, 16)),
        ("050003000201", Concatenation(0, 2, 1, 8)),
        ("050003ab0200", None),
        ("050003ab0001", None),
        ("050003ab0203", None),
    ],
)
def test_concatenation_anywhere_in_the_list(data: str, expected: Concatenation | None) -> None:
    header, rest = split_user_data(bytes.fromhex(data) + b"text")
    assert header is not None
    assert header.concatenation == expected
    assert rest == b"text"


def test_ports_and_shift_elements() -> None:
    header, rest = split_user_data(bytes.fromhex("0c05040b8423f0240101250103") + b"x")
    assert header is not None
    assert header.ports == (0x0B84, 0x23F0)
    assert (header.single_shift, header.locking_shift) == (1, 3)
    assert rest == b"x"


def test_an_impossible_header_is_text() -> None:
    assert split_user_data(b"\xffabc") == (None, b"\xffabc")
    assert split_user_data(b"") == (None, b"")


def test_an_element_over_the_end_keeps_what_came_before() -> None:
    header, rest = split_user_data(bytes.fromhex("080003ab0201700901") + b"x")
    assert header is not None
    assert header.concatenation == Concatenation(0xAB, 2, 1, 8)
    assert rest == b"x"
