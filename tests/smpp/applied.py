"""What becomes of messages when the daemon's results are applied."""

from app.domain.messages.events import ResultBatch
from app.domain.messages.results import apply_results
from app.lib.db import Database
from app.lib.ids import new_id
from tests.smpp.daemon_harness import World


async def applied(world: World) -> dict[bytes, str]:
    """What the daemon published, in the order in which results and receipts must cope: statuses by message."""
    database = Database(world.settings.database.url, process="test", pool_size=1)
    try:
        # Every receipt before its submit result, which is the worst that can happen.
        for part in ({"receipts": world.results.receipts}, {"results": world.results.results}):
            async with database.unit_of_work() as session:
                batch = ResultBatch(new_id(), world.account_id, world.channel_id, **part)
                assert await apply_results(session, [batch], new_id)
    finally:
        await database.close()
    rows = await world.database.fetch("SELECT id, status FROM messages WHERE channel_id = $1", world.channel_id)
    return {row["id"].bytes: row["status"] for row in rows}
