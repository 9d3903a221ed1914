"""Applies what senders learnt: submit results, receipts and inbound messages, in sets and exactly once.

One transaction for some batches of a channel. Those of one channel are applied one after the other (an advisory lock),
so that a receipt and the submit result it belongs to cannot miss each other.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.messages.changes import Changer, changes_of, receipt_change
from app.domain.messages.events import Outcome, Receipt, ReceiptStatus, ResultBatch, SubmitResult
from app.domain.messages.inbound import store_inbound
from app.domain.messages.locks import lock_channel
from app.domain.messages.people import NO_PEOPLE, People
from app.domain.messages.receipts import (
    UNDECIDED,
    MatchedReceipt,
    match_receipts,
    park_receipts,
    rerouted,
    take_parked,
)
from app.domain.outbox.repository import insert_outbox
from app.lib.ids import NewId, uuid_of
from app.lib.metrics import receipts_rerouted, receipts_unmatched
from app.lib.sets import shared
from connectors.sms_text.receipts import normalise_id

MAX_ATTEMPTS = 8
"""After so many attempts a message that is always refused "for now" has failed."""

BACKOFF_SECONDS = (5.0, 15.0, 60.0, 180.0, 600.0, 1800.0, 3600.0)
"""Wait before attempt n+2 when the sender does not ask for a time of its own."""

_FIRST_TIME = text(
    """
    INSERT INTO consumed_events (event_id) SELECT unnest(CAST(:event_ids AS uuid[]))
    ON CONFLICT DO NOTHING RETURNING event_id
    """
)

# The statements look ids up by a list or one by one; why, stands at the one that changes statuses
# (`app.domain.messages.changes`).
_PARTS = text(
    """
    INSERT INTO message_parts (channel_id, match_key, message_id, account_id, number, total, provider_message_id,
                               recipient_tail)
    SELECT :channel_id, p.match_key, p.message_id, :account_id, coalesce(p.number, :number), coalesce(p.total, :total),
           p.provider_id, m.tail
    FROM unnest(CAST(:keys AS text[]), CAST(:ids AS uuid[]), CAST(:numbers AS smallint[]),
                CAST(:totals AS smallint[]), CAST(:provider_ids AS text[]))
         AS p(match_key, message_id, number, total, provider_id)
    CROSS JOIN LATERAL (
        -- Its digits: whatever is not one taken out, the last seven.
        SELECT right(translate(recipient, translate(recipient, '0123456789', ''), ''), 7) AS tail FROM messages
        WHERE id = p.message_id AND account_id = :account_id AND id BETWEEN :lowest AND :highest OFFSET 0
    ) AS m
    -- A late answer completes a text of which some parts are known already, perhaps with their receipts.
    WHERE coalesce(p.total, :total) = 1 OR 0 = (
        SELECT count(*) FROM message_parts q
        WHERE q.channel_id = :channel_id AND q.match_key = p.match_key AND q.message_id = p.message_id
              AND q.submitted_at > now() - interval '1 day')
    """
)

_END_ATTEMPTS = text(
    """
    UPDATE message_attempts a
    SET ended_at = to_timestamp(x.at), outcome = x.outcome, code = x.code, detail = x.detail,
        provider_code = x.provider_code
    FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS smallint[]), CAST(:ats AS double precision[]),
                CAST(:outcomes AS text[]), CAST(:codes AS text[]), CAST(:details AS text[]),
                CAST(:provider_codes AS text[])) AS x(id, attempt, at, outcome, code, detail, provider_code)
    WHERE a.message_id = x.id AND a.attempt = x.attempt AND a.account_id = :account_id
          AND a.message_id = ANY (CAST(:ids AS uuid[]))
    """
)

_RETRY = text(
    """
    INSERT INTO message_retries (message_id, attempt, account_id, channel_id, next_attempt_at)
    SELECT m.id, r.attempt, :account_id, :channel_id, now() + make_interval(secs => r.wait)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS smallint[]), CAST(:waits AS double precision[]))
         AS r(id, attempt, wait)
    CROSS JOIN LATERAL (
        SELECT id FROM messages
        WHERE id = r.id AND account_id = :account_id AND status = 'queued' AND id BETWEEN :lowest AND :highest OFFSET 0
    ) AS m
    ON CONFLICT DO NOTHING
    """
)

_NOTE = text(
    """
    INSERT INTO message_events (message_id, account_id, at, status, code, detail, provider_code)
    SELECT x.id, :account_id, to_timestamp(x.at), m.status, x.code, x.detail, x.provider_code
    FROM unnest(CAST(:ids AS uuid[]), CAST(:ats AS double precision[]), CAST(:codes AS text[]),
                CAST(:details AS text[]), CAST(:provider_codes AS text[])) AS x(id, at, code, detail, provider_code)
    CROSS JOIN LATERAL (
        SELECT status FROM messages
        WHERE id = x.id AND account_id = :account_id AND id BETWEEN :lowest AND :highest OFFSET 0
    ) AS m
    """
)


async def apply_results(
    session: AsyncSession, batches: Sequence[ResultBatch], new_id: NewId, people: People = NO_PEOPLE
) -> int:
    """Apply batches of one channel inside the caller's transaction; how many were not applied before.

    `people` are told who wrote, who was written to and who wants what.
    """
    by_id = {batch.event_id: batch for batch in batches}
    # In one order, so that two transactions that are given the same batches again never wait for each other.
    first = set((await session.execute(_FIRST_TIME, {"event_ids": sorted(by_id)})).scalars())
    fresh = [batch for event_id, batch in by_id.items() if event_id in first]
    if not fresh:
        return 0
    account_id, channel_id = fresh[0].account_id, fresh[0].channel_id
    await lock_channel(session, channel_id)
    applier = _Applier(session, account_id, channel_id, new_id, people)
    results = [result for batch in fresh for result in batch.results]
    receipts = [receipt for batch in fresh for receipt in batch.receipts]
    inbound = [message for batch in fresh for message in batch.inbound]
    await applier.apply(results, receipts)
    if inbound:
        await store_inbound(session, account_id, channel_id, inbound, new_id, people)
    return len(fresh)


class _Part(NamedTuple):
    """A part that a provider has answered."""

    key: str
    message_id: UUID
    number: int
    total: int
    provider_id: str


class _Applier:
    """The statements of one transaction: everything is tied to one account and one channel."""

    def __init__(
        self, session: AsyncSession, account_id: UUID, channel_id: UUID, new_id: NewId, people: People
    ) -> None:
        self._session = session
        self._new_id = new_id
        self._account_id = account_id
        self._channel_id = channel_id
        self._owner = {"account_id": account_id, "channel_id": channel_id}
        self._changer = Changer(session, account_id, channel_id, new_id, people)

    async def apply(self, results: Sequence[SubmitResult], receipts: Sequence[Receipt]) -> None:
        """Results first: a receipt needs to know which message its id belongs to."""
        retries = [result for result in results if result.outcome is Outcome.RETRY and result.attempt < MAX_ATTEMPTS]
        postponed = {result.message_id for result in retries}
        final = [result for result in results if result.message_id not in postponed] if retries else results
        listed = list(receipts)
        parts = [
            _Part(
                normalise_id(part.provider_message_id),
                uuid_of(result.message_id),
                part.number,
                len(result.parts),
                part.provider_message_id,
            )
            for result in final
            for part in result.parts
            if part.provider_message_id
        ]
        if parts:
            await self._insert_parts(parts)
            listed = await take_parked(self._session, self._channel_id, [part.key for part in parts]) + listed
        own = await self._matched(listed) if listed else []
        decisive = [item for item in own if item.receipt.status not in UNDECIDED and item.complete]
        changed = await self._changer.apply(changes_of(final) + [receipt_change(item) for item in decisive])
        # Of a successful attempt nothing more needs to be said than the message says itself.
        ended = [r for r in final if r.outcome is not Outcome.SENT and uuid_of(r.message_id) in changed]
        await self._end_attempts(ended + retries)
        if retries:
            await self._schedule_retries(retries)
        await self._note([item for item in own if item.receipt.status in UNDECIDED])

    async def _insert_parts(self, parts: Sequence[_Part]) -> None:
        numbers, number = shared([part.number for part in parts])
        totals, total = shared([part.total for part in parts])
        await self._session.execute(
            _PARTS,
            {
                **self._owner,
                **_bounds([part.message_id for part in parts]),
                "keys": [part.key for part in parts],
                "numbers": numbers,
                "number": number,
                "totals": totals,
                "total": total,
                "provider_ids": [part.provider_id for part in parts],
            },
        )

    async def _matched(self, receipts: list[Receipt]) -> list[MatchedReceipt]:
        """Those of the channel's own messages; the others are kept, or sent where they belong."""
        found = await match_receipts(self._session, self._account_id, self._channel_id, receipts)
        if found.unmatched:
            receipts_unmatched.inc(len(found.unmatched))
            await park_receipts(self._session, self._account_id, self._channel_id, found.unmatched, self._new_id)
        if found.elsewhere:
            receipts_rerouted.inc(sum(map(len, found.elsewhere.values())))
            await insert_outbox(self._session, rerouted(self._account_id, found.elsewhere, self._new_id))
        return found.own

    async def _end_attempts(self, results: list[SubmitResult]) -> None:
        if not results:
            return
        failures = [result.failure for result in results]
        await self._session.execute(
            _END_ATTEMPTS,
            {
                "account_id": self._account_id,
                **_bounds([uuid_of(result.message_id) for result in results]),
                "attempts": [result.attempt for result in results],
                "ats": [result.at for result in results],
                "outcomes": [result.outcome.value for result in results],
                "codes": [failure.code if failure else None for failure in failures],
                "details": [failure.detail if failure else None for failure in failures],
                "provider_codes": [failure.provider_code if failure else None for failure in failures],
            },
        )

    async def _schedule_retries(self, results: list[SubmitResult]) -> None:
        await self._session.execute(
            _RETRY,
            {
                **self._owner,
                **_bounds([uuid_of(result.message_id) for result in results]),
                "attempts": [result.attempt + 1 for result in results],
                "waits": [
                    BACKOFF_SECONDS[result.attempt - 1] if result.retry_after is None else result.retry_after
                    for result in results
                ],
            },
        )

    async def _note(self, news: list[MatchedReceipt]) -> None:
        if not news:
            return
        await self._session.execute(
            _NOTE,
            {
                "account_id": self._account_id,
                **_bounds([item.message_id for item in news]),
                "ats": [item.receipt.at for item in news],
                "codes": ["intermediate" if i.receipt.status is ReceiptStatus.SENT else "unknown_state" for i in news],
                "details": [item.receipt.provider_status for item in news],
                "provider_codes": [item.receipt.provider_code for item in news],
            },
        )


def _bounds(ids: list[UUID]) -> dict[str, object]:
    return {"ids": ids, "lowest": min(ids), "highest": max(ids)}
