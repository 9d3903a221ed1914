"""Several contacts become one."""

import asyncio
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from app.domain.contacts.merging.aliases import current_ids, former_ids
from tests.conftest import Registered
from tests.integration.contacts.jobs import Office
from tests.integration.contacts.merging.people import People, addresses, refused

NOBODY_ID = "019ab0c2-0000-7000-8000-000000000000"
AT = datetime(2026, 11, 20, 10, tzinfo=UTC)


async def test_the_kept_one_gets_what_it_does_not_have(people: People) -> None:
    groups = [(await people.office.make("contact-groups", name=name))["id"] for name in ("A", "B")]
    kept = await people.new(
        first_name="Abebe",
        phone="+251911000001",
        tags=["vip"],
        attributes={"city": "Adama"},
        groups=groups[:1],
        notes="One.",
        language="am",
    )
    one = await people.new(
        first_name="Abe", last_name="Bekele", phone="+251911000002", email="a@example.com", tags=["new", "vip"],
        attributes={"city": "Gondar", "age": 30}, groups=groups, notes="Two.", timezone="Africa/Addis_Ababa",
        status="blocked", language="en",
    )  # fmt: skip
    two = await people.new(last_name="Kebede", phone="+251911000003", notes="One.")
    await people.wrote(one, "+251911000002", AT)

    merged = await people.merge(kept, one, two)

    assert (merged["first_name"], merged["last_name"]) == ("Abebe", "Bekele")
    assert (merged["language"], merged["timezone"], merged["status"]) == ("am", "Africa/Addis_Ababa", "active")
    assert addresses(merged) == ["+251911000001", "+251911000002", "a@example.com", "+251911000003"]
    assert (merged["phone"], merged["tags"]) == ("+251911000001", ["new", "vip"])
    assert merged["attributes"] == {"city": "Adama", "age": 30}
    assert sorted(merged["groups"]) == sorted(groups)
    assert merged["notes"] == "One.\n\nTwo."
    assert merged["last_inbound_at"] == "2026-11-20T10:00:00Z"
    assert merged == await people.get(kept)
    # The others are no contacts any more, and their ids mean the one that stayed.
    assert [each["id"] for each in await people.office.contacts()] == [kept]
    assert (await people.get(one))["id"] == kept
    assert (await people.get(two))["id"] == kept
    refused(await people.call("PATCH", f"contacts/{one}", {"notes": "x"}), 404, "not_found")
    refused(await people.call("DELETE", f"contacts/{one}"), 404, "not_found")
    # Groups have it once.
    assert await people.office.count(groups=groups[0]) == await people.office.count(groups=groups[1]) == 1


async def test_the_merge_can_be_looked_at(people: People, other: Registered) -> None:
    kept = await people.new(first_name="Abebe")
    one = await people.new(first_name="Abe", phone="+251911000002")
    await people.merge(kept, one)
    (merge,) = await people.merges(contact_id=kept)
    assert (merge["contact_id"], merge["merged_ids"], merge["state"]) == (kept, [one], "done")
    assert merge["contacts"][0] | {"created_at": ""} == {
        "id": one,
        "first_name": "Abe",
        "last_name": None,
        "addresses": [{"type": "phone", "value": "+251911000002"}],
        "created_at": "",
    }
    assert merge["created_by"]["type"] == "user"
    assert (await people.call("GET", f"contact-merges/{merge['id']}")).json() == merge
    assert await people.merges(contact_id=one) == []
    theirs = await people.office.client.get(f"/v1/contact-merges/{merge['id']}", headers=other["headers"])
    refused(theirs, 404, "not_found")
    refused(await people.call("GET", f"contact-merges/{NOBODY_ID}"), 404, "not_found")


async def test_versions_and_idempotency(people: People) -> None:
    kept, one, two = [await people.new(first_name=name) for name in ("A", "B", "C")]
    path, body = f"contacts/{kept}/merge", {"contact_ids": [one]}
    refused(await people.call("POST", path, body, **{"If-Match": '"1"'}), 412, "precondition_failed")
    tag = (await people.call("GET", f"contacts/{kept}")).headers["etag"]
    first = await people.call("POST", path, body, **{"If-Match": tag, "Idempotency-Key": "k"})
    assert first.status_code == 200, first.text
    again = await people.call("POST", path, body, **{"If-Match": tag, "Idempotency-Key": "k"})
    assert (again.json(), again.headers["etag"]) == (first.json(), first.headers["etag"])
    assert again.headers["idempotency-replayed"] == "true"
    # Without a key it is the same, too: what was merged before is merged.
    repeated = await people.call("POST", path, body)
    assert (repeated.status_code, repeated.json()) == (200, first.json())
    assert len(await people.merges()) == 1
    assert (await people.merge(kept, one, two))["id"] == kept
    assert [each["merged_ids"] for each in await people.merges()] == [[two], [one]]


async def test_wrong_ids(people: People, other: Registered) -> None:
    kept, one = await people.new(first_name="A"), await people.new(first_name="B")
    answer = await people.office.client.post("/v1/contacts", json={"first_name": "X"}, headers=other["headers"])
    theirs = answer.json()["id"]
    asked = await people.call("POST", f"contacts/{kept}/merge", {"contact_ids": [one, one, kept, NOBODY_ID, theirs]})
    errors = refused(asked, 422, "invalid_value")["errors"]
    assert [(each["pointer"], each["code"]) for each in errors] == [
        ("/contact_ids/1", "repeated"),
        ("/contact_ids/2", "not_allowed"),
        ("/contact_ids/3", "not_found"),
        ("/contact_ids/4", "not_found"),
    ]
    refused(await people.call("POST", f"contacts/{theirs}/merge", {"contact_ids": [one]}), 404, "not_found")
    refused(await people.call("POST", f"contacts/{NOBODY_ID}/merge", {"contact_ids": [one]}), 404, "not_found")
    for ids in ([], [one] * 11):
        refused(await people.call("POST", f"contacts/{kept}/merge", {"contact_ids": ids}), 422, "invalid_value")
    assert await people.merges() == []
    # Nothing has happened to anybody.
    assert (await people.get(one))["id"] == one


async def test_more_than_one_contact_may_have(people: People) -> None:
    kept = await people.new(tags=[f"a{number}" for number in range(60)])
    one = await people.new(tags=[f"b{number}" for number in range(60)], phone="+251911000001")
    refused(await people.call("POST", f"contacts/{kept}/merge", {"contact_ids": [one]}), 409, "contact_full")
    assert (await people.get(one))["id"] == one
    kept, one = await people.new(notes="a" * 6000), await people.new(notes="b" * 6000)
    refused(await people.call("POST", f"contacts/{kept}/merge", {"contact_ids": [one]}), 409, "contact_full")


async def test_chains_lead_to_the_last_one(people: People) -> None:
    ids = [await people.new(first_name=str(number), phone=f"+25191100000{number}") for number in range(4)]
    for one, two in pairwise(ids):
        await people.merge(two, one)
    assert (await people.get(ids[0]))["id"] == ids[3]
    office, known = people.office, [UUID(each) for each in ids]
    async with office.database.unit_of_work(office.account_id) as session:
        assert await former_ids(session, office.account_id, known[3]) == known[:3]
        assert await former_ids(session, office.account_id, known[1]) == known[:1]
        assert await current_ids(session, office.account_id, known) == dict.fromkeys(known[:3], known[3])
        assert await current_ids(session, office.account_id, []) == {}
        # Another account's ids are nobody's.
        assert await current_ids(session, UUID(NOBODY_ID), known) == {}
    # Deleting whoever stands for them leaves nobody.
    assert (await people.call("DELETE", f"contacts/{ids[3]}")).status_code == 204
    await people.get(ids[0], 404)


async def test_opt_outs_come_along(people: People) -> None:
    kept, one = await people.new(first_name="A"), await people.new(phone="+251911000001")
    await people.office.make("opt-outs", address="+251911000001", channel_class="sms")
    merged = await people.merge(kept, one)
    assert merged["addresses"][0]["opted_out"] == ["all"]


async def test_the_account_is_told_and_the_log_holds_no_person(people: People) -> None:
    kept = await people.new(first_name="A")
    one = await people.new(first_name="Secret", phone="+251911000001")
    await people.merge(kept, one)
    events = (await people.call("GET", "events")).json()["items"]
    told = [each["data"] for each in events if each["type"] == "contact.updated"]
    assert told == [{"contact_id": kept, "fields": ["addresses"]}]
    entries = (await people.call("GET", f"audit-log?resource_id={kept}")).json()["items"]
    entry = next(each for each in entries if each["action"] == "merged")
    assert entry["after"]["contact_ids"] == [one]
    assert "Secret" not in str(entries)


@pytest.mark.parametrize("turn", [0, 1], ids=["together", "crosswise"])
async def test_two_at_the_same_time(people: People, turn: int) -> None:
    a, b, c = [await people.new(first_name=name, phone=f"+25191100000{at}") for at, name in enumerate("ABC")]
    pairs = [(a, c), (b, c)] if turn == 0 else [(a, b), (b, a)]
    answers = await asyncio.gather(
        *(people.call("POST", f"contacts/{kept}/merge", {"contact_ids": [one]}) for kept, one in pairs)
    )
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses in ([200, 422], [200, 404]), [answer.text for answer in answers]
    there: list[dict[str, Any]] = await people.office.contacts()
    assert sorted(each for contact in there for each in addresses(contact)) == [f"+25191100000{at}" for at in range(3)]
    assert len(there) == 2


async def test_changes_at_the_same_time_are_not_lost(people: People) -> None:
    kept, one = await people.new(first_name="A"), await people.new(first_name="B", phone="+251911000001")
    changing = [people.call("PATCH", f"contacts/{kept}", {"tags": ["x"]})]
    changing += [people.call("PATCH", f"contacts/{one}", {"tags": [f"t{at}"]}) for at in range(5)]
    answers = await asyncio.gather(people.call("POST", f"contacts/{kept}/merge", {"contact_ids": [one]}), *changing)
    assert answers[0].status_code == 200, answers[0].text
    assert answers[1].status_code == 200, answers[1].text
    there = await people.office.contacts()
    assert [(each["id"], addresses(each)) for each in there] == [(kept, ["+251911000001"])]


async def test_permissions(people: People, office: Office) -> None:
    kept, one = await people.new(first_name="A"), await people.new(first_name="B")
    role = await office.make("roles", name="Reader", permissions={"contacts": ["read"]})
    key = await office.make("api-keys", name="k", role=role["name"])
    headers = {"Authorization": f"Bearer {key['secret']}"}
    answer = await people.call("POST", f"contacts/{kept}/merge", {"contact_ids": [one]}, **headers)
    assert answer.status_code == 403, answer.text
