"""A filter of contacts as a query of MongoDB; what it means is written out in `app.domain.contacts.evaluation`.

Texts are compared without regard to case by naming every character that folds to the one asked for (`[kK]`, say),
not by the server's `i` option: what folds to what is then the same in every store, whatever the server's tables say.
Patterns are texts under `$regex`, never compiled ones, and each character of a filter's text stands for itself.
"""

import re
from collections import defaultdict
from datetime import datetime
from functools import cache
from typing import Any

from app.domain.contacts.fields import ATTRIBUTE_PREFIX, CONTACT_FIELDS, fold
from app.domain.contacts.stores.mongo_documents import micros
from app.lib.errors import InvalidValue
from app.lib.filters import All, AnyOf, Condition, Expression, Kind, Not, Operator

Query = dict[str, Any]

NOTHING: Query = {"_id": {"$in": []}}
"""Matches no document, and the server knows it without looking at any."""

MAX_PATTERN = 8_000
"""Characters of a pattern; the server refuses those of 16 kB and more."""

_CASED_BELOW = 0x20000
"""No character from here on has a case (Unicode 16)."""

_NOT_A_LIST: Query = {"$not": {"$type": "array"}}
_COMPARISONS = {Operator.GT: "$gt", Operator.GTE: "$gte", Operator.LT: "$lt", Operator.LTE: "$lte"}


def compile_query(expression: Expression) -> Query:
    """What matches the documents of the contacts that match; the query is still to be tied to the account.

    Raises `InvalidValue` for a text that is too long to look for.
    """
    match expression:
        case All(parts):
            return {"$and": [compile_query(part) for part in parts]} if parts else {}
        case AnyOf(parts):
            return {"$or": [compile_query(part) for part in parts]} if parts else NOTHING
        case Not(part):
            return _complement(compile_query(part))
        case Condition(field, op, value):
            return _condition(field, op, value)


def _complement(query: Query) -> Query:
    return {"$nor": [query]}


def _condition(field: str, op: Operator, value: Any) -> Query:
    match op:
        case Operator.NE:
            return _complement(_condition(field, Operator.EQ, value))
        case Operator.NIN:
            return _complement(_condition(field, Operator.IN, value))
        case Operator.EXISTS if not value:
            return _complement(_condition(field, op, True))
    if field.startswith(ATTRIBUTE_PREFIX):
        return _attribute(field, op, value)
    kind = CONTACT_FIELDS[field].kind
    if kind is Kind.VALUES:
        return _address(field, op, value)
    path = "_id" if field == "id" else field
    match op:
        case Operator.EQ:
            return {path: _stored(value)}
        case Operator.IN:
            return {path: {"$in": [_stored(each) for each in value]}}
        case Operator.CONTAINS if kind is not Kind.TEXT:
            return {path: value}
        case Operator.CONTAINS | Operator.STARTSWITH:
            return {path: _like(op, value)}
        case Operator.EXISTS:
            return {path: {"$nin": [None, "", []]}}
        case _:
            return {path: {_COMPARISONS[op]: _stored(value)}}


def _address(kind: str, op: Operator, value: Any) -> Query:
    match op:
        case Operator.IN:
            asked: Any = {"$in": [f"{kind}:{each}" for each in value]}
        case Operator.CONTAINS:
            asked = _regex(f"^{kind}:.*{_caseless(value)}")
        case Operator.STARTSWITH:
            asked = _regex(f"^{kind}:{_caseless(value)}")
        case Operator.EXISTS:
            asked = _regex(f"^{kind}:")
        case _:
            asked = f"{kind}:{value}"
    return {"addresses.key": asked}


def _attribute(path: str, op: Operator, value: Any) -> Query:
    """Compared as the type that is stored: a comparison of MongoDB sees values of its own type only."""
    match op:
        case Operator.EQ:
            # Of a list, one of its elements.
            return {path: value}
        case Operator.IN:
            return {path: {"$in": value}}
        case Operator.CONTAINS:
            return {"$or": [{path: {**_like(op, value), **_NOT_A_LIST}}, {path: {"$elemMatch": {"$eq": value}}}]}
        case Operator.STARTSWITH:
            return {path: {**_like(op, value), **_NOT_A_LIST}}
        case Operator.EXISTS:
            return {path: {"$nin": [None, "", []]}}
        case _:
            return {path: {_COMPARISONS[op]: value, **_NOT_A_LIST}}


def _stored(value: Any) -> Any:
    return micros(value) if isinstance(value, datetime) else value


def _like(op: Operator, value: str) -> Query:
    return _regex(("^" if op is Operator.STARTSWITH else "") + _caseless(value))


def _regex(pattern: str) -> Query:
    if len(pattern.encode()) > MAX_PATTERN:
        raise InvalidValue.at("/filter", "too_long", "A text to look for is too long.")
    # `s`: a line break is a character as any other.
    return {"$regex": pattern, "$options": "s"}


def _caseless(text: str) -> str:
    return "".join(map(_pattern_of, fold(text)))


@cache
def _pattern_of(character: str) -> str:
    others = _folding_to().get(character)
    return f"[{character}{others}]" if others else re.escape(character)


@cache
def _folding_to() -> dict[str, str]:
    """Which other characters `fold` makes each character of; all are letters or marks, nothing to escape."""
    found: defaultdict[str, str] = defaultdict(str)
    for character in map(chr, range(_CASED_BELOW)):
        folded = fold(character)
        if folded != character:
            found[folded] += character
    return dict(found)
