"""Long work while workers are killed and stopped, and while there is no RabbitMQ at all."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import pytest
from sqlalchemy import text

from app.domain.jobs.contract import JobFile
from app.domain.jobs.schemas import JobOut
from tests.faults.job_plant import DEADLINE, Plant, planted
from tests.faults.job_process import KIND

ROWS = 1000


async def create(plant: Plant, rows: int) -> UUID:
    async with plant.database.unit_of_work() as session:
        return (await plant.service(session).create(KIND, {"rows": rows}, total=rows)).id


async def check(plant: Plant, job_id: UUID, rows: int) -> None:
    """So many rows, each once, in the table as in the file."""
    async with plant.database.reading() as session:
        found = await session.execute(
            text("SELECT row FROM copied_rows WHERE job_id = :job ORDER BY row"), {"job": job_id}
        )
        assert list(found.scalars()) == list(range(rows))
    assert await plant.file(job_id, JobFile.RESULT) == b"".join(b"%d\n" % row for row in range(rows))


def reached(goal: int) -> Callable[[JobOut], bool]:
    """Whether so much is done."""
    return lambda job: job.done >= goal


@pytest.fixture(scope="module")
async def plant(make_database: Callable[[], Awaitable[str]], environment: dict[str, str]) -> AsyncIterator[Plant]:
    async with planted(make_database, environment, "-m", "tests.faults.job_process") as plant:
        async with plant.database.unit_of_work() as session:
            # Without a key: what is done twice is there twice.
            await session.execute(text("CREATE TABLE copied_rows (job_id uuid NOT NULL, row integer NOT NULL)"))
        yield plant


@pytest.mark.timeout(300)
async def test_a_job_whose_workers_are_killed_is_finished_by_another(plant: Plant) -> None:
    job_id = await create(plant, ROWS)
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
    await check(plant, job_id, ROWS)


@pytest.mark.timeout(300)
async def test_a_worker_that_is_stopped_gives_its_job_back(plant: Plant) -> None:
    job_id = await create(plant, 1_000_000)
    async with plant.worker() as worker:
        await plant.until(job_id, reached(5))
        worker.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE):
            assert await worker.wait() == 0
    left = await plant.until(job_id, reached(0))
    assert left.status == "queued"
    await check(plant, job_id, left.done)
