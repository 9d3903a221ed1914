"""Lists: one envelope, keyset cursors, declared filters and sorts. Page 1,000 costs what page 1 costs."""

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Select, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app.lib.errors import Malformed
from app.lib.filters import Expression, FilterField, compile_sql, parse_query

DEFAULT_LIMIT = 50
MAX_LIMIT = 200

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], omit_defaults=True):
    """The envelope of every list. `total` is there only when it was asked for with `include=total`."""

    items: list[T]
    next_cursor: str | None
    total: int | msgspec.UnsetType = msgspec.UNSET


class Sort(msgspec.Struct, frozen=True):
    """A sortable column; None for `column` means the id itself, which is in order of creation."""

    column: ColumnElement[Any] | None
    kind: type


class Listing(msgspec.Struct, frozen=True):
    """What a list can be filtered and sorted by, and the columns behind it."""

    id_column: ColumnElement[Any]
    fields: Mapping[str, FilterField]
    columns: Mapping[str, ColumnElement[Any]]
    sorts: Mapping[str, Sort]
    default_sort: str = "-created_at"


class ListQuery(msgspec.Struct, frozen=True):
    """A checked request for a page."""

    limit: int
    sort: str
    after: tuple[Any, UUID] | None
    filter: Expression | None
    include_total: bool


class _Cursor(msgspec.Struct, array_like=True, frozen=True):
    sort: str
    value: Any
    id: UUID


def parse_list_query(pairs: Iterable[tuple[str, str]], listing: Listing) -> ListQuery:
    """Query parameters → `ListQuery`. Raises `Malformed` (400) that says what is allowed."""
    own = {"limit", "cursor", "sort", "include"}
    given: dict[str, str] = {}
    filters: list[tuple[str, str]] = []
    for name, value in pairs:
        if name not in own:
            filters.append((name, value))
        elif name in given:
            raise Malformed(f"{name!r} stands twice.", code="bad_parameter")
        else:
            given[name] = value
    limit_text = given.get("limit", str(DEFAULT_LIMIT))
    limit = int(limit_text) if limit_text.isascii() and limit_text.isdigit() and len(limit_text) < 5 else 0
    if not 1 <= limit <= MAX_LIMIT:
        raise Malformed(f"limit must be a number from 1 to {MAX_LIMIT}.", code="bad_limit")
    sort = given.get("sort", listing.default_sort)
    if sort.removeprefix("-") not in listing.sorts:
        raise Malformed(
            f"Unknown sort {sort!r}. Sorts of this list, each also with a leading minus: "
            f"{', '.join(sorted(listing.sorts))}.",
            code="unknown_sort",
        )
    if given.get("include", "total") != "total":
        raise Malformed("include can be: total.", code="bad_parameter")
    after = None
    if "cursor" in given:
        cursor = _decode_cursor(given["cursor"])
        if cursor.sort != sort or not _fits(cursor.value, listing.sorts[sort.removeprefix("-")]):
            raise Malformed("This cursor belongs to another sort order.", code="bad_cursor")
        after = (cursor.value, cursor.id)
    return ListQuery(limit, sort, after, parse_query(filters, listing.fields), "include" in given)


async def fetch_page(session: AsyncSession, statement: Select[tuple[T]], listing: Listing, query: ListQuery) -> Page[T]:
    """Run `statement` (already scoped to its account) for one page.

    One row more than the page is read to know whether another page follows; a deep page starts at its cursor by index.
    """
    if query.filter is not None:
        statement = statement.where(compile_sql(query.filter, listing.columns))
    total: int | msgspec.UnsetType = msgspec.UNSET
    if query.include_total:
        count = await session.execute(select(func.count()).select_from(statement.order_by(None).subquery()))
        total = count.scalar_one()
    descending = query.sort.startswith("-")
    sort = listing.sorts[query.sort.removeprefix("-")]
    keys = [listing.id_column] if sort.column is None else [sort.column, listing.id_column]
    if query.after is not None:
        value, last_id = query.after
        position: Sequence[Any] = [last_id] if sort.column is None else [value, last_id]
        left = tuple_(*keys) if len(keys) > 1 else keys[0]
        right = tuple_(*position) if len(keys) > 1 else position[0]
        statement = statement.where(left < right if descending else left > right)
    ordered = statement.order_by(*(key.desc() if descending else key.asc() for key in keys)).limit(query.limit + 1)
    rows: list[T] = list((await session.execute(ordered)).scalars())
    next_cursor = None
    if len(rows) > query.limit:
        rows = rows[: query.limit]
        next_cursor = cursor_after(listing, query, rows[-1])
    return Page(rows, next_cursor, total)


def cursor_after(listing: Listing, query: ListQuery, row: Any) -> str:
    """What continues a list after `row`, in the order of `query`."""
    name = query.sort.removeprefix("-")
    value = None if listing.sorts[name].column is None else getattr(row, name)
    return _encode_cursor(_Cursor(query.sort, value, row.id))


def _fits(value: Any, sort: Sort) -> bool:
    if sort.column is None:
        return value is None
    if isinstance(value, str) and "\0" in value:
        return False
    # What no cursor of ours holds, no database has to take.
    return isinstance(value, sort.kind) and not (isinstance(value, int) and abs(value) >= 2**63)


def _encode_cursor(cursor: _Cursor) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(cursor)).rstrip(b"=").decode()


def _decode_cursor(text: str) -> _Cursor:
    try:
        return msgspec.msgpack.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=_Cursor)
    except (binascii.Error, msgspec.DecodeError, ValueError) as error:
        raise Malformed("This cursor is not one of ours; start again without it.", code="bad_cursor") from error
