"""Guesses at columns, and cells that are safe to open in a spreadsheet."""

import pytest

from app.domain.contacts.fields import AttributeType
from app.domain.contacts.imports.guesses import attribute_key, guess_mapping, guess_type, suggest_attributes


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (["Phone", "First Name", "SURNAME", "E-Mail"], ["phone", "first_name", "last_name", "email"]),
        (["Téléphone", "Prénom", "Nom", "Courriel"], ["phone", "first_name", "last_name", "email"]),
        (["Handy", "Vorname", "Nachname", "E-Mail-Adresse"], ["phone", "first_name", "last_name", "email"]),
        (["ስልክ ቁጥር", "ስም", "የአባት ስም", "ኢሜል"], ["phone", "first_name", "last_name", "email"]),
        (["رقم الهاتف", "الاسم", "اسم العائلة", "البريد الإلكتروني"], ["phone", "first_name", "last_name", "email"]),
        (["手机号码", "名字", "姓", "邮箱"], ["phone", "first_name", "last_name", "email"]),
        (["simu", "jina", "jina la ukoo", "barua pepe"], ["phone", "first_name", "last_name", "email"]),
        (["phone_number", "mobile-no.", "Phone 2", "Phone 1 - Value"], ["phone"] * 4),
        (["name", "first_name", "last_name"], [None, "first_name", "last_name"]),
        (["City", "attributes.city", "Favourite colour"], [None, "attributes.city", None]),
        (["Tags", "Labels", "Sprache", "Fuseau horaire"], ["tags", "tags", "language", "timezone"]),
        (["id", "", "x" * 5000, "😀"], [None] * 4),
    ],
    ids=lambda value: str(value[0]) if value and value[0] and str(value[0]).isascii() else "",
)
def test_headers_in_several_languages(headers: list[str], expected: list[str | None]) -> None:
    found = guess_mapping(headers, ["city"])
    assert [found.get(header) for header in headers] == expected


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2.5", " ", "-3"], AttributeType.NUMBER),
        (["007"], AttributeType.TEXT),
        (["+251911000001"], AttributeType.TEXT),
        (["yes", "No"], AttributeType.BOOLEAN),
        (["1", "0"], AttributeType.NUMBER),
        (["2026-01-02", "2026-01-02T10:00:00Z"], AttributeType.DATE),
        (["2026-13-02"], AttributeType.TEXT),
        (["a", "1"], AttributeType.TEXT),
        ([], AttributeType.TEXT),
    ],
    ids=str,
)
def test_types_by_values(cells: list[str], kind: AttributeType) -> None:
    assert guess_type(cells) is kind


def test_attributes_that_could_be_made() -> None:
    assert attribute_key("Straße Nr. 1") == "strasse_nr_1"
    assert attribute_key("城市") is None
    assert attribute_key("1st") is None
    headers, samples = ["Ort", "ort", "Alter", "城市"], {"Alter": ["17"]}
    assert suggest_attributes(headers, samples, []) == {
        "Ort": ("attributes.ort", AttributeType.TEXT),
        "Alter": ("attributes.alter", AttributeType.NUMBER),
    }
    assert "Ort" not in suggest_attributes(headers, samples, ["attributes.ort"])
