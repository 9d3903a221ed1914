"""The recipients of a group message as a file, read a part at a time."""

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from app.domain.group_messages.identity import MessageIds
from app.domain.group_messages.listing import COLUMNS, RecipientList, cells
from app.lib.db import Database
from app.lib.spreadsheets import csv_bytes

PART = 2_000
"""Recipients that are read at once."""


async def export_recipients(
    database: Database, account_id: UUID, group_message_id: UUID, runs: Sequence[MessageIds]
) -> AsyncIterator[bytes]:
    """CSV (RFC 4180) in parts, the names of the columns first. Raises `Unavailable`."""
    yield csv_bytes([COLUMNS])
    after: UUID | None = None
    while True:
        # A transaction for each part: a slow reader must not keep one open.
        async with database.reading(account_id) as session:
            some = await RecipientList(session, account_id, group_message_id, runs).after(after, PART)
        if some:
            yield csv_bytes(cells(recipient) for _, recipient in some)
        if len(some) < PART:
            return
        after = some[-1][0]
