"""Asking for a person to be erased. Nothing here commits: the unit of work does."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.erasure.schemas import KIND, ErasureRequest, ErasureSpec, ErasureTold, document
from app.domain.contacts.merging.aliases import current_ids
from app.domain.contacts.stores.contract import ContactStore
from app.domain.identity.audit.service import AuditTrail
from app.domain.jobs.schemas import JobOut
from app.domain.jobs.service import JobService
from app.lib.errors import NotFound


class ErasureService:
    """Erasure in one account, inside one unit of work."""

    def __init__(
        self, session: AsyncSession, store: ContactStore, account_id: UUID, *, audit: AuditTrail, jobs: JobService
    ) -> None:
        self._session = session
        self._store = store
        self._account_id = account_id
        self._audit = audit
        self._jobs = jobs

    async def ask(self, contact_id: UUID, data: ErasureRequest) -> JobOut:
        """The job that erases whoever the contact is, or was merged into. Raises `NotFound`, `TooManyJobs`."""
        current = (await current_ids(self._session, self._account_id, [contact_id])).get(contact_id, contact_id)
        if current not in await self._store.get([current]):
            raise NotFound("There is no such contact.")
        job = await self._jobs.create(KIND, document(ErasureSpec(current, data.forget_opt_outs)))
        told = ErasureTold(job.id, data.reason, data.forget_opt_outs)
        await self._audit.record(self._account_id, "erasure_requested", "contact", current, after=told)
        return job
