"""What a filter means for one contact, written out in Python: what every store must agree with, and the explanation.

Kept as plain as can be, for it is the measure of the stores. How the fields are compared:

* A text of a contact's own (`first_name`, `notes`, …) is always there and compared as it is, even when it is empty:
  `eq ""` finds those without it, and `lt "a"` finds them too. `exists` asks for one that is not empty.
* An attribute that is not there is like nothing and different from everything. One that is there is compared by the
  type of what is stored: a value of another type than the one asked for is not equal, above, below or like it either.
  A list is a set of texts, whatever the type of the attribute is now.
* A field of addresses matches when one of the contact's addresses of that type does.
* `contains` and `startswith` do not regard case (`fields.fold`), except in sets, whose elements are whole.
* Texts are above and below each other by code point, times by the microsecond, and 1 is 1.0 but not true.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from app.domain.contacts.fields import ATTRIBUTE_PREFIX, fold
from app.domain.contacts.stores.contract import AddressType, Contact
from app.lib.clock import rfc3339
from app.lib.filters import All, AnyOf, Condition, Expression, Not, Operator

_ADDRESS_FIELDS = frozenset(kind.value for kind in AddressType)


def matches(expression: Expression, contact: Contact) -> bool:
    """Whether the contact is among those that the expression, without relative moments, describes."""
    match expression:
        case All(parts):
            return all(matches(part, contact) for part in parts)
        case AnyOf(parts):
            return any(matches(part, contact) for part in parts)
        case Not(part):
            return not matches(part, contact)
        case Condition(field, op, wanted):
            return _holds(field, op, wanted, value_of(field, contact))


class Explanation(msgspec.Struct, frozen=True):
    """A filter as it was asked, with what each part of it says about one contact.

    It has the form of the filter: `and` and `or` with their parts, `not` with its part, or a condition with `field`,
    `op` and `value`. `actual` is what the contact has in the field: a list where there can be several, null for
    nothing. Times and ids are texts, as everywhere in JSON.
    """

    holds: bool
    all_of: "list[Explanation] | UnsetType" = msgspec.field(default=UNSET, name="and")
    any_of: "list[Explanation] | UnsetType" = msgspec.field(default=UNSET, name="or")
    negated: "Explanation | UnsetType" = msgspec.field(default=UNSET, name="not")
    field: str | UnsetType = UNSET
    op: Operator | UnsetType = UNSET
    value: Any = UNSET
    actual: Any = UNSET


def explain(expression: Expression, contact: Contact) -> Explanation:
    """Why the contact is, or is not, among those that the expression, without relative moments, describes."""
    holds = matches(expression, contact)
    match expression:
        case All(parts):
            return Explanation(holds, all_of=[explain(part, contact) for part in parts])
        case AnyOf(parts):
            return Explanation(holds, any_of=[explain(part, contact) for part in parts])
        case Not(part):
            return Explanation(holds, negated=explain(part, contact))
        case Condition(field, op, wanted):
            actual = value_of(field, contact)
            return Explanation(holds, field=field, op=op, value=_json(wanted), actual=_json(actual))


def value_of(field: str, contact: Contact) -> Any:
    """What a contact has in a filter field: a tuple or list where there can be several, None for nothing."""
    if field.startswith(ATTRIBUTE_PREFIX):
        return contact.attributes.get(field.removeprefix(ATTRIBUTE_PREFIX))
    if field in _ADDRESS_FIELDS:
        return tuple(address.value for address in contact.addresses if address.type == field)
    return getattr(contact, field)


def _holds(field: str, op: Operator, wanted: Any, actual: Any) -> bool:
    match op:
        case Operator.EXISTS:
            there = actual is not None and actual not in ("", (), [])
            return there is wanted
        case Operator.NE:
            return not _holds(field, Operator.EQ, wanted, actual)
        case Operator.IN:
            return any(_holds(field, Operator.EQ, each, actual) for each in wanted)
        case Operator.NIN:
            return not _holds(field, Operator.IN, wanted, actual)
    if field in _ADDRESS_FIELDS:
        return any(_compares(op, wanted, each) for each in actual)
    if isinstance(actual, tuple | list):
        return op in (Operator.EQ, Operator.CONTAINS) and wanted in actual
    return _compares(op, wanted, actual)


def _compares(op: Operator, wanted: Any, actual: Any) -> bool:
    if actual is None or _type_of(actual) is not _type_of(wanted):
        return False
    match op:
        case Operator.EQ:
            return bool(actual == wanted)
        case Operator.GT:
            return bool(actual > wanted)
        case Operator.GTE:
            return bool(actual >= wanted)
        case Operator.LT:
            return bool(actual < wanted)
        case Operator.LTE:
            return bool(actual <= wanted)
        # Those of another type than text have no such operators, but an attribute may have been of another type.
        case Operator.CONTAINS:
            return isinstance(actual, str) and fold(wanted) in fold(actual)
        case Operator.STARTSWITH:
            return isinstance(actual, str) and fold(actual).startswith(fold(wanted))
    raise AssertionError(f"{op} has been dealt with")


def _type_of(value: Any) -> type:
    if isinstance(value, bool):
        return bool
    if isinstance(value, int | float):
        return float
    return next(kind for kind in (str, datetime, UUID) if isinstance(value, kind))


def _json(value: Any) -> Any:
    match value:
        case list() | tuple():
            return [_json(each) for each in value]
        case datetime():
            return rfc3339(value)
        case UUID():
            return str(value)
        case _:
            return value
