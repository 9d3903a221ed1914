"""A filter of contacts as a condition on the table `contacts`.

Each condition is true or not, and never an error, whatever is stored: an attribute is compared as the type that its
stored value has, because a definition may have changed since. Memberships, addresses and activity are correlated
EXISTS, which the planner turns into a join or a look-up for each row, and never into a list of millions held apart.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Exists,
    Select,
    Table,
    Text,
    and_,
    any_,
    case,
    cast,
    collate,
    column,
    false,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.domain.contacts.fields import ATTRIBUTE_PREFIX, CONTACT_FIELDS, fold
from app.domain.contacts.models import C_TEXT, contact_activity, contact_addresses, contact_group_members, contacts
from app.lib.filters import All, AnyOf, Condition, Expression, Kind, Not, Operator

Clause = ColumnElement[bool]

FEW = 8
"""A set of so few values is asked for one by one, which an index can answer; a larger one is hashed."""

MAX_JOINS = 6
"""So many conditions of a filter may become joins."""

_COMPARE: dict[Operator, Callable[[Any, Any], Clause]] = {
    Operator.GT: lambda left, right: left > right,
    Operator.GTE: lambda left, right: left >= right,
    Operator.LT: lambda left, right: left < right,
    Operator.LTE: lambda left, right: left <= right,
}
_OPPOSITE = {Operator.NE: Operator.EQ, Operator.NIN: Operator.IN}
# Compared without case, no letter becomes one of these.
_CASELESS = re.compile(r"[0-9+]+", re.ASCII)

_OWN_ADDRESSES = (
    func.jsonb_to_recordset(contacts.c.addresses)
    .table_valued(column("type", Text), column("value", C_TEXT), name="own")
    .render_derived(with_types=True)
)


def compile_filter(expression: Expression, account_id: UUID, *, part: bool = False) -> Clause:
    """What is true for the contacts that match; the statement itself is still to be tied to the account.

    `part` says that only the first of them are wanted: then nothing is prepared that pays for all of them only.
    """
    return _Compiler(account_id, part).compile(expression, joins=True)


class _Compiler:
    """`joins`: whether what is compiled is true for every row that is found, so that EXISTS can become a join."""

    def __init__(self, account_id: UUID, part: bool) -> None:
        self._account_id = account_id
        self._part = part
        self._joined = 0

    def compile(self, expression: Expression, *, joins: bool) -> Clause:
        match expression:
            case All(parts):
                return and_(true(), *(self.compile(each, joins=joins) for each in parts))
            case AnyOf(parts):
                return or_(false(), *(self.compile(each, joins=False) for each in parts))
            case Not(Condition(field, op, value)):
                return _complement(lambda joins: self._condition(field, op, value, joins), joins)
            case Not(negated):
                return self.compile(negated, joins=False).is_not(True)
            case Condition(field, op, value):
                return self._condition(field, op, value, joins)

    def _condition(self, field: str, op: Operator, value: Any, joins: bool) -> Clause:
        if op in _OPPOSITE:
            return _complement(lambda joins: self._condition(field, _OPPOSITE[op], value, joins), joins)
        if op is Operator.EXISTS and not value:
            return _complement(lambda joins: self._condition(field, op, True, joins), joins)
        if field.startswith(ATTRIBUTE_PREFIX):
            return _attribute(field.removeprefix(ATTRIBUTE_PREFIX), op, value)
        match CONTACT_FIELDS[field].kind:
            case Kind.VALUES:
                return self._address(field, op, value, joins)
            case Kind.IDS:
                return self._membership(op, value, joins)
            case Kind.TEXTS:
                return _texts(contacts.c[field], op, value)
            case Kind.TEXT:
                return _text(contacts.c[field], op, value)
            case Kind.DATETIME if field not in contacts.c:
                return self._activity(contact_activity.c[field], op, value, joins)
            case _:
                return true() if op is Operator.EXISTS else _plain(contacts.c[field], op, value)

    def _rows_of(self, table: Table) -> Select[Any]:
        """The contact's rows in `table`."""
        own = and_(table.c.account_id == self._account_id, table.c.contact_id == contacts.c.id)
        return select(literal_column("1")).select_from(table).where(own).correlate(contacts)

    def _may_join(self, joins: bool) -> bool:
        """Whether one more may become a join: over dozens of them the planner takes minutes."""
        self._joined += joins
        return joins and self._joined <= MAX_JOINS

    def _some(self, table: Table, joins: bool, *which: Clause) -> Exists:
        """Whether the contact has such a row in `table`, which has an index for one contact."""
        found = self._rows_of(table).where(*which)
        # The OFFSET keeps it a look-up for each row. For a page it would otherwise be a set of all the contacts that
        # have such a row.
        alone = not self._may_join(joins) and (joins or self._part)
        return (found.offset(0) if alone else found).exists()

    def _membership(self, op: Operator, value: Any, joins: bool) -> Clause:
        group_id = contact_group_members.c.group_id
        match op:
            case Operator.EXISTS:
                return self._some(contact_group_members, joins)
            case Operator.IN:
                return self._some(contact_group_members, joins, _plain(group_id, op, value))
            case _:
                return self._some(contact_group_members, joins, group_id == value)

    def _address(self, kind: str, op: Operator, value: Any, joins: bool) -> Clause:
        if op is Operator.EXISTS:
            return _holds(contacts.c.addresses, [{"type": kind}])
        if not self._may_join(joins):
            # In the contact's own row: those in the table are found by address, not by contact.
            if op is Operator.EQ:
                return _holds(contacts.c.addresses, [{"type": kind, "value": value}])
            own = _OWN_ADDRESSES.c
            rows: Select[Any] = select(literal_column("1")).select_from(_OWN_ADDRESSES).correlate(contacts)
            return rows.where(own.type == kind, _text(own.value, op, value)).exists()
        address = contact_addresses.c
        found = self._rows_of(contact_addresses).where(address.type == kind)
        if op is Operator.STARTSWITH and _CASELESS.fullmatch(value):
            # As a range, which the primary key answers under row-level security too.
            beyond = value[:-1] + chr(ord(value[-1]) + 1)
            return found.where(address.value >= value, address.value < beyond).exists()
        return found.where(_text(address.value, op, value)).exists()

    def _activity(self, moment: ColumnElement[Any], op: Operator, value: Any, joins: bool) -> Clause:
        """The latest moment over all channels, compared without working it out."""

        def some(clause: Any) -> Exists:
            return self._some(contact_activity, joins, clause)

        match op:
            case Operator.EXISTS:
                return some(moment.is_not(None))
            case Operator.GT | Operator.GTE:
                return some(_COMPARE[op](moment, value))
            case Operator.LT:
                return and_(some(moment < value), not_(some(moment >= value)))
            case Operator.LTE:
                return and_(some(moment <= value), not_(some(moment > value)))
            case _:
                latest = self._rows_of(contact_activity).with_only_columns(func.max(moment)).scalar_subquery()
                return _plain(latest, op, value)


class Lookup(NamedTuple):
    """What an index can find: contacts with one of `parts` (JSON) in their attributes, or with one of `tags`."""

    parts: list[str] | None
    tags: list[str] | None


def lookups(expression: Expression | None) -> Iterator[Lookup]:
    """The conditions that every contact must meet who matches, as far as an index knows them."""
    match expression:
        case All(parts):
            for each in parts:
                yield from lookups(each)
        case Condition("tags", Operator.EQ | Operator.CONTAINS, value):
            yield Lookup(None, [value])
        case Condition("tags", Operator.IN, value):
            yield Lookup(None, value)
        # Of two truth values neither is rare.
        case Condition(field, Operator.EQ, value) if field.startswith(ATTRIBUTE_PREFIX) and not isinstance(value, bool):
            yield Lookup(_parts(field.removeprefix(ATTRIBUTE_PREFIX), value), None)
        case Condition(field, Operator.IN, value) if field.startswith(ATTRIBUTE_PREFIX) and len(value) <= FEW:
            key = field.removeprefix(ATTRIBUTE_PREFIX)
            yield Lookup([part for each in value for part in _parts(key, each)], None)


def _parts(key: str, value: Any) -> list[str]:
    """How attributes look that hold the value: as it is, or in a list."""
    return [_encoded({key: value}), *([_encoded({key: [value]})] if isinstance(value, str) else [])]


def _complement(compiled: Callable[[bool], Clause], joins: bool) -> Clause:
    """The opposite of what is compiled: what can be NULL is not true either."""
    clause = compiled(joins)
    # NOT EXISTS can be a join too, of those that have no partner.
    return not_(clause) if isinstance(clause, Exists) else compiled(False).is_not(True)


def _plain(compared: ColumnElement[Any], op: Operator, value: Any) -> Clause:
    if op is Operator.EQ:
        return _clause(compared == value)
    if op is Operator.IN:
        # One parameter, however many values.
        return _clause(compared == any_(literal(value, ARRAY(compared.type))))
    return _COMPARE[op](compared, value)


def _clause(clause: Any) -> Clause:
    """Comparison operators of `ColumnElement[Any]` are typed Any."""
    result: Clause = clause
    return result


def _text(compared: ColumnElement[str], op: Operator, value: Any) -> Clause:
    match op:
        case Operator.EXISTS:
            return _clause(compared != "")
        case Operator.CONTAINS:
            return func.strpos(_folded(compared), fold(value)) > 0
        case Operator.STARTSWITH:
            return _clause(func.starts_with(_folded(compared), fold(value)))
        case _:
            return _plain(compared, op, value)


def _folded(compared: ColumnElement[Any]) -> ColumnElement[str]:
    """`fold` in SQL: each character by itself, whatever the database's locale."""
    return func.lower(collate(compared, "pg_c_utf8"))


def _texts(compared: ColumnElement[Any], op: Operator, value: Any) -> Clause:
    match op:
        case Operator.EXISTS:
            return _clause(compared != literal([], ARRAY(Text)))
        case Operator.IN:
            return _clause(compared.op("&&")(literal(value, ARRAY(Text))))
        case _:
            return _clause(compared.op("@>")(literal([value], ARRAY(Text))))


def _attribute(key: str, op: Operator, value: Any) -> Clause:
    stored = contacts.c.attributes.op("->", return_type=JSONB())(literal(key, Text))
    match op:
        case Operator.EXISTS:
            return and_(stored.is_not(None), stored.op("<>")(_json("")), stored.op("<>")(_json([])))
        case Operator.EQ:
            return _is_one(key, value)
        case Operator.IN if len(value) <= FEW:
            return or_(*(_is_one(key, each) for each in value))
        case Operator.IN:
            values = cast(literal([_encoded(each) for each in value], ARRAY(Text)), ARRAY(JSONB))
            same = stored == any_(values)
            if not isinstance(value[0], str):
                return _clause(same)
            return or_(same, _if_a("array", stored, stored.op("?|")(literal(value, ARRAY(Text)))))
        case Operator.CONTAINS:
            return or_(
                _if_a("string", stored, _text(_as_text(key), op, value)),
                _holds(contacts.c.attributes, {key: [value]}),
            )
        case Operator.STARTSWITH:
            return _if_a("string", stored, _text(_as_text(key), op, value))
        case _ if isinstance(value, str):
            return _if_a("string", stored, _COMPARE[op](_as_text(key), value))
        case _:
            return _if_a("number", stored, _COMPARE[op](stored, _json(value)))


def _is_one(key: str, value: Any) -> Clause:
    """The attribute is the value, or a list with it in: what the index of attributes answers."""
    return or_(*(_clause(contacts.c.attributes.op("@>")(_as_json(part))) for part in _parts(key, value)))


def _if_a(kind: str, stored: ColumnElement[Any], clause: Clause) -> Clause:
    # As a CASE, because the planner takes `jsonb_typeof(…) = …` for rare and would read everything for a page.
    return case((func.jsonb_typeof(stored) == kind, clause), else_=false())


def _as_text(key: str) -> ColumnElement[str]:
    return collate(contacts.c.attributes.op("->>", return_type=C_TEXT)(literal(key, Text)), "C")


def _holds(compared: ColumnElement[Any], part: Any) -> Clause:
    return _clause(compared.op("@>")(_json(part)))


def _encoded(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _json(value: Any) -> ColumnElement[Any]:
    return _as_json(_encoded(value))


def _as_json(encoded: str) -> ColumnElement[Any]:
    return cast(literal(encoded, Text), JSONB)
