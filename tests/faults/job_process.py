"""`turumba worker` with a kind of job of its own, as a process that tests can kill.

`TURUMBA_TEST_HOLD_AT` is the row in the middle of which it stops for ever, with everything done but the commit.
"""

import asyncio
import os

from sqlalchemy import text

import app.workers.jobs
from app.domain.jobs.contract import JobFile, JobRun
from app.domain.jobs.runner import RunnerOptions
from app.lib.service import run_process
from app.settings import settings_for
from app.workers.main import run_worker

KIND = "tests.copied-rows"

_INSERT = text("INSERT INTO copied_rows (job_id, row) VALUES (:job, :row)")


class CopiedRows:
    """Each row goes into a table and, as a line, into the result; five rows a step."""

    kind = KIND

    async def run(self, job: JobRun) -> None:
        hold_at = int(os.environ.get("TURUMBA_TEST_HOLD_AT", "-1"))
        position = (job.checkpoint or {}).get("next", 0)
        while position < job.spec["rows"]:
            async with job.step() as step:
                for row in range(position, position + 5):
                    await step.session.execute(_INSERT, {"job": job.id, "row": row})
                    await step.append(JobFile.RESULT, b"%d\n" % row)
                    step.done += 1
                position += 5
                step.checkpoint = {"next": position}
                if position > hold_at >= 0:
                    await asyncio.Event().wait()


def handlers(*_: object, **__: object) -> tuple[CopiedRows]:
    """What this worker knows how to do."""
    return (CopiedRows(),)


def main() -> None:
    """Run."""
    app.workers.jobs.job_handlers = handlers
    app.workers.jobs.OPTIONS = RunnerOptions(lease_seconds=1.5, poll_seconds=0.2)
    settings = settings_for("worker")
    run_process(lambda stop: run_worker(settings, stop))


if __name__ == "__main__":
    main()
