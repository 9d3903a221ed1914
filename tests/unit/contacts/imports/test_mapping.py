"""What cells say of a contact, by their column's target."""

from typing import Any

import pytest

from app.domain.contacts.drafts import Draft
from app.domain.contacts.fields import AttributeType
from app.domain.contacts.imports.mapping import RowMapping, check_mapping
from app.domain.contacts.imports.rows import Reason, Row, UnreadableFile, name_columns
from app.domain.contacts.stores.contract import AddressKey, AddressType, ContactStatus

MAPPING = {
    "P": "phone",
    "M": "phone",
    "E": "email",
    "F": "first_name",
    "L": "language",
    "Z": "timezone",
    "S": "status",
    "N": "notes",
    "T": "tags",
    "A": "attributes.n",
    "B": "attributes.b",
}
TYPES = {"n": AttributeType.NUMBER, "b": AttributeType.LIST}


def read(**cells: str) -> Draft | list[Reason]:
    mapping = RowMapping(list(MAPPING), MAPPING, TYPES, country="ET", tags=["all"])
    return mapping.draft(Row(2, [{"P": "0911000001", **cells}.get(header, "") for header in MAPPING]))


def draft(**cells: str) -> Draft:
    found = read(**cells)
    assert isinstance(found, Draft), found
    return found


def problems(**cells: str) -> list[tuple[str, str]]:
    found = read(**cells)
    assert isinstance(found, list), found
    assert all(reason.detail for reason in found)
    return [(reason.column, reason.code) for reason in found]


def phone(number: str) -> AddressKey:
    return AddressKey(AddressType.PHONE, number)


def test_a_full_row() -> None:
    assert draft(
        M="+251 911 000 002; 0911000001", E="Abebe@Example.COM", F="  Abebe\n Bekele ", L="EN_us", S="BLOCKED",
        Z="Africa/Addis_Ababa", N="line\nline", T="vip; new;;vip", A="1.50", B="x;y",
    ) == Draft(
        first_name="Abebe Bekele",
        language="en-US",
        timezone="Africa/Addis_Ababa",
        status=ContactStatus.BLOCKED,
        notes="line\nline",
        addresses=(phone("+251911000001"), phone("+251911000002"), AddressKey(AddressType.EMAIL, "abebe@example.com")),
        tags=("all", "vip", "new"),
        attributes={"n": 1.5, "b": ["x", "y"]},
    )  # fmt: skip


def test_empty_cells_say_nothing() -> None:
    found = draft(F=" ", A="")
    assert (found.first_name, found.notes, found.attributes) == (None, None, {})


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"P": ""}, [("", "no_address")]),
        ({"P": "x"}, [("P", "bad_phone")]),
        ({"P": "2.51911E+11"}, [("P", "bad_phone")]),
        ({"P": "x", "E": "y", "A": "z"}, [("P", "bad_phone"), ("E", "bad_email"), ("A", "bad_attribute")]),
        ({"F": "x" * 201}, [("F", "too_long")]),
        ({"F": "a\x07b"}, [("F", "bad_characters")]),
        ({"N": "x" * 10_001}, [("N", "too_long")]),
        ({"L": "English"}, [("L", "bad_language")]),
        ({"Z": "Mars/Olympus"}, [("Z", "bad_timezone")]),
        ({"S": "gone"}, [("S", "bad_status")]),
        ({"T": "x" * 65}, [("T", "bad_tags")]),
        ({"T": ";".join(f"t{number}" for number in range(101))}, [("", "too_many_tags")]),
        ({"P": ";".join(f"+2519110{number:05}" for number in range(51))}, [("", "too_many_addresses")]),
        ({"A": "12,5"}, [("A", "bad_attribute")]),
    ],
    ids=str,
)
def test_everything_wrong_with_a_row_is_said(cells: dict[str, str], expected: Any) -> None:
    assert problems(**cells) == expected


def test_a_rounded_number_is_explained() -> None:
    found = read(P="2,51911E11")
    assert isinstance(found, list)
    assert "rounded" in found[0].detail


def test_an_apostrophe_before_a_formula_is_taken_away() -> None:
    found = draft(P="'+251911000001", F="'=x", N="'tis", T="'@a;'-b")
    assert (found.addresses, found.first_name, found.notes) == ((phone("+251911000001"),), "=x", "'tis")
    assert found.tags == ("all", "@a", "-b")


def test_ragged_rows() -> None:
    mapping = RowMapping(["P", "F"], {"P": "phone", "F": "first_name"}, {})
    assert mapping.draft(Row(2, ["+251911000001"])) == Draft(addresses=(phone("+251911000001"),))
    assert mapping.draft(Row(2, ["+251911000001", "", "", " "])) == Draft(addresses=(phone("+251911000001"),))
    (reason,) = mapping.draft(Row(2, ["+251911000001", "a", "b"]))  # type: ignore[misc]
    assert (reason.code, reason.detail) == ("too_many_cells", "it has 3 cells, and there are 2 columns")


def test_a_column_that_is_not_there() -> None:
    with pytest.raises(UnreadableFile, match="no column 'Q'; its columns: 'P'"):
        RowMapping(["P"], {"P": "phone", "Q": "email"}, {})
    RowMapping(["P"], {"P": "phone", "Q": None}, {})


def test_every_column_has_a_name_of_its_own() -> None:
    assert name_columns([" Phone ", "", "Phone", "Phone (2)", "Phone", "a\n b", "", ""]) == [
        "Phone", "Column 2", "Phone (2)", "Phone (2) (2)", "Phone (3)", "a b",
    ]  # fmt: skip
    for cells in ([], [" ", ""], ["x"] * 501):
        with pytest.raises(UnreadableFile):
            name_columns(cells)


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        ({"P": "phone", "Q": "phone", "T": "tags", "U": "tags", "A": "attributes.a"}, []),
        ({"P": "phone", "A": None}, []),
        ({"P": "telephone"}, [("/m/P", "unknown_target")]),
        ({"P": "phone", "A": "attributes.Ä"}, [("/m/A", "unknown_target")]),
        ({"P": "phone", "A": "attributes."}, [("/m/A", "unknown_target")]),
        ({"P": "phone", "A": "city"}, [("/m/A", "unknown_target")]),
        ({"P": "phone", "A": "attributes.a", "B": "attributes.a"}, [("/m/B", "duplicate")]),
        ({"~/": "id"}, [("/m/~0~1", "unknown_target")]),
        ({"F": "first_name"}, [("/m", "no_address")]),
    ],
    ids=str,
)
def test_column_maps_are_checked(mapping: dict[str, str | None], expected: Any) -> None:
    assert [(error.pointer, error.code) for error in check_mapping(mapping, "/m")] == expected
