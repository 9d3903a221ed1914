"""Applies what senders learnt: submit results, receipts and inbound messages, in sets and exactly once.

One transaction a batch. Batches of one channel are applied one after the other (an advisory lock), so that a receipt
and the submit result it belongs to cannot miss each other.
"""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.messages.events import (
    Failure,
    Outcome,
    Receipt,
    ReceiptStatus,
    ResultBatch,
    SubmitResult,
)
from app.domain.messages.inbound import store_inbound
from app.domain.messages.locks import lock_channel
from app.domain.messages.receipts import MatchedReceipt, match_receipts, park_receipts, rerouted, take_parked
from app.domain.messages.states import MessageStatus, transition_pairs
from app.domain.outbox.repository import insert_outbox
from app.domain.smpp_accounts.forwarding import forward_receipts
from app.lib.ids import NewId
from app.lib.metrics import receipts_rerouted, receipts_unmatched, results_applied
from connectors.sms_text.receipts import normalise_id

MAX_ATTEMPTS = 8
"""After so many attempts a message that is always refused "for now" has failed."""

BACKOFF_SECONDS = (5.0, 15.0, 60.0, 180.0, 600.0, 1800.0, 3600.0)
"""Wait before attempt n+2 when the sender does not ask for a time of its own."""

ADVICE = {
    "recipient": "Check the number; the operator does not reach it.",
    "message": "Change the text or the sender; the operator refused this content.",
    "opted_out": "The recipient does not want messages; do not send again.",
    "channel": "Check the channel's configuration and credentials.",
    "throttled": "The operator accepts fewer messages than this channel sends; lower its rate.",
    "transient": "The operator had a passing problem; sending again may work.",
    "unknown": "The operator never answered; it may have been delivered, so ask before sending again.",
}


class Change(msgspec.Struct, frozen=True, gc=False):
    """A status that a message should take."""

    message_id: UUID
    status: str
    at: datetime
    code: str | None = None
    detail: str | None = None
    provider_code: str | None = None
    error: str | None = None


_FIRST_TIME = text(
    "INSERT INTO consumed_events (event_id) VALUES (:event_id) ON CONFLICT DO NOTHING RETURNING event_id"
)

_APPLY = text(
    """
    WITH changed AS (
        UPDATE messages m
        SET status = c.status,
            updated_at = now(),
            sent_at = CASE WHEN c.status IN ('sent', 'delivered', 'read') THEN coalesce(m.sent_at, c.at)
                           ELSE m.sent_at END,
            delivered_at = CASE WHEN c.status IN ('delivered', 'read') THEN coalesce(m.delivered_at, c.at)
                                ELSE m.delivered_at END,
            error = CAST(c.error AS jsonb)
        FROM unnest(CAST(:ids AS uuid[]), CAST(:statuses AS text[]), CAST(:ats AS timestamptz[]),
                    CAST(:codes AS text[]), CAST(:details AS text[]), CAST(:provider_codes AS text[]),
                    CAST(:errors AS text[])) AS c(id, status, at, code, detail, provider_code, error)
        JOIN unnest(CAST(:from_statuses AS text[]), CAST(:to_statuses AS text[])) AS t(before, after)
             ON t.after = c.status
        WHERE m.id = c.id AND m.id BETWEEN :lowest AND :highest AND m.account_id = :account_id
              AND m.channel_id = :channel_id AND m.status = t.before
        RETURNING m.id, m.recipient, t.before, c.status, c.at, c.code, c.detail, c.provider_code, m.smpp_account_id,
                  m.registered_delivery, m.sender, m.created_at,
                  CASE WHEN m.smpp_account_id IS NOT NULL THEN left(m.body, 20) END AS beginning
    ), logged AS (
        INSERT INTO message_events (message_id, account_id, at, status, code, detail, provider_code)
        SELECT id, :account_id, at, status, code, detail, provider_code FROM changed
    )
    SELECT id, recipient, sender, before, status, at, created_at, provider_code, smpp_account_id, registered_delivery,
           beginning
    FROM changed
    """
)

_PARTS = text(
    """
    INSERT INTO message_parts (channel_id, match_key, message_id, account_id, number, total, provider_message_id,
                               recipient_tail)
    SELECT :channel_id, p.match_key, p.message_id, :account_id, p.number, p.total, p.provider_id,
           right(regexp_replace(m.recipient, '[^0-9]', '', 'g'), 7)
    FROM unnest(CAST(:keys AS text[]), CAST(:ids AS uuid[]), CAST(:numbers AS smallint[]),
                CAST(:totals AS smallint[]), CAST(:provider_ids AS text[]))
         AS p(match_key, message_id, number, total, provider_id)
    JOIN messages m ON m.id = p.message_id AND m.account_id = :account_id AND m.id BETWEEN :lowest AND :highest
    -- A late answer completes a text of which some parts are known already, perhaps with their receipts.
    WHERE p.total = 1 OR NOT EXISTS (
        SELECT FROM message_parts q
        WHERE q.channel_id = :channel_id AND q.match_key = p.match_key AND q.message_id = p.message_id
              AND q.submitted_at > now() - interval '1 day')
    """
)

_END_ATTEMPTS = text(
    """
    UPDATE message_attempts a
    SET ended_at = x.at, outcome = x.outcome, code = x.code, detail = x.detail, provider_code = x.provider_code
    FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS smallint[]), CAST(:ats AS timestamptz[]),
                CAST(:outcomes AS text[]), CAST(:codes AS text[]), CAST(:details AS text[]),
                CAST(:provider_codes AS text[])) AS x(id, attempt, at, outcome, code, detail, provider_code)
    WHERE a.message_id = x.id AND a.attempt = x.attempt AND a.account_id = :account_id
          AND a.message_id BETWEEN :lowest AND :highest
    """
)

_RETRY = text(
    """
    INSERT INTO message_retries (message_id, attempt, account_id, channel_id, next_attempt_at)
    SELECT m.id, r.attempt, :account_id, :channel_id, now() + make_interval(secs => r.wait)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS smallint[]), CAST(:waits AS double precision[]))
         AS r(id, attempt, wait)
    JOIN messages m ON m.id = r.id AND m.account_id = :account_id AND m.status = 'queued'
         AND m.id BETWEEN :lowest AND :highest
    ON CONFLICT DO NOTHING
    """
)

_NOTE = text(
    """
    INSERT INTO message_events (message_id, account_id, at, status, code, detail, provider_code)
    SELECT x.id, :account_id, x.at, m.status, x.code, x.detail, x.provider_code
    FROM unnest(CAST(:ids AS uuid[]), CAST(:ats AS timestamptz[]), CAST(:codes AS text[]), CAST(:details AS text[]),
                CAST(:provider_codes AS text[])) AS x(id, at, code, detail, provider_code)
    JOIN messages m ON m.id = x.id AND m.account_id = :account_id AND m.id BETWEEN :lowest AND :highest
    """
)


async def apply_results(session: AsyncSession, batch: ResultBatch, new_id: NewId) -> bool:
    """Apply one batch inside the caller's transaction; False when it was applied before."""
    first = await session.execute(_FIRST_TIME, {"event_id": batch.event_id})
    if first.scalar_one_or_none() is None:
        return False
    await lock_channel(session, batch.channel_id)
    applier = _Applier(session, batch.account_id, batch.channel_id, new_id)
    if batch.results:
        await applier.results(batch.results)
    receipts = list(batch.receipts)
    if any(result.parts for result in batch.results):
        receipts = await take_parked(session, batch.channel_id, _part_keys(batch.results)) + receipts
    if receipts:
        await applier.receipts(receipts)
    if batch.inbound:
        await store_inbound(session, batch.account_id, batch.channel_id, batch.inbound, new_id)
    return True


def _part_keys(results: list[SubmitResult]) -> list[str]:
    return [normalise_id(part.provider_message_id) for r in results for part in r.parts if part.provider_message_id]


class _Applier:
    """The statements of one batch: everything is tied to one account and one channel."""

    def __init__(self, session: AsyncSession, account_id: UUID, channel_id: UUID, new_id: NewId) -> None:
        self._session = session
        self._new_id = new_id
        self._owner = {"account_id": account_id, "channel_id": channel_id}
        self._account = {"account_id": account_id}
        self._pairs = dict(zip(("from_statuses", "to_statuses"), transition_pairs(), strict=True))

    async def results(self, results: list[SubmitResult]) -> None:
        retries = [r for r in results if r.outcome is Outcome.RETRY and r.attempt < MAX_ATTEMPTS]
        postponed = {result.message_id for result in retries}
        final = [result for result in results if result.message_id not in postponed]
        changed = await self._apply([_change_of(result) for result in final])
        await self._insert_parts(final)
        # Of a successful attempt nothing more needs to be said than the message says itself.
        ended = [r for r in final if r.outcome is not Outcome.SENT and UUID(bytes=r.message_id) in changed]
        await self._end_attempts(ended + retries)
        if retries:
            await self._schedule_retries(retries)

    async def receipts(self, receipts: list[Receipt]) -> None:
        account_id, channel_id = self._owner["account_id"], self._owner["channel_id"]
        found = await match_receipts(self._session, account_id, channel_id, receipts)
        if found.unmatched:
            receipts_unmatched.inc(len(found.unmatched))
            await park_receipts(self._session, account_id, channel_id, found.unmatched, self._new_id)
        if found.elsewhere:
            receipts_rerouted.inc(sum(map(len, found.elsewhere.values())))
            await insert_outbox(self._session, rerouted(account_id, found.elsewhere, self._new_id))
        matched = found.own
        news = [item for item in matched if item.receipt.status in (ReceiptStatus.SENT, ReceiptStatus.UNKNOWN)]
        await self._apply([_receipt_change(item) for item in matched if item not in news and item.complete])
        if news:
            await self._note(news)

    async def _apply(self, changes: list[Change]) -> set[UUID]:
        """Make the changes the transition table allows; returns the messages that changed."""
        changed: set[UUID] = set()
        while changes:
            # One change a message and statement: an UPDATE that joins two rows to one target applies either.
            first: dict[UUID, Change] = {}
            rest: list[Change] = []
            for change in changes:
                if change.message_id in first:
                    rest.append(change)
                else:
                    first[change.message_id] = change
            changed |= await self._apply_once(list(first.values()))
            changes = rest
        return changed

    async def _apply_once(self, changes: list[Change]) -> set[UUID]:
        rows = list(
            await self._session.execute(
                _APPLY,
                {
                    **self._owner,
                    **self._pairs,
                    **_bounds([change.message_id for change in changes]),
                    "statuses": [change.status for change in changes],
                    "ats": [change.at for change in changes],
                    "codes": [change.code for change in changes],
                    "details": [change.detail for change in changes],
                    "provider_codes": [change.provider_code for change in changes],
                    "errors": [change.error for change in changes],
                },
            )
        )
        await forward_receipts(self._session, self._owner["account_id"], rows, self._new_id)
        for status in {row.status for row in rows}:
            results_applied.labels(status).inc(sum(row.status == status for row in rows))
        return {row.id for row in rows}

    async def _insert_parts(self, results: list[SubmitResult]) -> None:
        parts = [
            (UUID(bytes=result.message_id), part.number, len(result.parts), part.provider_message_id)
            for result in results
            for part in result.parts
            if part.provider_message_id
        ]
        if not parts:
            return
        ids = [part[0] for part in parts]
        await self._session.execute(
            _PARTS,
            {
                **self._owner,
                **_bounds(ids),
                "keys": [normalise_id(part[3]) for part in parts],
                "numbers": [part[1] for part in parts],
                "totals": [part[2] for part in parts],
                "provider_ids": [part[3] for part in parts],
            },
        )

    async def _end_attempts(self, results: list[SubmitResult]) -> None:
        if not results:
            return
        failures = [result.failure for result in results]
        await self._session.execute(
            _END_ATTEMPTS,
            {
                **self._account,
                **_bounds([UUID(bytes=result.message_id) for result in results]),
                "attempts": [result.attempt for result in results],
                "ats": [_moment(result.at) for result in results],
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
                **_bounds([UUID(bytes=result.message_id) for result in results]),
                "attempts": [result.attempt + 1 for result in results],
                "waits": [
                    BACKOFF_SECONDS[result.attempt - 1] if result.retry_after is None else result.retry_after
                    for result in results
                ],
            },
        )

    async def _note(self, news: list[MatchedReceipt]) -> None:
        await self._session.execute(
            _NOTE,
            {
                **self._account,
                **_bounds([item.message_id for item in news]),
                "ats": [_moment(item.receipt.at) for item in news],
                "codes": ["intermediate" if i.receipt.status is ReceiptStatus.SENT else "unknown_state" for i in news],
                "details": [item.receipt.provider_status for item in news],
                "provider_codes": [item.receipt.provider_code for item in news],
            },
        )


def _bounds(ids: list[UUID]) -> dict[str, object]:
    return {"ids": ids, "lowest": min(ids), "highest": max(ids)}


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _error_json(failure: Failure) -> str:
    return msgspec.json.encode(
        {
            "class": failure.kind,
            "code": failure.code,
            "detail": failure.detail,
            "provider_code": failure.provider_code,
            "advice": ADVICE.get(failure.kind),
        }
    ).decode()


def _change_of(result: SubmitResult) -> Change:
    failure = result.failure
    status = MessageStatus.FAILED if result.outcome is Outcome.RETRY else MessageStatus(result.outcome.value)
    if status is MessageStatus.UNKNOWN and failure is None:
        failure = Failure("unknown", "no_answer", "The message was handed over and never answered.")
    if failure is None:
        return Change(UUID(bytes=result.message_id), status.value, _moment(result.at))
    return Change(
        UUID(bytes=result.message_id),
        status.value,
        _moment(result.at),
        failure.code,
        failure.detail,
        failure.provider_code,
        None if status is MessageStatus.SENT else _error_json(failure),
    )


def _receipt_change(item: MatchedReceipt) -> Change:
    receipt = item.receipt
    status = item.verdict
    failure = None
    if status in (ReceiptStatus.FAILED, ReceiptStatus.EXPIRED):
        kind = "recipient" if status is ReceiptStatus.FAILED else "transient"
        said = receipt.provider_status or status.value
        failure = Failure(kind, f"receipt_{status.value}", f"The operator reported {said}.", receipt.provider_code)
    return Change(
        item.message_id,
        status.value,
        _moment(receipt.at),
        failure.code if failure else None,
        receipt.provider_status,
        receipt.provider_code,
        _error_json(failure) if failure else None,
    )
