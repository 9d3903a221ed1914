"""The meaning of filters, case by case: the plain Python that the stores are measured by."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.contacts.evaluation import explain, matches
from app.domain.contacts.fields import AttributeType, at, fields_with
from app.domain.contacts.stores.contract import Address, AddressType, Contact, ContactStatus
from app.lib.filters import Expression, Not, parse_json

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
ID = UUID("0199aaaa-0000-7000-8000-000000000001")
VIPS = UUID("0199aaaa-0000-7000-8000-0000000000a1")
OTHERS = UUID("0199aaaa-0000-7000-8000-0000000000a2")
TYPES = {
    "city": AttributeType.TEXT,
    "score": AttributeType.NUMBER,
    "member": AttributeType.BOOLEAN,
    "born": AttributeType.DATE,
    "likes": AttributeType.LIST,
    "absent_text": AttributeType.TEXT,
    "absent_number": AttributeType.NUMBER,
    "absent_boolean": AttributeType.BOOLEAN,
    "absent_date": AttributeType.DATE,
    "absent_list": AttributeType.LIST,
    # Defined anew with another type: what is stored is of the old one.
    "was_text": AttributeType.NUMBER,
    "was_number": AttributeType.TEXT,
    "was_boolean": AttributeType.NUMBER,
    "was_list": AttributeType.TEXT,
    "was_one": AttributeType.LIST,
    "empty_text": AttributeType.TEXT,
    "empty_list": AttributeType.LIST,
}
SELAM = Contact(
    id=ID,
    account_id=UUID("0199aaaa-0000-7000-8000-0000000000ff"),
    first_name="Sélam",
    last_name="",
    language="am",
    status=ContactStatus.BLOCKED,
    notes="50% off_",
    addresses=(
        Address(AddressType.PHONE, "+251911000100", ("marketing",)),
        Address(AddressType.PHONE, "+251911000200"),
        Address(AddressType.EMAIL, "selam@example.com", ("all", "marketing")),
    ),
    tags=("VIP", "new"),
    attributes={
        "city": "አዲስ አበባ",
        "score": 7,
        "member": False,
        "born": "1990-05-01",
        "likes": ["Buna", "injera"],
        "was_text": "7",
        "was_number": 7,
        "was_boolean": True,
        "was_list": ["7"],
        "was_one": "Buna",
        "empty_text": "",
        "empty_list": [],
    },
    created_at=NOW - timedelta(days=10),
    updated_at=NOW - timedelta(days=1),
    groups=(VIPS,),
    last_inbound_at=NOW - timedelta(days=3),
)


def read(document: Any) -> Expression:
    return at(parse_json(document, fields_with(TYPES)), TYPES, NOW)


HOLDS: list[tuple[str, str, Any]] = [
    ("id", "eq", str(ID)),
    ("id", "in", [str(VIPS), str(ID)]),
    ("id", "ne", str(VIPS)),
    ("first_name", "eq", "Sélam"),
    ("first_name", "contains", "ÉL"),
    ("first_name", "contains", ""),
    ("first_name", "startswith", "sÉ"),
    ("first_name", "gt", "Selam"),
    ("first_name", "lt", "selam"),
    ("first_name", "lte", "Sélam"),
    ("first_name", "gte", "Sélam"),
    ("first_name", "exists", True),
    # Without a last name it is the empty text.
    ("last_name", "eq", ""),
    ("last_name", "lt", "A"),
    ("last_name", "ne", "A"),
    ("last_name", "nin", ["A", "B"]),
    ("last_name", "contains", ""),
    ("last_name", "exists", False),
    ("notes", "contains", "0% OFF_"),
    ("status", "eq", "blocked"),
    ("status", "in", ["active", "blocked"]),
    ("status", "nin", ["active"]),
    ("phone", "eq", "+251911000200"),
    ("phone", "startswith", "+251911"),
    ("phone", "contains", "0002"),
    ("phone", "in", ["+1", "+251911000100"]),
    ("phone", "ne", "+1"),
    ("phone", "exists", True),
    ("email", "contains", "EXAMPLE"),
    ("telegram", "exists", False),
    ("telegram", "ne", "1"),
    ("telegram", "nin", ["1"]),
    ("tags", "eq", "VIP"),
    ("tags", "contains", "new"),
    ("tags", "in", ["old", "new"]),
    ("tags", "nin", ["old", "vip"]),
    ("tags", "ne", "vip"),
    ("tags", "exists", True),
    ("groups", "contains", str(VIPS)),
    ("groups", "ne", str(OTHERS)),
    ("opted_out", "eq", "sms:marketing"),
    ("opted_out", "in", ["email"]),
    ("opted_out", "contains", "email:marketing"),
    ("opted_out", "ne", "sms"),
    ("created_at", "lt", "now-9d"),
    ("created_at", "eq", "now-10d"),
    ("updated_at", "gte", "now-1d"),
    ("last_inbound_at", "gte", "now-7d"),
    ("last_inbound_at", "exists", True),
    ("last_outbound_at", "exists", False),
    ("last_outbound_at", "ne", "now"),
    ("last_outbound_at", "nin", ["now"]),
    ("attributes.city", "startswith", "አዲስ"),
    ("attributes.score", "eq", 7.0),
    ("attributes.score", "gt", 6.5),
    ("attributes.score", "in", [1, 7]),
    ("attributes.score", "exists", True),
    ("attributes.member", "eq", False),
    ("attributes.member", "ne", True),
    ("attributes.member", "exists", True),
    ("attributes.born", "lt", "2000-01-01"),
    ("attributes.born", "gt", "1990-04-30T23:59:59Z"),
    ("attributes.likes", "contains", "Buna"),
    ("attributes.likes", "in", ["x", "injera"]),
    ("attributes.likes", "ne", "buna"),
    *((f"attributes.absent_{kind}", "exists", False) for kind in ("text", "number", "boolean", "date", "list")),
    ("attributes.absent_text", "ne", ""),
    ("attributes.absent_number", "nin", [0]),
    ("attributes.absent_boolean", "ne", False),
    ("attributes.was_text", "ne", 7),
    ("attributes.was_text", "exists", True),
    ("attributes.was_list", "eq", "7"),
    # The type of what is stored decides: a text contains a part, where a list has whole ones.
    ("attributes.was_one", "contains", "UNA"),
    ("attributes.empty_text", "eq", ""),
    ("attributes.empty_text", "exists", False),
    ("attributes.empty_list", "exists", False),
]
FAILS: list[tuple[str, str, Any]] = [
    ("first_name", "eq", "sélam"),
    ("first_name", "startswith", "lam"),
    ("last_name", "gt", ""),
    ("notes", "startswith", "50_"),
    ("notes", "contains", "5%f"),
    # Both phones together would be between; neither is.
    ("phone", "eq", "+251911000100+251911000200"),
    ("phone", "eq", "selam@example.com"),
    ("phone", "ne", "+251911000200"),
    ("phone", "nin", ["+1", "+251911000200"]),
    ("telegram", "contains", ""),
    ("tags", "contains", "VI"),
    ("tags", "eq", "vip"),
    ("tags", "nin", ["x", "new"]),
    ("groups", "in", [str(OTHERS)]),
    ("opted_out", "eq", "sms"),
    ("last_outbound_at", "lt", "now"),
    ("last_outbound_at", "gte", "0001-01-01T00:00:00Z"),
    ("created_at", "gt", "now-10d"),
    ("attributes.absent_text", "eq", ""),
    ("attributes.absent_text", "contains", ""),
    ("attributes.absent_text", "lt", "x"),
    ("attributes.absent_number", "lte", 0),
    ("attributes.absent_boolean", "eq", False),
    ("attributes.absent_date", "lt", "now"),
    ("attributes.absent_list", "contains", ""),
    ("attributes.was_text", "eq", 7),
    ("attributes.was_text", "lt", 1000),
    ("attributes.was_number", "eq", "7"),
    ("attributes.was_number", "contains", ""),
    ("attributes.was_boolean", "eq", 1),
    ("attributes.was_boolean", "gte", 0),
    ("attributes.was_list", "startswith", ""),
    ("attributes.was_list", "gt", ""),
    ("attributes.was_one", "contains", "Buna!"),
    ("attributes.empty_list", "eq", ""),
]


@pytest.mark.parametrize(("field", "op", "value"), HOLDS)
def test_what_holds_and_its_complement(field: str, op: str, value: Any) -> None:
    assert matches(read({"field": field, "op": op, "value": value}), SELAM)
    assert not matches(read({"not": {"field": field, "op": op, "value": value}}), SELAM)


@pytest.mark.parametrize(("field", "op", "value"), FAILS)
def test_what_does_not_hold_and_its_complement(field: str, op: str, value: Any) -> None:
    assert not matches(read({"field": field, "op": op, "value": value}), SELAM)
    assert matches(read({"not": {"field": field, "op": op, "value": value}}), SELAM)


def test_nesting() -> None:
    yes, no = {"field": "tags", "value": "VIP"}, {"field": "tags", "value": "x"}
    assert matches(read({"and": []}), SELAM)
    assert not matches(read({"or": []}), SELAM)
    assert matches(read({"and": [yes, {"or": [no, yes]}, {"not": {"and": [yes, no]}}]}), SELAM)
    assert not matches(read({"and": [yes, {"or": [no, {"not": yes}]}]}), SELAM)


def test_an_explanation_is_the_filter_with_what_each_part_says() -> None:
    document = {
        "and": [
            {"or": [{"field": "tags", "op": "in", "value": ["x", "VIP"]}, {"field": "telegram", "value": "12"}]},
            {"not": {"field": "groups", "op": "contains", "value": str(OTHERS)}},
            {"field": "last_inbound_at", "op": "gte", "value": "now-7d"},
            {"field": "last_outbound_at", "op": "exists", "value": True},
            {"field": "attributes.score", "op": "lt", "value": 10},
            {"field": "attributes.city", "op": "eq", "value": "Adama"},
        ]
    }
    explained = msgspec.json.decode(msgspec.json.encode(explain(read(document), SELAM)))
    assert explained == {
        "holds": False,
        "and": [
            {
                "holds": True,
                "or": [
                    {"holds": True, "field": "tags", "op": "in", "value": ["x", "VIP"], "actual": ["VIP", "new"]},
                    {"holds": False, "field": "telegram", "op": "eq", "value": "12", "actual": []},
                ],
            },
            {
                "holds": True,
                "not": {
                    "holds": False,
                    "field": "groups",
                    "op": "contains",
                    "value": str(OTHERS),
                    "actual": [str(VIPS)],
                },
            },
            {
                "holds": True,
                "field": "last_inbound_at",
                "op": "gte",
                "value": "2026-11-19T12:00:00Z",
                "actual": "2026-11-23T12:00:00Z",
            },
            {"holds": False, "field": "last_outbound_at", "op": "exists", "value": True, "actual": None},
            {"holds": True, "field": "attributes.score", "op": "lt", "value": 10, "actual": 7},
            {"holds": False, "field": "attributes.city", "op": "eq", "value": "Adama", "actual": "አዲስ አበባ"},
        ],
    }


@given(st.recursive(st.sampled_from([*HOLDS, *FAILS]), lambda inner: st.lists(inner, max_size=3), max_leaves=8))
def test_an_explanation_holds_where_the_filter_matches(tree: Any) -> None:
    def document(node: Any, depth: int = 0) -> Any:
        if isinstance(node, tuple):
            return dict(zip(("field", "op", "value"), node, strict=True))
        return {("and", "or")[depth % 2]: [document(part, depth + 1) for part in node]}

    expression = read(document(tree))
    assert explain(expression, SELAM).holds == matches(expression, SELAM)
    assert explain(Not(expression), SELAM).holds != matches(expression, SELAM)
