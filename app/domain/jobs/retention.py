"""What is left of jobs that have ended goes: their input at once, everything else after a week. In small steps."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

MOST_CHUNKS = 200
"""In one transaction: 50 MB of files."""

MOST_JOBS = 1_000

# First of all, so that a piece that arrives late is refused, and never stored behind a gap.
_ABANDONED = text(
    """
    UPDATE jobs SET status = 'canceled', ended_at = now(),
                    updated_at = greatest(now(), updated_at + interval '1 microsecond')
    WHERE status = 'receiving' AND expires_at < now()
    """
)

_INPUTS = text(
    """
    DELETE FROM job_files WHERE ctid = ANY(ARRAY(
        SELECT f.ctid FROM job_files f JOIN jobs j ON j.id = f.job_id
        WHERE f.name = 'input' AND j.ended_at IS NOT NULL LIMIT :most))
    """
)

_FILES = text(
    """
    DELETE FROM job_files WHERE ctid = ANY(ARRAY(
        SELECT f.ctid FROM jobs j JOIN job_files f ON f.job_id = j.id
        WHERE j.expires_at < now() AND j.ended_at IS NOT NULL LIMIT :most))
    """
)

_JOBS = text(
    """
    DELETE FROM jobs WHERE id = ANY(ARRAY(
        SELECT id FROM jobs j
        WHERE expires_at < now() AND ended_at IS NOT NULL
              AND NOT EXISTS (SELECT FROM job_files WHERE job_id = j.id) LIMIT :most))
    """
)


async def remove_expired(session: AsyncSession) -> int:
    """Remove some of what has served; how many rows, 0 when nothing is left to remove. Call it until then."""
    await session.execute(_ABANDONED)
    for statement, most in ((_INPUTS, MOST_CHUNKS), (_FILES, MOST_CHUNKS), (_JOBS, MOST_JOBS)):
        removed = _count(await session.execute(statement, {"most": most}))
        if removed:
            return removed
    return 0


def _count(result: Any) -> int:
    return int(result.rowcount)
