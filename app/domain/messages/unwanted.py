"""Ends messages whose recipients do not want them: `failed`, with the class `opted_out`.

As with a cancellation, whoever has the claim of the next attempt (`handover`) decides, so that a sender and an opt-out
that come at the same moment cannot both have their way. Applications that submitted such a message over SMPP get the
receipt they asked for.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.group_messages.progress import Move, count_moves
from app.domain.opt_outs.classes import ChannelClass, Topic, class_of
from app.domain.smpp_accounts.forwarding import ChangedMessage, forward_receipts
from app.lib.ids import NewId
from app.lib.metrics import results_applied
from connectors.registry import connectors

CODE = "opted_out"
DETAIL = "The recipient has opted out of these messages."
ADVICE = "The recipient does not want messages; do not send again."

_ERROR = msgspec.json.encode(
    {"class": "opted_out", "code": CODE, "detail": DETAIL, "provider_code": None, "advice": ADVICE}
).decode()

_END = """
    logged AS (
        INSERT INTO message_events (message_id, account_id, at, status, code, detail)
        SELECT id, :account_id, now(), 'failed', :code, :detail FROM ended
    )
    UPDATE messages m SET status = 'failed', error = CAST(:error AS jsonb), updated_at = now()
    FROM ended
    WHERE m.id = ended.id AND m.account_id = :account_id AND m.status = 'queued'
    RETURNING m.id, m.recipient, m.sender, 'queued' AS before, m.status, m.updated_at AS at, m.created_at,
              m.smpp_account_id, m.registered_delivery, m.group_message_id,
              CASE WHEN m.smpp_account_id IS NOT NULL THEN left(m.body, 20) END AS beginning
"""

_FAIL_QUEUED = text(
    f"""
    WITH queued AS (
        SELECT DISTINCT ON (m.id) m.id, m.channel_id, coalesce(a.attempt, 0) + 1 AS attempt
        FROM unnest(CAST(:classes AS text[]), CAST(:addresses AS text[]), CAST(:topics AS text[]))
             AS x(channel_class, address, topic)
        JOIN unnest(CAST(:types AS text[]), CAST(:classes_of_types AS text[])) AS t(type, channel_class)
             ON t.channel_class = x.channel_class
        JOIN channels c ON c.account_id = :account_id AND c.type = t.type
        JOIN messages m ON m.account_id = :account_id AND m.recipient = x.address AND m.channel_id = c.id
             AND m.status = 'queued' AND x.topic IN ('all', coalesce(m.topic, 'service'))
        LEFT JOIN LATERAL (
            SELECT attempt, outcome FROM message_attempts
            WHERE message_id = m.id AND account_id = :account_id ORDER BY attempt DESC LIMIT 1
        ) a ON true
        -- An attempt without an outcome is under way.
        WHERE a.attempt IS NULL OR a.outcome IS NOT NULL
    ), free AS (
        -- What is locked is being settled by somebody else, for whom nobody must wait here.
        SELECT m.id, q.channel_id, q.attempt FROM queued q
        JOIN messages m ON m.id = q.id AND m.account_id = :account_id AND m.status = 'queued'
        ORDER BY m.id FOR UPDATE OF m SKIP LOCKED
    ), ended AS (
        INSERT INTO message_attempts (message_id, attempt, account_id, channel_id, ended_at, outcome, code, detail)
        SELECT id, attempt, :account_id, channel_id, now(), 'failed', :code, :detail FROM free
        ON CONFLICT DO NOTHING RETURNING message_id AS id
    ), {_END}
    """  # noqa: S608 - text of ours
)

_FAIL_STORED = text(f"WITH ended AS (SELECT unnest(CAST(:ids AS uuid[])) AS id), {_END}")

_SAID = {"code": CODE, "detail": DETAIL, "error": _ERROR}


class Unwanted(NamedTuple):
    """What is not wanted any more where; `address` is canonical."""

    channel_class: ChannelClass
    address: str
    topic: Topic


async def fail_queued(session: AsyncSession, account_id: UUID, unwanted: Sequence[Unwanted], new_id: NewId) -> int:
    """End what is queued for these addresses and was handed to nobody yet; how many messages that were."""
    types = [connector.type for connector in connectors()]
    values = {
        **_SAID,
        "account_id": account_id,
        "classes": [each.channel_class.value for each in unwanted],
        "addresses": [each.address for each in unwanted],
        "topics": [each.topic.value for each in unwanted],
        "types": types,
        "classes_of_types": [class_of(each).value for each in types],
    }
    ended = list(await session.execute(_FAIL_QUEUED, values))
    await _tell(session, account_id, ended, new_id)
    return len(ended)


async def fail_stored(session: AsyncSession, account_id: UUID, ids: Sequence[UUID], new_id: NewId) -> None:
    """End messages that the same transaction has stored and dispatches to nobody."""
    ended = list(await session.execute(_FAIL_STORED, {**_SAID, "account_id": account_id, "ids": list(ids)}))
    await _tell(session, account_id, ended, new_id)


async def _tell(session: AsyncSession, account_id: UUID, ended: list[Row[Any]], new_id: NewId) -> None:
    results_applied.labels("failed").inc(len(ended))
    submitted = [
        ChangedMessage(
            row.id,
            row.before,
            row.status,
            row.at,
            None,
            row.smpp_account_id,
            row.registered_delivery,
            row.recipient,
            row.sender,
            row.created_at,
            row.beginning,
        )
        for row in ended
        if row.smpp_account_id is not None
    ]
    await forward_receipts(session, account_id, submitted, new_id)
    moves = Counter(
        Move(row.group_message_id, row.before, row.status) for row in ended if row.group_message_id is not None
    )
    await count_moves(session, account_id, moves)
