"""What handlers count on, and what needs no database."""

import asyncio

import pytest

from app.api.v1.jobs import file_headers
from app.domain.jobs.contract import JobCanceled, JobFailed, JobInterrupted, JobReleased, JobRun, JobStep, LeaseLost
from app.domain.jobs.run import Run, Step
from app.domain.jobs.runner import RunnerOptions, error_of
from app.domain.jobs.states import ENDED, UNFINISHED, JobStatus


def conforming(run: Run, step: Step) -> tuple[JobRun, JobStep]:
    """Holds the classes to the protocols when the types are checked."""
    return run, step


def test_every_status_is_either_the_end_or_not() -> None:
    assert {*UNFINISHED, *ENDED} == set(JobStatus)
    assert not set(UNFINISHED) & set(ENDED)


@pytest.mark.parametrize("kind", [JobCanceled, JobReleased, LeaseLost], ids=lambda kind: kind.__name__)
def test_nobody_catches_an_interruption_by_the_way(kind: type[JobInterrupted]) -> None:
    assert not issubclass(kind, Exception)


async def ended_with(error: BaseException | None) -> BaseException | None:
    async def handle() -> None:
        if error is not None:
            raise error

    task = asyncio.create_task(handle())
    await asyncio.wait([task])
    return error_of(task)


async def test_of_several_errors_the_one_that_decides_is_found() -> None:
    defect, canceled, failed = ValueError("a"), JobCanceled(), JobFailed("No such column.")
    assert await ended_with(None) is None
    for error in (defect, canceled, failed):
        assert await ended_with(error) is error
    nested = BaseExceptionGroup("outer", [defect, BaseExceptionGroup("inner", [OSError(), canceled])])
    assert await ended_with(nested) is canceled
    assert await ended_with(ExceptionGroup("g", [defect, failed])) is failed
    plain = ExceptionGroup("g", [defect])
    assert await ended_with(plain) is plain
    assert isinstance(await ended_with(asyncio.CancelledError()), asyncio.CancelledError)


def test_every_job_may_read_while_it_is_in_a_step() -> None:
    options = RunnerOptions(slots=3)
    # A step and a file each, the leases, and the next job to take.
    assert options.connections >= 3 * 2 + 2


@pytest.mark.parametrize(
    ("name", "plain", "extended"),
    [
        ("result.csv", "result.csv", "result.csv"),
        ("März.csv", "M_rz.csv", "M%C3%A4rz.csv"),
        ('a"b\\c.csv', "a_b_c.csv", "a%22b%5Cc.csv"),
        ("../../etc/passwd", ".._.._etc_passwd", "..%2F..%2Fetc%2Fpasswd"),
        ("a\r\nSet-Cookie: b", "a__Set-Cookie_ b", "a%0D%0ASet-Cookie%3A%20b"),
        ("ስም.xlsx", "__.xlsx", "%E1%88%B5%E1%88%9D.xlsx"),
    ],
    ids=["plain", "umlaut", "quotes", "path", "line break", "amharic"],
)
def test_a_file_is_saved_under_its_name_whatever_that_is(name: str, plain: str, extended: str) -> None:
    expected = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{extended}"
    assert file_headers(name) == {"Content-Disposition": expected}
