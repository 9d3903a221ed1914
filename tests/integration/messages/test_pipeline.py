"""From the API through outbox, RabbitMQ and the worker to the last status, with the sandbox as the provider."""

import time
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from app.domain.channels.directory import ChannelDirectory
from app.domain.messages.events import (
    DispatchMessage,
    Failure,
    Inbound,
    Outcome,
    ReceiptStatus,
    ResultBatch,
    SubmitResult,
    decode_dispatch,
)
from app.domain.messages.handover import Handover, Verdict
from app.domain.messages.requeue import FIRST, requeue_some
from app.domain.messages.results import apply_results
from app.lib.broker import dispatch_queue
from app.lib.crypto import Envelope
from app.lib.db import Database
from app.lib.ids import new_id
from tests.integration.messages.bench import Bench, receipt, sent

FINAL = {"00": "delivered", "01": "failed", "02": "failed", "03": "failed", "04": "delivered", "05": "delivered"}
FINAL |= {"06": "sent", "07": "unknown", "08": "expired", "09": "read", "42": "delivered"}
CLASSES = {"01": "recipient", "02": "message", "03": "opted_out", "07": "unknown"}


@pytest.mark.usefixtures("pipeline")
async def test_every_scripted_outcome(
    client: httpx.AsyncClient, registered: dict[str, Any], sandbox: str, eventually: Any
) -> None:
    messages = [{"channel_id": sandbox, "to": f"+2519110001{end}", "text": "Hello"} for end in FINAL]
    batch = await client.post("/v1/messages/batch", json={"messages": messages}, headers=registered["headers"])
    ids = {item["message"]["to"][-2:]: item["message"]["id"] for item in batch.json()["items"]}
    for end, status in FINAL.items():
        message = await eventually(f"/v1/messages/{ids[end]}", lambda m, status=status: m["status"] == status)
        statuses = [event["status"] for event in message["events"]]
        assert statuses[0] == "queued"
        assert statuses[-1] == status
        if end in CLASSES:
            assert message["error"]["class"] == CLASSES[end]
            assert message["error"]["advice"]
        if status in ("delivered", "read"):
            assert message["error"] is None
            assert statuses[:3] == ["queued", "sent", "delivered"]
            assert message["sent_at"] <= message["delivered_at"]
            assert [part["number"] for part in message["parts"]] == [1]
        assert len(message["attempts"]) == (3 if end in ("04", "05") else 1)


@pytest.mark.usefixtures("pipeline")
async def test_an_inbound_message_is_stored_once(send: Any, eventually: Any) -> None:
    await send(to="+251911000555", text="#reply hello")
    page = await eventually("/v1/messages?direction=inbound", lambda page: page["items"])
    assert [(m["from"], m["text"], m["status"]) for m in page["items"]] == [("+251911000555", "hello", "received")]


@pytest.mark.usefixtures("pipeline")
async def test_what_is_queued_for_a_deleted_channel_fails_with_its_class(
    client: httpx.AsyncClient, registered: dict[str, Any], sandbox: str, send: Any, eventually: Any
) -> None:
    headers = registered["headers"]
    assert (await client.post(f"/v1/channels/{sandbox}/pause", headers=headers)).status_code == 200
    message = (await send()).json()
    assert (await client.delete(f"/v1/channels/{sandbox}", headers=headers)).status_code == 204
    failed = await eventually(f"/v1/messages/{message['id']}", lambda m: m["status"] != "queued")
    assert (failed["status"], failed["error"]["class"], failed["error"]["code"]) == (
        "failed",
        "channel",
        "channel_deleted",
    )


async def test_a_receipt_that_comes_first_waits_for_its_submit_result(bench: Bench) -> None:
    message = await bench.message()
    await bench.apply(receipts=[receipt("abc")])
    assert (await bench.status(message), await bench.parked()) == ("queued", 1)
    await bench.apply(results=[sent(message, "abc")])
    assert (await bench.status(message), await bench.parked()) == ("delivered", 0)
    assert await bench.events(message) == ["sent", "delivered"]


@pytest.mark.parametrize(
    ("submitted", "reported"),
    [
        ("70BA8A69", "1891273321"),
        ("6aad5", "0000436949"),
        ("0913121205", "913121205"),
        ("ABC-9", "abc-9"),
        ("255", "FF"),
    ],
)
async def test_ids_in_another_notation_match(bench: Bench, submitted: str, reported: str) -> None:
    message = await bench.message()
    await bench.apply(results=[sent(message, submitted)])
    await bench.apply(receipts=[receipt(reported)])
    assert await bench.status(message) == "delivered"


async def test_a_converted_id_of_another_recipient_does_not_match(bench: Bench) -> None:
    message = await bench.message()
    await bench.apply(results=[sent(message, "255")])
    await bench.apply(receipts=[receipt("FF", to="251911999999")])
    assert (await bench.status(message), await bench.parked()) == ("sent", 1)


async def test_a_message_of_several_parts_is_delivered_with_the_last_one(bench: Bench) -> None:
    message = await bench.message()
    await bench.apply(results=[sent(message, "p1", "p2", "p3")])
    await bench.apply(receipts=[receipt("p3"), receipt("p1")])
    assert await bench.status(message) == "sent"
    await bench.apply(receipts=[receipt("p1"), receipt("p2")])
    assert await bench.status(message) == "delivered"


async def test_one_failed_part_fails_the_message(bench: Bench) -> None:
    message = await bench.message()
    await bench.apply(results=[sent(message, "p1", "p2")])
    await bench.apply(receipts=[receipt("p1"), receipt("p2", ReceiptStatus.FAILED)])
    assert await bench.status(message) == "failed"


async def test_a_status_never_goes_back(bench: Bench) -> None:
    message = await bench.message()
    await bench.apply(results=[sent(message, "x1")])
    await bench.apply(receipts=[receipt("x1")])
    await bench.apply(receipts=[receipt("x1", ReceiptStatus.FAILED), receipt("x1", ReceiptStatus.EXPIRED)])
    await bench.apply(results=[SubmitResult(message.bytes, 1, Outcome.UNKNOWN, time.time())])
    assert (await bench.status(message), await bench.events(message)) == ("delivered", ["sent", "delivered"])
    await bench.apply(receipts=[receipt("x1", ReceiptStatus.READ)])
    assert await bench.status(message) == "read"


async def test_an_intermediate_receipt_is_history_only(bench: Bench) -> None:
    message = await bench.message()
    await bench.apply(results=[sent(message, "x2")])
    await bench.apply(receipts=[receipt("x2", ReceiptStatus.SENT), receipt("x2", ReceiptStatus.UNKNOWN)])
    assert (await bench.status(message), await bench.events(message)) == ("sent", ["sent", "sent", "sent"])


async def test_unknown_is_settled_by_a_late_answer(bench: Bench) -> None:
    message = await bench.message()
    await bench.apply(results=[SubmitResult(message.bytes, 1, Outcome.UNKNOWN, time.time())])
    assert await bench.status(message) == "unknown"
    await bench.apply(results=[sent(message, "late")])
    await bench.apply(receipts=[receipt("late")])
    assert await bench.events(message) == ["unknown", "sent", "delivered"]


async def test_a_redelivered_batch_changes_nothing(bench: Bench) -> None:
    message = await bench.message()
    inbound = Inbound(new_id().bytes, "key", "+251911000100", "DEMO", "hi", time.time())
    batch = ResultBatch(new_id(), bench.account_id, bench.channel_id, [sent(message, "y")], [receipt("y")], [inbound])
    for expected in (True, False, False):
        async with bench.database.unit_of_work() as session:
            assert await apply_results(session, [batch], new_id) == expected
    assert await bench.events(message) == ["sent", "delivered"]
    assert await bench.apply(inbound=[inbound])
    async with bench.database.reading() as session:
        rows = await session.execute(
            text("SELECT count(*) FROM messages WHERE channel_id = :c AND direction = 'inbound'"),
            {"c": bench.channel_id},
        )
        assert rows.scalar_one() == 1


async def test_results_of_another_account_change_nothing(bench: Bench) -> None:
    message = await bench.message()
    stranger = Bench(bench.database, str(new_id()), str(bench.channel_id))
    await stranger.apply(results=[sent(message, "z")])
    assert await bench.status(message) == "queued"


async def test_a_message_is_claimed_once_for_each_attempt(bench: Bench) -> None:
    message = await bench.message()
    assert await bench.claim(message) is Verdict.CLAIMED
    assert await bench.claim(message) is Verdict.TAKEN
    handover = Handover(bench.database)
    await handover.release(bench.account_id, [DispatchMessage(message.bytes, 1, "", None, "")])
    assert await bench.claim(message) is Verdict.CLAIMED


async def test_a_claim_that_ended_in_a_retry_is_settled(bench: Bench) -> None:
    message = await bench.message()
    await bench.claim(message)
    failure = Failure("throttled", "throttled", "Slow down.")
    retry = SubmitResult(message.bytes, 1, Outcome.RETRY, time.time(), failure=failure, retry_after=3600)
    await bench.apply(results=[retry])
    assert (await bench.status(message), await bench.claim(message)) == ("queued", Verdict.SETTLED)
    assert await bench.claim(message, attempt=2) is Verdict.CLAIMED


async def test_an_expired_message_is_not_handed_over(bench: Bench) -> None:
    assert await bench.claim(await bench.message(validity=30)) is Verdict.EXPIRED
    assert await bench.claim(await bench.message(validity=300)) is Verdict.CLAIMED


async def test_a_settled_message_is_not_handed_over(bench: Bench) -> None:
    message = await bench.message()
    await bench.apply(results=[SubmitResult(message.bytes, 1, Outcome.UNKNOWN, time.time())])
    assert await bench.claim(message) is Verdict.SETTLED
    assert await bench.claim(new_id()) is Verdict.SETTLED


async def test_requeue_dispatches_what_was_never_handed_over(
    bench: Bench, database: Database, envelope: Envelope
) -> None:
    stranded, claimed = await bench.message(), await bench.message()
    await bench.claim(claimed)
    record = await ChannelDirectory(database, envelope).find(bench.channel_id)
    assert record is not None
    # Rolled back at the end, so that no relay of another test takes the rows.
    async with database.reading() as session:
        assert await requeue_some(session, record, FIRST, new_id) == (1, stranded)
        rows = await session.execute(
            text("SELECT body FROM outbox WHERE queue = :queue"), {"queue": dispatch_queue(bench.channel_id, "high")}
        )
        batches = [decode_dispatch(row.body) for row in rows]
        assert [message.id for batch in batches for message in batch.messages] == [stranded.bytes]
        assert await requeue_some(session, record, stranded, new_id) == (0, stranded)
