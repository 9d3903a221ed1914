"""The claim that lets a message be handed to a provider at most once for each attempt.

A sender claims a small set of messages just before it writes them. What is claimed and never reported (the sender died
between) is found again when RabbitMQ redelivers the batch, and becomes `unknown`: it may or may not have left.
"""

from enum import StrEnum
from uuid import UUID

import msgspec
from sqlalchemy import TextClause, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.messages.cancellation import cancel_with_groups, hold_canceled_groups
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


# The ids are looked up from a list, and not by the account: see `app.domain.messages.changes`.
_CLAIM_SQL = """
    WITH claimed AS (
        INSERT INTO message_attempts (message_id, attempt, account_id, channel_id)
        SELECT m.id, :attempt, :account_id, :channel_id
        FROM messages m
        WHERE m.id = ANY (CAST(:ids AS uuid[])) AND m.status = 'queued'
              AND CASE WHEN m.account_id = :account_id THEN true ELSE false END
              AND (m.validity_seconds IS NULL OR m.created_at + make_interval(secs => m.validity_seconds) > now())
        ORDER BY m.id
        {already} RETURNING message_id
    )
    -- Nearly always all are claimed, which one number says.
    SELECT n.claimed, CASE WHEN n.claimed < :wanted THEN (SELECT array_agg(message_id) FROM claimed) END AS ids
    FROM (SELECT count(*) AS claimed FROM claimed) AS n
"""
# Nearly never is one claimed already: looking out for that would cost each of them a look and a record of the WAL more.
_CLAIM = text(_CLAIM_SQL.format(already=""))
_CLAIM_THE_OTHERS = text(_CLAIM_SQL.format(already="ON CONFLICT DO NOTHING"))

# Why the others were not claimed. An attempt that ended "try again later" has its next attempt waiting elsewhere.
_UNCLAIMED = text(
    """
    SELECT m.id, m.validity_seconds IS NOT NULL
                 AND m.created_at + make_interval(secs => m.validity_seconds) <= now() AS expired
    FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS smallint[])) AS w(id, attempt)
    CROSS JOIN LATERAL (
        SELECT id, validity_seconds, created_at FROM messages
        WHERE id = w.id AND (account_id = :account_id) IS TRUE AND status = 'queued'
              AND id BETWEEN :lowest AND :highest OFFSET 0
    ) AS m
    WHERE NOT EXISTS (
        SELECT 1 FROM message_attempts a
        WHERE a.message_id = w.id AND a.attempt = w.attempt AND a.outcome IS NOT NULL
              AND a.message_id BETWEEN :lowest AND :highest
    )
    """
)

_RELEASE = text(
    """
    DELETE FROM message_attempts a
    USING unnest(CAST(:ids AS uuid[]), CAST(:attempts AS smallint[])) AS w(id, attempt)
    WHERE a.message_id = w.id AND a.attempt = w.attempt AND a.account_id = :account_id
          AND a.message_id = ANY (CAST(:ids AS uuid[])) AND a.outcome IS NULL
    """
)


def _columns(messages: list[DispatchMessage]) -> dict[str, object]:
    ids = [message.id for message in messages]
    return {
        "ids": [uuid_of(each) for each in ids],
        "attempts": [message.attempt for message in messages],
        "lowest": uuid_of(min(ids)),
        "highest": uuid_of(max(ids)),
    }


async def _claim(
    session: AsyncSession, statement: TextClause, account_id: UUID, channel_id: UUID, messages: list[DispatchMessage]
) -> list[Claim]:
    verdicts: dict[bytes, Verdict] = {}
    for attempt in {message.attempt for message in messages}:
        ids = [uuid_of(message.id) for message in messages if message.attempt == attempt]
        values = {"account_id": account_id, "channel_id": channel_id, "ids": ids, "attempt": attempt}
        row = (await session.execute(statement, {**values, "wanted": len(ids)})).one()
        if row.claimed == len(messages):
            return [Claim(message, Verdict.CLAIMED) for message in messages]
        claimed = ids if row.claimed == len(ids) else row.ids or ()
        verdicts.update((each.bytes, Verdict.CLAIMED) for each in claimed)
    rest = [message for message in messages if message.id not in verdicts]
    if rest:
        for unclaimed in await session.execute(_UNCLAIMED, {**_columns(rest), "account_id": account_id}):
            verdicts[unclaimed.id.bytes] = Verdict.EXPIRED if unclaimed.expired else Verdict.TAKEN
    # A message that is not in the table at all (dropped by retention) is settled like one whose status moved on.
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
        if not messages:
            return []
        try:
            async with self._database.unit_of_work() as session:
                return await _claim(session, _CLAIM, account_id, channel_id, messages)
        except IntegrityError:
            async with self._database.unit_of_work() as session:
                return await _claim(session, _CLAIM_THE_OTHERS, account_id, channel_id, messages)

    async def release(self, account_id: UUID, messages: list[DispatchMessage]) -> None:
        """Undo claims of messages that surely never left, so that a later delivery sends them. Raises `Unavailable`.

        Those of a group message that was canceled meanwhile are canceled as well: nobody sends them.
        """
        if not messages:
            return
        attempts = [(uuid_of(message.id), message.attempt) for message in messages]
        async with self._database.unit_of_work() as session:
            canceled = await hold_canceled_groups(session, account_id, [each for each, _ in attempts])
            await session.execute(_RELEASE, {**_columns(messages), "account_id": account_id})
            await cancel_with_groups(session, account_id, attempts, canceled)
