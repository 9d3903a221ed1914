"""How a group message goes out: its steps, its time, its pace, and what its owner does meanwhile."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.domain.group_messages import steps
from app.lib.db import Database
from tests.conftest import Registered
from tests.integration.group_messages.conftest import Sender

A, B, C, D = (f"+2519110001{number}" for number in (50, 51, 52, 53))


class Died(Exception):
    """What ends a step in the middle here."""


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of three recipients."""
    monkeypatch.setattr(steps, "MOST", 3)


async def test_text_becomes_a_template_whose_version_the_messages_name(sender: Sender) -> None:
    sent = await sender.send({"addresses": [A]}, "Hello")
    shown = await sender.show(sent)
    assert shown["template_id"] is not None
    await sender.answer("PATCH", f"/templates/{shown['template_id']}", {"body": "Something else"})
    await sender.walk(sent)
    (message,) = await sender.messages(sent)
    assert (message.body, message.template_version) == ("Hello", 1)
    detail = await sender.answer("GET", f"/messages/{message.id}")
    assert (detail["group_message_id"], detail["template_id"]) == (sent, shown["template_id"])


async def test_a_template_as_it_was_at_the_start(sender: Sender) -> None:
    template = await sender.answer("POST", "/templates", {"name": "T", "body": "Hello {WHO}"})
    sent = await sender.send({"addresses": [A]}, "", text=None, template_id=template["id"], variables={"WHO": "all"})
    await sender.answer("PATCH", f"/templates/{template['id']}", {"body": "Something else"})
    assert (await sender.call("DELETE", f"/templates/{template['id']}")).status_code == 204
    await sender.walk(sent)
    assert [row.body for row in await sender.messages(sent)] == ["Hello all"]


async def test_a_template_or_channel_that_is_gone_is_a_conflict(sender: Sender) -> None:
    template = await sender.answer("POST", "/templates", {"name": "T", "body": "Hello"})
    first = await sender.draft({"addresses": [A]}, "", text=None, template_id=template["id"])
    second = await sender.draft({"addresses": [A]})
    await sender.call("DELETE", f"/templates/{template['id']}")
    for path in ("send", "preflight"):
        answer = await sender.call("POST", f"/group-messages/{first}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (409, "template_deleted")
    await sender.call("DELETE", f"/channels/{sender.channel_id}")
    for path in ("send", "preflight"):
        answer = await sender.call("POST", f"/group-messages/{second}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (409, "channel_deleted")


@pytest.mark.usefixtures("few")
async def test_events_say_now_and_then_how_far_it_has_come(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    async def told() -> list[Any]:
        events = await sender.answer("GET", "/events", type="group_message.progress")
        return [event["data"] for event in events["items"]]

    await sender.contacts(8, "vip")
    sent = await sender.send({"tags": ["vip"]})
    await sender.step(sent)
    assert await told() == []
    monkeypatch.setattr("app.domain.group_messages.steps.PROGRESS_SECONDS", 0.0)
    await sender.walk(sent)
    first = await told()
    assert sorted(data["accepted"] for data in first) == [6, 8]
    assert {(data["status"], data["messages"]["sent"]) for data in first} == {("running", 0)}
    await sender.step(sent)
    # Nothing has changed since.
    assert await told() == first
    await sender.settle(sent)
    await sender.step(sent)
    ended = (await sender.answer("GET", "/events", type="group_message.completed"))["items"]
    assert [event["data"]["messages"]["sent"] for event in ended] == [8]


@pytest.mark.usefixtures("few")
async def test_a_step_that_dies_repeats_nothing(sender: Sender) -> None:
    numbers = await sender.contacts(8, "vip")
    sent = await sender.send({"tags": ["vip"]})
    for _ in range(4):
        with pytest.raises(Died):
            async with sender.database.unit_of_work(sender.account_id) as session:
                await sender.steps.take(session, sender.account_id, UUID(sent))
                raise Died
        await sender.step(sent)
    await sender.walk(sent)
    assert await sender.recipients(sent) == numbers
    await sender.check_counters(sent)


@pytest.mark.usefixtures("few")
async def test_two_that_step_at_once(sender: Sender) -> None:
    numbers = await sender.contacts(10, "vip")
    sent = await sender.send({"tags": ["vip"]})
    for _ in range(6):
        await asyncio.gather(sender.step(sent), sender.step(sent), sender.step(sent))
    await sender.walk(sent)
    assert await sender.recipients(sent) == numbers
    await sender.check_counters(sent)


@pytest.mark.usefixtures("few")
async def test_whoever_moves_during_the_walk_gets_it_once(sender: Sender) -> None:
    await sender.contacts(5, "vip")
    sent = await sender.send({"tags": ["vip"]})
    await sender.step(sent)
    first = (await sender.messages(sent))[0]
    # The same number again, of a contact that the walk has not come to.
    await sender.answer("PATCH", f"/contacts/{first.contact_id}", {"phone": None})
    await sender.contact(phone=first.recipient, tags=["vip"])
    await sender.walk(sent)
    assert len(await sender.recipients(sent)) == len(set(await sender.recipients(sent))) == 5
    await sender.check_counters(sent)


@pytest.mark.usefixtures("few")
async def test_pause_and_resume(sender: Sender) -> None:
    numbers = await sender.contacts(7, "vip")
    sent = await sender.send({"tags": ["vip"]})
    await sender.step(sent)
    assert (await sender.act(sent, "pause"))["status"] == "paused"
    assert (await sender.act(sent, "pause"))["status"] == "paused"
    assert await sender.step(sent) == 0
    paused = await sender.check_counters(sent)
    assert (paused["queued"], paused["waiting"], paused["total"]) == (3, 4, 7)
    assert (await sender.act(sent, "resume"))["status"] == "running"
    await sender.walk(sent)
    assert await sender.recipients(sent) == numbers


@pytest.mark.usefixtures("few")
async def test_cancel_takes_back_what_nobody_has(sender: Sender) -> None:
    await sender.contacts(7, "vip")
    sent = await sender.send({"tags": ["vip"]})
    await sender.step(sent)
    await sender.settle(sent, lambda number: number.endswith("50"))
    await sender.step(sent)
    canceled = await sender.act(sent, "cancel")
    assert canceled["status"] == "canceled"
    assert canceled["ended_at"] is not None
    assert (canceled["progress"]["canceled"], canceled["progress"]["queued"], canceled["progress"]["waiting"]) == (
        3,
        0,
        0,
    )
    assert await sender.step(sent) == 0
    await sender.settle(sent)
    assert (await sender.check_counters(sent))["canceled"] == 3
    for action in ("resume", "pause", "send", "retry-failed"):
        answer = await sender.call("POST", f"/group-messages/{sent}/{action}")
        assert (answer.status_code, answer.json()["code"]) == (409, "wrong_status")
    assert (await sender.act(sent, "cancel"))["status"] == "canceled"


async def test_what_is_being_handed_over_is_not_taken_back(sender: Sender) -> None:
    sent = await sender.send({"addresses": [A, B]})
    await sender.walk(sent)
    first = (await sender.messages(sent))[0]
    await sender.execute(
        "INSERT INTO message_attempts (message_id, attempt, account_id, channel_id)"
        " SELECT id, 1, account_id, channel_id FROM messages WHERE id = :id",
        id=first.id,
    )
    await sender.act(sent, "cancel")
    assert [row.status for row in await sender.messages(sent)] == ["queued", "canceled"]
    await sender.settle(sent)
    assert (await sender.check_counters(sent))["sent"] == 1


@pytest.mark.usefixtures("few")
async def test_too_many_errors_pause_it_until_somebody_has_seen_them(sender: Sender) -> None:
    await sender.contacts(9, "vip")
    sent = await sender.send({"tags": ["vip"]}, error_limit={"percent": 50, "after": 3})
    await sender.step(sent)
    await sender.settle(sent, lambda _: True)
    await sender.step(sent)
    paused = await sender.show(sent)
    assert (paused["status"], paused["progress"]["failed"]) == ("paused", 3)
    assert paused["paused_because"] == "3 of 3 messages failed, which is more than 50 %."
    assert (await sender.act(sent, "resume"))["paused_because"] is None
    await sender.walk(sent)
    assert len(await sender.messages(sent)) == 9
    events = await sender.answer("GET", "/events", type="group_message.paused")
    assert [event["data"]["reason"] for event in events["items"]] == [paused["paused_because"]]


async def test_at_its_time(sender: Sender) -> None:
    due = datetime.now(UTC) + timedelta(hours=1)
    sent = await sender.draft({"addresses": [A]}, send_at=due.isoformat())
    assert (await sender.act(sent, "send"))["status"] == "scheduled"
    await sender.step(sent)
    assert (await sender.show(sent))["status"] == "scheduled"
    assert (await sender.act(sent, "pause"))["status"] == "paused"
    assert (await sender.act(sent, "resume"))["status"] == "scheduled"
    await sender.execute("UPDATE group_messages SET step_at = now() WHERE id = :id", id=UUID(sent))
    await sender.step(sent)
    started = await sender.show(sent)
    assert (started["status"], started["progress"]["total"]) == ("running", 1)
    assert started["started_at"] is not None
    await sender.walk(sent)
    assert await sender.recipients(sent) == [A]


async def test_one_that_cannot_start_at_its_time_says_why(sender: Sender) -> None:
    template = await sender.answer("POST", "/templates", {"name": "T", "body": "Hello"})
    due = datetime.now(UTC) + timedelta(hours=1)
    sent = await sender.draft({"addresses": [A]}, "", text=None, template_id=template["id"], send_at=due.isoformat())
    await sender.act(sent, "send")
    await sender.call("DELETE", f"/templates/{template['id']}")
    await sender.execute("UPDATE group_messages SET step_at = now() WHERE id = :id", id=UUID(sent))
    await sender.step(sent)
    paused = await sender.show(sent)
    assert (paused["status"], paused["paused_because"]) == ("paused", "The template was deleted.")
    assert (await sender.act(sent, "cancel"))["status"] == "canceled"


async def test_a_deleted_channel_pauses_it(sender: Sender) -> None:
    sent = await sender.send({"addresses": [A]})
    await sender.call("DELETE", f"/channels/{sender.channel_id}")
    await sender.step(sent)
    paused = await sender.show(sent)
    assert (paused["status"], paused["paused_because"]) == ("paused", "The channel was deleted.")


async def test_a_paused_channel_gets_nothing(sender: Sender) -> None:
    sent = await sender.send({"addresses": [A]})
    await sender.answer("POST", f"/channels/{sender.channel_id}/pause")
    assert await sender.step(sent) == 0
    await sender.answer("POST", f"/channels/{sender.channel_id}/resume")
    await sender.walk(sent)
    assert await sender.recipients(sent) == [A]


async def test_no_more_is_under_way_than_a_few_seconds_of_the_channels_rate(sender: Sender) -> None:
    await sender.open_channel(rate={"per_second": 1})
    numbers = [f"+2519110002{number}" for number in range(50, 60)]
    sent = await sender.send({"addresses": numbers})
    for _ in range(3):
        await sender.step(sent)
    assert len(await sender.messages(sent)) == 4
    await sender.settle(sent)
    await sender.step(sent)
    assert len(await sender.messages(sent)) == 8


async def test_its_own_rate(sender: Sender) -> None:
    sent = await sender.send({"addresses": [A, B, C]}, rate=0.5)
    assert await sender.step(sent) == 1
    assert await sender.step(sent) == 0
    # As if two seconds had passed.
    await sender.execute(
        "UPDATE group_messages SET checkpoint = jsonb_set(checkpoint, '{pace,at}',"
        " to_jsonb((checkpoint->'pace'->>'at')::double precision - 2)) WHERE id = :id",
        id=UUID(sent),
    )
    assert await sender.step(sent) == 1
    assert await sender.step(sent) == 0
    assert len(await sender.messages(sent)) == 2


async def test_whoever_sleeps_gets_it_when_they_wake(sender: Sender) -> None:
    now = datetime.now(UTC)
    quiet = {
        "start": (now - timedelta(hours=1)).strftime("%H:%M"),
        "end": (now + timedelta(hours=1)).strftime("%H:%M"),
    }
    await sender.contact(phone=A, timezone="UTC", tags=["vip"])
    await sender.contact(phone=B, timezone="Asia/Tokyo", tags=["vip"])
    await sender.contact(phone=C, timezone="UTC")
    gone = await sender.contact(phone=D, timezone="UTC", tags=["vip"])
    sent = await sender.send({"tags": ["vip"], "addresses": [C]}, quiet_hours=quiet)
    waiting = await sender.walk(sent)
    assert await sender.recipients(sent) == [B]
    assert (waiting["status"], waiting["progress"]["waiting"]) == ("running", 3)
    assert await sender.value("step_at > now() + interval '50 minutes'", sent)
    assert (await sender.call("DELETE", f"/contacts/{gone}")).status_code == 204
    await sender.execute("UPDATE group_message_sleepers SET until = now() WHERE group_message_id = :id", id=UUID(sent))
    await sender.execute("UPDATE group_messages SET content = content - 'quiet_hours' WHERE id = :id", id=UUID(sent))
    await sender.walk(sent)
    assert await sender.recipients(sent) == [A, B, C]
    assert await sender.skipped(sent) == {"gone": 1}
    await sender.settle(sent)
    await sender.walk(sent)
    assert (await sender.check_counters(sent))["total"] == 4
    assert (await sender.show(sent))["status"] == "completed"


async def test_retry_sends_only_to_whom_it_failed_for(sender: Sender) -> None:
    sent = await sender.send({"addresses": [A, B, C, D]})
    await sender.walk(sent)
    await sender.settle(sent, lambda number: number in (A, B, C))
    await sender.walk(sent)
    assert (await sender.show(sent))["status"] == "completed"
    await sender.answer("POST", "/opt-outs", {"address": C, "channel_class": "sms"})
    assert (await sender.act(sent, "retry-failed"))["status"] == "running"
    await sender.walk(sent)
    assert await sender.recipients(sent) == [A, A, B, B, C, D]
    await sender.check_counters(sent)
    await sender.settle(sent, lambda number: number == A)
    await sender.walk(sent)
    progress = await sender.answer("GET", f"/group-messages/{sent}/progress")
    assert progress["failures"] == [{"class": "recipient", "code": "unknown_recipient", "count": 2}]
    assert progress["progress"]["failed"] == 2
    assert (await sender.check_counters(sent))["sent"] == 2
    # Once more: to A again, and to C, who was left out and wants it now.
    opted_out = (await sender.answer("GET", "/opt-outs"))["items"][0]["id"]
    assert (await sender.call("DELETE", f"/opt-outs/{opted_out}")).status_code == 204
    await sender.act(sent, "retry-failed")
    await sender.walk(sent)
    assert await sender.recipients(sent) == [A, A, A, B, B, C, C, D]
    await sender.settle(sent)
    await sender.walk(sent)
    assert (await sender.check_counters(sent))["sent"] == 4
    assert (await sender.answer("GET", f"/group-messages/{sent}/progress"))["failures"] == []
    page = await sender.answer("GET", f"/group-messages/{sent}/recipients", status="failed", include="total")
    assert page["total"] == 4


async def test_an_opt_out_in_between_is_counted(sender: Sender) -> None:
    sent = await sender.send({"addresses": [A, B]})
    await sender.walk(sent)
    await sender.answer("POST", "/opt-outs", {"address": A, "channel_class": "sms"})
    assert (await sender.check_counters(sent))["failed"] == 1
    progress = await sender.answer("GET", f"/group-messages/{sent}/progress")
    assert progress["failures"] == [{"class": "opted_out", "code": "opted_out", "count": 1}]


async def test_a_clone_is_a_draft_that_says_the_same(sender: Sender) -> None:
    sent = await sender.send({"addresses": [A], "exclude": {"tags": ["staff"]}}, "Hello", rate=5)
    clone = await sender.act(sent, "clone")
    assert (clone["status"], clone["text"], clone["template_id"]) == ("draft", "Hello", None)
    assert (clone["audience"], clone["rate"]) == ((await sender.show(sent))["audience"], 5)
    assert (await sender.act(clone["id"], "send"))["status"] == "running"


async def test_only_a_draft_can_be_changed(sender: Sender) -> None:
    draft = await sender.draft({"addresses": [A]}, "Hello")
    template = await sender.answer("POST", "/templates", {"name": "T", "body": "Hi"})
    changed = await sender.answer("PATCH", f"/group-messages/{draft}", {"template_id": template["id"]})
    assert (changed["text"], changed["fallback"], changed["template_id"]) == (None, None, template["id"])
    changed = await sender.answer("PATCH", f"/group-messages/{draft}", {"text": "Hello", "rate": 3})
    assert (changed["text"], changed["template_id"], changed["rate"]) == ("Hello", None, 3)
    await sender.act(draft, "send")
    for method in ("PATCH", "DELETE"):
        answer = await sender.call(method, f"/group-messages/{draft}", {"name": "Other"} if method == "PATCH" else None)
        assert (answer.status_code, answer.json()["code"]) == (409, "wrong_status")
    await sender.act(draft, "cancel")
    assert (await sender.call("DELETE", f"/group-messages/{draft}")).status_code == 204
    assert (await sender.call("GET", f"/group-messages/{draft}")).status_code == 404


async def test_nobody_else_sees_or_steers_it(sender: Sender, other: Registered, database: Database) -> None:
    sent = await sender.send({"addresses": [A]})
    for method, path in (
        ("GET", ""),
        ("GET", "/progress"),
        ("GET", "/recipients"),
        ("GET", "/recipients/export"),
        ("DELETE", ""),
        *(("POST", f"/{action}") for action in ("send", "pause", "resume", "cancel", "retry-failed", "clone")),
        ("POST", "/preflight"),
    ):
        answer = await sender.client.request(method, f"/v1/group-messages/{sent}{path}", headers=other["headers"])
        assert answer.status_code == 404, (method, path, answer.text)
    listed = await sender.client.get("/v1/group-messages", headers=other["headers"])
    assert listed.json()["items"] == []
    async with database.unit_of_work() as session:
        assert await sender.steps.take(session, UUID(other["account"]["id"]), UUID(sent)) == (0, 0)
