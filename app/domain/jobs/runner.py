"""Takes jobs and has them done: a few at once, each by the handler of its kind.

A job that a process has taken is its own for `lease_seconds`, which it keeps extending. A process that is killed stops
doing that, and another takes the job over from its last committed step.
"""

import asyncio
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.jobs import claims
from app.domain.jobs.claims import GIVEN_UP, Claim, bury_lost, claim_next, extend, finish
from app.domain.jobs.contract import JobCanceled, JobFailed, JobHandler, JobInterrupted, JobReleased
from app.domain.jobs.events import JOBS_READY
from app.domain.jobs.run import Run
from app.domain.jobs.states import JobStatus
from app.lib.db import Database
from app.lib.errors import AppError, Unavailable
from app.lib.ids import NewId
from app.lib.listen import listen
from app.lib.logging import get_logger
from app.lib.metrics import jobs_ended, jobs_running
from app.lib.service import Stop, backoff
from app.lib.tasks import end_tasks

log = get_logger(__name__)

Positive = Annotated[float, Meta(gt=0)]


class RunnerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How many jobs at once: `slots` in this process, `per_account` of one account in all processes together.

    `lease_seconds` is how long the jobs of a process that was killed wait for another, `poll_seconds` how long a job
    whose announcement was lost waits. A handler has `grace_seconds` to come to the end of its step, when the process
    ends or its job was canceled, before it is interrupted in the middle of it. What went wrong is tried again after
    `retry_seconds`, twice as long each time; what failed for an outage after `outage_seconds`.
    """

    slots: Annotated[int, Meta(ge=1)] = 4
    per_account: Annotated[int, Meta(ge=1)] = 2
    lease_seconds: Positive = 15.0
    poll_seconds: Positive = 5.0
    grace_seconds: Positive = 15.0
    retry_seconds: Positive = 2.0
    outage_seconds: Positive = 5.0

    @property
    def connections(self) -> int:
        """How many the pool needs: every job may read while it is in a step, and leases are to be kept meanwhile."""
        return 2 * self.slots + 2


class _Work:
    """A job that is worked on here."""

    def __init__(self, claim: Claim, handling: "asyncio.Task[None]") -> None:
        self.claim = claim
        self.handling = handling
        self.lost = False
        self.canceled_at: float | None = None


class JobRunner:
    """Runs jobs of the kinds of `handlers` until it is stopped. One in a process."""

    def __init__(
        self, database: Database, handlers: Iterable[JobHandler], *, new_id: NewId, options: RunnerOptions
    ) -> None:
        self._database = database
        self._handlers = {handler.kind: handler for handler in handlers}
        self._new_id = new_id
        self._options = options
        self._wake = asyncio.Event()
        self._stop = Stop()
        self._works: dict[UUID, _Work] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, stop: Stop) -> None:
        """Until `stop`; the database being away at the start or later is waited out."""
        self._stop = stop
        helpers = [
            asyncio.create_task(listen(self._database, JOBS_READY, lambda _: self._wake.set()), name="jobs-ready"),
            asyncio.create_task(self._keep_leases(), name="jobs-leases"),
        ]
        stop.needs(*helpers)
        failures = 0
        try:
            while not stop.requested:
                self._wake.clear()
                try:
                    await self._fill()
                    failures = 0
                except Unavailable as error:
                    failures += 1
                    log.warning("cannot take jobs", reason=error.detail)
                except Exception:
                    # Other jobs of the process go on, and so must this.
                    failures += 1
                    log.exception("cannot take jobs")
                if failures:
                    await stop.wait(backoff(failures, most=self._options.poll_seconds))
                else:
                    await stop.wait_or(self._wake, self._options.poll_seconds)
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=self._options.grace_seconds)
        finally:
            await end_tasks(*[work.handling for work in self._works.values()])
            if self._tasks:
                await asyncio.wait(self._tasks)
            await end_tasks(*helpers)

    async def _fill(self) -> None:
        async with self._database.unit_of_work() as session:
            lost = await bury_lost(session)
        for job_id in lost:
            log.error("job given up: the processes that worked on it ended", job_id=str(job_id))
        while len(self._tasks) < self._options.slots and not self._stop.requested:
            async with self._database.unit_of_work() as session:
                claim = await claim_next(
                    session,
                    self._new_id(),
                    kinds=list(self._handlers),
                    lease_seconds=self._options.lease_seconds,
                    per_account=self._options.per_account,
                )
            if claim is None:
                return
            task = asyncio.create_task(self._work(claim), name=f"job-{claim.id}")
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("job left to its lease", task=task.get_name(), exc_info=error)

    async def _work(self, claim: Claim) -> None:
        run = Run(self._database, claim, lambda: self._stop.requested)
        handling = asyncio.create_task(self._handlers[claim.kind].run(run), name=f"job-{claim.id}-handler")
        work = self._works[claim.token] = _Work(claim, handling)
        jobs_running.labels(claim.kind).inc()
        try:
            await asyncio.wait([handling])
            await self._settle(work)
        finally:
            await end_tasks(handling)
            del self._works[claim.token]
            jobs_running.labels(claim.kind).dec()

    async def _settle(self, work: _Work) -> None:
        """Write down what has become of the job; while the database is away, for as long as the job is still ours."""
        error = error_of(work.handling)
        deadline = monotonic() + self._options.lease_seconds
        failures = 0
        while not work.lost:
            try:
                await self._write_down(work, error)
                return
            except Unavailable:
                failures += 1
                if monotonic() > deadline:
                    return
                await asyncio.sleep(backoff(failures, most=1.0))

    async def _write_down(self, work: _Work, error: BaseException | None) -> None:
        claim = work.claim
        async with self._database.unit_of_work(claim.account_id) as session:
            ended = await self._end(session, work, error)
        self._tell(claim, error, ended)

    async def _end(self, session: AsyncSession, work: _Work, error: BaseException | None) -> JobStatus | None:
        """What the job has come to; None when it goes on, here or elsewhere."""
        claim = work.claim
        match error:
            case None:
                return await _finished(session, claim, JobStatus.SUCCEEDED)
            case JobFailed(detail=detail):
                return await _finished(session, claim, JobStatus.FAILED, detail)
            case JobCanceled():
                return await _finished(session, claim, JobStatus.CANCELED)
            case asyncio.CancelledError() if work.canceled_at is not None:
                return await _finished(session, claim, JobStatus.CANCELED)
            case JobReleased() | asyncio.CancelledError():
                await claims.release(session, claim)
                return None
            case JobInterrupted():
                return None
            case _:
                return await self._try_again(session, claim, error)

    async def _try_again(self, session: AsyncSession, claim: Claim, error: BaseException) -> JobStatus | None:
        if isinstance(error, AppError) and error.retryable:
            waits = await claims.postpone(session, claim, self._options.outage_seconds)
        else:
            waits = await claims.retry(session, claim, self._options.retry_seconds)
        return None if waits else await _finished(session, claim, JobStatus.FAILED, GIVEN_UP)

    def _tell(self, claim: Claim, error: BaseException | None, ended: JobStatus | None) -> None:
        words = {"job_id": str(claim.id), "kind": claim.kind}
        if ended is not None:
            jobs_ended.labels(claim.kind, ended.value).inc()
            log.info("job ended", status=ended.value, **words)
        if error is None or isinstance(error, JobFailed | JobInterrupted | asyncio.CancelledError):
            return
        if isinstance(error, AppError) and error.retryable and ended is None:
            log.warning("job postponed", reason=error.detail, **words)
        else:
            log.error("job went wrong", given_up=ended is not None, exc_info=error, **words)

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self._options.lease_seconds / 3)
            held = dict(self._works)
            if not held:
                continue
            try:
                async with self._database.unit_of_work() as session:
                    kept = await extend(session, list(held), self._options.lease_seconds)
            except Unavailable as error:
                log.warning("leases of jobs not extended", reason=error.detail)
                continue
            except Exception:
                log.exception("leases of jobs not extended")
                continue
            for token, work in held.items():
                self._look_after(work, kept.get(token))

    def _look_after(self, work: _Work, canceled: bool | None) -> None:
        """What the row of the job says: None that it is not ours any more, else whether it is to be canceled."""
        if work.handling.done():
            return
        if canceled is None:
            log.warning("job lost to another process", job_id=str(work.claim.id))
            work.lost = True
            work.handling.cancel()
        elif canceled:
            now = monotonic()
            work.canceled_at = work.canceled_at or now
            if now - work.canceled_at >= self._options.grace_seconds:
                work.handling.cancel()


async def _finished(
    session: AsyncSession, claim: Claim, status: JobStatus, words: str | None = None
) -> JobStatus | None:
    return status if await finish(session, claim, status, words) else None


def error_of(task: "asyncio.Task[None]") -> BaseException | None:
    """What a handler ended with; of several things at once, the interruption among them."""
    if task.cancelled():
        return asyncio.CancelledError()
    error = task.exception()
    if isinstance(error, BaseExceptionGroup):
        return next((each for each in _leaves(error) if isinstance(each, JobInterrupted | JobFailed)), error)
    return error


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from _leaves(each)
        else:
            yield each
