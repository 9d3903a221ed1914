"""What was merged becomes several contacts again."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.domain.contacts.merging.repository import forget_snapshots
from tests.conftest import Registered
from tests.integration.contacts.merging.people import People, addresses, refused

AT = datetime(2026, 11, 20, 10, tzinfo=UTC)
NOBODY_ID = "019ab0c2-0000-7000-8000-000000000000"


def steady(contact: dict[str, Any]) -> dict[str, Any]:
    """All of it but what merging and undoing changes: the version."""
    return {name: value for name, value in contact.items() if name != "updated_at"}


@pytest.fixture
async def group(people: People) -> str:
    return str((await people.office.make("contact-groups", name="G"))["id"])


async def merged(people: People, kept: str, *others: str) -> str:
    await people.merge(kept, *others)
    return str((await people.merges(contact_id=kept))[0]["id"])


async def test_everybody_is_as_before(people: People, group: str) -> None:
    kept = await people.new(first_name="Abebe", phone="+251911000001", tags=["a"], attributes={"city": "Adama"})
    one = await people.new(
        first_name="Abe", last_name="B", email="b@example.com", tags=["a", "b"], attributes={"city": "x", "n": 1},
        groups=[group], notes="Two.", language="am", status="archived",
    )  # fmt: skip
    two = await people.new(first_name="Almaz", phone="+251911000003")
    await people.wrote(two, "+251911000003", AT)
    before = {each: await people.get(each) for each in (kept, one, two)}
    merge_id = await merged(people, kept, one, two)

    answer = await people.undo(merge_id)
    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "undone"
    assert answer.json()["undone_at"] is not None
    after = {each: await people.get(each) for each in (kept, one, two)}
    assert steady(after[one]) == steady(before[one])
    assert steady(after[two]) == steady(before[two])
    # That somebody wrote stays known of the contact that stood for them.
    known = steady(after[kept]) | {"last_inbound_at": None}
    assert known == steady(before[kept])
    for contact_id, contact in after.items():
        assert contact["updated_at"] > before[contact_id]["updated_at"]
    assert await people.office.count(groups=group) == 1
    refused(await people.undo(merge_id), 409, "already_undone")
    # And they can be merged again.
    assert addresses(await people.merge(one, kept)) == ["b@example.com", "+251911000001"]


async def test_what_was_changed_since_stays(people: People, group: str) -> None:
    kept = await people.new(first_name="Abebe")
    one = await people.new(
        last_name="Old", email="a@example.com", phone="+251911000001", tags=["gone", "stays"],
        attributes={"changed": 1, "same": 1}, groups=[group], notes="Note.",
    )  # fmt: skip
    merge_id = await merged(people, kept, one)
    patch = {
        "last_name": "New", "tags": ["stays", "own"], "attributes": {"changed": 2, "own": 3}, "notes": "Note. More.",
        "addresses": [{"type": "phone", "value": "+251911000001"}, {"type": "phone", "value": "+251911000009"}],
    }  # fmt: skip
    answer = await people.call("PATCH", f"contacts/{kept}", patch)
    assert answer.status_code == 200, answer.text
    answer = await people.undo(merge_id)
    assert answer.status_code == 200, answer.text
    after = await people.get(kept)
    assert (after["first_name"], after["last_name"], after["notes"]) == ("Abebe", "New", "Note. More.")
    assert (after["tags"], after["attributes"]) == (["own"], {"changed": 2, "own": 3})
    assert (addresses(after), after["groups"]) == (["+251911000009"], [])
    back = await people.get(one)
    assert sorted(addresses(back)) == ["+251911000001", "a@example.com"]
    assert (back["last_name"], back["attributes"], back["groups"]) == ("Old", {"changed": 1, "same": 1}, [group])


async def test_an_address_that_somebody_else_has_by_now(people: People) -> None:
    kept, one = await people.new(first_name="A"), await people.new(phone="+251911000001", first_name="B")
    merge_id = await merged(people, kept, one)
    assert (await people.call("PATCH", f"contacts/{kept}", {"addresses": []})).status_code == 200
    third = await people.new(phone="+251911000001")
    problem = refused(await people.undo(merge_id), 409, "address_taken")
    assert third in problem["errors"][0]["detail"]
    assert (await people.get(one))["id"] == kept
    assert (await people.call("DELETE", f"contacts/{third}")).status_code == 204
    assert (await people.undo(merge_id)).status_code == 200
    assert addresses(await people.get(one)) == ["+251911000001"]


async def test_later_merges_are_undone_first(people: People) -> None:
    a, b, c, d = [await people.new(first_name=name, phone=f"+25191100000{at}") for at, name in enumerate("ABCD")]
    first = await merged(people, b, a)
    second = await merged(people, b, c)
    third = await merged(people, d, b)
    problem = refused(await people.undo(first), 409, "merged_further")
    assert [third in problem["errors"][0]["detail"], second in problem["errors"][1]["detail"]] == [True, True]
    refused(await people.undo(second), 409, "merged_further")
    for merge_id in (third, second, first):
        assert (await people.undo(merge_id)).status_code == 200
    for contact_id, name in ((a, "A"), (b, "B"), (c, "C"), (d, "D")):
        contact = await people.get(contact_id)
        assert (contact["id"], contact["first_name"], len(contact["addresses"])) == (contact_id, name, 1)


async def test_a_chain_is_undone_link_by_link(people: People) -> None:
    a, b, c = [await people.new(first_name=name) for name in "ABC"]
    await merged(people, b, a)
    last = await merged(people, c, b)
    assert (await people.undo(last)).status_code == 200
    assert (await people.get(a))["id"] == b


async def test_the_kept_one_is_gone(people: People) -> None:
    kept, one = await people.new(first_name="A"), await people.new(phone="+251911000001")
    merge_id = await merged(people, kept, one)
    assert (await people.call("DELETE", f"contacts/{kept}")).status_code == 204
    assert (await people.undo(merge_id)).status_code == 200
    assert addresses(await people.get(one)) == ["+251911000001"]
    await people.get(kept, 404)


async def test_definitions_that_are_gone_are_passed_over(people: People, group: str) -> None:
    kept = await people.new(first_name="A")
    one = await people.new(attributes={"x": "text", "y": 1}, groups=[group])
    merge_id = await merged(people, kept, one)
    assert (await people.call("PATCH", f"contacts/{kept}", {"attributes": {"x": None}})).status_code == 200
    definitions = (await people.call("GET", "contact-attributes?key=x")).json()["items"]
    assert (await people.call("DELETE", f"contact-attributes/{definitions[0]['id']}")).status_code == 204
    await people.office.make("contact-attributes", key="x", type="number")
    assert (await people.call("DELETE", f"contact-groups/{group}")).status_code == 204
    assert (await people.undo(merge_id)).status_code == 200
    back = await people.get(one)
    assert (back["attributes"], back["groups"]) == ({"y": 1}, [])


async def test_opt_outs_and_activity_since(people: People) -> None:
    kept, one = await people.new(first_name="A"), await people.new(phone="+251911000001")
    merge_id = await merged(people, kept, one)
    await people.office.make("opt-outs", address="+251911000001", channel_class="sms")
    await people.wrote(kept, "+251911000001", AT, uuid4())
    assert (await people.undo(merge_id)).status_code == 200
    back = await people.get(one)
    assert (back["addresses"][0]["opted_out"], back["last_inbound_at"]) == (["all"], "2026-11-20T10:00:00Z")


async def test_too_late(people: People) -> None:
    kept, one = await people.new(first_name="A"), await people.new(first_name="B")
    merge_id = await merged(people, kept, one)
    long_ago = datetime.now(UTC) - timedelta(days=30, minutes=1)
    await people.office.sql("UPDATE contact_merges SET created_at = :at WHERE id = :id", at=long_ago, id=merge_id)
    refused(await people.undo(merge_id), 409, "too_late")


async def test_whose_it_is(people: People, other: Registered) -> None:
    kept, one = await people.new(first_name="A"), await people.new(first_name="B")
    merge_id = await merged(people, kept, one)
    theirs = await people.office.client.post(f"/v1/contact-merges/{merge_id}/undo", headers=other["headers"])
    refused(theirs, 404, "not_found")
    refused(await people.undo(NOBODY_ID), 404, "not_found")


async def test_a_key_is_answered_once(people: People) -> None:
    kept, one = await people.new(first_name="A"), await people.new(first_name="B")
    merge_id = await merged(people, kept, one)
    path = f"contact-merges/{merge_id}/undo"
    first = await people.call("POST", path, **{"Idempotency-Key": "k"})
    again = await people.call("POST", path, **{"Idempotency-Key": "k"})
    assert (first.status_code, first.json()) == (200, again.json())


async def test_what_is_remembered_is_forgotten_in_time(people: People) -> None:
    ids = [await people.new(first_name=name) for name in "ABCD"]
    old, young = await merged(people, ids[0], ids[1]), await merged(people, ids[2], ids[3])
    long_ago = datetime.now(UTC) - timedelta(days=30, minutes=1)
    await people.office.sql("UPDATE contact_merges SET created_at = :at WHERE id = :id", at=long_ago, id=old)
    async with people.office.database.unit_of_work() as session:
        assert await forget_snapshots(session) >= 1
    shown = {each["id"]: each["contacts"] for each in await people.merges()}
    assert shown[old] is None
    assert shown[young] is not None
    refused(await people.undo(old), 409, "too_late")
