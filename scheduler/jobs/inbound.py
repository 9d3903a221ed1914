"""What operators sent and nothing else wakes up: long messages that stay incomplete, receipts on the wrong channel."""

from app.domain.messages.inbound import deliver_overdue, overdue_channels, prune_parts
from app.domain.messages.orphans import rematch_parked, waiting_channels
from app.domain.messages.people import People
from app.lib.db import Database
from app.lib.ids import new_id
from app.lib.logging import get_logger

log = get_logger(__name__)


class InboundParts:
    """Looks after the parts of long messages; `people` says which contacts they are from."""

    def __init__(self, people: People) -> None:
        self._people = people

    async def deliver_overdue_parts(self, database: Database) -> None:
        """Make messages of what came in time, and forget the parts of those made long ago."""
        async with database.reading() as session:
            channels = await overdue_channels(session)
        for account_id, channel_id in channels:
            async with database.unit_of_work() as session:
                made = await deliver_overdue(session, account_id, channel_id, new_id, self._people)
            if made:
                log.warning("long messages stayed incomplete", channel_id=str(channel_id), messages=made)
        async with database.unit_of_work() as session:
            await prune_parts(session)


async def rematch_receipts(database: Database) -> None:
    """Look for the messages of parked receipts among other channels with the same operator."""
    async with database.reading() as session:
        channels = await waiting_channels(session)
    for account_id, channel_id in channels:
        async with database.unit_of_work() as session:
            await rematch_parked(session, account_id, channel_id, new_id)
