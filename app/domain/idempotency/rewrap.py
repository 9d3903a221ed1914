"""Rotation of the encryption key for stored answers: the wrapping changes, the answers are not looked at."""

from sqlalchemy import text

from app.domain.idempotency.schemas import NOBODY, IdempotencyKey
from app.lib.crypto import Envelope
from app.lib.db import Database

_PAGE = 500
_PAGE_AFTER = text(
    """
    SELECT account_id, route, key, body FROM idempotency_keys
    WHERE (account_id, route, key) > (CAST(:account_id AS uuid), :route, :key)
    ORDER BY account_id, route, key LIMIT :most FOR UPDATE
    """
)
_CHANGE = text(
    "UPDATE idempotency_keys SET body = :sealed WHERE account_id = :account_id AND route = :route AND key = :key"
)


async def rewrap_answers(database: Database, envelope: Envelope) -> int:
    """Put every stored answer under the active encryption key; returns how many changed.

    One transaction for every 500, so that it can be stopped and run again. Raises `CryptoError` when a value is under a
    key that is not configured any more, and `Unavailable`.
    """
    changed = 0
    last = IdempotencyKey(NOBODY, "", "")
    while True:
        async with database.unit_of_work() as session:
            after = {"account_id": last.account_id, "route": last.route, "key": last.key, "most": _PAGE}
            rows = list(await session.execute(_PAGE_AFTER, after))
            for row in rows:
                last = IdempotencyKey(row.account_id, row.route, row.key)
                moved = envelope.rewrap(row.body, last.context)
                if moved is not None:
                    named = {"account_id": last.account_id, "route": last.route, "key": last.key}
                    await session.execute(_CHANGE, {**named, "sealed": moved})
                    changed += 1
        if len(rows) < _PAGE:
            return changed
