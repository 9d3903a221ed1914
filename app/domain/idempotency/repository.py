"""The statements on the table of answers. Rows are kept for 24 hours by the database's clock; the scheduler prunes."""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.idempotency.schemas import IdempotencyKey, StoredAnswer

KEPT_HOURS = 24
"""How long the same key means the same request."""

_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:number)")
_FIND = text(
    """
    SELECT request_hash, status, CAST(headers AS text) AS headers, body FROM idempotency_keys
    WHERE account_id = :account_id AND route = :route AND key = :key
      AND created_at > now() - make_interval(hours => :hours)
    """
)
_DELETE_EXPIRED = text(
    """
    DELETE FROM idempotency_keys i
    USING unnest(CAST(:account_ids AS uuid[]), CAST(:routes AS text[]), CAST(:keys AS text[]))
          AS x(account_id, route, key)
    WHERE (i.account_id, i.route, i.key) = (x.account_id, x.route, x.key)
      AND i.created_at <= now() - make_interval(hours => :hours)
    RETURNING i.account_id, i.route, i.key
    """
)
# In one order everywhere: an insert waits for another transaction that inserts the same key, and two transactions that
# insert several of the same keys must not wait for each other.
_INSERT = text(
    """
    INSERT INTO idempotency_keys (account_id, route, key, request_hash, status, headers, body)
    SELECT x.account_id, x.route, x.key, x.request_hash, x.status, CAST(x.headers AS jsonb), x.body
    FROM unnest(CAST(:account_ids AS uuid[]), CAST(:routes AS text[]), CAST(:keys AS text[]),
                CAST(:hashes AS bytea[]), CAST(:statuses AS smallint[]), CAST(:headers AS text[]),
                CAST(:bodies AS bytea[]))
         AS x(account_id, route, key, request_hash, status, headers, body)
    ORDER BY x.account_id, x.route, x.key
    ON CONFLICT DO NOTHING
    RETURNING account_id, route, key
    """
)


async def try_lock_key(session: AsyncSession, key: IdempotencyKey) -> bool:
    """Whether nobody else works under this key; until the transaction ends nobody else will."""
    return bool((await session.execute(_TRY_LOCK, {"number": key.lock_number})).scalar_one())


async def find_answer(session: AsyncSession, key: IdempotencyKey) -> StoredAnswer | None:
    """What is stored under the key and has not expired."""
    named = {"account_id": key.account_id, "route": key.route, "key": key.key, "hours": KEPT_HOURS}
    row = (await session.execute(_FIND, named)).one_or_none()
    if row is None:
        return None
    headers = msgspec.json.decode(row.headers, type=dict[str, str])
    return StoredAnswer(key, row.request_hash, row.status, headers, row.body)


async def insert_answers(session: AsyncSession, answers: Sequence[StoredAnswer]) -> Collection[IdempotencyKey]:
    """Store answers, of different keys each, in place of expired ones; returns the keys whose answer was stored.

    The others have an answer already. A transaction that is storing one is waited for.
    """
    inserted = await _insert(session, answers)
    refused = [answer for answer in answers if answer.key not in inserted]
    if refused:
        # Only now: it is rare that a key is used again after a day.
        expired = await session.execute(_DELETE_EXPIRED, {**_keys_of(refused), "hours": KEPT_HOURS})
        gone = {IdempotencyKey(row.account_id, row.route, row.key) for row in expired}
        if gone:
            inserted |= await _insert(session, [answer for answer in refused if answer.key in gone])
    return inserted


async def _insert(session: AsyncSession, answers: Sequence[StoredAnswer]) -> set[IdempotencyKey]:
    rows = await session.execute(
        _INSERT,
        {
            **_keys_of(answers),
            "hashes": [answer.request_hash for answer in answers],
            "statuses": [answer.status for answer in answers],
            "headers": [msgspec.json.encode(answer.headers).decode() for answer in answers],
            "bodies": [answer.sealed for answer in answers],
        },
    )
    return {IdempotencyKey(row.account_id, row.route, row.key) for row in rows}


def _keys_of(answers: Sequence[StoredAnswer]) -> dict[str, Any]:
    return {
        "account_ids": [answer.key.account_id for answer in answers],
        "routes": [answer.key.route for answer in answers],
        "keys": [answer.key.key for answer in answers],
    }
