"""Filters as clients send them: read against what an account has defined, and ready for a store."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.addresses import parse_address
from app.domain.contacts.attributes import AttributeService
from app.domain.contacts.fields import fields_with
from app.domain.contacts.groups import living_groups
from app.domain.contacts.stores.contract import AddressType
from app.domain.contacts.tenants import default_country
from app.domain.contacts.texts import nfc, nfc_document
from app.lib.clock import Clock
from app.lib.errors import FieldError, InvalidValue
from app.lib.filters import All, AnyOf, Condition, Expression, FilterField, Not, Operator, parse_json, resolve
from app.lib.ids import NewId

_ADDRESSES = frozenset(kind.value for kind in AddressType)
_DIALLED = frozenset({AddressType.PHONE.value, AddressType.WHATSAPP.value})
_WHOLE = frozenset({Operator.EQ, Operator.NE, Operator.IN, Operator.NIN})


class ContactFilters:
    """Reads filters for one account, inside one unit of work."""

    def __init__(self, session: AsyncSession, account_id: UUID, *, clock: Clock, new_id: NewId) -> None:
        self._session = session
        self._account_id = account_id
        self._attributes = AttributeService(session, account_id, clock=clock, new_id=new_id)
        self._clock = clock

    async def fields(self) -> dict[str, FilterField]:
        """What contacts of the account can be filtered by."""
        return fields_with(await self._attributes.definitions())

    async def read(self, document: Any, pointer: str = "/filter") -> Expression:
        """A JSON filter → what a store takes, with relative moments counted from now.

        Raises `InvalidValue` with pointers for a filter that is none, and `not_found` for groups that there are not.
        """
        document = nfc_document(document)
        fields = await self.fields()
        expression = parse_json(document, fields, pointer)
        named = list(_named_groups(document, pointer))
        there = await living_groups(self._session, self._account_id, {group_id for _, group_id in named})
        missing = [
            FieldError(place, "not_found", "There is no such group.")
            for place, group_id in named
            if group_id not in there
        ]
        if missing:
            raise InvalidValue.of(missing)
        return resolve(await self._canonical(expression), fields, self._clock())

    async def of_query(self, expression: Expression | None, fields: Mapping[str, FilterField]) -> Expression | None:
        """The filters of a query string → what a store takes."""
        if expression is None:
            return None
        return resolve(await self._canonical(_changed(expression, _unescaped)), fields, self._clock())

    async def _canonical(self, expression: Expression) -> Expression:
        """With whole addresses in the form they are stored in: a number as people of the country dial it is found."""
        asked = [condition for condition in _conditions(expression) if condition.field in _DIALLED]
        # Most filters ask for no address, and most numbers have a plus.
        national = any(isinstance(each, str) and not each.startswith("+") for one in asked for each in _values(one))
        country = await default_country(self._session, self._account_id) if national else None

        def canonical(condition: Condition, value: Any) -> Any:
            if condition.field not in _ADDRESSES or condition.op not in _WHOLE:
                return value
            try:
                return parse_address(AddressType(condition.field), value, country).value
            except ValueError:
                # Nobody has such an address, which is an answer as well.
                return value

        return _changed(expression, canonical)


def both(one: Expression | None, other: Expression | None) -> Expression | None:
    """What matches both filters; None lets everything through."""
    if one is None or other is None:
        return one or other
    return All((one, other))


def _named_groups(node: Any, pointer: str) -> Iterator[tuple[str, UUID]]:
    """Where a filter, well-formed as it is, names groups."""
    for key in ("and", "or"):
        for index, part in enumerate(node.get(key, ())):
            yield from _named_groups(part, f"{pointer}/{key}/{index}")
    if "not" in node:
        yield from _named_groups(node["not"], f"{pointer}/not")
    if node.get("field") == "groups" and node.get("op") != Operator.EXISTS:
        value = node["value"]
        if isinstance(value, list):
            yield from ((f"{pointer}/value/{index}", UUID(each)) for index, each in enumerate(value))
        else:
            yield f"{pointer}/value", UUID(value)


def _conditions(expression: Expression) -> Iterator[Condition]:
    match expression:
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from _conditions(part)
        case Not(part):
            yield from _conditions(part)
        case Condition():
            yield expression


def _values(condition: Condition) -> list[Any]:
    return condition.value if isinstance(condition.value, list) else [condition.value]


def _changed(expression: Expression, change: Callable[[Condition, Any], Any]) -> Expression:
    """With other values in its conditions."""
    match expression:
        case All(parts):
            return All(tuple(_changed(part, change) for part in parts))
        case AnyOf(parts):
            return AnyOf(tuple(_changed(part, change) for part in parts))
        case Not(part):
            return Not(_changed(part, change))
        case Condition(field, op, value) as condition:
            changed = [change(condition, each) for each in _values(condition)]
            return Condition(field, op, changed if isinstance(value, list) else changed[0])


def _unescaped(condition: Condition, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    # A `+` of an unescaped query string arrives as a space.
    return nfc(f"+{value[1:]}" if condition.field in _DIALLED and value.startswith(" ") else value)
