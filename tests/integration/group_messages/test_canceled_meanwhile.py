"""What a sender had in hand when its group message was canceled, and gives back unsent: nobody sends it any more."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from app.domain.messages.events import DispatchMessage
from app.domain.messages.handover import Handover, Verdict
from app.domain.messages.retries import enqueue_due_retries
from app.lib.ids import new_id
from tests.integration.group_messages.conftest import Sender

A, B, C = (f"+2519110001{number}" for number in (50, 51, 52))
SECONDS = 60.0

_RETRY_AT_ONCE = """
    WITH ended AS (
        UPDATE message_attempts SET outcome = 'retry', ended_at = now() WHERE message_id = :id
    )
    INSERT INTO message_retries (message_id, attempt, account_id, channel_id, next_attempt_at)
    SELECT id, 2, account_id, channel_id, now() FROM messages WHERE id = :id
"""


def dispatched(message: Any) -> DispatchMessage:
    """A message as a sender has it."""
    return DispatchMessage(message.id.bytes, 1, message.recipient, None, message.body)


async def claim(sender: Sender, messages: Sequence[Any]) -> list[Verdict]:
    """What a sender is told that wants to hand these over."""
    claims = await Handover(sender.database).claim(
        sender.account_id, UUID(sender.channel_id), [dispatched(message) for message in messages]
    )
    return [each.verdict for each in claims]


async def release(sender: Sender, messages: Sequence[Any]) -> None:
    """A sender gives these back unsent."""
    await Handover(sender.database).release(sender.account_id, [dispatched(message) for message in messages])


async def statuses(sender: Sender, group_message: str) -> list[str]:
    """Of its messages, by recipient."""
    return [row.status for row in await sender.messages(group_message)]


async def in_hand(sender: Sender) -> tuple[str, list[Any]]:
    """A group message to three whose messages a sender has claimed."""
    sent = await sender.send({"addresses": [A, B, C]})
    await sender.walk(sent)
    messages = await sender.messages(sent)
    assert await claim(sender, messages) == [Verdict.CLAIMED] * 3
    return sent, messages


async def test_a_claim_that_is_given_back_after_the_cancellation(sender: Sender) -> None:
    sent, messages = await in_hand(sender)
    await sender.act(sent, "cancel")
    assert await statuses(sender, sent) == ["queued"] * 3
    await release(sender, messages[:2])
    assert await statuses(sender, sent) == ["canceled", "canceled", "queued"]
    # Once more, as by a sender who did not hear that it was done.
    await release(sender, messages[:2])
    assert await claim(sender, messages) == [Verdict.SETTLED, Verdict.SETTLED, Verdict.TAKEN]
    await sender.settle(sent)
    counted = await sender.check_counters(sent)
    assert (counted["canceled"], counted["sent"]) == (2, 1)
    history = await sender.answer("GET", f"/messages/{messages[0].id}")
    assert history["status"] == "canceled"


@pytest.mark.parametrize("action", ["", "pause"])
async def test_a_claim_of_one_that_goes_on_is_only_given_back(sender: Sender, action: str) -> None:
    sent, messages = await in_hand(sender)
    if action:
        await sender.act(sent, action)
    await release(sender, messages)
    assert await statuses(sender, sent) == ["queued"] * 3
    assert await claim(sender, messages) == [Verdict.CLAIMED] * 3
    await sender.check_counters(sent)


async def test_one_that_was_canceled_and_deleted(sender: Sender) -> None:
    sent, messages = await in_hand(sender)
    await sender.act(sent, "cancel")
    assert (await sender.call("DELETE", f"/group-messages/{sent}")).status_code == 204
    await release(sender, messages)
    assert await statuses(sender, sent) == ["canceled"] * 3
    assert await claim(sender, messages) == [Verdict.SETTLED] * 3


async def test_a_cancellation_and_whoever_gives_back_wait_for_each_other(sender: Sender) -> None:
    sent, messages = await in_hand(sender)
    async with sender.database.unit_of_work() as session:
        # A cancellation that has seen the claims, and not committed.
        await session.execute(text("UPDATE group_messages SET status = 'canceled' WHERE id = :id"), {"id": UUID(sent)})
        giving_back = asyncio.create_task(release(sender, messages))
        async with asyncio.timeout(SECONDS):
            while not await _waits(sender):
                await asyncio.sleep(0.02)
        assert not giving_back.done()
    await giving_back
    assert await statuses(sender, sent) == ["canceled"] * 3
    await sender.check_counters(sent)


async def _waits(sender: Sender) -> bool:
    async with sender.database.reading() as session:
        waiting = await session.scalar(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND wait_event_type = 'Lock' AND query LIKE '%FOR SHARE%'"
            )
        )
    return bool(waiting)


async def test_what_was_refused_for_now_is_not_tried_again(sender: Sender) -> None:
    sent, messages = await in_hand(sender)
    other, others = await in_hand(sender)
    await sender.act(sent, "cancel")
    for message in (messages[0], others[0]):
        await sender.execute(_RETRY_AT_ONCE, id=message.id)
    async with sender.database.unit_of_work() as session:
        assert await enqueue_due_retries(session, new_id) >= 2
    assert await statuses(sender, sent) == ["canceled", "queued", "queued"]
    assert await statuses(sender, other) == ["queued"] * 3
    assert (await sender.check_counters(sent))["canceled"] == 1
    verdicts = await Handover(sender.database).claim(
        sender.account_id,
        UUID(sender.channel_id),
        [
            DispatchMessage(message.id.bytes, 2, message.recipient, None, message.body)
            for message in (messages[0], others[0])
        ],
    )
    assert [each.verdict for each in verdicts] == [Verdict.SETTLED, Verdict.CLAIMED]
