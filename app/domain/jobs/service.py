"""Asking for long work, looking at it and calling it off. Nothing here commits: the unit of work does."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Literal, cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.schemas import Caller
from app.domain.jobs.contract import Document, JobFile
from app.domain.jobs.events import announce_ready
from app.domain.jobs.files import FileWriter, files_shown
from app.domain.jobs.models import Job
from app.domain.jobs.repository import JobRepository
from app.domain.jobs.schemas import JobCreatorOut, JobOut
from app.domain.jobs.states import ENDED, JobStatus
from app.lib.clock import Clock
from app.lib.db import Scope
from app.lib.errors import Conflict, NotFound
from app.lib.ids import NewId
from app.lib.pagination import ListQuery, Page
from app.lib.versions import changed_at

KEPT = timedelta(days=7)
"""How long a job and its files stay after its end."""

UPLOAD_TIME = timedelta(days=1)
"""How long after the last piece an upload that nobody finished stays."""

MOST_UNFINISHED = 100
"""Of one account."""

DEFAULT_NAMES = {JobFile.ERRORS: "errors.csv", JobFile.RESULT: "result.csv"}


def job_out(job: Job, files: Collection[tuple[UUID, JobFile]] = ()) -> JobOut:
    """The row as clients see it; `files` are those that hold something."""

    def path(name: JobFile) -> str | None:
        return f"/v1/jobs/{job.id}/{name.value}" if (job.id, name) in files else None

    return JobOut(
        id=job.id,
        account_id=job.account_id,
        kind=job.kind,
        status=JobStatus(job.status),
        total=job.total,
        done=job.done,
        failed=job.failed,
        error=job.error,
        error_file=path(JobFile.ERRORS),
        result=job.result,
        result_file=path(JobFile.RESULT),
        cancel_requested=job.cancel_requested,
        created_by=JobCreatorOut(cast(Literal["user", "api_key", "system"], job.created_by_type), job.created_by),
        created_at=job.created_at,
        updated_at=job.updated_at,
        started_at=job.started_at,
        ended_at=job.ended_at,
        expires_at=job.expires_at,
    )


class TooManyJobs(Conflict):
    """The account has too many jobs that have not ended."""

    code = "too_many_jobs"


class NotReceiving(Conflict):
    """The job does not wait for input: it was canceled while its file was on the way, or it was started."""

    code = "not_receiving"


class JobService:
    """The jobs of one account, inside one unit of work; `caller` is None where the system itself asks.

    Methods raise `NotFound` for a job of another account as for none.
    """

    def __init__(
        self,
        session: AsyncSession,
        account_id: UUID,
        *,
        audit: AuditTrail,
        clock: Clock,
        new_id: NewId,
        caller: Caller | None = None,
    ) -> None:
        self._session = session
        self._account_id = account_id
        self._jobs = JobRepository(session, Scope(account_id))
        self._audit = audit
        self._clock = clock
        self._new_id = new_id
        self._caller = caller

    async def create(
        self,
        kind: str,
        spec: Document,
        *,
        total: int | None = None,
        job_id: UUID | None = None,
        file_names: Mapping[JobFile, str] | None = None,
        receiving: bool = False,
    ) -> JobOut:
        """A new job, which a worker with a handler of that kind takes once the transaction has committed.

        With `receiving` it waits for its input instead (`append_input`), and for `start`. `file_names` are what its
        files are called when they are downloaded, e.g. `{JobFile.RESULT: "contacts.xlsx"}`; the ending says the media
        type, and without it a file is CSV. Raises `TooManyJobs` (409) when the account has too many that have
        not ended.
        """
        if await self._jobs.count_unfinished() >= MOST_UNFINISHED:
            raise TooManyJobs(
                f"This account has {MOST_UNFINISHED} jobs that have not ended; wait for some, or cancel them."
            )
        now, caller = self._clock(), self._caller
        job = Job(
            id=job_id or self._new_id(),
            account_id=self._account_id,
            kind=kind,
            status=(JobStatus.RECEIVING if receiving else JobStatus.QUEUED).value,
            spec=spec,
            checkpoint=None,
            total=total,
            done=0,
            failed=0,
            result=None,
            error=None,
            file_names={name.value: called for name, called in (file_names or {}).items()},
            created_by_type="system" if caller is None else "api_key" if caller.api_key_id else "user",
            created_by=None if caller is None else caller.api_key_id or caller.user_id,
            cancel_requested=False,
            claimed_by=None,
            lease_until=None,
            attempts=0,
            started_at=None,
            ended_at=None,
            expires_at=await self._jobs.now() + UPLOAD_TIME if receiving else None,
            created_at=now,
            updated_at=now,
        )
        await self._jobs.add(job)
        if not receiving:
            await announce_ready(self._session)
        made = job_out(job)
        await self._audit.record(self._account_id, "created", "job", job.id, after=made)
        return made

    async def append_input(self, job_id: UUID, data: bytes) -> int:
        """Add to the input of a job that is receiving; how many bytes it has now.

        An upload may be many transactions, each with a piece of some hundred kB: see `app.domain.jobs.upload`. Raises
        `NotReceiving` (409) once the job was started or canceled.
        """
        job = await self._receiving(job_id)
        job.expires_at = await self._jobs.now() + UPLOAD_TIME
        await self._jobs.save()
        writer = FileWriter(self._session, self._account_id, job_id, JobFile.INPUT)
        await writer.write(data)
        await writer.flush()
        return await writer.size()

    async def start(self, job_id: UUID, *, spec: Document | None = None, total: int | None = None) -> JobOut:
        """The input is complete: hand the job to the workers.

        `spec` replaces what it was made with, for whoever knows all of it only now. Raises
        `NotReceiving` (409).
        """
        job = await self._receiving(job_id)
        job.status = JobStatus.QUEUED.value
        job.expires_at = None
        job.spec = job.spec if spec is None else spec
        job.total = job.total if total is None else total
        job.updated_at = changed_at(self._clock(), job.updated_at)
        await self._jobs.save()
        await announce_ready(self._session)
        return job_out(job)

    async def page(self, query: ListQuery) -> Page[JobOut]:
        """One page of the account's jobs."""
        page = await self._jobs.page(query)
        files = await files_shown(self._session, self._account_id, [job.id for job in page.items])
        return Page([job_out(job, files) for job in page.items], page.next_cursor, page.total)

    async def get(self, job_id: UUID) -> JobOut:
        """One job."""
        return await self._shown(await self._find(job_id))

    async def cancel(self, job_id: UUID) -> JobOut:
        """Call it off: at once when it waits, at its next step when it runs. What it has done stays.

        Canceling twice is canceling once. Raises `Conflict` (`job_ended`) when it has succeeded or failed.
        """
        job = await self._find(job_id, for_update=True)
        if job.status == JobStatus.CANCELED or (job.cancel_requested and job.status == JobStatus.RUNNING):
            return await self._shown(job)
        if job.status in ENDED:
            raise Conflict("The job has ended already.", code="job_ended")
        before = await self._shown(job)
        job.cancel_requested = True
        if job.status != JobStatus.RUNNING:
            job.status = JobStatus.CANCELED.value
            job.ended_at = await self._jobs.now()
            job.expires_at = job.ended_at + KEPT
        job.updated_at = changed_at(self._clock(), job.updated_at)
        await self._jobs.save()
        after = await self._shown(job)
        await self._audit.record(self._account_id, "canceled", "job", job_id, before=before, after=after)
        return after

    async def open_file(self, job_id: UUID, name: JobFile) -> str:
        """What the file is to be called when it is downloaded; `app.domain.jobs.files.read_file` reads it.

        Raises `NotFound` while there is nothing in it.
        """
        job = await self._find(job_id)
        if (job_id, name) not in await files_shown(self._session, self._account_id, [job_id]):
            raise NotFound("The job has no such file.")
        return job.file_names.get(name.value) or DEFAULT_NAMES[name]

    async def _find(self, job_id: UUID, *, for_update: bool = False) -> Job:
        job = await self._jobs.find(job_id, for_update=for_update)
        if job is None:
            raise NotFound("There is no such job.")
        return job

    async def _receiving(self, job_id: UUID) -> Job:
        job = await self._find(job_id, for_update=True)
        if job.status != JobStatus.RECEIVING:
            raise NotReceiving("The job does not wait for input any more.")
        return job

    async def _shown(self, job: Job) -> JobOut:
        return job_out(job, await files_shown(self._session, self._account_id, [job.id]))
