"""What is to be done where contacts are, which may be another database than everything else is in."""

from uuid import UUID

from app.domain.contacts.groups import deleted_groups, drop_members
from app.domain.contacts.merging.repository import forget_snapshots, unfinished_merges
from app.domain.contacts.merging.units import ContactMerging
from app.domain.contacts.stores.contract import ContactStores
from app.lib.clock import utc_now
from app.lib.db import Database
from app.lib.ids import new_id
from scheduler.jobs import accounts


class ContactJobs:
    """The jobs that need the store of contacts."""

    def __init__(self, stores: ContactStores) -> None:
        self._stores = stores

    async def purge_accounts(self, database: Database) -> None:
        """Remove the accounts that are due. Raises `Unavailable`."""
        await accounts.purge_accounts(database, self._stores)

    async def drop_deleted_groups(self, database: Database) -> None:
        """Take the members out of groups that were deleted, each step a transaction of its own."""
        async with database.reading() as session:
            deleted = await deleted_groups(session)
        for account_id, group_id in deleted:
            while await self._drop_some(database, account_id, group_id):
                pass

    async def _drop_some(self, database: Database, account_id: UUID, group_id: UUID) -> bool:
        async with database.unit_of_work(account_id) as session:
            return await drop_members(session, self._stores.of(session, account_id), account_id, group_id)

    async def finish_merges(self, database: Database) -> None:
        """Finish merges, and undoings, that somebody began and did not finish. Raises `Unavailable`."""
        async with database.reading() as session:
            begun = await unfinished_merges(session)
        for account_id, merge_id in begun:
            merging = ContactMerging(database, self._stores, account_id, clock=utc_now, new_id=new_id)
            await merging.finish(merge_id)

    async def forget_merges(self, database: Database) -> None:
        """Remove what merges remember that cannot be undone any more. Raises `Unavailable`."""
        while True:
            async with database.unit_of_work() as session:
                if not await forget_snapshots(session):
                    return
