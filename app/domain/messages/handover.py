"""The claim that lets a message be handed to a provider at most once for each attempt.

A sender claims a small set of messages just before it writes them. What is claimed and never reported (the sender died
between) is found again when RabbitMQ redelivers the batch, and becomes `unknown`: it may or may not have left.
"""

from enum import StrEnum
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.messages.events import DispatchMessage
from app.lib.db import Database
from app.lib.ids import uuid_of


class Verdict(StrEnum):
    """What a sender must do with a message it wants to hand over.

    `claimed`: send it, nobody else will. `taken`: this attempt was claimed before; unless this very process holds it,
    its outcome is unknown and must be reported so. `settled`: nothing to do, the message is no longer queued.
    `expired`: its validity ran out by the database's clock; report `expired`.
    """

    CLAIMED = "claimed"
    TAKEN = "taken"
    SETTLED = "settled"
    EXPIRED = "expired"


class Claim(msgspec.Struct, frozen=True, gc=False):
    """A message and the verdict on it."""

    message: DispatchMessage
    verdict: Verdict


_CLAIM = text(
    """
    WITH live AS (
        SELECT w.id, w.attempt, m.status = 'queued' AND a.outcome IS NULL AS queued,
               m.validity_seconds IS NOT NULL
               AND m.created_at + make_interval(secs => m.validity_seconds) <= now() AS expired
        FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS smallint[])) AS w(id, attempt)
        JOIN messages m ON m.id = w.id AND m.account_id = :account_id
             AND m.id BETWEEN :lowest AND :highest
        -- An attempt that ended "try again later" has its next attempt waiting elsewhere: nothing to do here.
        LEFT JOIN message_attempts a ON a.message_id = w.id AND a.attempt = w.attempt
             AND a.message_id BETWEEN :lowest AND :highest
    ), claimed AS (
        INSERT INTO message_attempts (message_id, attempt, account_id, channel_id)
        SELECT id, attempt, :account_id, :channel_id FROM live WHERE queued AND NOT expired ORDER BY id
        ON CONFLICT DO NOTHING RETURNING message_id
    )
    -- Nearly always all are claimed, which one number says. A join of the two sets to say more would compare each with
    -- each, because the planner expects one row of either.
    SELECT n.claimed, CASE WHEN n.claimed < :wanted THEN (SELECT array_agg(message_id) FROM claimed) END AS claimed_ids,
           CASE WHEN n.claimed < :wanted THEN (SELECT array_agg(id) FROM live WHERE queued AND NOT expired) END AS open,
           CASE WHEN n.claimed < :wanted THEN (SELECT array_agg(id) FROM live WHERE queued AND expired) END AS expired
    FROM (SELECT count(*) AS claimed FROM claimed) AS n
    """
)

_RELEASE = text(
    """
    DELETE FROM message_attempts a
    USING unnest(CAST(:ids AS uuid[]), CAST(:attempts AS smallint[])) AS w(id, attempt)
    WHERE a.message_id = w.id AND a.attempt = w.attempt AND a.account_id = :account_id
          AND a.message_id BETWEEN :lowest AND :highest
    """
)


def _bounds(messages: list[DispatchMessage]) -> dict[str, object]:
    # The partitions are ranges of ids: naming the range lets the planner look into one or two of them only.
    ids = [message.id for message in messages]
    return {
        "ids": [uuid_of(each) for each in ids],
        "attempts": [message.attempt for message in messages],
        "lowest": uuid_of(min(ids)),
        "highest": uuid_of(max(ids)),
    }


async def claim_in(
    session: AsyncSession, account_id: UUID, channel_id: UUID, messages: list[DispatchMessage]
) -> list[Claim]:
    """Claim inside the caller's transaction; see `Handover.claim`."""
    if not messages:
        return []
    keys = {**_bounds(messages), "account_id": account_id, "channel_id": channel_id, "wanted": len(messages)}
    row = (await session.execute(_CLAIM, keys)).one()
    if row.claimed == len(messages):
        return [Claim(message, Verdict.CLAIMED) for message in messages]
    # A message that is not in the table at all (dropped by retention) is settled like one whose status moved on.
    verdicts: dict[bytes, Verdict] = {}
    for ids, verdict in ((row.open, Verdict.TAKEN), (row.expired, Verdict.EXPIRED), (row.claimed_ids, Verdict.CLAIMED)):
        verdicts.update((each.bytes, verdict) for each in ids or ())
    return [Claim(message, verdicts.get(message.id, Verdict.SETTLED)) for message in messages]


class Handover:
    """Claims and releases for one sender process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, account_id: UUID, channel_id: UUID, messages: list[DispatchMessage]) -> list[Claim]:
        """Claim `messages` (distinct, of one channel): one committed statement, verdicts in the order given.

        Raises `app.lib.errors.Unavailable`; whether the claims were stored is then not known, and the messages must be
        treated as never sent by this process: on redelivery they come back as `taken`.
        """
        async with self._database.unit_of_work() as session:
            return await claim_in(session, account_id, channel_id, messages)

    async def release(self, account_id: UUID, messages: list[DispatchMessage]) -> None:
        """Undo claims of messages that surely never left, so that a later delivery sends them. Raises `Unavailable`."""
        if not messages:
            return
        async with self._database.unit_of_work() as session:
            await session.execute(_RELEASE, {**_bounds(messages), "account_id": account_id})
