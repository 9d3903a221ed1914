"""Messages whose next attempt is due go back to the outbox."""

from app.domain.messages.retries import enqueue_due_retries
from app.lib.db import Database
from app.lib.ids import new_id
from app.lib.metrics import retries_due

MOST = 500


async def enqueue_retries(database: Database) -> None:
    """Move everything that is due, in sets."""
    while True:
        async with database.unit_of_work() as session:
            count = await enqueue_due_retries(session, new_id, MOST)
        retries_due.inc(count)
        if count < MOST:
            return
