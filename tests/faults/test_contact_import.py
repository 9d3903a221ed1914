"""An import whose workers are killed in the middle of it: no row twice, none missing."""

import asyncio
import csv
import io
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.imports.handler import KIND
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.schemas import Origin
from app.domain.jobs.contract import JobFile
from app.domain.jobs.files import read_file
from app.domain.jobs.schemas import JobOut
from app.domain.jobs.service import JobService
from app.domain.jobs.upload import receive_input
from app.lib.clock import utc_now
from app.lib.db import Database
from app.lib.ids import new_id

ROWS = 12_000
DEADLINE = 120.0

WORKER = """
import app.workers.jobs
from app.domain.jobs.runner import RunnerOptions
from app.lib.service import run_process
from app.settings import settings_for
from app.workers.main import run_worker

# What a killed worker held waits less long than in production.
app.workers.jobs.OPTIONS = RunnerOptions(lease_seconds=1.5, poll_seconds=0.2)
settings = settings_for("worker")
run_process(lambda stop: run_worker(settings, stop))
"""


class Plant:
    """A database of its own with an account and a group, and workers that can be killed."""

    def __init__(self, database: Database, environment: dict[str, str]) -> None:
        self.database = database
        self.account_id, self.group_id = new_id(), new_id()
        self._environment = environment

    async def prepare(self) -> None:
        async with self.database.unit_of_work() as session:
            for statement in (
                "INSERT INTO accounts (id, name) VALUES (:account, 'Plant')",
                "INSERT INTO contact_groups (id, account_id, name) VALUES (:group, :account, 'Imported')",
            ):
                await session.execute(text(statement), {"account": self.account_id, "group": self.group_id})

    def service(self, session: AsyncSession) -> JobService:
        audit = AuditTrail(session, None, Origin(), new_id)
        return JobService(session, self.account_id, audit=audit, clock=utc_now, new_id=new_id)

    async def start(self, content: bytes) -> UUID:
        """The job of an import."""

        async def pieces() -> AsyncIterator[bytes]:
            yield content

        async with self.database.unit_of_work() as session:
            job_id = (await self.service(session).create(KIND, {}, receiving=True)).id
        await receive_input(self.database, self.service, self.account_id, job_id, pieces(), len(content))
        spec = {"mapping": {"P": "phone", "N": "attributes.n"}, "group_ids": [str(self.group_id)]}
        async with self.database.unit_of_work() as session:
            await self.service(session).start(job_id, spec=spec)
        return job_id

    async def until(self, job_id: UUID, holds: Callable[[JobOut], bool]) -> JobOut:
        async with asyncio.timeout(DEADLINE):
            while True:
                async with self.database.reading() as session:
                    job = await self.service(session).get(job_id)
                if holds(job):
                    return job
                await asyncio.sleep(0.02)

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """A worker; killed in the end."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WORKER, env={**os.environ, **self._environment}
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def column(self, statement: str) -> list[Any]:
        async with self.database.reading() as session:
            rows = await session.execute(text(statement), {"account": self.account_id, "group": self.group_id})
            return list(rows.scalars())


@pytest.fixture
async def plant(make_database: Callable[[], Awaitable[str]], environment: dict[str, str]) -> AsyncIterator[Plant]:
    url = await make_database()
    database = Database(url, process="test-plant", pool_size=2)
    # Nobody listens there: an import must not need it.
    plant = Plant(database, environment | {"TURUMBA_DATABASE_URL": url, "TURUMBA_BROKER_URL": "amqp://127.0.0.1:9/"})
    await plant.prepare()
    yield plant
    await database.close()


def phone(number: int) -> str:
    return f"+2519110{number:05}"


def reached(goal: int) -> Callable[[JobOut], bool]:
    """Whether so many rows are dealt with."""
    return lambda job: job.done + job.failed >= goal


@pytest.mark.timeout(400)
async def test_an_import_whose_workers_are_killed_has_every_row_once(plant: Plant) -> None:
    # Every tenth row is bad; every seventh says again what the row before it said.
    bad = set(range(0, ROWS, 10))
    again = {number for number in range(7, ROWS, 7) if number not in bad and number - 1 not in bad}
    again -= {number + 1 for number in again}
    lines = ["P,N"]
    for number in range(ROWS):
        shown = "nobody" if number in bad else phone(number - 1 if number in again else number)
        lines.append(f"{shown},{number}")
    job_id = await plant.start("\n".join(lines).encode())
    for goal in (ROWS // 6, ROWS // 2):
        async with plant.worker() as worker:
            # A run of its own, which has come further than the one that was killed.
            await plant.until(job_id, reached(goal))
            # Wherever it is just then.
            worker.kill()
            await worker.wait()
    left = await plant.until(job_id, lambda _: True)
    assert left.status == "running"
    assert left.done + left.failed < ROWS
    async with plant.worker():
        ended = await plant.until(job_id, lambda job: job.ended_at is not None)

    good = ROWS - len(bad)
    assert (ended.status, ended.total, ended.done, ended.failed) == ("succeeded", ROWS, good, len(bad))
    assert ended.result == {
        "created": good - len(again),
        "updated": len(again),
        "unchanged": 0,
        "skipped": 0,
        "failed": len(bad),
        "empty_rows": 0,
        "reasons": {"bad_phone": len(bad)},
    }
    expected = sorted(phone(number) for number in range(ROWS) if number not in bad and number not in again)
    addresses = "SELECT value FROM contact_addresses WHERE account_id = :account ORDER BY value"
    assert await plant.column(addresses) == expected
    held = "SELECT addresses -> 0 ->> 'value' AS value FROM contacts WHERE account_id = :account ORDER BY value"
    assert await plant.column(held) == expected
    members = "SELECT count(*) FROM contact_group_members WHERE group_id = :group"
    assert await plant.column(members) == [len(expected)]
    content = b"".join([part async for part in read_file(plant.database, plant.account_id, job_id, JobFile.ERRORS)])
    errors = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    assert [(row["line"], row["code"], row["N"]) for row in errors] == [
        (str(number + 2), "bad_phone", str(number)) for number in sorted(bad)
    ]
