"""Batches that wait for one channel are applied together; what comes of them is what would have come one by one."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from app.domain.messages.events import DispatchMessage, Outcome, Receipt, ReceiptStatus, ResultBatch, SubmitResult
from app.domain.messages.handover import ClaimInDoubt, Doubt, Handover, Verdict
from app.domain.messages.people import NO_PEOPLE
from app.domain.messages.results import apply_results
from app.lib.db import Database
from app.lib.ids import new_id
from app.lib.service import Stop
from app.workers import results as consumer
from app.workers.results import ResultLines
from tests.database_door import DatabaseDoor
from tests.integration.messages.bench import Bench, receipt, sent


def batch(bench: Bench, **parts: Any) -> ResultBatch:
    return ResultBatch(new_id(), bench.account_id, bench.channel_id, **parts)


async def together(bench: Bench, *batches: ResultBatch) -> int:
    async with bench.database.unit_of_work() as session:
        return await apply_results(session, batches, new_id)


async def row(bench: Bench, message: UUID) -> Any:
    async with bench.database.reading() as session:
        found = await session.execute(
            text("SELECT status, sent_at, delivered_at, error FROM messages WHERE id = :id"), {"id": message}
        )
        return found.one()


async def test_a_result_and_its_receipt_are_one_change_with_the_history_of_two(bench: Bench) -> None:
    message = await bench.message()
    now = time.time()
    result = SubmitResult(message.bytes, 1, Outcome.SENT, now, sent(message, "a1").parts)
    assert await together(bench, batch(bench, receipts=[receipt("a1")]), batch(bench, results=[result])) == 2
    assert await bench.events(message) == ["sent", "delivered"]
    found = await row(bench, message)
    assert found.status == "delivered"
    assert found.sent_at.timestamp() == pytest.approx(now, abs=1e-5)
    assert found.sent_at <= found.delivered_at
    assert await bench.parked() == 0


async def test_what_was_sent_and_then_failed_has_been_sent(bench: Bench) -> None:
    message = await bench.message()
    await together(
        bench, batch(bench, results=[sent(message, "f")]), batch(bench, receipts=[receipt("f", ReceiptStatus.FAILED)])
    )
    found = await row(bench, message)
    assert (found.status, found.error["code"]) == ("failed", "receipt_failed")
    assert found.sent_at is not None
    assert found.delivered_at is None
    assert await bench.events(message) == ["sent", "failed"]


async def test_a_second_answer_of_what_was_sent_before_is_no_second_history(bench: Bench) -> None:
    message = await bench.message()
    await bench.apply(results=[sent(message, "one")])
    await together(bench, batch(bench, results=[sent(message, "two")]), batch(bench, receipts=[receipt("one")]))
    assert await bench.events(message) == ["sent", "delivered"]


async def test_three_changes_of_one_message_are_made_in_order(bench: Bench) -> None:
    message = await bench.message()
    await together(
        bench,
        batch(bench, results=[sent(message, "r")]),
        batch(bench, receipts=[receipt("r"), receipt("r", ReceiptStatus.READ), receipt("r", ReceiptStatus.FAILED)]),
    )
    assert await bench.events(message) == ["sent", "delivered", "read"]
    assert (await row(bench, message)).status == "read"


async def test_a_batch_counts_once_however_often_it_comes(bench: Bench) -> None:
    message, other = await bench.message(), await bench.message()
    first, second = batch(bench, results=[sent(message, "p")]), batch(bench, results=[sent(other, "q")])
    assert await together(bench, first, first) == 1
    assert await together(bench, second, first) == 1
    assert await together(bench, second, first) == 0
    assert (await bench.events(message), await bench.events(other)) == (["sent"], ["sent"])


async def test_two_recipients_with_one_id_are_told_apart_by_their_numbers(bench: Bench) -> None:
    one, two = await bench.message(to="+251911000001"), await bench.message(to="+251911000002")
    told = [
        Receipt("same", ReceiptStatus.DELIVERED, time.time(), recipient="251911000002"),
        Receipt("same", ReceiptStatus.FAILED, time.time(), recipient="0911000001"),
    ]
    await together(bench, batch(bench, results=[sent(one, "same"), sent(two, "same")], receipts=told))
    assert (await bench.status(one), await bench.status(two)) == ("failed", "delivered")


async def test_the_parts_of_a_message_are_shown_with_what_became_of_it(bench: Bench) -> None:
    async def shown(message: UUID) -> Sequence[str]:
        async with bench.database.reading() as session:
            rows = await session.execute(
                text("SELECT status FROM message_parts WHERE message_id = :id"), {"id": message}
            )
            return list(rows.scalars())

    single = await bench.message()
    await together(bench, batch(bench, results=[sent(single, "s")], receipts=[receipt("s")]))
    # One part is not written twice: the message's status says it (`app.domain.messages.repository.get_history`).
    assert await shown(single) == ["sent"]
    several = await bench.message()
    parts = [*sent(several, "m1").parts, *sent(several, "m2").parts]
    numbered = [type(part)(number, part.provider_message_id) for number, part in enumerate(parts, 1)]
    result = SubmitResult(several.bytes, 1, Outcome.SENT, time.time(), numbered)
    await together(bench, batch(bench, results=[result], receipts=[receipt("m1"), receipt("m2")]))
    assert await shown(several) == ["delivered", "delivered"]
    assert await bench.status(several) == "delivered"


def wanted(message: UUID, attempt: int) -> DispatchMessage:
    return DispatchMessage(message.bytes, attempt, "+251911000100", None, "Hello", None, None)


@pytest.mark.parametrize("heard", [True, False])
async def test_a_claim_whose_commit_was_not_answered(bench: Bench, database_url: str, heard: bool) -> None:
    """Whether it was stored or not: whoever asked has it in the end, and nobody else."""
    one, another, settled = [await bench.message() for _ in range(3)]
    await bench.apply(results=[sent(settled, new_id().hex)])
    asked = [wanted(one, 1), wanted(settled, 1), wanted(another, 2)]
    async with DatabaseDoor(database_url) as door:
        database = Database(door.url, process="test-doubt", pool_size=1)
        handover = Handover(database)
        door.end_at(b"COMMIT", heard=heard)
        with pytest.raises(ClaimInDoubt) as raised:
            await handover.claim(bench.account_id, bench.channel_id, asked)
        # The second time as well.
        door.end_at(b"COMMIT", heard=heard)
        with pytest.raises(ClaimInDoubt) as again:
            await handover.claim(bench.account_id, bench.channel_id, asked, raised.value.doubt)
        claims = await handover.claim(bench.account_id, bench.channel_id, asked, again.value.doubt)
        await database.close()
    expected = [Verdict.CLAIMED, Verdict.SETTLED, Verdict.CLAIMED]
    assert [claim.verdict for claim in claims] == expected
    handover = Handover(bench.database)
    claims = await handover.claim(bench.account_id, bench.channel_id, asked)
    assert [claim.verdict for claim in claims] == [Verdict.TAKEN, Verdict.SETTLED, Verdict.TAKEN]


async def test_a_doubt_about_what_somebody_else_has_claimed(bench: Bench) -> None:
    """It says nothing: another process has sent it, or will."""
    message = await bench.message()
    handover = Handover(bench.database)
    claims = await handover.claim(bench.account_id, bench.channel_id, [wanted(message, 1)])
    doubt = Doubt(claims, transaction=3)
    claims = await handover.claim(bench.account_id, bench.channel_id, [wanted(message, 1)], doubt)
    assert [claim.verdict for claim in claims] == [Verdict.TAKEN]


async def test_claims_of_several_attempts_at_once(bench: Bench) -> None:
    first, second, settled, outdated = [await bench.message() for _ in range(4)]
    handover = Handover(bench.database)
    assert [each.verdict for each in await handover.claim(bench.account_id, bench.channel_id, [wanted(first, 1)])] == [
        Verdict.CLAIMED
    ]
    await bench.apply(results=[sent(settled, "done")])
    expired = await bench.message(validity=1)
    asked = [wanted(first, 1), wanted(second, 2), wanted(settled, 1), wanted(outdated, 1), wanted(expired, 3)]
    claims = await handover.claim(bench.account_id, bench.channel_id, asked)
    assert [claim.message for claim in claims] == asked
    assert [claim.verdict for claim in claims] == [
        Verdict.TAKEN,
        Verdict.CLAIMED,
        Verdict.SETTLED,
        Verdict.CLAIMED,
        Verdict.EXPIRED,
    ]


class TestLines:
    """The consumer's lines of batches."""

    def lines(self, bench: Bench) -> ResultLines:
        return ResultLines(bench.database, NO_PEOPLE, new_id, Stop())

    async def test_what_waits_for_a_channel_is_one_transaction(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sizes: list[int] = []

        async def watched(session: Any, batches: Sequence[ResultBatch], *more: Any) -> int:
            sizes.append(len(batches))
            return await apply_results(session, batches, *more)

        monkeypatch.setattr(consumer, "apply_results", watched)
        monkeypatch.setattr(consumer, "MOST_ENTRIES", 4)
        messages = [await bench.message() for _ in range(7)]
        lines = self.lines(bench)
        batches = [batch(bench, results=[sent(each, f"l{place}")]) for place, each in enumerate(messages)]
        applied = await asyncio.gather(*[lines.apply(each) for each in batches])
        assert applied == [True] * 7
        assert sizes == [4, 3]
        assert [await bench.status(each) for each in messages] == ["sent"] * 7

    async def test_a_batch_that_cannot_be_applied_takes_no_other_with_it(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(consumer, "MAX_DEFECTS", 1)
        good, better = await bench.message(), await bench.message()
        # PostgreSQL has no text with this character.
        bad = batch(bench, results=[sent(good, "x\0y")])
        lines = self.lines(bench)
        batches = [batch(bench, results=[sent(good, "g")]), bad, batch(bench, results=[sent(better, "b")])]
        assert await asyncio.gather(*map(lines.apply, batches)) == [True, False, True]
        assert (await bench.status(good), await bench.status(better)) == ("sent", "sent")

    async def test_when_the_process_ends_what_waits_is_given_back(self, bench: Bench) -> None:
        stop = Stop()
        stop.set()
        lines = ResultLines(bench.database, NO_PEOPLE, new_id, stop)
        assert not await lines.apply(batch(bench, results=[sent(await bench.message(), "late")]))
