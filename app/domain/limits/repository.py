"""The buckets in PostgreSQL, by its clock: the same for every process."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, DOUBLE_PRECISION, TEXT
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.limits.allowances import Allowance

FULL_AGAIN_MINUTES = 10
"""Any bucket that nobody touched for so long is full, which is the same as no row (a burst is at most 60 seconds)."""

_PURGE_AT_ONCE = 5_000


class Asked(msgspec.Struct, frozen=True):
    """What one bucket is asked for: `wanted` tokens, after `returned` ones that were taken and not used."""

    subject: str
    allowance: Allowance
    wanted: int
    returned: int


# In one statement, because it holds locks on rows that every process wants; ordered, so that two of them never wait for
# each other. A clock that was set back by more than statements can wait for their locks must not stop the refilling.
_TAKE = text(
    """
    WITH asked AS (
        SELECT * FROM unnest(:subjects, :capacities, :rates, :wanted, :returned)
            AS asked (subject, capacity, rate, wanted, returned)
    )
    INSERT INTO rate_limits AS bucket (subject, tokens, updated_at)
    SELECT subject, capacity - wanted, clock_timestamp() FROM asked ORDER BY subject
    ON CONFLICT (subject) DO UPDATE SET
        tokens = (
            SELECT least(
                asked.capacity,
                bucket.tokens - least(0, floor(bucket.tokens)) + asked.returned
                + asked.rate * greatest(0, extract(epoch FROM excluded.updated_at - bucket.updated_at)::float8)
            ) - asked.wanted
            FROM asked WHERE asked.subject = excluded.subject
        ),
        updated_at = CASE
            WHEN bucket.updated_at > excluded.updated_at + interval '1 minute' THEN excluded.updated_at
            ELSE greatest(bucket.updated_at, excluded.updated_at)
        END
    RETURNING subject, tokens
    """
).bindparams(
    bindparam("subjects", type_=ARRAY(TEXT)),
    bindparam("capacities", type_=ARRAY(DOUBLE_PRECISION)),
    bindparam("rates", type_=ARRAY(DOUBLE_PRECISION)),
    bindparam("wanted", type_=ARRAY(DOUBLE_PRECISION)),
    bindparam("returned", type_=ARRAY(DOUBLE_PRECISION)),
)

_PURGE = text(
    """
    DELETE FROM rate_limits WHERE subject IN (
        SELECT subject FROM rate_limits WHERE updated_at < now() - make_interval(mins => :minutes)
        ORDER BY updated_at LIMIT :most FOR UPDATE SKIP LOCKED
    )
    """
)


async def take_tokens(connection: AsyncConnection, asked: Sequence[Asked]) -> dict[str, float]:
    """Take from each bucket what it is asked for; the balances afterwards, see `granted` and `kept`.

    No subject may come twice. A bucket that nobody has used yet is full.
    """
    rows = await connection.execute(
        _TAKE,
        {
            "subjects": [each.subject for each in asked],
            "capacities": [each.allowance.capacity for each in asked],
            "rates": [each.allowance.rate for each in asked],
            "wanted": [float(each.wanted) for each in asked],
            "returned": [float(each.returned) for each in asked],
        },
    )
    return {row.subject: row.tokens for row in rows}


async def purge_full(connection: AsyncConnection) -> None:
    """Delete rows that say nothing any more, the oldest first."""
    await connection.execute(_PURGE, {"minutes": FULL_AGAIN_MINUTES, "most": _PURGE_AT_ONCE})
