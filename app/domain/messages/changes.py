"""Changes of statuses, applied in sets: what the transition table allows, with its history and all that follows."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.group_messages.progress import Move, count_moves
from app.domain.messages.events import Failure, Outcome, ReceiptStatus, SubmitResult
from app.domain.messages.people import Letter, People
from app.domain.messages.receipts import MatchedReceipt
from app.domain.messages.states import MessageStatus, transition_pairs
from app.domain.smpp_accounts.forwarding import ChangedMessage, forward_receipts
from app.lib.ids import NewId, uuid_of
from app.lib.metrics import results_applied
from app.lib.sets import column, shared

ADVICE = {
    "recipient": "Check the number; the operator does not reach it.",
    "message": "Change the text or the sender; the operator refused this content.",
    "opted_out": "The recipient does not want messages; do not send again.",
    "channel": "Check the channel's configuration and credentials.",
    "throttled": "The operator accepts fewer messages than this channel sends; lower its rate.",
    "transient": "The operator had a passing problem; sending again may work.",
    "unknown": "The operator never answered; it may have been delivered, so ask before sending again.",
}

_BEFORE_LEAVING = (MessageStatus.QUEUED, MessageStatus.UNKNOWN)
_HAVING_LEFT = (MessageStatus.SENT, MessageStatus.DELIVERED, MessageStatus.READ)


class Change(msgspec.Struct, frozen=True, gc=False):
    """A status that a message should take; moments are seconds since the epoch.

    With `sent_at` it was sent then, and has taken this status since: two changes in one.
    """

    message_id: UUID
    status: str
    at: float
    code: str | None = None
    detail: str | None = None
    provider_code: str | None = None
    error: str | None = None
    sent_at: float | None = None


# Ids of a group message's messages are spread over all of its range: whoever looks through the range of a batch looks
# through the whole group message, and the planner, who expects nobody in so small a range, likes to. So every statement
# looks ids up one by one: from a list, or in a subquery that stays one (`OFFSET 0`), where the range is for the pruning
# of partitions only. And as long as a new partition has no statistics, the planner believes that an account and a
# channel have next to no messages: it would read all of them by the index on the account, or compare each row with each
# change. From `CASE` it expects nothing, and comparing the ids' octets leaves it the list for looking them up. The
# status that a message had is known from the join with `t`, which shares no condition with the changes: it comes last.
_APPLY = text(
    """
    WITH changed AS (
        UPDATE messages m
        SET status = c.status,
            updated_at = now(),
            sent_at = coalesce(m.sent_at, to_timestamp(c.sent),
                               CASE WHEN c.status IN ('sent', 'delivered', 'read') THEN to_timestamp(c.at) END),
            delivered_at = CASE WHEN c.status IN ('delivered', 'read') THEN coalesce(m.delivered_at, to_timestamp(c.at))
                                ELSE m.delivered_at END,
            error = CAST(c.error AS jsonb)
        FROM (
            SELECT x.id, coalesce(x.status, :status) AS status, x.at, x.sent, x.code,
                   coalesce(x.detail, :detail) AS detail, coalesce(x.provider_code, :provider_code) AS provider_code,
                   x.error, x.position
            FROM unnest(CAST(:ids AS uuid[]), CAST(:statuses AS text[]), CAST(:ats AS double precision[]),
                        CAST(:sents AS double precision[]), CAST(:codes AS text[]), CAST(:details AS text[]),
                        CAST(:provider_codes AS text[]), CAST(:errors AS text[]))
                 WITH ORDINALITY AS x(id, status, at, sent, code, detail, provider_code, error, position)
        ) AS c
        CROSS JOIN unnest(CAST(:befores AS text[])) AS t(before)
        WHERE m.id = ANY (CAST(:ids AS uuid[])) AND uuid_send(m.id) = uuid_send(c.id) AND t.before = m.status
              AND (m.status || ' ' || c.status) = ANY (CAST(:moves AS text[]))
              AND CASE WHEN m.account_id = :account_id AND m.channel_id = :channel_id THEN true ELSE false END
        RETURNING m.id, t.before, c.status, c.at, c.code, c.detail, c.provider_code, c.position, m.group_message_id,
                  CASE WHEN t.before IN ('queued', 'unknown') THEN m.contact_id END AS contact_id,
                  CASE WHEN t.before IN ('queued', 'unknown') AND m.contact_id IS NOT NULL
                       THEN m.recipient END AS person,
                  CASE WHEN m.smpp_account_id IS NOT NULL
                       THEN (m.smpp_account_id, m.registered_delivery, m.recipient, m.sender, m.created_at,
                             left(m.body, 20)) END AS submitted
    ), logged AS (
        -- What the message says itself by its times is in its history without a row (`repository.get_history`).
        INSERT INTO message_events (message_id, account_id, at, status, code, detail, provider_code)
        SELECT id, :account_id, to_timestamp(at), status, code, detail, provider_code FROM changed
        WHERE code IS NOT NULL OR status NOT IN ('sent', 'delivered') OR detail <> 'DELIVRD' OR provider_code <> '000'
    )
    -- Most have no more to say than which they are.
    SELECT before, status, group_message_id, array_agg(position) AS positions, array_agg(contact_id) AS contacts,
           array_agg(person) AS people, NULL AS submitted
    FROM changed WHERE submitted IS NULL GROUP BY before, status, group_message_id
    UNION ALL
    SELECT before, status, group_message_id, ARRAY[position], ARRAY[contact_id], ARRAY[person], submitted
    FROM changed WHERE submitted IS NOT NULL
    """
)
_BEFORE, _AFTER = transition_pairs()
_TRANSITIONS = {
    "befores": list(dict.fromkeys(_BEFORE)),
    "moves": [f"{before} {after}" for before, after in zip(_BEFORE, _AFTER, strict=True)],
}


class Changer:
    """Applies changes of one account's messages on one channel, in the caller's transaction."""

    def __init__(
        self, session: AsyncSession, account_id: UUID, channel_id: UUID, new_id: NewId, people: People
    ) -> None:
        self._session = session
        self._account_id = account_id
        self._channel_id = channel_id
        self._new_id = new_id
        self._people = people

    async def apply(self, changes: Iterable[Change]) -> set[UUID]:
        """Make the changes the transition table allows, in order; the messages that changed."""
        changed: set[UUID] = set()
        rest = list(changes)
        while rest:
            # One change a message and statement: an UPDATE that joins two rows to one target applies either.
            first: dict[UUID, Change] = {}
            later: list[Change] = []
            for change in rest:
                before = first.setdefault(change.message_id, change)
                if before is change:
                    continue
                both = _folded(before, change)
                if both is None or later:
                    later.append(change)
                else:
                    first[change.message_id] = both
            changed |= await self._once(list(first.values()))
            rest = later
        return changed

    async def _once(self, changes: list[Change]) -> set[UUID]:
        statuses, status = shared([change.status for change in changes])
        details, detail = shared([change.detail for change in changes])
        provider_codes, provider_code = shared([change.provider_code for change in changes])
        rows = await self._session.execute(
            _APPLY,
            {
                "account_id": self._account_id,
                "channel_id": self._channel_id,
                **_TRANSITIONS,
                "ids": [change.message_id for change in changes],
                "statuses": statuses,
                "status": status,
                "ats": [change.at for change in changes],
                "sents": column([change.sent_at for change in changes]),
                "codes": column([change.code for change in changes]),
                "details": details,
                "detail": detail,
                "provider_codes": provider_codes,
                "provider_code": provider_code,
                "errors": column([change.error for change in changes]),
            },
        )
        changed: set[UUID] = set()
        counts: Counter[str] = Counter()
        moves: Counter[Move] = Counter()
        letters: dict[UUID, Letter] = {}
        submissions: list[ChangedMessage] = []
        for before, after, group_message_id, positions, contacts, people, submitted in rows:
            counts[after] += len(positions)
            if group_message_id is not None:
                moves[Move(group_message_id, before, after)] += len(positions)
            changed.update([changes[position - 1].message_id for position in positions])
            if before in _BEFORE_LEAVING:
                for position, contact_id, recipient in zip(positions, contacts, people, strict=True):
                    left_at = None if contact_id is None else _left_at(changes[position - 1])
                    if left_at is not None:
                        letters[contact_id] = Letter(recipient, moment(left_at))
            if submitted is not None:
                submissions += _submissions(changes[positions[0] - 1], before, submitted)
        await forward_receipts(self._session, self._account_id, submissions, self._new_id)
        await count_moves(self._session, self._account_id, moves)
        if letters:
            await self._people.written_to(self._session, self._account_id, self._channel_id, letters)
        for named, count in counts.items():
            results_applied.labels(named).inc(count)
        return changed


def _folded(first: Change, second: Change) -> Change | None:
    """Sent and then something else, as one change."""
    plain = first.code is None and first.detail is None and first.provider_code is None and first.sent_at is None
    if first.status != MessageStatus.SENT or not plain or second.status in (MessageStatus.SENT, MessageStatus.UNKNOWN):
        return None
    # A receipt that overtook the answer to the submission: what was delivered had been sent.
    return msgspec.structs.replace(second, at=max(first.at, second.at), sent_at=first.at)


def _left_at(change: Change) -> float | None:
    """When a message left that had not before; None when it never did."""
    return change.at if change.sent_at is None and change.status in _HAVING_LEFT else change.sent_at


def _submissions(change: Change, before: str, submitted: Any) -> list[ChangedMessage]:
    account, asked, recipient, sender, created_at, beginning = submitted
    common = (account, asked, recipient, sender, created_at, beginning)
    at = moment(change.at)
    if change.sent_at is None or before not in _BEFORE_LEAVING:
        return [ChangedMessage(change.message_id, before, change.status, at, change.provider_code, *common)]
    sent = MessageStatus.SENT.value
    return [
        ChangedMessage(change.message_id, before, sent, moment(change.sent_at), None, *common),
        ChangedMessage(change.message_id, sent, change.status, at, change.provider_code, *common),
    ]


def moment(at: float) -> datetime:
    """Seconds since the epoch as a time."""
    return datetime.fromtimestamp(at, UTC)


def changes_of(results: Sequence[SubmitResult]) -> list[Change]:
    """What results of attempts that are not repeated mean for their messages."""
    return [
        Change(uuid_of(result.message_id), "sent", result.at)
        if result.outcome is Outcome.SENT and result.failure is None
        else _change_of(result)
        for result in results
    ]


def _change_of(result: SubmitResult) -> Change:
    failure = result.failure
    status = MessageStatus.FAILED if result.outcome is Outcome.RETRY else MessageStatus(result.outcome.value)
    if status is MessageStatus.UNKNOWN and failure is None:
        failure = Failure("unknown", "no_answer", "The message was handed over and never answered.")
    if failure is None:
        return Change(uuid_of(result.message_id), status.value, result.at)
    return Change(
        uuid_of(result.message_id),
        status.value,
        result.at,
        failure.code,
        failure.detail,
        failure.provider_code,
        None if status is MessageStatus.SENT else _error_json(failure),
    )


def receipt_change(item: MatchedReceipt) -> Change:
    """What a receipt that decides means for its message."""
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
        receipt.at,
        failure.code if failure else None,
        receipt.provider_status,
        receipt.provider_code,
        _error_json(failure) if failure else None,
    )


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
