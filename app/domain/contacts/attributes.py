"""Custom attributes: what their values look like, and who has defined which."""

import math
import re
import unicodedata
from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.fields import AttributeType
from app.lib.clock import Clock
from app.lib.errors import Conflict
from app.lib.filters import MAX_NUMBER, parse_date
from app.lib.ids import NewId

KEY = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
"""Keys of attributes."""

MAX_DEFINITIONS = 200
"""Attributes of one account."""

MAX_TEXT = 1_000
"""Characters of a text, and of each one in a list."""

MAX_LIST = 100
"""Texts in a list."""


def parse_value(kind: AttributeType, value: object) -> Any:
    """A JSON value → the form it is stored in; None for what says that there is no value: null, `""`, `[]`.

    Raises `ValueError` with words for people.
    """
    if value is None:
        return None
    match kind:
        case AttributeType.TEXT:
            return _text(value) or None
        case AttributeType.NUMBER:
            return _number(value)
        case AttributeType.BOOLEAN:
            if not isinstance(value, bool):
                raise ValueError("true or false is needed")
            return value
        case AttributeType.DATE:
            if not isinstance(value, str):
                raise ValueError("a day (2026-11-24) or a time with a zone (2026-11-24T10:00:00Z) is needed")
            return parse_date(value)
        case AttributeType.LIST:
            if not isinstance(value, list | tuple):
                raise ValueError("a list of texts is needed")
            texts = sorted({each for each in map(_text, value) if each})
            if len(texts) > MAX_LIST:
                raise ValueError(f"a list has at most {MAX_LIST} texts")
            return texts or None


_TRUE = frozenset({"true", "yes", "1"})
_FALSE = frozenset({"false", "no", "0"})
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)


def parse_cell(kind: AttributeType, cell: str) -> Any:
    """The text in a cell of a file → the form it is stored in; None for a cell with nothing in it.

    Lists are parted by `;`, or by `,` where there is no `;`. Raises `ValueError` with words for people.
    """
    value = cell.strip()
    if not value:
        return None
    match kind:
        case AttributeType.NUMBER:
            if not _NUMBER.fullmatch(value):
                raise ValueError("a number such as 12 or 12.5 is needed")
            return _number(float(value) if "." in value else int(value))
        case AttributeType.BOOLEAN:
            word = value.lower()
            if word not in _TRUE | _FALSE:
                raise ValueError("true or false is needed")
            return word in _TRUE
        case AttributeType.LIST:
            return parse_value(kind, [each.strip() for each in value.split(";" if ";" in value else ",")])
        case AttributeType.TEXT | AttributeType.DATE:
            return parse_value(kind, value)


def infer_type(value: object) -> AttributeType:
    """The type of an attribute that nobody has defined, from its first JSON value. A text is a text, dates too.

    Raises `ValueError` with words for people for what can be no attribute.
    """
    match value:
        case bool():
            return AttributeType.BOOLEAN
        case int() | float():
            return AttributeType.NUMBER
        case str():
            return AttributeType.TEXT
        case list() | tuple():
            return AttributeType.LIST
    raise ValueError("a text, a number, true, false or a list of texts is needed")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a text is needed")
    if "\0" in value:
        raise ValueError("a text holds no NUL character")
    normal = value if value.isascii() else unicodedata.normalize("NFC", value)
    if len(normal) > MAX_TEXT:
        raise ValueError(f"a text has at most {MAX_TEXT} characters")
    if any("\ud800" <= character <= "\udfff" for character in normal):
        raise ValueError("a text holds no lone surrogates")
    return normal


def _number(value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a number is needed")
    if not math.isfinite(value) or abs(value) > MAX_NUMBER:
        raise ValueError("a number up to 2^53 is needed")
    # One form for one number, in both stores.
    return int(value) if float(value).is_integer() else value


_DEFINITIONS = text("SELECT key, type FROM contact_attributes WHERE account_id = :account_id")
# Held until the values are stored: a definition that is being deleted must not lose sight of them.
_USED = text(
    "SELECT key, type FROM contact_attributes WHERE account_id = :account_id AND key = ANY(CAST(:keys AS text[]))"
    " ORDER BY key FOR KEY SHARE"
)
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('contact_attributes:' || CAST(:account_id AS text), 0))")
_COUNT = text("SELECT count(*) FROM contact_attributes WHERE account_id = :account_id")
_DEFINE = text(
    """
    INSERT INTO contact_attributes (id, account_id, key, name, type, created_at, updated_at)
    SELECT id, :account_id, key, key, type, :now, :now
    FROM unnest(CAST(:ids AS uuid[]), CAST(:keys AS text[]), CAST(:types AS text[])) AS each (id, key, type)
    ON CONFLICT ON CONSTRAINT uq_contact_attributes_account_id_key DO NOTHING
    """
)


class AttributeService:
    """The definitions of one account's attributes, inside one unit of work."""

    def __init__(self, session: AsyncSession, account_id: UUID, *, clock: Clock, new_id: NewId) -> None:
        self._session = session
        self._account_id = account_id
        self._clock = clock
        self._new_id = new_id

    async def definitions(self) -> dict[str, AttributeType]:
        """The type of every attribute, by key."""
        rows = await self._session.execute(_DEFINITIONS, {"account_id": self._account_id})
        return {row.key: AttributeType(row.type) for row in rows}

    async def held(self, keys: Collection[str]) -> dict[str, AttributeType]:
        """The definitions of those keys that have one, which cannot be deleted until the unit of work ends."""
        if not keys:
            return {}
        rows = await self._session.execute(_USED, {"account_id": self._account_id, "keys": sorted(keys)})
        return {row.key: AttributeType(row.type) for row in rows}

    async def make_room(self, more: int) -> None:
        """Let one transaction at a time define attributes. Raises `Conflict` (`too_many_attributes`)."""
        account = {"account_id": self._account_id}
        await self._session.execute(_LOCK, {"account_id": str(self._account_id)})
        if int(await self._session.scalar(_COUNT, account) or 0) + more > MAX_DEFINITIONS:
            raise Conflict(f"An account has at most {MAX_DEFINITIONS} attributes.", code="too_many_attributes")

    async def define_missing(self, types: Mapping[str, AttributeType]) -> dict[str, AttributeType]:
        """Define what nobody has defined; the definitions that hold now for these keys, as `held` gives them.

        Another one may have defined a key first, as something else. Raises `Conflict` (`too_many_attributes`).
        """
        found = await self.held(types)
        missing = sorted(types.keys() - found.keys())
        if not missing:
            return found
        await self.make_room(0)
        found = await self.held(types)
        missing = sorted(types.keys() - found.keys())
        await self.make_room(len(missing))
        rows = {
            "ids": [self._new_id() for _ in missing],
            "keys": missing,
            "types": [types[key].value for key in missing],
        }
        await self._session.execute(_DEFINE, {"account_id": self._account_id, **rows, "now": self._clock()})
        return await self.held(types)
