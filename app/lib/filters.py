"""One filter and sort expression for every list, segment and bulk action.

Parsed from a query string (`status=failed&created_at[gte]=…`) or from JSON (`{"and": […]}`), checked against the fields
a list declares, compiled here to SQLAlchemy and elsewhere to other stores. What it means, wherever it is compiled to:
something without a value is never equal, above, below or like anything; it differs from everything; `not` is the
complement, so that everything matches either a filter or its `not`.
"""

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, String, and_, cast, false, func, or_

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
_SET = frozenset({*_CHOICE, Operator.CONTAINS})
_VALUES = frozenset({*_CHOICE, Operator.CONTAINS, Operator.STARTSWITH})


class Kind(StrEnum):
    """The type of a field's values.

    A field of `texts` or `ids` has a set of whole ones: `eq` and `contains` ask for one that is in it, `in` for any of
    several, `ne` and `nin` for none. A field of `values` has several texts, and it matches when one of them does (`ne`
    and `nin`: when none is equal). A `date` is a day or a moment, as text: `2026-11-24` or `2026-11-24T10:00:00Z`.
    """

    TEXT = "text"
    CHOICE = "choice"
    UUID = "uuid"
    DATETIME = "datetime"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    TEXTS = "texts"
    IDS = "ids"
    VALUES = "values"

    @property
    def operators(self) -> frozenset[Operator]:
        """The operators that make sense for the type; `exists` always does."""
        if self is Kind.TEXT:
            return _TEXT | {Operator.EXISTS}
        if self in (Kind.CHOICE, Kind.UUID):
            return _CHOICE | {Operator.EXISTS}
        if self in (Kind.TEXTS, Kind.IDS):
            return _SET | {Operator.EXISTS}
        if self is Kind.VALUES:
            return _VALUES | {Operator.EXISTS}
        if self is Kind.BOOLEAN:
            return frozenset({Operator.EQ, Operator.NE, Operator.EXISTS})
        return _ORDERED | {Operator.EXISTS}


class FilterField(msgspec.Struct, frozen=True):
    """A field a list can be filtered by; `choices` are the values of a `choice`."""

    kind: Kind
    choices: tuple[str, ...] = ()


class Relative(msgspec.Struct, frozen=True):
    """A moment that moves with the clock: `now-7d` is seven days ago. `resolve` makes it one that stands still."""

    seconds: int


class Condition(msgspec.Struct, frozen=True):
    """`field op value`, with `value` already of the field's type (a list for `in` and `nin`).

    Where a moment is asked for, it can be `Relative` to the clock until `resolve`.
    """

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
    if not isinstance(op, str) or op not in field.kind.operators:
        allowed = ", ".join(sorted(field.kind.operators))
        raise InvalidValue.at(f"{pointer}/op", "unknown_operator", f"Operators of {node['field']}: {allowed}.")
    operator = Operator(op)
    try:
        value = _coerce(node.get("value"), operator, field)
    except ValueError as error:
        raise InvalidValue.at(f"{pointer}/value", "invalid", f"{error}.") from error
    return Condition(node["field"], operator, value)


def resolve(expression: Expression, kinds: Mapping[str, FilterField], now: datetime) -> Expression:
    """The expression with every relative moment counted from `now`; stores take nothing else."""
    match expression:
        case All(parts):
            return All(tuple(resolve(part, kinds, now) for part in parts))
        case AnyOf(parts):
            return AnyOf(tuple(resolve(part, kinds, now) for part in parts))
        case Not(part):
            return Not(resolve(part, kinds, now))
        case Condition(field, op, value):
            is_date = kinds[field].kind is Kind.DATE
            if isinstance(value, list):
                return Condition(field, op, [_resolved(each, is_date, now) for each in value])
            return Condition(field, op, _resolved(value, is_date, now))


def _resolved(value: Any, is_date: bool, now: datetime) -> Any:
    if not isinstance(value, Relative):
        return value
    moment = now + timedelta(seconds=value.seconds)
    return date_text(moment) if is_date else moment


def date_text(moment: datetime) -> str:
    """A moment as values of the kind `date` write it: in UTC, to the second, so that texts sort as times do."""
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def parse_date(value: Any) -> str:
    """`2026-11-24` as it is, a time with a zone as `date_text`. Raises `ValueError` with words for people."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value, re.ASCII):
        try:
            return date.fromisoformat(value).isoformat()
        except ValueError:
            raise ValueError("there is no such day") from None
    return date_text(_datetime(value))


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
        case Kind.NUMBER:
            return _number(value)
        case Kind.UUID | Kind.IDS:
            try:
                return UUID(value)
            except (ValueError, TypeError, AttributeError):
                raise ValueError("an id (UUID) is needed") from None
        case Kind.DATETIME:
            return _relative(value) or _datetime(value)
        case Kind.DATE:
            return _relative(value) or parse_date(value)
        case Kind.CHOICE:
            if value not in field.choices:
                raise ValueError(f"one of {', '.join(field.choices)} is needed")
            return value
        case Kind.TEXT | Kind.TEXTS | Kind.VALUES:
            if not isinstance(value, str) or "\0" in value:
                raise ValueError("a text is needed")
            return value


MAX_NUMBER = 2**53
"""Whole numbers beyond this are not exact in every store."""


def _number(value: Any) -> int | float:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", value, re.ASCII):
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a number is needed")
    # Only of a float: `isfinite` cannot take whole numbers beyond what a float holds.
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is needed")
    if abs(value) > MAX_NUMBER:
        raise ValueError("a number up to 2^53 is needed")
    return value


_RELATIVE = re.compile(r"now(?:([+-])([0-9]{1,6})([mhdw]))?", re.ASCII)
_UNIT_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}
_MOST_SECONDS = 100 * 366 * 86400


def _relative(value: Any) -> Relative | None:
    match = _RELATIVE.fullmatch(value.replace(" ", "+")) if isinstance(value, str) else None
    if match is None:
        return None
    seconds = int(match[2] or 0) * _UNIT_SECONDS[match[3] or "d"]
    if seconds > _MOST_SECONDS:
        raise ValueError("a moment within 100 years of now is needed")
    return Relative(-seconds if match[1] == "-" else seconds)


def _datetime(value: Any) -> datetime:
    try:
        # A `+` of an unescaped query string arrives as a space.
        moment = msgspec.convert(value.replace(" ", "+") if isinstance(value, str) else value, datetime)
    except msgspec.ValidationError:
        raise ValueError("a time in RFC 3339 is needed, e.g. 2026-11-24T10:00:00Z, or one like now-7d") from None
    if moment.tzinfo is None:
        raise ValueError("a time with a zone is needed, e.g. 2026-11-24T10:00:00Z")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time of the years 1 to 9999 is needed") from None


def compile_sql(expression: Expression, columns: Mapping[str, ColumnElement[Any]]) -> ColumnElement[bool]:
    """The expression as a WHERE clause over `columns` (one for each field the parser was given)."""
    match expression:
        case All(parts):
            return and_(True, *(compile_sql(part, columns) for part in parts))
        case AnyOf(parts):
            return or_(false(), *(compile_sql(part, columns) for part in parts))
        case Not(part):
            # The complement: NOT of NULL would be in neither.
            return compile_sql(part, columns).is_not(True)
        case Condition(field, op, value):
            return _compile_condition(columns[field], op, value)


def _sql(clause: Any) -> ColumnElement[bool]:
    """Comparison operators of `ColumnElement[Any]` are typed Any."""
    result: ColumnElement[bool] = clause
    return result


def _sql_value(value: Any) -> Any:
    return func.now() + timedelta(seconds=value.seconds) if isinstance(value, Relative) else value


def _compile_condition(column: ColumnElement[Any], op: Operator, value: Any) -> ColumnElement[bool]:
    value = [_sql_value(each) for each in value] if isinstance(value, list) else _sql_value(value)
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
