"""Group messages that need somebody else's agreement: nothing leaves before, and then what was agreed to."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.lib.ids import new_id
from tests.conftest import Registered
from tests.integration.group_messages.conftest import Sender

A, B, C = (f"+2519110001{number}" for number in (50, 51, 52))


class Colleague:
    """Somebody else in the account."""

    def __init__(self, sender: Sender, key: dict[str, Any]) -> None:
        self._sender = sender
        self.name = key["name"]
        self.headers = {"Authorization": f"Bearer {key['secret']}"}

    async def call(self, group_message: str, action: str, body: Any = None) -> httpx.Response:
        return await self._sender.client.post(
            f"/v1/group-messages/{group_message}/{action}", json=body, headers=self.headers
        )


async def colleague(sender: Sender, role: str) -> Colleague:
    """One with a role."""
    return Colleague(sender, await sender.answer("POST", "/api-keys", {"name": f"{role} {new_id()}", "role": role}))


async def setting(sender: Sender, **settings: Any) -> None:
    """The account's settings, for what is asked for from now on."""
    await sender.answer("PATCH", f"/accounts/{sender.account_id}", {"settings": settings})


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.fixture
async def strict(sender: Sender) -> Sender:
    """In an account where more than two recipients need approval."""
    await setting(sender, group_message_approval_above=2)
    return sender


async def asked(sender: Sender, **fields: Any) -> str:
    """One to three people that waits for approval."""
    made = await sender.send({"addresses": [A, B, C]}, **fields)
    shown = await sender.show(made)
    assert (shown["status"], shown["approval"]["state"]) == ("awaiting_approval", "awaiting")
    return made


async def test_without_the_setting_nothing_waits(sender: Sender) -> None:
    sent = await sender.send({"addresses": [A, B, C]})
    shown = await sender.show(sent)
    assert (shown["status"], shown["approval"]) == ("running", None)
    preflight = await sender.answer("POST", f"/group-messages/{sent}/preflight")
    assert preflight["needs_approval"] is False


async def test_as_many_as_are_allowed_go_at_once(strict: Sender) -> None:
    sent = await strict.send({"addresses": [A, B]})
    shown = await strict.show(sent)
    assert (shown["status"], shown["approval"]["state"]) == ("running", "not_needed")


async def test_somebody_else_approves_and_it_starts(strict: Sender, registered: Registered) -> None:
    boss = await colleague(strict, "admin")
    made = await asked(strict)
    assert (await strict.answer("POST", f"/group-messages/{made}/preflight"))["needs_approval"] is True
    await strict.walk(made)
    assert await strict.messages(made) == [], "nothing before the approval"
    assert refusal(await strict.call("POST", f"/group-messages/{made}/approve")) == (409, "own_request")
    assert refusal(await strict.call("PATCH", f"/group-messages/{made}", {"name": "Other"})) == (409, "wrong_status")
    assert refusal(await strict.call("POST", f"/group-messages/{made}/send")) == (409, "wrong_status")
    approved = await boss.call(made, "approve")
    assert approved.status_code == 200, approved.text
    shown = approved.json()
    assert shown["status"] == "running"
    approval = shown["approval"]
    assert (approval["state"], approval["decided_by"]["name"]) == ("approved", boss.name)
    assert approval["requested_by"]["id"] == registered["user"]["id"]
    await strict.walk(made)
    assert await strict.recipients(made) == [A, B, C]
    again = await boss.call(made, "approve")
    assert (again.status_code, again.json()["approval"]) == (200, approval)
    assert refusal(await boss.call(made, "reject", {})) == (409, "wrong_status")
    entries = (await strict.answer("GET", "/audit-log", resource_type="group_message"))["items"]
    actions = [(entry["action"], entry["actor"]["name"]) for entry in entries if entry["resource_id"] == made]
    assert ("approved", boss.name) in actions
    assert {"requested", "started"} <= {action for action, _ in actions}
    events = await strict.answer("GET", "/events", type="group_message.awaiting_approval")
    assert [event["data"]["group_message_id"] for event in events["items"]] == [made]


async def test_who_may_approve(strict: Sender, other: Registered) -> None:
    made = await asked(strict)
    operator = await colleague(strict, "operator")
    for action in ("approve", "reject"):
        assert refusal(await operator.call(made, action, {})) == (403, "missing_permission")
        answer = await strict.client.post(f"/v1/group-messages/{made}/{action}", json={}, headers=other["headers"])
        assert answer.status_code == 404
    assert (await strict.show(made))["status"] == "awaiting_approval"


async def test_a_key_does_not_approve_what_it_asked_for(strict: Sender) -> None:
    key = await colleague(strict, "admin")
    made = await strict.draft({"addresses": [A, B, C]})
    assert (await key.call(made, "send")).json()["status"] == "awaiting_approval"
    assert refusal(await key.call(made, "approve")) == (409, "own_request")
    assert (await strict.act(made, "approve"))["status"] == "running"


async def test_rejected_it_is_a_draft_again_which_can_be_mended(strict: Sender) -> None:
    boss = await colleague(strict, "admin")
    made = await asked(strict)
    rejected = await boss.call(made, "reject", {"reason": "Last month's price."})
    assert rejected.status_code == 200, rejected.text
    shown = rejected.json()
    assert (shown["status"], shown["approval"]["state"]) == ("draft", "rejected")
    assert shown["approval"]["reason"] == "Last month's price."
    assert (await boss.call(made, "reject", {})).json() == shown
    (event,) = (await strict.answer("GET", "/events", type="group_message.rejected"))["items"]
    assert event["data"]["reason"] == "Last month's price."
    await strict.answer("PATCH", f"/group-messages/{made}", {"text": "This month's price"})
    assert (await strict.act(made, "send"))["approval"]["state"] == "awaiting"
    assert (await boss.call(made, "approve")).status_code == 200
    await strict.walk(made)
    assert {row.body for row in await strict.messages(made)} == {"This month's price"}


async def test_what_was_approved_is_what_is_sent(strict: Sender) -> None:
    boss = await colleague(strict, "admin")
    template = await strict.answer("POST", "/templates", {"name": "T", "body": "Agreed"})
    later = datetime.now(UTC) + timedelta(hours=1)
    now, scheduled = [
        await asked(strict, body="", text=None, template_id=template["id"], **fields)
        for fields in ({}, {"send_at": later.isoformat()})
    ]
    await strict.answer("PATCH", f"/templates/{template['id']}", {"body": "Something else"})
    for made in (now, scheduled):
        assert (await boss.call(made, "approve")).status_code == 200
    await strict.answer("PATCH", f"/templates/{template['id']}", {"body": "And something else"})
    assert (await strict.show(scheduled))["status"] == "scheduled"
    await strict.execute("UPDATE group_messages SET step_at = now() WHERE account_id = :a", a=strict.account_id)
    for made in (now, scheduled):
        await strict.walk(made)
        assert [row.body for row in await strict.messages(made)] == ["Agreed"] * 3


async def test_one_that_is_approved_after_its_time_starts_at_once(strict: Sender) -> None:
    boss = await colleague(strict, "admin")
    soon = datetime.now(UTC) + timedelta(hours=1)
    made = await asked(strict, send_at=soon.isoformat())
    await strict.step(made)
    assert await strict.messages(made) == []
    await strict.execute(
        "UPDATE group_messages SET send_at = now() - interval '1 minute' WHERE account_id = :a", a=strict.account_id
    )
    assert (await boss.call(made, "approve")).json()["status"] == "running"


async def test_one_that_has_grown_when_it_is_due_waits_then(strict: Sender) -> None:
    boss = await colleague(strict, "admin")
    await strict.contacts(2, "vip")
    later = datetime.now(UTC) + timedelta(hours=1)
    made = await strict.send({"tags": ["vip"]}, send_at=later.isoformat())
    assert (await strict.show(made))["status"] == "scheduled"
    await strict.contacts(2, "vip", first=2)
    await strict.execute("UPDATE group_messages SET step_at = now() WHERE account_id = :a", a=strict.account_id)
    await strict.walk(made)
    shown = await strict.show(made)
    assert (shown["status"], shown["approval"]["state"]) == ("awaiting_approval", "awaiting")
    assert await strict.messages(made) == []
    assert refusal(await strict.call("POST", f"/group-messages/{made}/approve")) == (409, "own_request")
    await strict.execute("UPDATE group_messages SET send_at = now() WHERE account_id = :a", a=strict.account_id)
    assert (await boss.call(made, "approve")).json()["status"] == "running"
    await strict.walk(made)
    assert len(await strict.messages(made)) == 4


async def test_one_that_waits_can_be_canceled_and_cloned(strict: Sender) -> None:
    boss = await colleague(strict, "admin")
    made = await asked(strict)
    clone = await strict.answer("POST", f"/group-messages/{made}/clone")
    assert (clone["status"], clone["approval"]) == ("draft", None)
    assert refusal(await strict.call("DELETE", f"/group-messages/{made}")) == (409, "wrong_status")
    assert (await strict.act(made, "cancel"))["status"] == "canceled"
    assert refusal(await boss.call(made, "approve")) == (409, "wrong_status")


async def test_two_approvals_at_once_start_it_once(strict: Sender) -> None:
    first, second = await colleague(strict, "admin"), await colleague(strict, "owner")
    made = await asked(strict)
    answers = await asyncio.gather(first.call(made, "approve"), second.call(made, "approve"))
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["approval"] == answers[1].json()["approval"]
    started = (await strict.answer("GET", "/events", type="group_message.started"))["items"]
    assert len(started) == 1
    await strict.walk(made)
    assert len(await strict.messages(made)) == 3


async def test_a_draft_has_nothing_to_decide(strict: Sender) -> None:
    boss = await colleague(strict, "admin")
    made = await strict.draft({"addresses": [A]})
    for action in ("approve", "reject"):
        assert refusal(await boss.call(made, action, {})) == (409, "wrong_status")


async def test_quiet_hours_of_the_account_are_taken_where_nothing_is_said(sender: Sender) -> None:
    quiet = {"start": "21:00", "end": "08:00", "days": None}
    own = {"start": "22:00", "end": "06:00", "days": None}
    await setting(sender, quiet_hours={"start": "21:00", "end": "08:00"})
    for given, expected in (({}, quiet), ({"quiet_hours": None}, None), ({"quiet_hours": own}, own)):
        made = await sender.draft({"addresses": [A]}, **given)
        assert (await sender.show(made))["quiet_hours"] == expected
        assert (await sender.answer("POST", f"/group-messages/{made}/clone"))["quiet_hours"] == expected
    made = await sender.draft({"addresses": [A]})
    await setting(sender, quiet_hours=None)
    assert (await sender.show(made))["quiet_hours"] == quiet, "what was written stays"
