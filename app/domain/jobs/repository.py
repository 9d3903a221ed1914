"""The statements on the table of jobs that one account's requests need; the workers' own are in `claims`."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.jobs.models import Job
from app.domain.jobs.states import UNFINISHED, JobStatus
from app.lib.db import Scope
from app.lib.filters import FilterField, Kind
from app.lib.pagination import Listing, ListQuery, Page, Sort, fetch_page

_TABLE = Job.__table__

LISTING = Listing(
    id_column=_TABLE.c.id,
    fields={
        "kind": FilterField(Kind.TEXT),
        "status": FilterField(Kind.CHOICE, tuple(JobStatus)),
        "created_at": FilterField(Kind.DATETIME),
    },
    columns={name: _TABLE.c[name] for name in ("kind", "status", "created_at")},
    sorts={"created_at": Sort(None, datetime)},
)


class JobRepository:
    """The jobs of one account."""

    def __init__(self, session: AsyncSession, scope: Scope) -> None:
        self._session = session
        self._scope = scope

    async def page(self, query: ListQuery) -> Page[Job]:
        """One page of the list."""
        return await fetch_page(self._session, self._scope.select(Job), LISTING, query)

    async def find(self, job_id: UUID, *, for_update: bool = False) -> Job | None:
        """One job; `for_update` keeps other writers out until the transaction ends."""
        statement = self._scope.select(Job).where(Job.id == job_id)
        if for_update:
            # What another transaction did while this one waited, not what it had read before.
            statement = statement.with_for_update().execution_options(populate_existing=True)
        return (await self._session.execute(statement)).scalar_one_or_none()

    async def count_unfinished(self) -> int:
        """How many have not ended."""
        unfinished = self._scope.select(Job).where(Job.status.in_(UNFINISHED)).with_only_columns(Job.id).subquery()
        return int((await self._session.execute(select(func.count()).select_from(unfinished))).scalar_one())

    async def now(self) -> datetime:
        """The time by the clock that all processes share."""
        moment: datetime = (await self._session.execute(select(func.now()))).scalar_one()
        return moment

    async def add(self, job: Job) -> None:
        """Insert."""
        self._session.add(job)
        await self._session.flush()

    async def save(self) -> None:
        """Write what changed."""
        await self._session.flush()
