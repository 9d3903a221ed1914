"""Values of custom attributes: what is taken, and the one form each is stored in."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.contacts.attributes import KEY, infer_type, parse_cell, parse_value
from app.domain.contacts.fields import AttributeType

TEXT, NUMBER, BOOLEAN = AttributeType.TEXT, AttributeType.NUMBER, AttributeType.BOOLEAN
DATE, LIST = AttributeType.DATE, AttributeType.LIST


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        (TEXT, "Addis Ababa", "Addis Ababa"),
        (TEXT, "e\u0301", "\u00e9"),
        (TEXT, " kept ", " kept "),
        (TEXT, "", None),
        (NUMBER, 3, 3),
        (NUMBER, 3.0, 3),
        (NUMBER, -0.0, 0),
        (NUMBER, 2**53, 2**53),
        (NUMBER, 0.5, 0.5),
        (BOOLEAN, False, False),
        (DATE, "2026-11-24", "2026-11-24"),
        (DATE, "2026-11-24T10:00:00.5+03:00", "2026-11-24T07:00:00Z"),
        (LIST, ["b", "a", "b", ""], ["a", "b"]),
        (LIST, ["e\u0301", "\u00e9"], ["\u00e9"]),
        (LIST, [], None),
        *((kind, None, None) for kind in AttributeType),
    ],
)
def test_values(kind: AttributeType, value: Any, stored: Any) -> None:
    found = parse_value(kind, value)
    assert found == stored and type(found) is type(stored)


OTHERS: dict[AttributeType, tuple[Any, ...]] = {
    TEXT: (1, True, ["a"], {}, "a\0b", "\ud800", "a" * 1_001),
    NUMBER: ("1", True, 2**53 + 1, -(2**53) - 2, 1e300, float("inf"), float("nan"), [1]),
    BOOLEAN: ("true", 1, 0, []),
    DATE: ("2026-02-30", "24.11.2026", "2026-11-24T10:00:00", 1, True, "", ["2026-11-24"]),
    LIST: ("a", {"a": 1}, [1], ["a\0"], ["a" * 1_001], [["a"]], [str(number) for number in range(101)]),
}


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in OTHERS.items() for value in values])
def test_values_of_another_type(kind: AttributeType, value: Any) -> None:
    with pytest.raises(ValueError, match=r"needed|holds|has at most|day"):
        parse_value(kind, value)


@pytest.mark.parametrize(
    ("kind", "cell", "stored"),
    [
        (TEXT, " Addis Ababa ", "Addis Ababa"),
        (NUMBER, "12", 12),
        (NUMBER, " -12.50 ", -12.5),
        (NUMBER, "+3.0", 3),
        (BOOLEAN, "Yes", True),
        (BOOLEAN, "0", False),
        (DATE, "2026-11-24 ", "2026-11-24"),
        (LIST, "b; a;;b", ["a", "b"]),
        (LIST, "b, a", ["a", "b"]),
        (LIST, "b, c; a", ["a", "b, c"]),
        *((kind, "  ", None) for kind in AttributeType),
    ],
)
def test_cells(kind: AttributeType, cell: str, stored: Any) -> None:
    assert parse_cell(kind, cell) == stored


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        *((NUMBER, cell) for cell in ("1,5", "1e3", "0x10", "1_000", "inf", "9" * 18, "\u0661")),
        *((BOOLEAN, cell) for cell in ("maybe", "2")),
        *((DATE, cell) for cell in ("24/11/2026", "2026-13-01")),
        *((TEXT, cell) for cell in ("a\0b", "a" * 1_001)),
    ],
)
def test_cells_of_another_type(kind: AttributeType, cell: str) -> None:
    with pytest.raises(ValueError, match=r"needed|holds|has at most|day"):
        parse_cell(kind, cell)


@pytest.mark.parametrize(
    ("value", "kind"),
    [("2026-11-24", TEXT), (1, NUMBER), (1.5, NUMBER), (True, BOOLEAN), (["a"], LIST), ([], LIST)],
)
def test_the_first_value_says_the_type(value: Any, kind: AttributeType) -> None:
    assert infer_type(value) is kind


@pytest.mark.parametrize("value", [{}, {"a": 1}, None], ids=["empty", "object", "nothing"])
def test_what_can_be_no_attribute(value: Any) -> None:
    with pytest.raises(ValueError, match="needed"):
        infer_type(value)


@given(
    kind=st.sampled_from(list(AttributeType)),
    value=st.one_of(
        st.text(max_size=20), st.integers(), st.floats(), st.booleans(), st.lists(st.text(max_size=5), max_size=5)
    ),
)
def test_what_is_stored_is_its_own_form(kind: AttributeType, value: Any) -> None:
    try:
        stored = parse_value(kind, value)
    except ValueError:
        return
    assert parse_value(kind, stored) == stored


def test_keys() -> None:
    assert all(KEY.fullmatch(key) for key in ("a", "city", "a_1", "a" * 64))
    assert not any(KEY.fullmatch(key) for key in ("", "1a", "_a", "City", "a-b", "a.b", "a" * 65, "\u00e9", "a\n"))
