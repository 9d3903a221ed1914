"""Receipts find their messages: by either id, by recipient, on the wrong channel, in any order."""

import json
import time
from typing import Any

import pytest
from sqlalchemy import text

from app.domain.messages.events import Outcome, Receipt, ReceiptStatus, SubmitResult
from app.lib.ids import new_id
from scheduler.jobs.inbound import rematch_receipts
from tests.integration.messages.bench import Bench, carry, receipt, sent

OPERATOR = {"hosts": [{"host": "SMSC.example", "port": 2775}]}
SAME_OPERATOR = {"hosts": [{"host": "other.example", "port": 1}, {"host": "smsc.example", "port": 2775}]}
ANOTHER_OPERATOR = {"hosts": [{"host": "smsc.example", "port": 2776}]}


async def channel(bench: Bench, config: dict[str, Any], kind: str = "smpp") -> Bench:
    """Another channel of the account, as a bench of its own."""
    identifier = new_id()
    async with bench.database.unit_of_work() as session:
        await session.execute(
            text(
                "INSERT INTO channels (id, account_id, name, type, config, credentials, status)"
                " VALUES (:id, :a, :name, :kind, CAST(:config AS jsonb), '', 'paused')"
            ),
            {
                "id": identifier,
                "a": bench.account_id,
                "name": identifier.hex,
                "kind": kind,
                "config": json.dumps(config),
            },
        )
    return Bench(bench.database, str(bench.account_id), str(identifier))


async def part_statuses(bench: Bench) -> list[str]:
    async with bench.database.reading() as session:
        rows = await session.execute(
            text("SELECT status FROM message_parts WHERE channel_id = :c ORDER BY message_id, number"),
            {"c": bench.channel_id},
        )
        return list(rows.scalars())


@pytest.mark.parametrize(
    ("stored", "first", "second"),
    [
        ("70BA8A69", "70ba8a69", "1891273321"),
        ("1891273321", "70BA8A69", "1891273321"),
        ("0416342074", "18d0e03a", "0416342074"),
        ("text-only", "not-this-one", "TEXT-ONLY"),
    ],
)
async def test_either_id_of_a_receipt_will_do(bench: Bench, stored: str, first: str, second: str) -> None:
    """field problem 2: the parameter has the id in one base, the text in the other, and the answer had one of them."""
    message = await bench.message()
    await bench.apply(results=[sent(message, stored)])
    await bench.apply(receipts=[Receipt(first, ReceiptStatus.DELIVERED, time.time(), "251911000100", second_id=second)])
    assert await bench.status(message) == "delivered"


async def test_the_text_of_a_receipt_alone_proves_nothing(bench: Bench) -> None:
    """field problem 2: the decimal id in a text may be the hexadecimal one of another message."""
    other = await bench.message(to="+251911000200")
    await bench.apply(results=[sent(other, "436949")])
    early = Receipt("6aad5", ReceiptStatus.DELIVERED, time.time(), "251911000100", second_id="436949")
    await bench.apply(receipts=[early])
    assert (await bench.status(other), await bench.parked()) == ("sent", 1)
    message = await bench.message()
    await bench.apply(results=[sent(message, "6AAD5")])
    assert (await bench.status(message), await bench.parked()) == ("delivered", 0)


@pytest.mark.parametrize(
    ("id_format", "stored", "reported", "status"),
    [
        ("exact", "255", "FF", "sent"),
        ("exact", "00AB", "ab", "delivered"),
        ("hex", "255", "FF", "delivered"),
        ("hex", "16", "10", "delivered"),
        ("decimal", "FF", "255", "delivered"),
        ("decimal", "10", "16", "delivered"),
    ],
)
async def test_a_channel_that_says_how_ids_are_written_needs_no_other_evidence(
    bench: Bench, id_format: str, stored: str, reported: str, status: str
) -> None:
    """field problem 2: the channel's message_id_format decides. field problem 3: one spelling on both sides."""
    message = await bench.message()
    await bench.apply(results=[sent(message, stored)])
    await bench.apply(receipts=[Receipt(reported, ReceiptStatus.DELIVERED, time.time(), None, id_format=id_format)])
    assert await bench.status(message) == status


async def test_messages_that_share_an_id_are_told_apart_by_recipient(bench: Bench) -> None:
    """field problem 42: one id for all recipients of a submission."""
    messages = [await bench.message(to=f"+25191100010{n}") for n in range(3)]
    await bench.apply(results=[sent(message, "shared") for message in messages])
    await bench.apply(
        receipts=[
            receipt("shared", to="251911000100"),
            receipt("shared", ReceiptStatus.FAILED, to="0911000101"),
            receipt("shared", ReceiptStatus.EXPIRED, to="+251911000102"),
        ]
    )
    assert [await bench.status(message) for message in messages] == ["delivered", "failed", "expired"]


async def test_of_two_uses_of_an_id_the_younger_counts(bench: Bench) -> None:
    old, young = await bench.message(), await bench.message()
    await bench.apply(results=[sent(old, "again")])
    await bench.apply(results=[sent(young, "again")])
    await bench.apply(receipts=[receipt("again", to="")])
    assert [await bench.status(each) for each in (old, young)] == ["sent", "delivered"]


async def test_one_receipt_speaks_for_a_whole_text_where_the_channel_says_so(bench: Bench) -> None:
    """field problem 33: "a receipt for one part only" as an option."""
    message = await bench.message()
    await bench.apply(results=[sent(message, "p1", "p2", "p3")])
    whole = Receipt("p3", ReceiptStatus.DELIVERED, time.time(), "251911000100", whole=True)
    await bench.apply(receipts=[whole])
    assert (await bench.status(message), await part_statuses(bench)) == ("delivered", ["delivered"] * 3)


async def test_parts_settle_once_whatever_is_said_afterwards(bench: Bench) -> None:
    """field problem 31: "delivered" and at once "pending", and then "failed", in one batch and in later ones."""
    message = await bench.message()
    await bench.apply(results=[sent(message, "p1", "p2")])
    await bench.apply(
        receipts=[
            receipt("p1"),
            receipt("p1", ReceiptStatus.SENT),
            receipt("p1", ReceiptStatus.FAILED),
            receipt("p1", ReceiptStatus.UNKNOWN),
        ]
    )
    assert (await bench.status(message), await part_statuses(bench)) == ("sent", ["delivered", "sent"])
    await bench.apply(receipts=[receipt("p1", ReceiptStatus.EXPIRED), receipt("p2")])
    assert (await bench.status(message), await part_statuses(bench)) == ("delivered", ["delivered", "delivered"])


async def test_a_failed_part_speaks_with_its_own_words(bench: Bench) -> None:
    message = await bench.message()
    await bench.apply(results=[sent(message, "p1", "p2")])
    failed = Receipt("p1", ReceiptStatus.FAILED, time.time(), "251911000100", "UNDELIV", "21b")
    await bench.apply(receipts=[failed, receipt("p2")])
    async with bench.database.reading() as session:
        error = (await session.execute(text("SELECT error FROM messages WHERE id = :id"), {"id": message})).scalar_one()
    assert (error["code"], error["detail"], error["provider_code"]) == (
        "receipt_failed",
        "The operator reported UNDELIV.",
        "21b",
    )


async def test_a_text_is_delivered_once_when_all_its_receipts_come_together(bench: Bench) -> None:
    message = await bench.message()
    await bench.apply(results=[sent(message, "p1", "p2", "p3")])
    await bench.apply(receipts=[receipt("p1"), receipt("p2"), receipt("p3")])
    assert await bench.events(message) == ["sent", "delivered"]


async def test_an_attempt_that_is_made_again_keeps_the_first_ones_receipt(bench: Bench) -> None:
    """field problem 14: what was submitted stays known by its id, whatever is tried afterwards."""
    message = await bench.message()
    await bench.apply(results=[SubmitResult(message.bytes, 1, Outcome.UNKNOWN, time.time(), sent(message, "a").parts)])
    await bench.apply(results=[sent(message, "b")])
    await bench.apply(receipts=[receipt("a")])
    assert await bench.status(message) == "delivered"


# -- two channels with one login ----------------------------------------------------------------------------------


async def test_a_receipt_on_another_channel_of_the_same_operator_finds_its_message(bench: Bench) -> None:
    """field problem 32: the operator sends receipts on any session of a login, and two channels may share one."""
    mine, other = await channel(bench, OPERATOR), await channel(bench, SAME_OPERATOR)
    message = await mine.message()
    await mine.apply(results=[sent(message, "abc")])
    await other.apply(receipts=[receipt("ABC")])
    assert (await other.parked(), await carry(bench)) == (0, 1)
    assert (await mine.status(message), await mine.parked()) == ("delivered", 0)


async def test_the_channels_own_message_goes_before_anothers(bench: Bench) -> None:
    mine, other = await channel(bench, OPERATOR), await channel(bench, SAME_OPERATOR)
    message, theirs = await mine.message(), await other.message()
    await mine.apply(results=[sent(message, "abc")])
    await other.apply(results=[sent(theirs, "abc")])
    await other.apply(receipts=[receipt("abc")])
    assert await carry(bench) == 0
    assert [await mine.status(message), await other.status(theirs)] == ["sent", "delivered"]


@pytest.mark.parametrize(
    ("config", "kind", "to"),
    [
        (ANOTHER_OPERATOR, "smpp", "251911000100"),
        (SAME_OPERATOR, "http", "251911000100"),
        (SAME_OPERATOR, "smpp", "251911999999"),
        (SAME_OPERATOR, "smpp", ""),
    ],
    ids=["another port", "another type", "another recipient", "no recipient"],
)
async def test_a_receipt_of_somebody_else_stays_where_it_is(
    bench: Bench, config: dict[str, Any], kind: str, to: str
) -> None:
    mine, other = await channel(bench, OPERATOR), await channel(bench, config, kind)
    message = await mine.message()
    await mine.apply(results=[sent(message, "abc")])
    await other.apply(receipts=[receipt("abc", to=to)])
    assert (await other.parked(), await carry(bench), await mine.status(message)) == (1, 0, "sent")


async def test_a_receipt_on_another_channel_waits_for_the_submit_result(bench: Bench) -> None:
    """field problem 1: the receipt is parked on the wrong channel, and found there when the answer has come."""
    mine, other = await channel(bench, OPERATOR), await channel(bench, SAME_OPERATOR)
    message = await mine.message()
    await other.apply(receipts=[receipt("abc")])
    await mine.apply(results=[sent(message, "abc")])
    await rematch_receipts(bench.database)
    assert await other.parked() == 1
    async with bench.database.unit_of_work() as session:
        await session.execute(
            text("UPDATE parked_receipts SET parked_at = parked_at - interval '20 s' WHERE channel_id = :c"),
            {"c": other.channel_id},
        )
    await rematch_receipts(bench.database)
    assert (await other.parked(), await carry(bench)) == (0, 1)
    assert await mine.status(message) == "delivered"
