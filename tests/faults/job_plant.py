"""A database of its own with an account, and workers that can be killed while they do its jobs."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID

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

DEADLINE = 120.0


class Plant:
    """`program` is what Python is called with for a worker."""

    def __init__(self, database: Database, environment: dict[str, str], program: tuple[str, ...]) -> None:
        self.database = database
        self.account_id = new_id()
        self._environment = environment
        self._program = program

    def service(self, session: AsyncSession) -> JobService:
        audit = AuditTrail(session, None, Origin(), new_id)
        return JobService(session, self.account_id, audit=audit, clock=utc_now, new_id=new_id)

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
        environment = {**os.environ, **self._environment, **variables}
        process = await asyncio.create_subprocess_exec(sys.executable, *self._program, env=environment)
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def file(self, job_id: UUID, which: JobFile) -> bytes:
        return b"".join([part async for part in read_file(self.database, self.account_id, job_id, which)])


@asynccontextmanager
async def planted(
    make_database: Callable[[], Awaitable[str]], environment: dict[str, str], *program: str
) -> AsyncIterator[Plant]:
    """A plant with its account, and with a RabbitMQ that never answers: jobs must not need it."""
    url = await make_database()
    database = Database(url, process="test-plant", pool_size=2)
    plant = Plant(
        database, environment | {"TURUMBA_DATABASE_URL": url, "TURUMBA_BROKER_URL": "amqp://127.0.0.1:9/"}, program
    )
    async with database.unit_of_work() as session:
        await session.execute(text("INSERT INTO accounts (id, name) VALUES (:id, 'Plant')"), {"id": plant.account_id})
    yield plant
    await database.close()
