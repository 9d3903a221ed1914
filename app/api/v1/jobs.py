"""Long work: imports, exports, bulk actions."""

from typing import cast
from urllib.parse import quote
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath
from litestar.response import Stream
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import Container
from app.api.guards import requires
from app.api.preconditions import tag_of
from app.api.requests import ApiRequest, list_query
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.schemas import Caller
from app.domain.jobs.contract import JobFile
from app.domain.jobs.files import read_file
from app.domain.jobs.repository import LISTING
from app.domain.jobs.schemas import JobOut
from app.domain.jobs.service import JobService
from app.lib.pagination import Page

ANY_FILE = "application/octet-stream"

MEDIA_TYPES = {
    "csv": "text/csv",
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "txt": "text/plain",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "zip": "application/zip",
}
"""By the ending of a file's name; anything else is `ANY_FILE`."""

DOWNLOADS = (*MEDIA_TYPES.values(), ANY_FILE)


def provide_jobs(
    session: NamedDependency[AsyncSession],
    container: NamedDependency[Container],
    caller: NamedDependency[Caller],
    audit: NamedDependency[AuditTrail],
) -> JobService:
    """The jobs of the caller's account, in the request's unit of work."""
    return JobService(
        session, caller.account_id, audit=audit, clock=container.clock, new_id=container.new_id, caller=caller
    )


def file_headers(name: str) -> dict[str, str]:
    """Have a browser save a file under `name` (RFC 6266), whatever characters it has."""
    plain = "".join(each if each.isascii() and (each.isalnum() or each in "-_. ") else "_" for each in name)
    return {"Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"}


def _tagged(job: JobOut) -> Response[JobOut]:
    return Response(job, headers=tag_of(job.updated_at))


class JobController(Controller):
    """`/v1/jobs`."""

    path = "/v1/jobs"
    tags = ["jobs"]
    dependencies = {"jobs": Provide(provide_jobs, sync_to_thread=False)}

    @get(
        "/",
        guards=[requires("jobs:read")],
        operation_id="ListJobs",
        summary="List long work",
        opt={"listing": LISTING},
    )
    async def index(self, request: ApiRequest, jobs: NamedDependency[JobService]) -> Page[JobOut]:
        """Newest first. Filters: kind, status, created_at. Sorts: created_at."""
        return await jobs.page(list_query(request, LISTING))

    @get("/{job_id:uuid}", guards=[requires("jobs:read")], operation_id="GetJob", summary="How far a job is")
    async def show(self, job_id: FromPath[UUID], jobs: NamedDependency[JobService]) -> Response[JobOut]:
        """Jobs and their files stay for a week after their end."""
        return _tagged(await jobs.get(job_id))

    @post(
        "/{job_id:uuid}/cancel",
        status_code=200,
        guards=[requires("jobs:cancel")],
        operation_id="CancelJob",
        summary="Call a job off",
        opt={"etag": True, "problems": {409: ("job_ended",)}},
    )
    async def cancel(self, job_id: FromPath[UUID], jobs: NamedDependency[JobService]) -> Response[JobOut]:
        """At once while it waits; one that runs ends at its next step. What it has done stays done."""
        return _tagged(await jobs.cancel(job_id))

    @get(
        "/{job_id:uuid}/errors",
        guards=[requires("jobs:read")],
        operation_id="DownloadJobErrors",
        summary="What a job refused, and why",
        opt={"download": DOWNLOADS},
    )
    async def errors(
        self, job_id: FromPath[UUID], jobs: NamedDependency[JobService], container: NamedDependency[Container]
    ) -> Response[None]:
        """A file, as far as it has been written; 404 while there is nothing in it (`error_file` is null)."""
        return await _download(job_id, JobFile.ERRORS, jobs, container)

    @get(
        "/{job_id:uuid}/result",
        guards=[requires("jobs:read")],
        operation_id="DownloadJobResult",
        summary="What a job made",
        opt={"download": DOWNLOADS},
    )
    async def result(
        self, job_id: FromPath[UUID], jobs: NamedDependency[JobService], container: NamedDependency[Container]
    ) -> Response[None]:
        """A file, as far as it has been written; 404 while there is nothing in it (`result_file` is null)."""
        return await _download(job_id, JobFile.RESULT, jobs, container)


async def _download(job_id: UUID, file: JobFile, jobs: JobService, container: Container) -> Response[None]:
    job = await jobs.get(job_id)
    name = await jobs.open_file(job_id, file)
    ending = name.rpartition(".")[2].lower()
    # Chunk by chunk, each read by a transaction of its own: a slow client holds no connection.
    content = read_file(container.database, job.account_id, job_id, file)
    download = Stream(content, media_type=MEDIA_TYPES.get(ending, ANY_FILE), headers=file_headers(name))
    # For the document: what the file holds has no schema.
    return cast("Response[None]", download)
