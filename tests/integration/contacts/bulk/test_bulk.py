"""Changing many contacts at once, as jobs."""

from typing import Any

import pytest

from app.domain.contacts.bulk import handler
from tests.conftest import Registered
from tests.integration.contacts.jobs import Office

EVERYBODY = {"field": "created_at", "op": "exists", "value": True}
NOBODY_ID = "019ab0c2-0000-7000-8000-000000000000"


@pytest.fixture
async def crowd(office: Office, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """25 contacts, in steps of 4; the ids in their order."""
    monkeypatch.setattr(handler, "BATCH", 4)
    content = "P,T\n" + "".join(f"+2519110{number:05},{'even' if number % 2 == 0 else 'odd'}\n" for number in range(25))
    await office.imported(content.encode(), {"P": "phone", "T": "tags"})
    return [contact["id"] for contact in await office.contacts()]


def told(job: dict[str, Any]) -> tuple[Any, ...]:
    return job["status"], job["total"], job["done"], job["result"]["changed"], job["result"]["unchanged"]


async def test_tags_by_filter(office: Office, crowd: list[str]) -> None:
    even = {"field": "tags", "op": "contains", "value": "even"}
    job = await office.changed(filter=even, action="add_tags", tags=["new", "vip"])
    assert told(job) == ("succeeded", 13, 13, 13, 0)
    assert await office.count(tags="vip") == 13
    job = await office.changed(filter=EVERYBODY, action="add_tags", tags=["vip"])
    assert told(job) == ("succeeded", 25, 25, 12, 13)
    # What the filter asks for is what the action takes away: nobody is passed over for that.
    job = await office.changed(filter=even, action="remove_tags", tags=["even"])
    assert told(job) == ("succeeded", 13, 13, 13, 0)
    assert await office.count(tags="even") == 0


async def test_a_status_that_the_filter_asks_for(office: Office, crowd: list[str]) -> None:
    active = {"field": "status", "op": "eq", "value": "active"}
    job = await office.changed(filter=active, action="set_status", status="archived")
    assert told(job) == ("succeeded", 25, 25, 25, 0)
    job = await office.changed(filter=active, action="set_status", status="archived")
    assert told(job) == ("succeeded", 0, 0, 0, 0)


async def test_groups_by_ids(office: Office, crowd: list[str]) -> None:
    group = await office.make("contact-groups", name="G")
    job = await office.changed(ids=[*crowd[:5], crowd[0]], action="add_to_group", group_id=group["id"])
    assert told(job) == ("succeeded", 5, 5, 5, 0)
    job = await office.changed(ids=crowd[3:7], action="remove_from_group", group_id=group["id"])
    assert told(job) == ("succeeded", 4, 4, 2, 2)
    members = await office.contacts(groups=group["id"])
    assert [contact["id"] for contact in members] == crowd[:3]


async def test_attributes_are_set_and_taken_away(office: Office, crowd: list[str]) -> None:
    job = await office.changed(filter=EVERYBODY, action="set_attributes", attributes={"city": "Adama", "n": 1.0})
    assert told(job)[2:] == (25, 25, 0)
    job = await office.changed(ids=crowd[:2], action="set_attributes", attributes={"city": None, "n": 2})
    assert told(job)[2:] == (2, 2, 0)
    seen = await office.contacts()
    assert (seen[0]["attributes"], seen[2]["attributes"]) == ({"n": 2}, {"city": "Adama", "n": 1})


async def test_deleting(office: Office, crowd: list[str]) -> None:
    odd = {"not": {"field": "tags", "op": "contains", "value": "even"}}
    job = await office.changed(filter=odd, action="delete")
    assert told(job) == ("succeeded", 12, 12, 12, 0)
    assert await office.count() == 13
    assert await office.count(tags="odd") == 0


async def asked(office: Office, **spec: Any) -> dict[str, Any]:
    """The job of an action that was asked for before, once it has ended."""
    plain = {"asked_at": "2020-01-01T00:00:00Z", "filter": EVERYBODY, "tags": ["x"], "action": "add_tags", **spec}
    return await office.ended(await office.create_job(handler.KIND, plain))


async def test_who_came_after_the_action_was_asked_for_is_not_met(office: Office, crowd: list[str]) -> None:
    assert told(await asked(office)) == ("succeeded", 0, 0, 0, 0)
    assert told(await asked(office, asked_at="2100-01-01T00:00:00Z")) == ("succeeded", 25, 25, 25, 0)


async def test_what_is_gone_by_then_fails_the_job_with_words(office: Office, crowd: list[str]) -> None:
    later = "2100-01-01T00:00:00Z"
    job = await asked(office, asked_at=later, action="add_to_group", group_id=NOBODY_ID)
    assert (job["status"], job["error"]) == ("failed", "The group was deleted.")
    job = await asked(office, filter={"field": "groups", "op": "eq", "value": NOBODY_ID})
    assert (job["status"], job["error"]) == ("failed", "The filter does not hold any more: There is no such group.")
    await office.make("contact-attributes", key="n", type="number")
    job = await asked(office, asked_at=later, action="set_attributes", attributes={"n": "text"})
    assert job["status"] == "failed"
    assert job["error"].startswith("An attribute was defined anew")


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({"action": "delete"}, [("/filter", "missing_field")]),
        ({"action": "delete", "filter": EVERYBODY, "ids": [NOBODY_ID]}, [("/ids", "not_allowed")]),
        ({"action": "delete", "ids": [NOBODY_ID]}, [("/ids/0", "not_found")]),
        ({"action": "delete", "ids": []}, [("/ids", "wrong_length")]),
        ({"action": "explode", "filter": EVERYBODY}, [("/action", "not_allowed")]),
        ({"action": "add_tags", "filter": EVERYBODY}, [("/tags", "missing_field")]),
        ({"action": "add_tags", "filter": EVERYBODY, "tags": []}, [("/tags", "missing_field")]),
        ({"action": "delete", "filter": EVERYBODY, "tags": ["x"]}, [("/tags", "not_allowed")]),
        ({"action": "add_to_group", "filter": EVERYBODY, "group_id": NOBODY_ID}, [("/group_id", "not_found")]),
        (
            {"action": "set_attributes", "filter": EVERYBODY, "attributes": {"a": [1]}},
            [("/attributes/a", "wrong_type")],
        ),
        ({"action": "set_status", "filter": EVERYBODY, "status": "gone"}, [("/status", "not_allowed")]),
        ({"action": "delete", "filter": {}}, [("/filter/field", "unknown_filter")]),
        ({"action": "delete", "filter": {"field": "x", "value": 1}}, [("/filter/field", "unknown_filter")]),
        (
            {"action": "delete", "filter": {"field": "groups", "op": "eq", "value": NOBODY_ID}},
            [("/filter/value", "not_found")],
        ),
    ],
    ids=lambda value: value["action"] if isinstance(value, dict) else "",
)
async def test_wrong_actions_are_refused(office: Office, body: Any, errors: list[tuple[str, str]]) -> None:
    answer = await office.client.post("/v1/contacts/bulk", json=body, headers=office.headers)
    assert answer.status_code == 422, answer.text
    assert [(each["pointer"], each["code"]) for each in answer.json()["errors"]] == errors


async def test_deleting_needs_its_own_permission_and_ids_of_others_do_not_count(
    office: Office, other: Registered, crowd: list[str]
) -> None:
    role = await office.make("roles", name="editor", permissions={"contacts": ["read", "update"]})
    key = (await office.make("api-keys", name="editor", role_id=role["id"]))["secret"]
    headers = {"Authorization": f"Bearer {key}"}
    for action, status in (({"action": "delete"}, 403), ({"action": "add_tags", "tags": ["x"]}, 202)):
        answer = await office.client.post("/v1/contacts/bulk", json={"ids": crowd[:1], **action}, headers=headers)
        assert answer.status_code == status, answer.text
    answer = await office.client.post(
        "/v1/contacts/bulk", json={"ids": crowd[:1], "action": "delete"}, headers=other["headers"]
    )
    assert answer.json()["errors"][0]["code"] == "not_found"
