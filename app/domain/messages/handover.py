"""The claim that lets a message be handed to a provider at most once for each attempt.

A sender claims a small set of messages just before it writes them. What is claimed and never reported (the sender died
between) is found again when RabbitMQ redelivers the batch, and becomes `unknown`: it may or may not have left.
"""

from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import TextClause, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.messages.cancellation import cancel_with_groups, hold_canceled_groups
from app.domain.messages.events import DispatchMessage
from app.lib.db import Database
from app.lib.errors import Unavailable
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


class Doubt(NamedTuple):
    """Verdicts that hold if the transaction that made them (its number, as in `xmin`) was committed."""

    claims: list[Claim]
    transaction: int


class ClaimInDoubt(Unavailable):
    """The connection broke during the commit of a claim. Claim again with the `doubt`."""

    def __init__(self, doubt: Doubt) -> None:
        super().__init__("The database went away while messages were being claimed.", retry_after=2.0)
        self.doubt = doubt


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
    SELECT n.claimed, CAST(pg_current_xact_id() AS xid) AS transaction,
           CASE WHEN n.claimed < :wanted THEN (SELECT array_agg(message_id) FROM claimed) END AS ids
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

# Whether a transaction has claimed this attempt, and is committed: its rows cannot be seen otherwise.
_WAS_CLAIMED = text(
    """
    SELECT EXISTS (
        SELECT 1 FROM message_attempts a
        WHERE a.message_id = :id AND a.attempt = :attempt AND a.account_id = :account_id
              AND a.xmin = CAST(:transaction AS xid)
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
    session: AsyncSession,
    statement: TextClause,
    owner: dict[str, UUID],
    messages: list[DispatchMessage],
    doubt: Doubt | None,
) -> Doubt:
    verdicts: dict[bytes, Verdict] = {}
    transaction = 0
    for attempt in {message.attempt for message in messages}:
        ids = [uuid_of(message.id) for message in messages if message.attempt == attempt]
        values = {**owner, "ids": ids, "attempt": attempt}
        row = (await session.execute(statement, {**values, "wanted": len(ids)})).one()
        transaction = row.transaction
        if row.claimed == len(messages):
            return Doubt([Claim(message, Verdict.CLAIMED) for message in messages], transaction)
        claimed = ids if row.claimed == len(ids) else row.ids or ()
        verdicts.update((each.bytes, Verdict.CLAIMED) for each in claimed)
    rest = [message for message in messages if message.id not in verdicts]
    if rest:
        for unclaimed in await session.execute(_UNCLAIMED, {**_columns(rest), "account_id": owner["account_id"]}):
            verdicts[unclaimed.id.bytes] = Verdict.EXPIRED if unclaimed.expired else Verdict.TAKEN
    if doubt is not None and Verdict.TAKEN in verdicts.values() and await _was_committed(session, owner, doubt):
        ours = [claim.message.id for claim in doubt.claims if claim.verdict is Verdict.CLAIMED]
        verdicts.update((each, Verdict.CLAIMED) for each in ours if verdicts.get(each) is Verdict.TAKEN)
        transaction = doubt.transaction
    # A message that is not in the table at all (dropped by retention) is settled like one whose status moved on.
    return Doubt([Claim(each, verdicts.get(each.id, Verdict.SETTLED)) for each in messages], transaction)


async def _was_committed(session: AsyncSession, owner: dict[str, UUID], doubt: Doubt) -> bool:
    claimed = next((claim.message for claim in doubt.claims if claim.verdict is Verdict.CLAIMED), None)
    if claimed is None:
        return False
    # All that it claimed was stored, or nothing.
    wanted = {"id": uuid_of(claimed.id), "attempt": claimed.attempt, "transaction": doubt.transaction}
    found = await session.execute(_WAS_CLAIMED, {**wanted, "account_id": owner["account_id"]})
    return bool(found.scalar_one())


class Handover:
    """Claims and releases for one sender process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(
        self, account_id: UUID, channel_id: UUID, messages: list[DispatchMessage], doubt: Doubt | None = None
    ) -> list[Claim]:
        """Claim `messages` (distinct, of one channel): one committed statement, verdicts in the order given.

        Raises `app.lib.errors.Unavailable`; nothing is claimed then, unless it is `ClaimInDoubt`. Whoever asks again
        for the same messages gives its `doubt`, else they may come back as `taken`.
        """
        if not messages:
            return []
        owner = {"account_id": account_id, "channel_id": channel_id}
        try:
            return await self._commit(_CLAIM, owner, messages, doubt)
        except IntegrityError:
            return await self._commit(_CLAIM_THE_OTHERS, owner, messages, doubt)

    async def _commit(
        self, statement: TextClause, owner: dict[str, UUID], messages: list[DispatchMessage], doubt: Doubt | None
    ) -> list[Claim]:
        made: list[Doubt] = []
        try:
            async with self._database.unit_of_work() as session:
                made.append(await _claim(session, statement, owner, messages, doubt))
        except Unavailable as error:
            if made:
                raise ClaimInDoubt(made[0]) from error
            raise
        return made[0].claims

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
