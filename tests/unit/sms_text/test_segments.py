"""Exact capacities, and that cutting never breaks a character."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sms_text import gsm7
from connectors.sms_text.segments import MAX_SEGMENTS, Encoding, Style, TextTooLongError, count, segment

STYLES = st.sampled_from(["udh8", "udh16", "sar"])
TEXTS = st.one_of(
    st.text(alphabet="abc €[]{}@é", max_size=700),
    st.text(alphabet="abc日😀é\u0301", max_size=400),
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=300),
)


@pytest.mark.parametrize(
    ("text", "style", "expected"),
    [
        ("", "udh8", (Encoding.GSM7, 1, 0, 160)),
        ("a" * 160, "udh8", (Encoding.GSM7, 1, 160, 160)),
        ("a" * 161, "udh8", (Encoding.GSM7, 2, 161, 153)),
        ("a" * 306, "udh8", (Encoding.GSM7, 2, 306, 153)),
        ("a" * 307, "udh8", (Encoding.GSM7, 3, 307, 153)),
        ("a" * 304, "udh16", (Encoding.GSM7, 2, 304, 152)),
        ("a" * 305, "udh16", (Encoding.GSM7, 3, 305, 152)),
        ("€" * 80, "udh8", (Encoding.GSM7, 1, 160, 160)),
        ("€" * 81, "udh8", (Encoding.GSM7, 2, 162, 153)),
        ("a" * 152 + "€" + "a" * 152, "udh8", (Encoding.GSM7, 3, 306, 153)),
        ("日" * 70, "udh8", (Encoding.UCS2, 1, 70, 70)),
        ("日" * 71, "udh8", (Encoding.UCS2, 2, 71, 67)),
        ("日" * 134, "udh8", (Encoding.UCS2, 2, 134, 67)),
        ("日" * 132, "udh16", (Encoding.UCS2, 2, 132, 66)),
        ("日" * 133, "udh16", (Encoding.UCS2, 3, 133, 66)),
        ("日" * 66 + "😀" + "日" * 66, "udh8", (Encoding.UCS2, 3, 134, 67)),
        ("😀" * 35, "udh8", (Encoding.UCS2, 1, 70, 70)),
        ("`", "udh8", (Encoding.UCS2, 1, 1, 70)),
    ],
)
def test_exact_counts(text: str, style: Style, expected: tuple[Encoding, int, int, int]) -> None:
    assert count(text, style=style) == expected
    assert len(segment(text, style=style, reference=7).segments) == expected[1]


def test_an_escape_pair_moves_whole_to_the_next_part() -> None:
    """Field problem 36."""
    parts = segment("a" * 152 + "€" + "b" * 20, reference=1).segments
    assert parts[0].user_data == b"a" * 152
    assert parts[1].user_data == b"\x1b\x65" + b"b" * 20


def test_a_surrogate_pair_moves_whole_to_the_next_part() -> None:
    """Field problem 36."""
    parts = segment("日" * 66 + "😀" + "日" * 5, reference=1).segments
    assert len(parts[0].user_data) == 132
    assert str(parts[1].user_data, "utf-16-be").startswith("😀")


def test_headers() -> None:
    short = segment("a" * 200, reference=0xAB, style="udh8").segments
    assert [part.udh.hex() for part in short] == ["050003ab0201", "050003ab0202"]
    long = segment("a" * 200, reference=0xABCD, style="udh16").segments
    assert [part.udh.hex() for part in long] == ["060804abcd0201", "060804abcd0202"]
    sar = segment("a" * 200, reference=0xABCD, style="sar").segments
    assert [(part.udh, part.reference, part.total, part.number) for part in sar] == [
        (b"", 0xABCD, 2, 1),
        (b"", 0xABCD, 2, 2),
    ]
    (payload,) = segment("a" * 200, style="payload").segments
    assert payload.user_data == b"a" * 200
    assert segment("a" * 5).segments[0].udh == b""


def test_every_part_says_which_of_how_many_it_is() -> None:
    """Field problem 33: the operator gives each part an id of its own, so each part is told apart from the start."""
    styles: tuple[Style, ...] = ("udh8", "udh16", "sar")
    for style in styles:
        parts = segment("a" * 400, reference=9, style=style).segments
        assert [(part.number, part.total, part.reference) for part in parts] == [(1, 3, 9), (2, 3, 9), (3, 3, 9)]
    (whole,) = segment("a" * 400, style="payload").segments
    assert (whole.number, whole.total) == (1, 1)


def test_reference_zero_is_legal_and_a_missing_one_is_not() -> None:
    assert segment("a" * 200, reference=0).segments[0].udh == bytes((5, 0, 3, 0, 2, 1))
    for bad in (None, -1, 256):
        with pytest.raises(ValueError, match="needs a reference"):
            segment("a" * 200, reference=bad)


def test_forced_encodings() -> None:
    assert count("abc", encoding="ucs2") == (Encoding.UCS2, 1, 3, 70)
    with pytest.raises(ValueError, match="'日' is not in the GSM"):
        count("日", encoding="gsm7")


def test_at_most_255_segments() -> None:
    assert count("a" * 153 * MAX_SEGMENTS).segments == 255
    with pytest.raises(TextTooLongError):
        count("a" * (153 * MAX_SEGMENTS + 1))
    with pytest.raises(TextTooLongError):
        count("€" * 153 * 128)


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        count("\ud83d")


@given(TEXTS, STYLES)
def test_segments_join_to_the_text_and_agree_with_the_count(text: str, style: Style) -> None:
    counted = count(text, style=style)
    cut = segment(text, style=style, reference=200)
    assert (cut.encoding, len(cut.segments), cut.length, cut.per_segment) == counted
    width = 1 if cut.encoding is Encoding.GSM7 else 2
    assert all(len(part.user_data) <= cut.per_segment * width for part in cut.segments)
    assert [part.number for part in cut.segments] == list(range(1, counted.segments + 1))
    assert {part.total for part in cut.segments} == {counted.segments}
    decoded = [gsm7.decode(part.user_data) if width == 1 else str(part.user_data, "utf-16-be") for part in cut.segments]
    assert "".join(decoded) == text
    assert counted.segments == 1 or all(decoded)
