"""What becomes of a job: done, failed, tried again, canceled."""

import asyncio

import pytest

from app.domain.jobs.claims import MOST_ATTEMPTS
from app.domain.jobs.contract import JobFailed, JobFile, JobRun, JobStep
from app.lib.errors import InvalidValue, Unavailable
from tests.integration.jobs.conftest import Desk, Held, Rows, Running, eventually


async def test_a_job_is_done_step_by_step_and_its_owner_sees_how_far(desk: Desk, running: Running) -> None:
    handler = Held()
    job = await desk.create(handler.kind, spec={"rows": 4, "bad": [2]})
    first = await desk.get(job)
    assert (first["status"], first["total"], first["started_at"], first["result_file"]) == ("queued", None, None, None)
    async with running(handler):
        await eventually(lambda: handler.inside == [(job.id, 0)])
        started = await desk.get(job)
        assert (started["status"], started["done"]) == ("running", 0)
        assert started["updated_at"] > first["updated_at"] and started["started_at"]
        handler.go.set()
        ended = await desk.ended(job)
    assert (ended["status"], ended["total"], ended["done"], ended["failed"]) == ("succeeded", 4, 3, 1)
    assert ended["result"] == {"last": 3} and ended["error"] is None and ended["ended_at"] and ended["expires_at"]
    assert ended["result_file"] == f"/v1/jobs/{job.id}/result" and ended["error_file"] == f"/v1/jobs/{job.id}/errors"
    assert await desk.download(job, "result") == "0\n1\n3\n"
    assert await desk.download(job, "errors") == "2,bad\n"
    assert handler.runs == [job.id]


async def test_what_is_not_committed_is_not_taken(desk: Desk, running: Running) -> None:
    handler = Rows()

    class UndoneError(Exception):
        pass

    with pytest.raises(UndoneError):
        async with desk.database.unit_of_work(desk.account_id) as session:
            await desk.service(session).create(handler.kind, {"rows": 1})
            raise UndoneError
    job = await desk.create(handler.kind)
    async with running(handler):
        await desk.ended(job)
    assert handler.runs == [job.id]


class Breaking(Rows):
    """Fails in the row that the spec names, as often as it says."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error
        self.left = 10**6

    async def do(self, job: JobRun, step: JobStep, row: int) -> None:
        await super().do(job, step, row)
        if row == 2 and self.left:
            self.left -= 1
            raise self.error


async def test_a_failure_for_the_owner_ends_it_with_its_words(desk: Desk, running: Running) -> None:
    handler = Breaking(JobFailed("Line 2 has no \x00 column \ud800."))
    job = await desk.create(handler.kind, spec={"rows": 5})
    async with running(handler):
        ended = await desk.ended(job)
    assert (ended["status"], ended["done"], ended["error"]) == ("failed", 2, "Line 2 has no \ufffd column ?.")
    assert await desk.download(job, "result") == "0\n1\n", "the step that failed left something"
    assert handler.runs == [job.id]


async def test_a_defect_is_tried_again_and_then_given_up(desk: Desk, running: Running) -> None:
    handler = Breaking(ValueError("our secret reason"))
    job = await desk.create(handler.kind, spec={"rows": 5})
    async with running(handler):
        ended = await desk.ended(job)
    assert ended["status"] == "failed" and "secret" not in ended["error"]
    # The first run came further; then there were as many that did not.
    assert len(handler.runs) == MOST_ATTEMPTS + 1
    assert handler.steps == [(job.id, 0), (job.id, 1)]
    assert await desk.download(job, "result") == "0\n1\n"


@pytest.mark.parametrize(
    "error", [ValueError("now and then"), InvalidValue("not a refusal here"), asyncio.CancelledError()], ids=repr
)
async def test_what_goes_wrong_once_goes_on_from_its_checkpoint(
    error: BaseException, desk: Desk, running: Running
) -> None:
    handler = Breaking(error)
    handler.left = 1
    job = await desk.create(handler.kind, spec={"rows": 5})
    async with running(handler):
        ended = await desk.ended(job)
    assert (ended["status"], ended["done"]) == ("succeeded", 5)
    assert await desk.download(job, "result") == "0\n1\n2\n3\n4\n"
    assert [row for _, row in handler.steps] == [0, 1, 2, 3, 4]


async def test_an_outage_is_waited_out_however_often_it_is_tried(desk: Desk, running: Running) -> None:
    handler = Breaking(Unavailable("away"))
    handler.left = 3 * MOST_ATTEMPTS
    job = await desk.create(handler.kind, spec={"rows": 3})
    async with running(handler):
        assert (await desk.ended(job))["status"] == "succeeded"
    assert len(handler.runs) == 3 * MOST_ATTEMPTS + 1


async def test_an_outage_of_a_day_is_too_long(desk: Desk, running: Running) -> None:
    handler = Breaking(Unavailable("away"))
    job = await desk.create(handler.kind, spec={"rows": 3})
    async with running(handler):
        await eventually(lambda: len(handler.runs) > 2)
        await desk.sql("UPDATE jobs SET progressed_at = now() - interval '2 days' WHERE id = :id", id=job.id)
        ended = await desk.ended(job)
    assert ended["status"] == "failed" and ended["error"]


class TotalOnly(Rows):
    """Says every time how much there is, and then breaks."""

    async def work(self, job: JobRun) -> None:
        async with job.step() as step:
            step.total = 7
        raise ValueError


async def test_a_step_that_leaves_as_much_to_do_is_no_progress(desk: Desk, running: Running) -> None:
    handler = TotalOnly()
    job = await desk.create(handler.kind)
    async with running(handler):
        ended = await desk.ended(job)
    assert (ended["status"], ended["total"]) == ("failed", 7) and len(handler.runs) == MOST_ATTEMPTS


class Careless(Rows):
    """Changes its checkpoint in place, in a step that fails; catches what goes wrong; then goes on."""

    async def work(self, job: JobRun) -> None:
        async with job.step() as step:
            step.checkpoint = {"seen": [1]}
        try:
            async with job.step() as step:
                assert step.checkpoint is not None
                step.checkpoint["seen"].append(2)
                step.done += 1
                raise ValueError
        except ValueError:
            pass
        assert job.checkpoint == {"seen": [1]} and job.done == 0
        async with job.step() as step:
            assert step.checkpoint is not None
            step.checkpoint["seen"].append(3)
            with pytest.raises(RuntimeError, match="one step at a time"):
                async with job.step():
                    pass


async def test_a_step_that_fails_leaves_nothing_and_another_may_follow(desk: Desk, running: Running) -> None:
    handler = Careless()
    job = await desk.create(handler.kind)
    async with running(handler):
        assert (await desk.ended(job))["status"] == "succeeded"
    assert (await desk.row(job))["checkpoint"] == {"seen": [1, 3]}


async def test_a_job_that_waits_is_canceled_at_once(desk: Desk, running: Running) -> None:
    handler = Rows()
    job = await desk.create(handler.kind)
    answer = await desk.call("POST", f"/{job.id}/cancel")
    assert answer.status_code == 200 and answer.json()["status"] == "canceled"
    assert answer.json()["ended_at"] and answer.json()["expires_at"]
    assert (await desk.call("POST", f"/{job.id}/cancel")).json() == answer.json(), "canceling twice is canceling once"
    later = await desk.create(handler.kind)
    async with running(handler):
        await desk.ended(later)
    assert handler.runs == [later.id]


class Catching(Held):
    """Lets nothing of one row keep it from the next."""

    async def work(self, job: JobRun) -> None:
        while True:
            try:
                await super().work(job)
                return
            except Exception:
                self.steps.append((job.id, -1))


async def test_a_job_that_runs_is_canceled_at_its_next_step(desk: Desk, running: Running) -> None:
    handler = Catching()
    job = await desk.create(handler.kind)
    async with running(handler):
        await eventually(lambda: handler.inside == [(job.id, 0)])
        answer = (await desk.call("POST", f"/{job.id}/cancel")).json()
        assert (answer["status"], answer["cancel_requested"]) == ("running", True)
        again = await desk.call("POST", f"/{job.id}/cancel")
        assert again.json() == answer
        handler.go.set()
        ended = await desk.ended(job)
    assert (ended["status"], ended["done"], ended["error"]) == ("canceled", 1, None)
    assert await desk.download(job, "result") == "0\n", "what it has done stays"
    refused = await desk.call("POST", f"/{job.id}/cancel")
    assert refused.status_code == 200


async def test_a_job_that_hangs_can_be_canceled_as_well(desk: Desk, running: Running) -> None:
    handler = Held()
    job = await desk.create(handler.kind)
    async with running(handler, lease_seconds=0.3, grace_seconds=0.1):
        await eventually(lambda: handler.inside == [(job.id, 0)])
        await desk.call("POST", f"/{job.id}/cancel")
        assert (await desk.ended(job))["status"] == "canceled"


async def test_what_has_ended_cannot_be_canceled(desk: Desk, running: Running) -> None:
    handler = Rows()
    job = await desk.create(handler.kind)
    async with running(handler):
        await desk.ended(job)
    refused = await desk.call("POST", f"/{job.id}/cancel")
    assert (refused.status_code, refused.json()["code"]) == (409, "job_ended")


class Grouped(Rows):
    """Works in a task group, which wraps what its tasks raise."""

    async def work(self, job: JobRun) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(super().work(job))


async def test_an_interruption_is_seen_through_a_task_group(desk: Desk, running: Running) -> None:
    handler = Grouped()
    job = await desk.create(handler.kind)
    await desk.sql("UPDATE jobs SET cancel_requested = true WHERE id = :id", id=job.id)
    async with running(handler):
        assert (await desk.ended(job))["status"] == "canceled"
    assert handler.steps == []


class Reading(Rows):
    """Copies its input to its result, with where each chunk began as the checkpoint."""

    async def work(self, job: JobRun) -> None:
        offset = (job.checkpoint or {"offset": 0})["offset"]
        async for chunk in job.read(JobFile.INPUT, offset):
            offset += len(chunk)
            async with job.step() as step:
                await step.append(JobFile.RESULT, chunk)
                step.done += 1
                step.checkpoint = {"offset": offset}
            if job.done == 1 and len(self.runs) == 1:
                raise ValueError("once")


async def test_a_handler_goes_on_in_the_middle_of_its_input(desk: Desk, running: Running) -> None:
    handler = Reading()
    job = await desk.create(handler.kind, receiving=True)
    content = bytes(range(256)) * 3000
    async with desk.database.unit_of_work(desk.account_id) as session:
        assert await desk.service(session).append_input(job.id, content) == len(content)
    async with desk.database.unit_of_work(desk.account_id) as session:
        await desk.service(session).start(job.id)
    async with running(handler):
        assert (await desk.ended(job))["status"] == "succeeded"
    answer = await desk.call("GET", f"/{job.id}/result")
    assert answer.content == content and len(handler.runs) == 2
