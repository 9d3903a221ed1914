"""Long work while workers are killed and stopped, and while there is no RabbitMQ at all."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.schemas import Origin
from app.domain.jobs.contract import JobFile
from app.domain.jobs.files import read_file
from app.domain.jobs.schemas import JobOut
from app.domain.jobs.service import JobService
from app.lib.clock import utc_now
from app.lib.db import Database
from app.lib.ids import new_id
from tests.faults.job_process import KIND

ROWS = 1000
DEADLINE = 90.0


class Plant:
    """A database of its own, an account in it, and workers that can be killed."""

    def __init__(self, database: Database, environment: dict[str, str]) -> None:
        self.database = database
        self.account_id = new_id()
        self._environment = environment

    async def prepare(self) -> None:
        async with self.database.unit_of_work() as session:
            await session.execute(
                text("INSERT INTO accounts (id, name, status) VALUES (:id, 'Plant', 'active')"), {"id": self.account_id}
            )
            # Without a key: what is done twice is there twice.
            await session.execute(text("CREATE TABLE copied_rows (job_id uuid NOT NULL, row integer NOT NULL)"))

    def service(self, session: AsyncSession) -> JobService:
        audit = AuditTrail(session, None, Origin(), new_id)
        return JobService(session, self.account_id, audit=audit, clock=utc_now, new_id=new_id)

    async def create(self, rows: int) -> UUID:
        async with self.database.unit_of_work() as session:
            return (await self.service(session).create(KIND, {"rows": rows}, total=rows)).id

    async def until(self, job_id: UUID, holds: Callable[[JobOut], bool]) -> JobOut:
        async with asyncio.timeout(DEADLINE):
            while True:
                async with self.database.reading() as session:
                    job = await self.service(session).get(job_id)
                if holds(job):
                    return job
                await asyncio.sleep(0.02)

    @asynccontextmanager
    async def worker(self, **variables: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """A worker; killed in the end when it still runs."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.job_process"), env={**os.environ, **self._environment, **variables}
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def check(self, job_id: UUID, rows: int) -> None:
        """So many rows, each once, in the table as in the file."""
        async with self.database.reading() as session:
            found = await session.execute(
                text("SELECT row FROM copied_rows WHERE job_id = :job ORDER BY row"), {"job": job_id}
            )
            assert list(found.scalars()) == list(range(rows))
        content = b"".join([part async for part in read_file(self.database, self.account_id, job_id, JobFile.RESULT)])
        assert content == b"".join(b"%d\n" % row for row in range(rows))


def reached(goal: int) -> Callable[[JobOut], bool]:
    """Whether so much is done."""
    return lambda job: job.done >= goal


@pytest.fixture(scope="module")
async def plant(make_database: Callable[[], Awaitable[str]], environment: dict[str, str]) -> AsyncIterator[Plant]:
    url = await make_database()
    database = Database(url, process="test-plant", pool_size=2)
    # Nobody listens there: jobs must not need it.
    plant = Plant(database, environment | {"TURUMBA_DATABASE_URL": url, "TURUMBA_BROKER_URL": "amqp://127.0.0.1:9/"})
    await plant.prepare()
    yield plant
    await database.close()


@pytest.mark.timeout(300)
async def test_a_job_whose_workers_are_killed_is_finished_by_another(plant: Plant) -> None:
    job_id = await plant.create(ROWS)
    async with plant.worker(TURUMBA_TEST_HOLD_AT=str(ROWS // 2)) as worker:
        await plant.until(job_id, reached(ROWS // 2))
        worker.kill()
        await worker.wait()
    left = await plant.until(job_id, reached(0))
    assert (left.status, left.done) == ("running", ROWS // 2)
    async with plant.worker() as worker:
        await plant.until(job_id, reached(ROWS // 2 + 5))
        # Wherever it is just then.
        worker.kill()
        await worker.wait()
    async with plant.worker():
        ended = await plant.until(job_id, lambda job: job.ended_at is not None)
    assert (ended.status, ended.done) == ("succeeded", ROWS)
    await plant.check(job_id, ROWS)


@pytest.mark.timeout(300)
async def test_a_worker_that_is_stopped_gives_its_job_back(plant: Plant) -> None:
    job_id = await plant.create(1_000_000)
    async with plant.worker() as worker:
        await plant.until(job_id, reached(5))
        worker.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE):
            assert await worker.wait() == 0
    left = await plant.until(job_id, reached(0))
    assert left.status == "queued"
    await plant.check(job_id, left.done)
