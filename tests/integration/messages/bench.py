"""Messages in the table and results applied by hand, to show what the order of events may do."""

import time
from typing import Any
from uuid import UUID

from sqlalchemy import text

from app.domain.messages.events import (
    DispatchMessage,
    Outcome,
    Receipt,
    ReceiptStatus,
    ResultBatch,
    SubmitResult,
    SubmittedPart,
    decode_results,
)
from app.domain.messages.handover import Handover, Verdict
from app.domain.messages.repository import get_history, get_message
from app.domain.messages.results import apply_results
from app.lib.broker import RESULTS_QUEUE
from app.lib.db import Database, Scope
from app.lib.ids import new_id


class Bench:
    """One channel of one account."""

    def __init__(self, database: Database, account_id: str, channel_id: str) -> None:
        self.database = database
        self.account_id = UUID(account_id)
        self.channel_id = UUID(channel_id)

    async def message(self, to: str = "+251911000100", validity: int | None = None) -> UUID:
        identifier = new_id()
        async with self.database.unit_of_work() as session:
            await session.execute(
                text(
                    "INSERT INTO messages (id, account_id, channel_id, status, recipient, body, encoding, segments,"
                    " validity_seconds, created_at) VALUES (:id, :a, :c, 'queued', :to, 'x', 'gsm7', 1,"
                    " CAST(:v AS integer), now() - interval '1 minute')"
                ),
                {"id": identifier, "a": self.account_id, "c": self.channel_id, "to": to, "v": validity},
            )
        return identifier

    async def apply(self, **parts: Any) -> bool:
        batch = ResultBatch(new_id(), self.account_id, self.channel_id, **parts)
        async with self.database.unit_of_work() as session:
            return bool(await apply_results(session, [batch], new_id))

    async def status(self, identifier: UUID) -> str:
        async with self.database.reading() as session:
            rows = await session.execute(text("SELECT status FROM messages WHERE id = :id"), {"id": identifier})
            return str(rows.scalar_one())

    async def events(self, identifier: UUID) -> list[str]:
        scope = Scope(self.account_id)
        async with self.database.reading() as session:
            message = await get_message(session, scope, identifier)
            assert message is not None
            events, _, _ = await get_history(session, scope, message)
            return [event.status for event in events]

    async def parked(self) -> int:
        async with self.database.reading() as session:
            rows = await session.execute(
                text("SELECT count(*) FROM parked_receipts WHERE channel_id = :c"), {"c": self.channel_id}
            )
            return int(rows.scalar_one())

    async def claim(self, identifier: UUID, attempt: int = 1) -> Verdict:
        message = DispatchMessage(identifier.bytes, attempt, "+251911000100", None, "x")
        claims = await Handover(self.database).claim(self.account_id, self.channel_id, [message])
        return claims[0].verdict


def sent(identifier: UUID, *provider_ids: str) -> SubmitResult:
    parts = [SubmittedPart(n, provider_id) for n, provider_id in enumerate(provider_ids, 1)]
    return SubmitResult(identifier.bytes, 1, Outcome.SENT, time.time(), parts)


def receipt(provider_id: str, status: ReceiptStatus = ReceiptStatus.DELIVERED, to: str = "251911000100") -> Receipt:
    return Receipt(provider_id, status, time.time(), to)


async def carry(bench: Bench) -> int:
    """What the relay and the results consumer do with the outbox of this account; how many batches there were."""
    async with bench.database.unit_of_work() as session:
        rows = await session.execute(
            text("DELETE FROM outbox WHERE queue = :queue RETURNING body"), {"queue": RESULTS_QUEUE}
        )
        batches = [decode_results(row.body) for row in rows]
    for batch in batches:
        async with bench.database.unit_of_work() as session:
            assert await apply_results(session, [batch], new_id)
    return sum(batch.account_id == bench.account_id for batch in batches)
