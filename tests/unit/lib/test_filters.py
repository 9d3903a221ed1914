from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, DateTime, Integer, MetaData, String, Table, Uuid
from sqlalchemy.dialects import postgresql

from app.lib.errors import InvalidValue, Malformed
from app.lib.filters import All, Condition, FilterField, Kind, Operator, compile_sql, parse_json, parse_query
from app.lib.pagination import Listing, Sort, parse_list_query

TABLE = Table(
    "things",
    MetaData(),
    Column("id", Uuid),
    Column("name", String),
    Column("age", Integer),
    Column("created_at", DateTime(timezone=True)),
)
FIELDS = {
    "id": FilterField(Kind.UUID),
    "name": FilterField(Kind.TEXT),
    "age": FilterField(Kind.INTEGER),
    "status": FilterField(Kind.CHOICE, ("on", "off")),
    "created_at": FilterField(Kind.DATETIME),
}
LISTING = Listing(
    TABLE.c.id, FIELDS, {**TABLE.c}, {"created_at": Sort(None, datetime), "name": Sort(TABLE.c.name, str)}
)


def sql(expression: Any) -> str:
    clause = compile_sql(expression, {**TABLE.c, "status": TABLE.c.name})
    return str(clause.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True}))  # type: ignore[no-untyped-call]


def test_several_operators_on_one_field_are_anded() -> None:
    parsed = parse_query([("age[gte]", "3"), ("age[lt]", "9"), ("name", "x")], FIELDS)
    assert parsed == All(
        (Condition("age", Operator.GTE, 3), Condition("age", Operator.LT, 9), Condition("name", Operator.EQ, "x"))
    )


def test_values_have_their_fields_type() -> None:
    identifier = "0199aaaa-0000-7000-8000-000000000000"
    parsed = parse_query([("id[in]", identifier), ("created_at", "2026-11-24T10:00:00 02:00")], FIELDS)
    assert isinstance(parsed, All)
    assert parsed.parts == (
        Condition("id", Operator.IN, [UUID(identifier)]),
        Condition("created_at", Operator.EQ, datetime(2026, 11, 24, 8, tzinfo=UTC)),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("colour", "x"),
        ("age[like]", "3"),
        ("age[contains]", "3"),
        ("age", "three"),
        ("age[", "3"),
        ("id", "12"),
        ("status", "maybe"),
        ("created_at", "yesterday"),
        ("created_at", "2026-11-24T10:00:00"),
        ("name", "a\0b"),
        ("age[exists]", "perhaps"),
    ],
)
def test_bad_queries_are_400(name: str, value: str) -> None:
    with pytest.raises(Malformed):
        parse_query([(name, value)], FIELDS)


def test_an_unknown_filter_names_the_allowed_ones() -> None:
    with pytest.raises(Malformed, match="age, created_at, id, name, status"):
        parse_query([("colour", "x")], FIELDS)


def test_json_compiles_to_sql() -> None:
    expression = parse_json(
        {
            "or": [
                {
                    "and": [
                        {"field": "age", "op": "gt", "value": 3},
                        {"not": {"field": "name", "op": "exists", "value": True}},
                    ]
                },
                {"field": "name", "op": "startswith", "value": "50%"},
            ]
        },
        FIELDS,
    )
    assert sql(expression).replace("true AND ", "") == (
        "things.age > 3 AND things.name IS NULL OR (things.name LIKE '50/%%' || '%%' ESCAPE '/')"
    )


def test_an_empty_or_is_false_and_an_empty_and_is_true() -> None:
    assert sql(parse_json({"or": []}, FIELDS)) == "false"
    assert sql(parse_json({"and": []}, FIELDS)) == "true"


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ([], "/filter"),
        ({"and": {}}, "/filter"),
        ({"and": [{"field": "nope", "value": 1}]}, "/filter/and/0/field"),
        ({"not": {"field": "age", "op": "contains", "value": 1}}, "/filter/not/op"),
        ({"field": "age", "value": "x"}, "/filter/value"),
        ({"field": "age", "value": 1, "extra": 2}, "/filter/extra"),
        ({"field": "age", "op": "in", "value": []}, "/filter/value"),
    ],
)
def test_bad_documents_are_422_with_a_pointer(document: Any, pointer: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_json(document, FIELDS)
    assert caught.value.errors[0].pointer == pointer


def test_depth_and_size_are_bounded() -> None:
    deep: Any = {"field": "age", "value": 1}
    for _ in range(20):
        deep = {"not": deep}
    with pytest.raises(InvalidValue, match="levels"):
        parse_json(deep, FIELDS)
    with pytest.raises(InvalidValue, match="conditions"):
        parse_json({"and": [{"field": "age", "value": 1}] * 101}, FIELDS)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["age", "eq", "in", "name"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["and", "or", "not", "field", "op", "value", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(json_like)
def test_any_document_compiles_or_is_refused(document: Any) -> None:
    try:
        expression = parse_json(document, FIELDS)
    except InvalidValue:
        return
    assert isinstance(sql(expression), str)


@pytest.mark.parametrize(
    "pairs",
    [
        [("limit", "0")],
        [("limit", "201")],
        [("limit", "ten")],
        [("limit", "१०")],
        [("sort", "colour")],
        [("sort", "--name")],
        [("include", "everything")],
        [("cursor", "!!!")],
        [("cursor", "AAAA")],
        [("limit", "3"), ("limit", "4")],
    ],
)
def test_bad_paging_is_400(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(Malformed):
        parse_list_query(pairs, LISTING)


@given(st.text(max_size=60))
def test_any_cursor_is_ours_or_refused(text: str) -> None:
    with pytest.raises(Malformed):
        parse_list_query([("cursor", text)], LISTING)
