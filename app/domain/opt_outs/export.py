"""Opt-outs as CSV, a piece at a time, safe to open in a spreadsheet."""

from collections.abc import AsyncIterator
from uuid import UUID

import msgspec

from app.domain.opt_outs.models import OptOut
from app.domain.opt_outs.repository import LISTING, OptOutRepository
from app.lib.clock import rfc3339
from app.lib.db import Database, Scope
from app.lib.pagination import ListQuery
from app.lib.spreadsheets import csv_bytes

COLUMNS = (
    *("id", "channel_class", "address", "topic", "source", "message_id", "channel_id", "text", "actor", "detail"),
    "created_at",
)

ROWS_AT_ONCE = 1000


async def export_csv(database: Database, account_id: UUID) -> AsyncIterator[bytes]:
    """The opt-outs of an account, the newest first, as UTF-8 with CRLF (RFC 4180), the names of columns before them.

    No connection is held while whoever reads this takes their time. Raises `Unavailable` at any point; what came before
    is complete lines.
    """
    query = ListQuery(ROWS_AT_ONCE, LISTING.default_sort, None, None, include_total=False)
    rows: list[tuple[str, ...]] = [COLUMNS]
    more = True
    while more:
        async with database.reading(account_id) as session:
            page = await OptOutRepository(session, Scope(account_id)).page(query)
        rows += [_cells(each) for each in page.items]
        yield csv_bytes(rows)
        rows, more = [], page.next_cursor is not None
        if more:
            # The order is that of the ids: there is no other.
            query = msgspec.structs.replace(query, after=(None, page.items[-1].id))


def _cells(row: OptOut) -> tuple[str, ...]:
    values = (
        *(row.id, row.channel_class, row.address, row.topic, row.source, row.message_id, row.channel_id, row.text),
        *(row.actor_name, row.detail, rfc3339(row.created_at)),
    )
    return tuple("" if value is None else str(value) for value in values)
