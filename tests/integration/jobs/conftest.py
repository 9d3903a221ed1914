"""Runners in this process, and handlers whose every step can be held."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.schemas import Origin
from app.domain.jobs.contract import JobFile, JobHandler, JobRun, JobStep
from app.domain.jobs.runner import JobRunner, RunnerOptions
from app.domain.jobs.schemas import JobOut
from app.domain.jobs.service import JobService
from app.lib.clock import utc_now
from app.lib.db import Database
from app.lib.ids import new_id
from app.lib.service import Stop
from app.settings import Settings
from tests.conftest import Registered, register

DEADLINE = 60.0


class Rows:
    """Counts to `spec["rows"]`, one row a step, each a line of the result; odd-looking ones (`bad`) are refused."""

    def __init__(self) -> None:
        self.kind = f"tests.rows-{secrets.token_hex(4)}"
        self.runs: list[UUID] = []
        self.steps: list[tuple[UUID, int]] = []
        self.at_once = 0
        self.most_at_once = 0

    async def run(self, job: JobRun) -> None:
        self.runs.append(job.id)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.work(job)
        finally:
            self.at_once -= 1

    async def work(self, job: JobRun) -> None:
        position = (job.checkpoint or {}).get("next", 0)
        while position < job.spec["rows"]:
            async with job.step() as step:
                await self.do(job, step, position)
                position += 1
                step.total = job.spec["rows"]
                step.checkpoint = {"next": position}
                step.result = {"last": position - 1}
            self.steps.append((job.id, position - 1))

    async def do(self, job: JobRun, step: JobStep, row: int) -> None:
        """One row."""
        if row in job.spec.get("bad", ()):
            step.failed += 1
            await step.append(JobFile.ERRORS, f"{row},bad\n".encode())
        else:
            step.done += 1
            await step.append(JobFile.RESULT, f"{row}\n".encode())


class Held(Rows):
    """Waits inside each step before it does anything, until `go` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()
        self.inside: list[tuple[UUID, int]] = []

    async def do(self, job: JobRun, step: JobStep, row: int) -> None:
        self.inside.append((job.id, row))
        await self.go.wait()
        await super().do(job, step, row)


async def eventually(condition: Callable[[], bool], seconds: float = DEADLINE) -> None:
    """Wait until the condition holds; the deadline is the failure."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


class Desk:
    """One account's jobs, as its owner and as the database sees them."""

    def __init__(self, database: Database, client: httpx.AsyncClient, owner: Registered) -> None:
        self.database = database
        self.client = client
        self.headers: dict[str, str] = owner["headers"]
        self.account_id = UUID(owner["account"]["id"])

    def service(self, session: Any) -> JobService:
        audit = AuditTrail(session, None, Origin(), new_id)
        return JobService(session, self.account_id, audit=audit, clock=utc_now, new_id=new_id)

    async def create(self, kind: str, **options: Any) -> JobOut:
        async with self.database.unit_of_work(self.account_id) as session:
            return await self.service(session).create(kind, options.pop("spec", {"rows": 3}), **options)

    async def get(self, job: JobOut) -> dict[str, Any]:
        answer = await self.client.get(f"/v1/jobs/{job.id}", headers=self.headers)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        return await self.client.request(method, f"/v1/jobs{path}", headers=self.headers, **options)

    async def until(self, job: JobOut, *statuses: str) -> dict[str, Any]:
        """Wait until the job has one of these statuses."""
        async with asyncio.timeout(DEADLINE):
            while (seen := await self.get(job))["status"] not in statuses:
                await asyncio.sleep(0.02)
        return seen

    async def ended(self, job: JobOut) -> dict[str, Any]:
        return await self.until(job, "succeeded", "failed", "canceled")

    async def download(self, job: JobOut, name: str) -> str:
        answer = await self.call("GET", f"/{job.id}/{name}")
        assert answer.status_code == 200, answer.text
        return answer.text

    async def sql(self, statement: str, **values: Any) -> Any:
        async with self.database.unit_of_work() as session:
            return await session.execute(text(statement), values)

    async def row(self, job: JobOut) -> Any:
        return (await self.sql("SELECT * FROM jobs WHERE id = :id", id=job.id)).mappings().one()

    async def lease_runs_out(self, job: JobOut) -> None:
        """As if whoever works on it had not been heard of."""
        await self.sql("UPDATE jobs SET lease_until = now() - interval '1 second' WHERE id = :id", id=job.id)


@pytest.fixture
async def desk(database: Database, client: httpx.AsyncClient, registered: Registered) -> Desk:
    return Desk(database, client, registered)


@pytest.fixture
async def another(database: Database, client: httpx.AsyncClient) -> Callable[[], Awaitable[Desk]]:
    """Makes further accounts."""

    async def make() -> Desk:
        return Desk(database, client, await register(client))

    return make


Running = Callable[..., Any]


@pytest.fixture
def running(settings: Settings) -> Running:
    """`async with running(handler, …, slots=2) as stop`: a runner, as a worker process has it."""

    @asynccontextmanager
    async def run(*handlers: JobHandler, **options: Any) -> AsyncIterator[Stop]:
        given = RunnerOptions(**{"retry_seconds": 0.01, "outage_seconds": 0.01, "poll_seconds": 0.2} | options)
        database = Database(settings.database.url, process="test-jobs", pool_size=given.connections)
        stop = Stop()
        runner = asyncio.create_task(run_until(database, handlers, given, stop))
        try:
            yield stop
        finally:
            stop.set()
            async with asyncio.timeout(DEADLINE):
                await runner
            await database.close()

    return run


async def run_until(database: Database, handlers: Iterable[JobHandler], options: RunnerOptions, stop: Stop) -> None:
    await JobRunner(database, handlers, new_id=new_id, options=options).run(stop)
