"""Who works on a job: taking it, keeping it, giving it back, ending it.

Each time a job is taken it gets a new token. Whatever is done to it afterwards is done only where the token is still
that one, so that a process that was believed dead, and comes back, changes nothing. Leases end by the database's clock.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.jobs.contract import Document, JobCanceled, JobReleased, LeaseLost
from app.domain.jobs.events import announce_ready
from app.domain.jobs.service import KEPT
from app.domain.jobs.states import JobStatus

MOST_ATTEMPTS = 5
"""How often a job is taken without coming further, before it is given up."""

OUTAGE_SECONDS = 24 * 3600
"""How long it may come no further for lack of something that is away, before it is given up."""

GIVEN_UP = "This job could not be finished, and not for a reason that lies in its data. It may be asked for again."

_DOCUMENT = JSONB(none_as_null=True)

_CHANGED = "updated_at = greatest(now(), updated_at + interval '1 microsecond')"
_FREE = "claimed_by = NULL, lease_until = NULL"
_OURS = "id = :job_id AND account_id = :account_id AND claimed_by = :token"
_END = f"{_FREE}, ended_at = now(), expires_at = now() + make_interval(secs => :kept)"

# Of those that wait, first one of an account of which the fewest run, or whose turn was the longest ago, and of those
# the oldest: however many jobs one account has waiting, the next account's comes before its second. Those of a
# suspended account wait.
_CLAIM = text(
    """
    WITH busy AS MATERIALIZED (
        SELECT account_id, count(*) AS jobs FROM jobs WHERE status = 'running' AND lease_until >= now()
        GROUP BY account_id
    ), next AS (
        SELECT j.id
        FROM jobs j
        JOIN accounts a ON a.id = j.account_id
        LEFT JOIN busy b ON b.account_id = j.account_id
        CROSS JOIN LATERAL (SELECT max(started_at) AS last FROM jobs WHERE account_id = j.account_id) AS turn
        WHERE NOT a.suspended AND (j.status = 'queued' AND j.run_after <= now()
               OR j.status = 'running' AND j.lease_until < now() AND j.attempts < :most_attempts)
              AND j.kind = ANY(:kinds) AND coalesce(b.jobs, 0) < :per_account
        ORDER BY coalesce(b.jobs, 0), turn.last NULLS FIRST, j.id LIMIT 1
        FOR UPDATE OF j SKIP LOCKED
    )
    UPDATE jobs SET status = 'running', claimed_by = :token, lease_until = now() + make_interval(secs => :lease),
                    attempts = jobs.attempts + 1, started_at = coalesce(jobs.started_at, now()),
                    progressed_at = coalesce(jobs.progressed_at, now()),
                    updated_at = greatest(now(), jobs.updated_at + interval '1 microsecond')
    FROM next WHERE jobs.id = next.id
    RETURNING jobs.id, jobs.account_id, jobs.kind, jobs.spec, jobs.checkpoint, jobs.total, jobs.done, jobs.failed,
              jobs.result
    """
).columns(spec=_DOCUMENT, checkpoint=_DOCUMENT, result=_DOCUMENT)

_BURY = text(
    f"""
    UPDATE jobs SET status = CASE WHEN cancel_requested THEN 'canceled' ELSE 'failed' END,
                    error = CASE WHEN NOT cancel_requested THEN :error END, {_CHANGED}, {_END}
    WHERE status = 'running' AND lease_until < now() AND attempts >= :most_attempts
    RETURNING id
    """  # noqa: S608
)

_EXTEND = text(
    """
    UPDATE jobs SET lease_until = now() + make_interval(secs => :lease)
    WHERE claimed_by = ANY(CAST(:tokens AS uuid[])) AND status = 'running'
    RETURNING claimed_by, cancel_requested
    """
)

_LOOK = text(
    f"""
    SELECT cancel_requested, (SELECT suspended FROM accounts WHERE id = :account_id) AS suspended
    FROM jobs WHERE {_OURS}
    """  # noqa: S608
)

_COMMIT = text(
    f"""
    UPDATE jobs SET done = :done, failed = :failed, total = :total, checkpoint = :checkpoint, result = :result,
                    attempts = CASE WHEN :further THEN 0 ELSE attempts END,
                    progressed_at = CASE WHEN :further THEN now() ELSE progressed_at END, {_CHANGED}
    WHERE {_OURS}
    """  # noqa: S608
).bindparams(bindparam("checkpoint", type_=_DOCUMENT), bindparam("result", type_=_DOCUMENT))

_FINISH = text(
    f"UPDATE jobs SET status = :status, error = :error, {_CHANGED}, {_END} WHERE {_OURS}"  # noqa: S608
)

# As if it had not been taken this time: whoever gives a job back untouched says nothing about it.
_RELEASE = text(
    f"""
    UPDATE jobs SET status = 'queued', run_after = now(), attempts = greatest(attempts - 1, 0), {_CHANGED}, {_FREE}
    WHERE {_OURS}
    """  # noqa: S608
)

_POSTPONE = text(
    f"""
    UPDATE jobs SET status = 'queued', run_after = now() + make_interval(secs => :wait),
                    attempts = greatest(attempts - 1, 0), {_CHANGED}, {_FREE}
    WHERE {_OURS} AND progressed_at > now() - make_interval(secs => :outage)
    """  # noqa: S608
)

_RETRY = text(
    f"""
    UPDATE jobs SET status = 'queued', run_after = now() + make_interval(secs => :wait * power(2, attempts - 1)),
                    {_CHANGED}, {_FREE}
    WHERE {_OURS} AND attempts < :most_attempts
    """  # noqa: S608
)


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A job that this process has taken, as the last committed step left it."""

    id: UUID
    account_id: UUID
    token: UUID
    kind: str
    spec: Document
    checkpoint: Document | None
    total: int | None
    done: int
    failed: int
    result: Document | None

    @property
    def ours(self) -> dict[str, UUID]:
        """What names the job as long as it is ours."""
        return {"job_id": self.id, "account_id": self.account_id, "token": self.token}


async def claim_next(
    session: AsyncSession, token: UUID, *, kinds: Sequence[str], lease_seconds: float, per_account: int
) -> Claim | None:
    """Take the next job of these kinds, if there is one; of one account at most `per_account` at a time."""
    values = {"token": token, "kinds": list(kinds), "lease": lease_seconds, "per_account": per_account}
    row = (await session.execute(_CLAIM, {**values, "most_attempts": MOST_ATTEMPTS})).mappings().one_or_none()
    return None if row is None else Claim(token=token, **row)


async def bury_lost(session: AsyncSession) -> list[UUID]:
    """Give up those that have ended, again and again, the process that worked on them."""
    values = {"error": GIVEN_UP, "most_attempts": MOST_ATTEMPTS, "kept": KEPT.total_seconds()}
    return list((await session.execute(_BURY, values)).scalars())


async def extend(session: AsyncSession, tokens: Sequence[UUID], lease_seconds: float) -> dict[UUID, bool]:
    """Keep what is still held by these tokens, for so long from now: those, each with whether to cancel it."""
    rows = await session.execute(_EXTEND, {"tokens": list(tokens), "lease": lease_seconds})
    return {row.claimed_by: row.cancel_requested for row in rows}


async def check_claim(session: AsyncSession, claim: Claim) -> None:
    """Raises `LeaseLost`, `JobCanceled`, or `JobReleased` for a suspended account: its jobs wait."""
    row = (await session.execute(_LOOK, claim.ours)).one_or_none()
    if row is None:
        raise LeaseLost
    if row.cancel_requested:
        raise JobCanceled
    if row.suspended is not False:
        raise JobReleased


async def commit_progress(
    session: AsyncSession,
    claim: Claim,
    *,
    done: int,
    failed: int,
    total: int | None,
    checkpoint: Document | None,
    result: Document | None,
    further: bool,
) -> bool:
    """The job as this transaction leaves it; False when it is not ours any more, and nothing may be committed.

    `further` says that a run that begins here has less to do than the one before.
    """
    values = {"done": done, "failed": failed, "total": total, "checkpoint": checkpoint, "result": result}
    return _hit(await session.execute(_COMMIT, {**claim.ours, **values, "further": further}))


async def finish(session: AsyncSession, claim: Claim, status: JobStatus, error: str | None = None) -> bool:
    """End it; whether it was still ours."""
    words = None if error is None else _storable(error)
    values = {"status": status.value, "error": words, "kept": KEPT.total_seconds()}
    return await _freed(session, await session.execute(_FINISH, {**claim.ours, **values}))


async def release(session: AsyncSession, claim: Claim) -> bool:
    """Give it back for somebody else to go on with at once; whether it was still ours."""
    return await _freed(session, await session.execute(_RELEASE, claim.ours))


async def postpone(session: AsyncSession, claim: Claim, seconds: float) -> bool:
    """Something it needs is away: try again after so long.

    False when it was not ours any more, or has come no further for too long.
    """
    values = {**claim.ours, "wait": seconds, "outage": OUTAGE_SECONDS}
    return await _freed(session, await session.execute(_POSTPONE, values))


async def retry(session: AsyncSession, claim: Claim, seconds: float) -> bool:
    """It went wrong: try again after so long, twice as long each time.

    False when it was not ours any more, or was tried often enough.
    """
    values = {**claim.ours, "wait": seconds, "most_attempts": MOST_ATTEMPTS}
    return await _freed(session, await session.execute(_RETRY, values))


def _storable(words: str) -> str:
    # Neither goes into PostgreSQL: NUL, and what cannot be written in UTF-8.
    return words.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


async def _freed(session: AsyncSession, result: Any) -> bool:
    if not _hit(result):
        return False
    await announce_ready(session)
    return True


def _hit(result: Any) -> bool:
    return bool(result.rowcount)
