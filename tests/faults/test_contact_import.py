"""An import whose workers are killed in the middle of it: no row twice, none missing."""

import csv
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from sqlalchemy import text

from app.domain.contacts.imports.handler import KIND
from app.domain.jobs.contract import JobFile
from app.domain.jobs.schemas import JobOut
from app.domain.jobs.upload import receive_input
from app.lib.ids import new_id
from tests.faults.job_plant import Plant, planted

ROWS = 12_000

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


class Place(NamedTuple):
    """Where contacts come to."""

    plant: Plant
    group_id: UUID

    async def start(self, content: bytes) -> UUID:
        """The job of an import."""

        async def pieces() -> AsyncIterator[bytes]:
            yield content

        plant = self.plant
        async with plant.database.unit_of_work() as session:
            job_id = (await plant.service(session).create(KIND, {}, receiving=True)).id
        await receive_input(plant.database, plant.service, plant.account_id, job_id, pieces(), len(content))
        spec = {"mapping": {"P": "phone", "N": "attributes.n"}, "group_ids": [str(self.group_id)]}
        async with plant.database.unit_of_work() as session:
            await plant.service(session).start(job_id, spec=spec)
        return job_id

    async def column(self, statement: str) -> list[Any]:
        async with self.plant.database.reading() as session:
            rows = await session.execute(text(statement), {"account": self.plant.account_id, "group": self.group_id})
            return list(rows.scalars())


@pytest.fixture
async def place(make_database: Callable[[], Awaitable[str]], environment: dict[str, str]) -> AsyncIterator[Place]:
    async with planted(make_database, environment, "-c", WORKER) as plant:
        place = Place(plant, new_id())
        async with plant.database.unit_of_work() as session:
            group = "INSERT INTO contact_groups (id, account_id, name) VALUES (:group, :account, 'Imported')"
            await session.execute(text(group), {"account": plant.account_id, "group": place.group_id})
        yield place


def phone(number: int) -> str:
    return f"+2519110{number:05}"


def reached(goal: int) -> Callable[[JobOut], bool]:
    """Whether so many rows are dealt with."""
    return lambda job: job.done + job.failed >= goal


@pytest.mark.timeout(400)
async def test_an_import_whose_workers_are_killed_has_every_row_once(place: Place) -> None:
    plant = place.plant
    # Every tenth row is bad; every seventh says again what the row before it said.
    bad = set(range(0, ROWS, 10))
    again = {number for number in range(7, ROWS, 7) if number not in bad and number - 1 not in bad}
    again -= {number + 1 for number in again}
    lines = ["P,N"]
    for number in range(ROWS):
        shown = "nobody" if number in bad else phone(number - 1 if number in again else number)
        lines.append(f"{shown},{number}")
    job_id = await place.start("\n".join(lines).encode())
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
    assert await place.column(addresses) == expected
    held = "SELECT addresses -> 0 ->> 'value' AS value FROM contacts WHERE account_id = :account ORDER BY value"
    assert await place.column(held) == expected
    members = "SELECT count(*) FROM contact_group_members WHERE group_id = :group"
    assert await place.column(members) == [len(expected)]
    content = await plant.file(job_id, JobFile.ERRORS)
    errors = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    assert [(row["line"], row["code"], row["N"]) for row in errors] == [
        (str(number + 2), "bad_phone", str(number)) for number in sorted(bad)
    ]
