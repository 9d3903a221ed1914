"""Several processes: who works on what, what happens when one of them ends, and who comes first."""

import asyncio
from collections.abc import Awaitable, Callable

from sqlalchemy import text

from app.domain.jobs.claims import MOST_ATTEMPTS, claim_next
from app.domain.jobs.contract import JobRun, JobStep
from app.lib.ids import new_id
from tests.integration.jobs.conftest import Desk, Held, Rows, Running, eventually

LONG = 3600.0
"""Seconds of a lease that nobody extends while the test lasts."""


def twin(handler: Rows) -> Held:
    """A handler of another process for the same jobs."""
    other = Held()
    other.kind = handler.kind
    other.go.set()
    return other


async def test_who_has_lost_a_job_can_commit_nothing_more(desk: Desk, running: Running) -> None:
    slow = Held()
    quick = twin(slow)
    job = await desk.create(slow.kind, spec={"rows": 3})
    # With one slot, which the lost job holds: it is not this process that takes it again.
    async with running(slow, lease_seconds=LONG, slots=1) as stop_slow:
        await eventually(lambda: slow.inside == [(job.id, 0)])
        await desk.lease_runs_out(job)
        async with running(quick, lease_seconds=LONG):
            ended = await desk.ended(job)
            assert (ended["status"], ended["done"]) == ("succeeded", 3)
            slow.go.set()
            await eventually(lambda: slow.at_once == 0)
        stop_slow.set()
    assert slow.steps == [], "a step of the old run counted"
    assert [row for _, row in quick.steps] == [0, 1, 2]
    assert await desk.download(job, "result") == "0\n1\n2\n"
    assert await desk.get(job) == ended


async def test_a_step_is_lost_as_well_while_whoever_has_the_job_is_in_a_step(desk: Desk, running: Running) -> None:
    slow, next_one = Held(), Held()
    next_one.kind = slow.kind
    job = await desk.create(slow.kind, spec={"rows": 2})
    async with running(slow, lease_seconds=LONG, slots=1) as stop_slow:
        await eventually(lambda: slow.inside == [(job.id, 0)])
        async with running(next_one, lease_seconds=LONG, slots=1):
            await desk.lease_runs_out(job)
            await eventually(lambda: next_one.inside == [(job.id, 0)])
            stop_slow.set()
            slow.go.set()
            await eventually(lambda: slow.at_once == 0)
            assert slow.steps == [] and (await desk.get(job))["done"] == 0
            next_one.go.set()
            assert (await desk.ended(job))["done"] == 2
    assert await desk.download(job, "result") == "0\n1\n"


async def test_a_lease_is_extended_for_as_long_as_it_is_worked_on(desk: Desk, running: Running) -> None:
    handler = Held()
    other = twin(handler)
    job = await desk.create(handler.kind)
    async with running(handler, lease_seconds=1.0):
        await eventually(lambda: handler.inside == [(job.id, 0)])
        async with running(other, lease_seconds=1.0):
            first = (await desk.row(job))["lease_until"]
            # Three times over what it was: somebody else would have taken it long since.
            async with asyncio.timeout(60):
                while (await desk.row(job))["lease_until"].timestamp() < first.timestamp() + 2.5:
                    await asyncio.sleep(0.05)
            assert other.runs == []
            version = (await desk.get(job))["updated_at"]
            assert version == (await desk.get(job))["updated_at"], "keeping a job is not a change of it"
        handler.go.set()
        await desk.ended(job)


async def test_a_handler_that_hangs_is_interrupted_when_its_job_is_lost(desk: Desk, running: Running) -> None:
    hanging = Held()
    quick = twin(hanging)
    job = await desk.create(hanging.kind)
    async with running(hanging, lease_seconds=1.5):
        await eventually(lambda: hanging.inside == [(job.id, 0)])
        token = (await desk.row(job))["claimed_by"]
        # As if another process had taken and ended it.
        await desk.sql("UPDATE jobs SET claimed_by = gen_random_uuid() WHERE id = :id", id=job.id)
        await eventually(lambda: hanging.at_once == 0)
        assert (await desk.row(job))["claimed_by"] not in (None, token)
    await desk.lease_runs_out(job)
    async with running(quick):
        assert (await desk.ended(job))["done"] == 3


async def test_a_process_that_ends_gives_its_jobs_back_at_the_next_step(desk: Desk, running: Running) -> None:
    handler = Held()
    job = await desk.create(handler.kind, spec={"rows": 4})
    async with running(handler, lease_seconds=LONG) as stop:
        await eventually(lambda: handler.inside == [(job.id, 0)])
        stop.set()
        handler.go.set()
        await eventually(lambda: handler.at_once == 0)
        await desk.until(job, "queued")
    row = await desk.row(job)
    assert (row["claimed_by"], row["lease_until"], row["attempts"], row["done"]) == (None, None, 0, 1)
    after = twin(handler)
    async with running(after):
        assert (await desk.ended(job))["status"] == "succeeded"
    assert [row for _, row in after.steps] == [1, 2, 3]
    assert await desk.download(job, "result") == "0\n1\n2\n3\n"


async def test_a_process_that_ends_does_not_wait_for_ever(desk: Desk, running: Running) -> None:
    handler = Held()
    job = await desk.create(handler.kind)
    async with running(handler, lease_seconds=LONG, grace_seconds=0.1):
        await eventually(lambda: handler.inside == [(job.id, 0)])
    assert handler.at_once == 0
    row = await desk.row(job)
    assert (row["status"], row["claimed_by"], row["attempts"]) == ("queued", None, 0)


async def test_what_ends_its_process_each_time_is_given_up(desk: Desk, running: Running) -> None:
    handler = Rows()
    job = await desk.create(handler.kind)
    for attempt in range(1, MOST_ATTEMPTS + 1):
        async with desk.database.unit_of_work() as session:
            claim = await claim_next(session, new_id(), kinds=[handler.kind], lease_seconds=LONG, per_account=9)
        assert claim is not None and claim.id == job.id
        assert (await desk.row(job))["attempts"] == attempt
        await desk.lease_runs_out(job)
    async with running(handler):
        ended = await desk.ended(job)
    assert ended["status"] == "failed" and ended["error"] and handler.runs == []


async def test_an_account_gets_its_turn_before_another_ones_second_job(
    desk: Desk, another: Callable[[], Awaitable[Desk]], running: Running
) -> None:
    handler = Held()
    mine = [await desk.create(handler.kind, spec={"rows": 1}) for _ in range(3)]
    other = await another()
    theirs = [await other.create(handler.kind, spec={"rows": 1}) for _ in range(2)]
    # One after the other: by turns.
    async with running(handler, slots=1):
        handler.go.set()
        await eventually(lambda: len(handler.steps) == 5)
        await other.ended(theirs[1])
        await desk.ended(mine[2])
    assert handler.runs == [mine[0].id, theirs[0].id, mine[1].id, theirs[1].id, mine[2].id]
    assert handler.most_at_once == 1


async def test_so_many_at_once_and_no_more(
    desk: Desk, another: Callable[[], Awaitable[Desk]], running: Running
) -> None:
    handler = Held()
    mine = [await desk.create(handler.kind, spec={"rows": 1}) for _ in range(4)]
    other, third = await another(), await another()
    theirs = await other.create(handler.kind, spec={"rows": 1})
    async with running(handler, slots=4, per_account=2):
        await eventually(lambda: len(handler.inside) == 3)
        # What is made now is taken, and by then the others have been passed over.
        late = await third.create(handler.kind, spec={"rows": 1})
        await eventually(lambda: len(handler.inside) == 4)
        assert set(handler.runs) == {mine[0].id, mine[1].id, theirs.id, late.id}
        assert [(await desk.get(job))["status"] for job in mine[2:]] == ["queued", "queued"]
        one_more = await (await another()).create(handler.kind, spec={"rows": 1})
        handler.go.set()
        await eventually(lambda: len(handler.steps) == 7)
    assert handler.most_at_once == 4
    assert set(handler.runs) == {*(job.id for job in mine), theirs.id, late.id, one_more.id}
    assert len(handler.runs) == 7


async def test_only_jobs_that_somebody_knows_how_to_do_are_taken(desk: Desk, running: Running) -> None:
    known, unknown = Rows(), Rows()
    waiting = await desk.create(unknown.kind)
    job = await desk.create(known.kind)
    async with running(known):
        await desk.ended(job)
        assert (await desk.get(waiting))["status"] == "queued"
    async with running(known, unknown):
        assert (await desk.ended(waiting))["status"] == "succeeded"


async def test_an_announcement_is_enough(desk: Desk, running: Running) -> None:
    handler = Rows()
    first = await desk.create(handler.kind)
    async with running(handler, poll_seconds=LONG):
        await desk.ended(first)
        assert (await desk.ended(await desk.create(handler.kind)))["status"] == "succeeded"


async def test_the_jobs_of_a_suspended_account_wait(desk: Desk, running: Running) -> None:
    handler, other = Held(), Rows()
    job = await desk.create(handler.kind)
    async with running(handler, other):
        await eventually(lambda: handler.inside == [(job.id, 0)])
        await desk.sql("UPDATE accounts SET suspended = true WHERE id = :id", id=desk.account_id)
        handler.go.set()
        await desk.until(job, "queued")
        assert (await desk.row(job))["done"] == 1
        await desk.sql("UPDATE accounts SET suspended = false WHERE id = :id", id=desk.account_id)
        assert (await desk.ended(job))["done"] == 3
    assert len(handler.runs) == 2


class Severed(Rows):
    """Whose database connection is cut in the middle of its second row, once."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.cut = False

    async def do(self, job: JobRun, step: JobStep, row: int) -> None:
        await super().do(job, step, row)
        if row == 1 and not self.cut:
            self.cut = True
            process = (await step.session.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            await self.desk.sql("SELECT pg_terminate_backend(:process)", process=process)


async def test_a_connection_that_breaks_in_a_step_costs_that_step(desk: Desk, running: Running) -> None:
    handler = Severed(desk)
    job = await desk.create(handler.kind, spec={"rows": 3})
    async with running(handler):
        assert (await desk.ended(job))["status"] == "succeeded"
    assert await desk.download(job, "result") == "0\n1\n2\n"
    assert len(handler.runs) == 2


CUT = """
    CREATE TEMPORARY TABLE at_commit (row integer UNIQUE DEFERRABLE INITIALLY DEFERRED) ON COMMIT DROP;
    CREATE FUNCTION pg_temp.cut() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON at_commit DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.row = 0) EXECUTE FUNCTION pg_temp.cut();
"""


class FailingCommits(Rows):
    """The first commit of its second row fails, for `rows` in a table; whatever that says, it goes on."""

    def __init__(self, *rows: int) -> None:
        super().__init__()
        self.rows = list(rows)
        self.errors: list[str] = []

    async def work(self, job: JobRun) -> None:
        while job.done < 3:
            try:
                await super().work(job)
            except Exception as error:
                self.errors.append(type(error).__name__)
                if len(self.errors) > 1:
                    raise

    async def do(self, job: JobRun, step: JobStep, row: int) -> None:
        await super().do(job, step, row)
        if row == 1 and self.rows:
            for statement in CUT.split(";\n    "):
                await step.session.execute(text(statement))
            for each in self.rows:
                await step.session.execute(text("INSERT INTO at_commit VALUES (:row)"), {"row": each})
            self.rows.clear()


async def test_a_commit_that_is_refused_is_no_commit(desk: Desk, running: Running) -> None:
    handler = FailingCommits(1, 1)
    job = await desk.create(handler.kind, spec={"rows": 3})
    async with running(handler):
        assert (await desk.ended(job))["status"] == "succeeded"
    assert await desk.download(job, "result") == "0\n1\n2\n"
    assert handler.errors == ["IntegrityError"] and len(handler.runs) == 1


async def test_after_a_commit_of_unknown_outcome_only_the_database_knows_where_to_go_on(
    desk: Desk, running: Running
) -> None:
    handler = FailingCommits(0)
    job = await desk.create(handler.kind, spec={"rows": 3})
    async with running(handler):
        assert (await desk.ended(job))["status"] == "succeeded"
    assert await desk.download(job, "result") == "0\n1\n2\n"
    # The handler tried to go on, and was not let.
    assert handler.errors == ["Unavailable", "Unavailable"] and len(handler.runs) == 2
