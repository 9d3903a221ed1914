"""Jobs that ended a week ago are removed, with their files."""

from app.domain.jobs.retention import remove_expired
from app.lib.db import Database


async def expire_long_work(database: Database) -> None:
    """Remove what has served, each step a transaction of its own."""
    while True:
        async with database.unit_of_work() as session:
            removed = await remove_expired(session)
        if not removed:
            return
