"""Merging and undoing, in as many units of work as the store of contacts asks for.

Where contacts are beside everything else, all is done in one. Elsewhere what a call to the store has done stays done,
so what is intended is committed before; when the process dies in between, whoever merges next in that account, or the
scheduler, finishes it.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.merging.records import MergeState
from app.domain.contacts.merging.repository import MergeRepository
from app.domain.contacts.merging.schemas import ContactMergeOut
from app.domain.contacts.merging.service import MergeService
from app.domain.contacts.merging.undoing import UndoService
from app.domain.contacts.schemas import ContactOut
from app.domain.contacts.stores.contract import ContactStores
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.schemas import Caller, Origin
from app.lib.clock import Clock
from app.lib.db import Database
from app.lib.errors import NotFound
from app.lib.ids import NewId

StoreContact = Callable[[AsyncSession, ContactOut], Awaitable[None]]
StoreMerge = Callable[[AsyncSession, ContactMergeOut], Awaitable[None]]
"""Called at the end of the last unit of work, to store the answer along with the work."""


class ContactMerging:
    """Merges contacts of one account, for whoever is asking; `caller` is None for the system itself."""

    def __init__(
        self,
        database: Database,
        stores: ContactStores,
        account_id: UUID,
        *,
        clock: Clock,
        new_id: NewId,
        caller: Caller | None = None,
        origin: Origin | None = None,
    ) -> None:
        self._database = database
        self._stores = stores
        self._account_id = account_id
        self._clock = clock
        self._new_id = new_id
        self._caller = caller
        self._origin = origin or Origin()

    async def merge(
        self,
        contact_id: UUID,
        contact_ids: Sequence[UUID],
        if_match: Collection[str] | None,
        store_answer: StoreContact,
    ) -> ContactOut:
        """Make one contact of them; see `MergeService` for what it raises."""
        if self._stores.transactional:
            async with self._database.unit_of_work(self._account_id) as session:
                service = self._merges(session)
                merge_id = await service.begin(contact_id, contact_ids, if_match)
                return await self._merged(session, service, contact_id, merge_id, store_answer)
        await self._finish_others()
        async with self._database.unit_of_work(self._account_id) as session:
            merge_id = await self._merges(session).begin(contact_id, contact_ids, if_match)
        if merge_id is not None:
            async with self._database.unit_of_work(self._account_id) as session:
                await self._merges(session).carry_out(merge_id)
        async with self._database.unit_of_work(self._account_id) as session:
            return await self._merged(session, self._merges(session), contact_id, None, store_answer)

    async def undo(self, merge_id: UUID, store_answer: StoreMerge) -> ContactMergeOut:
        """Make several contacts of one again; see `UndoService` for what it raises."""
        # An attempt before this one may have begun it.
        if not self._stores.transactional and merge_id not in await self._finish_others():
            async with self._database.unit_of_work(self._account_id) as session:
                await self._undoing(session).begin(merge_id)
        async with self._database.unit_of_work(self._account_id) as session:
            service = self._undoing(session)
            if self._stores.transactional:
                await service.begin(merge_id)
            undone = await service.carry_out(merge_id)
            await store_answer(session, undone)
        return undone

    async def finish(self, merge_id: UUID) -> None:
        """Do what is left of a merge or of undoing one."""
        async with self._database.unit_of_work(self._account_id) as session:
            merge = await MergeRepository(session, self._account_id).find(merge_id)
            if merge is None:
                return
            if merge.state == MergeState.UNDOING:
                await self._undoing(session).carry_out(merge_id)
            else:
                await self._merges(session).carry_out(merge_id)

    async def _finish_others(self) -> list[UUID]:
        async with self._database.unit_of_work(self._account_id) as session:
            unfinished = [each.id for each in await MergeRepository(session, self._account_id).unfinished()]
        for merge_id in unfinished:
            await self.finish(merge_id)
        return unfinished

    async def _merged(
        self,
        session: AsyncSession,
        service: MergeService,
        contact_id: UUID,
        merge_id: UUID | None,
        store_answer: StoreContact,
    ) -> ContactOut:
        if merge_id is not None and not await service.carry_out(merge_id):
            raise NotFound("There is no such contact.")
        shown = await service.shown(contact_id)
        await store_answer(session, shown)
        return shown

    def _merges(self, session: AsyncSession) -> MergeService:
        return MergeService(
            session,
            self._stores,
            self._account_id,
            audit=AuditTrail(session, self._caller, self._origin, self._new_id),
            clock=self._clock,
            new_id=self._new_id,
            caller=self._caller,
        )

    def _undoing(self, session: AsyncSession) -> UndoService:
        return UndoService(
            session,
            self._stores,
            self._account_id,
            audit=AuditTrail(session, self._caller, self._origin, self._new_id),
            clock=self._clock,
            new_id=self._new_id,
        )
