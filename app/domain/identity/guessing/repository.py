"""Every statement on the table of failed attempts. Nothing here commits."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

# In one statement, so that of attempts at the same moment each sees those before it. While the subject is locked the
# condition finds nothing to update. Failures are forgiven one by one as time passes without a further one.
_COUNT = text(
    """
    INSERT INTO login_failures AS f (subject, failures, last_failed_at, locked_until)
    VALUES (:subject, 1, now(), NULL)
    ON CONFLICT (subject) DO UPDATE SET
        (failures, last_failed_at, locked_until) = (
            SELECT n.failures, now(), CASE WHEN n.failures >= :free THEN now() + make_interval(secs => least(
                CAST(:longest AS float8), power(2::float8, least(n.failures - :free, 30)))) END
            FROM (
                SELECT 1 + greatest(0, f.failures - CAST(floor(greatest(
                    0, CAST(extract(epoch FROM now() - f.last_failed_at) AS float8) / :forgiven_every
                )) AS integer)) AS failures
            ) n
        )
    WHERE f.locked_until IS NULL OR f.locked_until <= now()
    RETURNING failures
    """
)
_WAIT = text(
    "SELECT CAST(extract(epoch FROM locked_until - now()) AS float8) FROM login_failures WHERE subject = :subject"
)
_UNCOUNT = text(
    """
    UPDATE login_failures SET failures = greatest(0, failures - 1), locked_until = NULL WHERE subject = :subject
    """
)
_CLEAR = text("DELETE FROM login_failures WHERE subject = ANY (:subjects)")


class Rule(msgspec.Struct, frozen=True):
    """The failure number `free` costs a second; each further one doubles the wait, up to `longest` seconds.

    A failure is forgiven for every `forgiven_every` seconds without another one.
    """

    free: int
    forgiven_every: float
    longest: float


async def count_failure(session: AsyncSession, subject: str, rule: Rule) -> float | None:
    """Count an attempt as failed until it is known better.

    Returns None when it may go on, and otherwise the seconds until the next one may; then nothing was counted.
    """
    values = {
        "subject": subject,
        "free": rule.free,
        "forgiven_every": rule.forgiven_every,
        "longest": rule.longest,
    }
    if (await session.execute(_COUNT, values)).one_or_none() is not None:
        return None
    seconds: float | None = await session.scalar(_WAIT, {"subject": subject})
    # It may have been cleared or run out since.
    return max(seconds or 0.0, 0.0)


async def uncount(session: AsyncSession, subject: str) -> None:
    """The attempt counted last was no failure."""
    await session.execute(_UNCOUNT, {"subject": subject})


async def clear(session: AsyncSession, subjects: Sequence[str]) -> None:
    """Forget the failures of these subjects."""
    await session.execute(_CLEAR, {"subjects": list(subjects)})
