"""Between the runner of jobs and those who know how one kind of job is done.

A handler works in steps. Everything a step does (rows of its domain, counters, checkpoint, lines of a file) commits in
one transaction, and only while the job is still this process's own: whoever takes a job over after a crash finds
exactly what the last committed step left, and goes on from its checkpoint. Nothing is done twice, nothing is left out.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

Document = dict[str, Any]
"""What JSON can hold: text, numbers, booleans, None, lists, dicts with text keys."""


class JobFile(StrEnum):
    """The files of a job. `input` goes when the job has ended, the others with the job."""

    INPUT = "input"
    """What was uploaded."""
    ERRORS = "errors"
    """What was refused, and why; `error_file` points to it once it holds something."""
    RESULT = "result"
    """What the job made; `result_file` points to it once it holds something."""


class JobFailed(Exception):
    """Raised by a handler: the job fails for good, and its owner reads `detail`, a sentence."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class JobInterrupted(BaseException):
    """The handler is to end now, without an answer; raised where it enters or leaves a step.

    Not an `Exception`, for the reason that `asyncio.CancelledError` is none: a handler that catches what goes wrong
    with one row must not catch this. Clean up in `finally`, without a step: none can be entered any more.
    """


class JobCanceled(JobInterrupted):
    """The owner does not want the job any more; what its steps have committed stays."""


class JobReleased(JobInterrupted):
    """The process is ending, or the account was suspended: the job goes on later, from the last committed step."""


class LeaseLost(JobInterrupted):
    """Somebody else has taken the job over; this step was rolled back."""


class JobStep(Protocol):
    """One transaction of a job. Keep it to some seconds, and to some megabytes."""

    @property
    def session(self) -> AsyncSession:
        """The unit of work, in the job's account. Never commit it: leaving the step does."""
        ...

    done: int
    """How many were done well, in this step: added to the job's count when the step commits."""
    failed: int
    """How many were refused, in this step: added likewise."""
    total: int | None
    """How many there will be in the whole job; set it as soon as it is known, or known better."""
    checkpoint: Document | None
    """Where to go on after this step. Begins as what the last step left."""
    result: Document | None
    """What the job has come to, for its owner: small. Begins as what the last step left."""

    async def append(self, name: JobFile, data: bytes) -> None:
        """Add to the end of a file, of which nothing is kept when the step does not commit."""
        ...


class JobRun(Protocol):
    """One job, as its handler sees it, from when this process took it until it ends or is taken away."""

    @property
    def id(self) -> UUID:
        """The job."""
        ...

    @property
    def account_id(self) -> UUID:
        """Whose it is: the only account whose data the handler may touch."""
        ...

    @property
    def spec(self) -> Document:
        """What was asked for, as given to `JobService.create`; `msgspec.convert` it."""
        ...

    @property
    def checkpoint(self) -> Document | None:
        """What the last committed step left, of this run or of an earlier one; None before the first."""
        ...

    @property
    def done(self) -> int:
        """How many were done well so far, in committed steps."""
        ...

    @property
    def failed(self) -> int:
        """How many were refused so far, in committed steps."""
        ...

    @property
    def total(self) -> int | None:
        """How many there will be; None while nobody knows."""
        ...

    @property
    def result(self) -> Document | None:
        """What the last committed step left for the owner."""
        ...

    def step(self) -> AbstractAsyncContextManager[JobStep]:
        """One transaction; one at a time.

        Raises `JobInterrupted` (one of its kinds) on entering when the job was canceled or lost or is not to go on
        now, and `LeaseLost` on leaving when it was lost meanwhile. When the block raises, everything in it is
        rolled back, and another step may be entered. Raises `Unavailable` when the database cannot be reached; let it
        pass: the job is tried again from its checkpoint, which may be this very step's.
        """
        ...

    def read(self, name: JobFile, offset: int = 0) -> AsyncIterator[bytes]:
        """A file from byte `offset` on, in chunks of at most 256 KiB: never more than one of them in memory.

        Outside of the step's transaction: what the step under way appends is not in it.
        """
        ...


class JobHandler(Protocol):
    """Knows how one kind of job is done. One object serves many jobs at the same time.

    It runs on an event loop that others share: what computes for more than some milliseconds at a time belongs into
    `asyncio.to_thread`, or the lease of the job runs out meanwhile.
    """

    @property
    def kind(self) -> str:
        """The name in `jobs.kind`, e.g. `contacts.import`."""
        ...

    async def run(self, job: JobRun) -> None:
        """Do it, or what is left of it: begin at `job.checkpoint`. Returning is success.

        After the last step the process may die before the job is marked as ended: a run that begins with the last
        checkpoint has to find nothing left to do. Raises `JobFailed` to end the job with words for its owner. Anything
        else raised is a defect or an outage: the job is tried again from its checkpoint, later and later, and fails
        after some tries that committed no step.
        """
        ...
