"""A job while it is worked on: its steps, each one transaction that counts only while the job is still ours."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from copy import deepcopy
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.jobs.claims import Claim, check_claim, commit_progress
from app.domain.jobs.contract import Document, JobFile, JobReleased, LeaseLost
from app.domain.jobs.files import FileWriter, read_file
from app.lib.db import Database
from app.lib.errors import Unavailable


class Step:
    """See `app.domain.jobs.contract.JobStep`."""

    def __init__(self, session: AsyncSession, run: "Run") -> None:
        self._session = session
        self._run = run
        self._writers: dict[JobFile, FileWriter] = {}
        self.done = 0
        self.failed = 0
        self.total = run.total
        # Copies: a handler may change them in place, in a step that is rolled back.
        self.checkpoint = deepcopy(run.checkpoint)
        self.result = deepcopy(run.result)

    @property
    def session(self) -> AsyncSession:
        """The unit of work, in the job's account."""
        return self._session

    async def append(self, name: JobFile, data: bytes) -> None:
        """Add to the end of a file."""
        writer = self._writers.get(name)
        if writer is None:
            writer = FileWriter(self._session, self._run.account_id, self._run.id, name)
            self._writers[name] = writer
        await writer.write(data)

    async def flush(self) -> None:
        """Write what is held of the files."""
        for writer in self._writers.values():
            await writer.flush()


class Run:
    """See `app.domain.jobs.contract.JobRun`. `ending` says whether this process is about to end."""

    def __init__(self, database: Database, claim: Claim, ending: Callable[[], bool]) -> None:
        self._database = database
        self._claim = claim
        self._ending = ending
        self._checkpoint = claim.checkpoint
        self._total = claim.total
        self._done = claim.done
        self._failed = claim.failed
        self._result = claim.result
        self._inside = False
        self._unsure = False

    def __repr__(self) -> str:
        return f"<Run of {self._claim.kind} {self._claim.id}>"

    @property
    def id(self) -> UUID:
        """The job."""
        return self._claim.id

    @property
    def account_id(self) -> UUID:
        """Whose it is."""
        return self._claim.account_id

    @property
    def spec(self) -> Document:
        """What was asked for."""
        return self._claim.spec

    @property
    def checkpoint(self) -> Document | None:
        """What the last committed step left."""
        return self._checkpoint

    @property
    def done(self) -> int:
        """How many were done well so far."""
        return self._done

    @property
    def failed(self) -> int:
        """How many were refused so far."""
        return self._failed

    @property
    def total(self) -> int | None:
        """How many there will be."""
        return self._total

    @property
    def result(self) -> Document | None:
        """What the last committed step left for the owner."""
        return self._result

    def read(self, name: JobFile, offset: int = 0) -> AsyncIterator[bytes]:
        """A file from byte `offset` on, in chunks."""
        return read_file(self._database, self.account_id, self.id, name, offset)

    @asynccontextmanager
    async def step(self) -> AsyncIterator[Step]:
        """One transaction; see the contract."""
        if self._inside:
            raise RuntimeError("a job is in one step at a time")
        if self._unsure:
            # Only the database knows whether that step counts; going on from here could do it twice.
            raise Unavailable("Whether the last step was committed is not known.")
        if self._ending():
            raise JobReleased
        self._inside = True
        try:
            async with self._database.unit_of_work(self.account_id) as session:
                await check_claim(session, self._claim)
                step = Step(session, self)
                yield step
                await step.flush()
                await self._save(session, step)
                self._unsure = True
            self._unsure = False
        except Unavailable:
            raise
        except Exception:
            # The database has refused, also in the commit: that is certain.
            self._unsure = False
            raise
        finally:
            self._inside = False
        self._done, self._failed = self._done + step.done, self._failed + step.failed
        self._total, self._checkpoint, self._result = step.total, step.checkpoint, step.result

    async def _save(self, session: AsyncSession, step: Step) -> None:
        # What the handler has added to the session must not find out only after this that it is refused.
        await session.flush()
        ours = await commit_progress(
            session,
            self._claim,
            done=self._done + step.done,
            failed=self._failed + step.failed,
            total=step.total,
            checkpoint=step.checkpoint,
            result=step.result,
            further=bool(step.done or step.failed or step.checkpoint != self._checkpoint),
        )
        if not ours:
            raise LeaseLost
