"""The statements on group messages and on what is kept of their recipients."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.erasure.schemas import ERASED
from app.domain.group_messages.classification import Skip, Sleeper
from app.domain.group_messages.identity import MessageIds
from app.domain.group_messages.models import GroupMessage
from app.domain.group_messages.states import GroupStatus
from app.lib.db import Scope
from app.lib.filters import FilterField, Kind
from app.lib.pagination import Listing, ListQuery, Page, Sort, fetch_page

_table = GroupMessage.__table__.c

LISTING = Listing(
    id_column=_table.id,
    fields={
        "name": FilterField(Kind.TEXT),
        "status": FilterField(Kind.CHOICE, tuple(GroupStatus)),
        "channel_id": FilterField(Kind.UUID),
        "created_at": FilterField(Kind.DATETIME),
    },
    columns={name: _table[name] for name in ("name", "status", "channel_id", "created_at")},
    sorts={"created_at": Sort(None, datetime)},
)

_RUNNABLE = text(
    """
    SELECT id, account_id FROM group_messages
    WHERE (status = 'running' AND (step_at IS NULL OR step_at <= now()))
          OR (status = 'scheduled' AND step_at <= now())
    ORDER BY step_at NULLS FIRST LIMIT :most
    """
)

_NEXT_DUE = text(
    """
    SELECT CAST(extract(epoch FROM min(step_at) - clock_timestamp()) AS double precision) FROM group_messages
    WHERE status IN ('scheduled', 'running')
    """
)

_SHARING = text(
    """
    SELECT count(*) FROM group_messages
    WHERE account_id = :account_id AND channel_id = :channel_id AND status = 'running'
    """
)

_SAVE_STEP = text(
    """
    UPDATE group_messages
    SET status = :status, checkpoint = CAST(:checkpoint AS jsonb), total = :total, accepted = :accepted,
        skipped = :skipped, step_at = :step_at, paused_because = :paused_because, ended_at = :ended_at,
        updated_at = CASE WHEN status = :status THEN updated_at
                          ELSE greatest(now(), updated_at + interval '1 microsecond') END
    WHERE id = :id AND account_id = :account_id
    """
)

_SAVE_START = text(
    """
    UPDATE group_messages
    SET content = CAST(:content AS jsonb), plan = CAST(:plan AS jsonb), started_at = :started_at,
        approval = CAST(:approval AS jsonb)
    WHERE id = :id AND account_id = :account_id
    """
)

_SKIP = text(
    """
    INSERT INTO group_message_skips (group_message_id, account_id, recipient_id, contact_id, address, reason, detail)
    SELECT :id, :account_id, x.* FROM unnest(CAST(:recipients AS uuid[]), CAST(:contacts AS uuid[]),
                                             CAST(:addresses AS text[]), CAST(:reasons AS text[]),
                                             CAST(:details AS text[])) AS x
    ON CONFLICT DO NOTHING RETURNING recipient_id
    """
)

_SLEEP = text(
    """
    INSERT INTO group_message_sleepers (group_message_id, account_id, recipient_id, address, until)
    SELECT :id, :account_id, x.* FROM unnest(CAST(:recipients AS uuid[]), CAST(:addresses AS text[]),
                                             CAST(:until AS timestamptz[])) AS x
    ON CONFLICT (group_message_id, recipient_id) DO UPDATE SET address = excluded.address, until = excluded.until
    """
)

_WAKE = text(
    """
    DELETE FROM group_message_sleepers s
    USING (SELECT recipient_id FROM group_message_sleepers
           WHERE group_message_id = :id AND account_id = :account_id AND until <= now()
           ORDER BY until, recipient_id LIMIT :most) AS w
    WHERE s.group_message_id = :id AND s.account_id = :account_id AND s.recipient_id = w.recipient_id
    RETURNING s.recipient_id, s.address
    """
)

_NEXT_WAKING = text(
    "SELECT min(until) FROM group_message_sleepers WHERE group_message_id = :id AND account_id = :account_id"
)

_KNOWN = text(
    """
    SELECT id FROM messages
    -- By the ids alone (`app.domain.messages.changes`): by the account all of the group message would be read.
    WHERE id = ANY (CAST(:ids AS uuid[])) AND CASE WHEN account_id = :account_id THEN true ELSE false END
    """
)

_TAKE_BACK = text(
    """
    WITH queued AS (
        SELECT m.id, m.channel_id, coalesce(a.attempt, 0) + 1 AS attempt
        FROM messages m
        LEFT JOIN LATERAL (
            SELECT attempt, outcome FROM message_attempts
            WHERE message_id = m.id AND account_id = :account_id ORDER BY attempt DESC LIMIT 1
        ) a ON true
        WHERE m.account_id = :account_id AND m.id BETWEEN :lowest AND :highest AND m.group_message_id = :id
              AND m.status = 'queued' AND (a.attempt IS NULL OR a.outcome IS NOT NULL)
        LIMIT :most
        FOR UPDATE OF m SKIP LOCKED
    )
    INSERT INTO message_attempts (message_id, attempt, account_id, channel_id, ended_at, outcome)
    -- In the order of those who claim to send, so that neither waits for the other.
    SELECT id, attempt, :account_id, channel_id, now(), 'canceled' FROM queued ORDER BY id
    ON CONFLICT DO NOTHING RETURNING message_id
    """
)

# By a list: of a set made in the same statement the planner expects one row, and compares each with each.
_SET_CANCELED = text(
    """
    WITH logged AS (
        INSERT INTO message_events (message_id, account_id, at, status)
        SELECT unnest(CAST(:ids AS uuid[])), :account_id, now(), 'canceled'
    )
    UPDATE messages SET status = 'canceled', updated_at = now()
    WHERE id = ANY (CAST(:ids AS uuid[])) AND account_id = :account_id
    """
)

_FAILED = text(
    """
    SELECT id, recipient FROM messages
    WHERE account_id = :account_id AND id BETWEEN :lowest AND :highest AND id > :after AND group_message_id = :id
          AND status = 'failed' AND recipient <> :erased
    ORDER BY id LIMIT :most
    """
)

_FAILURES = text(
    """
    WITH runs AS MATERIALIZED (
        SELECT * FROM unnest(CAST(:lowest AS uuid[]), CAST(:highest AS uuid[])) WITH ORDINALITY
               AS x(lowest, highest, number)
    )
    SELECT coalesce(m.error->>'class', 'unknown') AS class, coalesce(m.error->>'code', 'unknown') AS code,
           count(*) AS count
    FROM runs r
    JOIN messages m ON m.account_id = :account_id AND m.id BETWEEN r.lowest AND r.highest AND m.group_message_id = :id
    -- Whom a later run wrote to; a count, because the planner would join what it expects to be one row.
    WHERE m.status = 'failed' AND (r.number = :runs OR 0 = (
        SELECT count(*) FROM messages n
        WHERE n.account_id = :account_id AND n.recipient = m.recipient AND n.id > r.highest AND n.id <= :last
              AND n.group_message_id = :id))
    GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 50
    """
)

_SKIPPED_BY = text(
    """
    SELECT reason, count(*) AS count FROM group_message_skips
    WHERE group_message_id = :id AND account_id = :account_id GROUP BY 1 ORDER BY 2 DESC, 1
    """
)

_TRIED_AGAIN = text(
    """
    SELECT count(*) FROM message_retries
    WHERE account_id = :account_id AND message_id BETWEEN :lowest AND :highest
    """
)

_FORGET_SLEEPERS = text("DELETE FROM group_message_sleepers WHERE group_message_id = :id AND account_id = :account_id")

_NONE = UUID(int=0)
_AT_ONCE = 2_000


class FailedMessage(NamedTuple):
    """A message that failed, and whom it was for."""

    id: UUID
    address: str


class Failures(NamedTuple):
    """How many messages failed with one class and code (`app.domain.messages.schemas.MessageFailure`)."""

    kind: str
    code: str
    messages: int


class GroupMessageRepository:
    """The group messages of one account."""

    def __init__(self, session: AsyncSession, scope: Scope) -> None:
        self._session = session
        self._scope = scope

    async def page(self, query: ListQuery) -> Page[GroupMessage]:
        """One page of the list."""
        return await fetch_page(self._session, self._scope.select(GroupMessage), LISTING, query)

    async def find(self, group_message_id: UUID, *, for_update: bool = False) -> GroupMessage | None:
        """One of them; `for_update` keeps steps and other writers out until the transaction ends."""
        statement = self._scope.select(GroupMessage).where(GroupMessage.id == group_message_id)
        if for_update:
            statement = statement.with_for_update()
        return (await self._session.execute(statement)).scalar_one_or_none()

    async def take(self, group_message_id: UUID) -> GroupMessage | None:
        """One for a step, to be written by `save_step`; None when it is gone or somebody else has it just now."""
        statement = self._scope.select(GroupMessage).where(GroupMessage.id == group_message_id)
        taken = (await self._session.execute(statement.with_for_update(skip_locked=True))).scalar_one_or_none()
        if taken is not None:
            self._session.expunge(taken)
        return taken

    async def save_step(self, taken: GroupMessage) -> None:
        """Write what a step changes. Only another status is another version: steps are nobody's decision."""
        await self._session.execute(
            _SAVE_STEP,
            {
                "id": taken.id,
                "account_id": self._scope.account_id,
                "status": taken.status,
                "checkpoint": msgspec.json.encode(taken.checkpoint).decode(),
                "total": taken.total,
                "accepted": taken.accepted,
                "skipped": taken.skipped,
                "step_at": taken.step_at,
                "paused_because": taken.paused_because,
                "ended_at": taken.ended_at,
            },
        )

    async def add(self, group_message: GroupMessage) -> None:
        """Insert."""
        self._session.add(group_message)
        await self._session.flush()

    async def remove(self, group_message: GroupMessage) -> None:
        """Delete it with what is kept of its recipients; its messages stay."""
        await self._session.delete(group_message)
        await self._session.flush()

    async def save_start(self, taken: GroupMessage) -> None:
        """Write what starting it when it was due has changed."""
        await self._session.execute(
            _SAVE_START,
            {
                "id": taken.id,
                "account_id": self._scope.account_id,
                "content": msgspec.json.encode(taken.content).decode(),
                "plan": None if taken.plan is None else msgspec.json.encode(taken.plan).decode(),
                "started_at": taken.started_at,
                "approval": None if taken.approval is None else msgspec.json.encode(taken.approval).decode(),
            },
        )
        await self.save_step(taken)

    async def sharing(self, channel_id: UUID) -> int:
        """How many of them are running on a channel."""
        values = {"account_id": self._scope.account_id, "channel_id": channel_id}
        return int((await self._session.execute(_SHARING, values)).scalar_one())


class Recipients:
    """What is kept of the recipients of one group message."""

    def __init__(self, session: AsyncSession, account_id: UUID, group_message_id: UUID) -> None:
        self._session = session
        self._of = {"account_id": account_id, "id": group_message_id}

    async def skip(self, skips: Sequence[Skip]) -> int:
        """Remember who gets nothing; how many of them are new."""
        if not skips:
            return 0
        values = {
            "recipients": [each.recipient_id for each in skips],
            "contacts": [each.contact_id for each in skips],
            "addresses": [each.address for each in skips],
            "reasons": [each.reason.value for each in skips],
            "details": [each.detail for each in skips],
        }
        return len((await self._session.execute(_SKIP, self._of | values)).all())

    async def let_sleep(self, sleepers: Sequence[Sleeper]) -> None:
        """Remember who is not to be disturbed yet."""
        if sleepers:
            values = {
                "recipients": [each.recipient_id for each in sleepers],
                "addresses": [each.address for each in sleepers],
                "until": [each.until for each in sleepers],
            }
            await self._session.execute(_SLEEP, self._of | values)

    async def wake(self, most: int) -> list[tuple[UUID, str | None]]:
        """Take out those whose quiet hours are over, those who wait longest first: recipient and address, if any."""
        return [(row[0], row[1]) for row in await self._session.execute(_WAKE, {**self._of, "most": most})]

    async def next_waking(self) -> datetime | None:
        """When the next of them may be disturbed; None when nobody sleeps."""
        moment: datetime | None = (await self._session.execute(_NEXT_WAKING, self._of)).scalar_one()
        return moment

    async def to_be_tried_again(self, run: MessageIds) -> int:
        """How many messages of a run wait for another attempt."""
        values = {"account_id": self._of["account_id"], **_range(run)}
        return int((await self._session.execute(_TRIED_AGAIN, values)).scalar_one())

    async def let_nobody_wake(self) -> None:
        """Forget whoever sleeps: they get nothing any more."""
        await self._session.execute(_FORGET_SLEEPERS, self._of)

    async def known(self, ids: Collection[UUID]) -> set[UUID]:
        """Those of the messages that are stored already."""
        if not ids:
            return set()
        values = {"account_id": self._of["account_id"], "ids": list(ids)}
        return set((await self._session.execute(_KNOWN, values)).scalars())

    async def take_back(self, run: MessageIds, most: int) -> list[UUID]:
        """Cancel what is queued and was handed to nobody; which messages. As `app.domain.messages.cancellation`."""
        values = {**self._of, **_range(run), "most": most}
        taken = list((await self._session.execute(_TAKE_BACK, values)).scalars())
        for start in range(0, len(taken), _AT_ONCE):
            some = {"account_id": self._of["account_id"], "ids": taken[start : start + _AT_ONCE]}
            await self._session.execute(_SET_CANCELED, some)
        return taken

    async def failed(self, run: MessageIds, after: UUID | None, most: int) -> list[FailedMessage]:
        """Messages of a run that failed, in the order of ids, after `after`."""
        values = {**self._of, **_range(run), "after": after or _NONE, "erased": ERASED, "most": most}
        return [FailedMessage(row[0], row[1]) for row in await self._session.execute(_FAILED, values)]

    async def failures(self, runs: Sequence[MessageIds]) -> list[Failures]:
        """What the latest messages of recipients failed for, most of them first."""
        if not runs:
            return []
        ranges = {
            "lowest": [run.lowest for run in runs],
            "highest": [run.highest for run in runs],
            "last": runs[-1].highest,
            "runs": len(runs),
        }
        return [Failures(*row) for row in await self._session.execute(_FAILURES, {**self._of, **ranges})]

    async def skipped_by_reason(self) -> dict[str, int]:
        """How many recipients get nothing for which reason."""
        return {row[0]: row[1] for row in await self._session.execute(_SKIPPED_BY, self._of)}


async def runnable(session: AsyncSession, most: int) -> list[tuple[UUID, UUID]]:
    """(group message, account) of those that can go on now, those that wait longest first."""
    return [(row[0], row[1]) for row in await session.execute(_RUNNABLE, {"most": most})]


async def next_due(session: AsyncSession) -> float | None:
    """Seconds until the next one can go on; None when none will by itself."""
    seconds: float | None = (await session.execute(_NEXT_DUE)).scalar_one()
    return seconds


def _range(run: MessageIds) -> dict[str, UUID]:
    return {"lowest": run.lowest, "highest": run.highest}
