"""One filter and sort expression for every list, segment and bulk action.

Parsed from a query string (`status=failed&created_at[gte]=…`) or from JSON (`{"and": […]}`), checked against the fields
a list declares, compiled here to SQLAlchemy and elsewhere to other stores.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, String, and_, cast, false, not_, or_

from app.lib.errors import InvalidValue, Malformed

MAX_CONDITIONS = 100
MAX_DEPTH = 8
MAX_SET = 500


class Operator(StrEnum):
    """What a condition may ask. `exists` takes true or false; `in` and `nin` take several values."""

    EQ = "eq"
    NE = "ne"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    IN = "in"
    NIN = "nin"
    CONTAINS = "contains"
    STARTSWITH = "startswith"
    EXISTS = "exists"


_ORDERED = frozenset(
    {Operator.EQ, Operator.NE, Operator.GT, Operator.GTE, Operator.LT, Operator.LTE, Operator.IN, Operator.NIN}
)
_TEXT = frozenset({*_ORDERED, Operator.CONTAINS, Operator.STARTSWITH})
_CHOICE = frozenset({Operator.EQ, Operator.NE, Operator.IN, Operator.NIN})


class Kind(StrEnum):
    """The type of a field's values."""

    TEXT = "text"
    CHOICE = "choice"
    UUID = "uuid"
    DATETIME = "datetime"
    INTEGER = "integer"
    BOOLEAN = "boolean"

    @property
    def operators(self) -> frozenset[Operator]:
        """The operators that make sense for the type; `exists` always does."""
        if self is Kind.TEXT:
            return _TEXT | {Operator.EXISTS}
        if self in (Kind.CHOICE, Kind.UUID):
            return _CHOICE | {Operator.EXISTS}
        if self is Kind.BOOLEAN:
            return frozenset({Operator.EQ, Operator.NE, Operator.EXISTS})
        return _ORDERED | {Operator.EXISTS}


class FilterField(msgspec.Struct, frozen=True):
    """A field a list can be filtered by; `choices` are the values of a `choice`."""

    kind: Kind
    choices: tuple[str, ...] = ()


class Condition(msgspec.Struct, frozen=True):
    """`field op value`, with `value` already of the field's type (a list for `in` and `nin`)."""

    field: str
    op: Operator
    value: Any


class All(msgspec.Struct, frozen=True):
    """Every part holds; with no parts, true."""

    parts: tuple["Expression", ...]


class AnyOf(msgspec.Struct, frozen=True):
    """At least one part holds; with no parts, false."""

    parts: tuple["Expression", ...]


class Not(msgspec.Struct, frozen=True):
    """The part does not hold."""

    part: "Expression"


Expression = Condition | All | AnyOf | Not

_PARAMETER = re.compile(r"^([a-z_][a-z0-9_.]*)(?:\[([a-z]+)\])?$")


def parse_query(pairs: Iterable[tuple[str, str]], fields: Mapping[str, FilterField]) -> Expression | None:
    """Query parameters → their conjunction, or None without any. Raises `Malformed` naming what is allowed."""
    parts: list[Expression] = []
    for name, raw in pairs:
        match = _PARAMETER.match(name)
        field = fields.get(match[1]) if match else None
        if match is None or field is None:
            allowed = ", ".join(sorted(fields)) or "none"
            raise Malformed(f"Unknown parameter {name!r}. Filters of this list: {allowed}.", code="unknown_filter")
        op = match[2] or "eq"
        if op not in field.kind.operators:
            allowed = ", ".join(sorted(field.kind.operators))
            raise Malformed(f"Unknown operator in {name!r}. Operators of {match[1]}: {allowed}.", code="unknown_filter")
        operator = Operator(op)
        values: Any = raw.split(",") if operator in (Operator.IN, Operator.NIN) else raw
        try:
            parts.append(Condition(match[1], operator, _coerce(values, operator, field)))
        except ValueError as error:
            raise Malformed(f"{name}: {error}.", code="bad_filter_value") from error
    if len(parts) > MAX_CONDITIONS:
        raise Malformed(f"At most {MAX_CONDITIONS} filters.", code="too_many_filters")
    return All(tuple(parts)) if parts else None


def parse_json(document: Any, fields: Mapping[str, FilterField], pointer: str = "/filter") -> Expression:
    """A JSON filter → expression. Raises `InvalidValue` with a pointer to the offending part."""
    budget = [MAX_CONDITIONS]
    return _parse_node(document, fields, pointer, 0, budget)


def _parse_node(
    node: Any, fields: Mapping[str, FilterField], pointer: str, depth: int, budget: list[int]
) -> Expression:
    if depth > MAX_DEPTH:
        raise InvalidValue.at(pointer, "too_deep", f"A filter may nest {MAX_DEPTH} levels.")
    if not isinstance(node, dict):
        raise InvalidValue.at(pointer, "wrong_type", "A filter is an object.")
    for key, make in (("and", All), ("or", AnyOf)):
        if key in node:
            if len(node) != 1 or not isinstance(node[key], list):
                raise InvalidValue.at(pointer, "invalid", f"`{key}` stands alone and holds a list.")
            parts = [
                _parse_node(part, fields, f"{pointer}/{key}/{index}", depth + 1, budget)
                for index, part in enumerate(node[key])
            ]
            return make(tuple(parts))
    if "not" in node:
        if len(node) != 1:
            raise InvalidValue.at(pointer, "invalid", "`not` stands alone.")
        return Not(_parse_node(node["not"], fields, f"{pointer}/not", depth + 1, budget))
    return _parse_condition(node, fields, pointer, budget)


def _parse_condition(
    node: dict[str, Any], fields: Mapping[str, FilterField], pointer: str, budget: list[int]
) -> Condition:
    budget[0] -= 1
    if budget[0] < 0:
        raise InvalidValue.at(pointer, "too_many_conditions", f"A filter may have {MAX_CONDITIONS} conditions.")
    if unknown := sorted(node.keys() - {"field", "op", "value"}):
        raise InvalidValue.at(f"{pointer}/{unknown[0]}", "unknown_field", f"Unknown key {unknown[0]!r} in a condition.")
    field = fields.get(node["field"]) if isinstance(node.get("field"), str) else None
    if field is None:
        raise InvalidValue.at(f"{pointer}/field", "unknown_filter", f"Filter by one of: {', '.join(sorted(fields))}.")
    op = node.get("op", "eq")
    if op not in field.kind.operators:
        allowed = ", ".join(sorted(field.kind.operators))
        raise InvalidValue.at(f"{pointer}/op", "unknown_operator", f"Operators of {node['field']}: {allowed}.")
    operator = Operator(op)
    try:
        value = _coerce(node.get("value"), operator, field)
    except ValueError as error:
        raise InvalidValue.at(f"{pointer}/value", "invalid", f"{error}.") from error
    return Condition(node["field"], operator, value)


def _coerce(value: Any, operator: Operator, field: FilterField) -> Any:
    if operator is Operator.EXISTS:
        return _one(value, FilterField(Kind.BOOLEAN))
    if operator in (Operator.IN, Operator.NIN):
        if not isinstance(value, list) or not 0 < len(value) <= MAX_SET:
            raise ValueError(f"a list of 1 to {MAX_SET} values is needed")
        return [_one(item, field) for item in value]
    return _one(value, field)


def _one(value: Any, field: FilterField) -> Any:
    match field.kind:
        case Kind.BOOLEAN:
            if isinstance(value, bool):
                return value
            if value in ("true", "false"):
                return value == "true"
            raise ValueError("true or false is needed")
        case Kind.INTEGER:
            if isinstance(value, int) and not isinstance(value, bool):
                return value
            if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value):
                return int(value)
            raise ValueError("a whole number is needed")
        case Kind.UUID:
            try:
                return UUID(value)
            except (ValueError, TypeError, AttributeError):
                raise ValueError("an id (UUID) is needed") from None
        case Kind.DATETIME:
            return _datetime(value)
        case Kind.CHOICE:
            if value not in field.choices:
                raise ValueError(f"one of {', '.join(field.choices)} is needed")
            return value
        case Kind.TEXT:
            if not isinstance(value, str) or "\0" in value:
                raise ValueError("a text is needed")
            return value


def _datetime(value: Any) -> datetime:
    try:
        # A `+` of an unescaped query string arrives as a space.
        moment = msgspec.convert(value.replace(" ", "+") if isinstance(value, str) else value, datetime)
    except msgspec.ValidationError:
        raise ValueError("a time in RFC 3339 is needed, e.g. 2026-11-24T10:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("a time with a zone is needed, e.g. 2026-11-24T10:00:00Z")
    return moment.astimezone(UTC)


def compile_sql(expression: Expression, columns: Mapping[str, ColumnElement[Any]]) -> ColumnElement[bool]:
    """The expression as a WHERE clause over `columns` (one for each field the parser was given)."""
    match expression:
        case All(parts):
            return and_(True, *(compile_sql(part, columns) for part in parts))
        case AnyOf(parts):
            return or_(false(), *(compile_sql(part, columns) for part in parts))
        case Not(part):
            return not_(compile_sql(part, columns))
        case Condition(field, op, value):
            return _compile_condition(columns[field], op, value)


def _sql(clause: Any) -> ColumnElement[bool]:
    """Comparison operators of `ColumnElement[Any]` are typed Any."""
    result: ColumnElement[bool] = clause
    return result


def _compile_condition(column: ColumnElement[Any], op: Operator, value: Any) -> ColumnElement[bool]:
    match op:
        case Operator.EQ:
            return _sql(column == value)
        case Operator.NE:
            # NULL differs from every value: a list of "not failed" includes what has no value.
            return column.is_distinct_from(value)
        case Operator.GT:
            return _sql(column > value)
        case Operator.GTE:
            return _sql(column >= value)
        case Operator.LT:
            return _sql(column < value)
        case Operator.LTE:
            return _sql(column <= value)
        case Operator.IN:
            return column.in_(value)
        case Operator.NIN:
            return or_(column.is_(None), column.not_in(value))
        case Operator.CONTAINS:
            return cast(column, String).icontains(value, autoescape=True)
        case Operator.STARTSWITH:
            return column.startswith(value, autoescape=True)
        case Operator.EXISTS:
            return column.is_not(None) if value else column.is_(None)
