"""Finding contacts that are likely one person."""

import csv
import io
from typing import Any

import pytest

from app.domain.contacts.merging import duplicates_job
from tests.conftest import Registered
from tests.integration.contacts.merging.people import People, refused


async def duplicates(people: People, contact_id: str) -> dict[str, tuple[int, list[str]]]:
    answer = await people.call("GET", f"contacts/{contact_id}/duplicates")
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    scores = [each["score"] for each in items]
    assert scores == sorted(scores, reverse=True)
    return {each["contact"]["id"]: (each["score"], each["reasons"]) for each in items}


@pytest.mark.parametrize(
    ("one", "other", "reasons"),
    [
        ({"first_name": "Abebe", "last_name": "Bekele"}, {"first_name": "ABEBE", "last_name": "bekele"}, ["same_name"]),
        ({"first_name": "Abebe", "last_name": "Bekele"}, {"first_name": "bekele", "last_name": "Abebe"}, ["same_name"]),
        ({"first_name": "Abebe"}, {"first_name": "Abebe"}, []),
        ({"first_name": "Abebe", "last_name": "Bekele"}, {"first_name": "Abebe", "last_name": "Kebede"}, []),
        ({"phone": "+251911000001"}, {"addresses": [{"type": "whatsapp", "value": "+251911000001"}]}, ["same_number"]),
        ({"addresses": [{"type": "whatsapp", "value": "+251911000001"}]}, {"phone": "+251911000001"}, ["same_number"]),
        ({"phone": "+251911000001"}, {"phone": "+254911000001"}, []),
        ({"email": "abebe.b@gmail.com"}, {"email": "abebeb@gmail.com"}, ["same_mailbox"]),
        ({"email": "abebeb@googlemail.com"}, {"email": "abebeb+shop@gmail.com"}, ["same_mailbox"]),
        ({"email": "a@example.com"}, {"email": "a+shop@example.com"}, ["same_mailbox"]),
        ({"email": "a+shop@example.com"}, {"email": "a@example.com"}, ["same_mailbox"]),
        ({"email": "a.b@example.com"}, {"email": "ab@example.com"}, []),
        ({"email": "a@example.com"}, {"email": "a@example.org"}, []),
        (
            {"phone": "+251911000001", "first_name": "A", "last_name": "B"},
            {"addresses": [{"type": "whatsapp", "value": "+251911000001"}], "first_name": "A", "last_name": "B"},
            ["same_number", "same_name"],
        ),
        ({"first_name": "%", "last_name": "_"}, {"first_name": "x", "last_name": "y"}, []),
        ({}, {}, []),
    ],
    ids=[
        *("case", "swapped", "first_only", "other_name", "whatsapp", "phone", "other_country"),
        *("dots", "tag_and_domain", "tag", "tagged", "dots_elsewhere", "other_domain", "both", "wildcards", "nothing"),
    ],
)
async def test_one_contact(people: People, one: Any, other: Any, reasons: list[str]) -> None:
    first, second = await people.new(**one), await people.new(**other)
    found = await duplicates(people, first)
    assert found == ({second: (found[second][0], reasons)} if reasons else {})
    if reasons:
        assert 0 < found[second][0] <= 100


async def test_numbers_with_the_accounts_country(people: People) -> None:
    settings = {"settings": {"default_country": "ET"}}
    answer = await people.call("PATCH", f"accounts/{people.office.account_id}", settings)
    assert answer.status_code == 200, answer.text
    lost = await people.new(phone="+911234567")
    whole = await people.new(phone="+251911234567")
    assert await duplicates(people, lost) == {whole: (60, ["similar_number"])}


async def test_whose_and_which(people: People, other: Registered) -> None:
    mine = await people.new(phone="+251911000001", first_name="A", last_name="B")
    body = {"addresses": [{"type": "whatsapp", "value": "+251911000001"}], "first_name": "A", "last_name": "B"}
    theirs = await people.office.client.post("/v1/contacts", json=body, headers=other["headers"])
    assert theirs.status_code == 201
    assert await duplicates(people, mine) == {}
    unknown = await people.call("GET", f"contacts/{theirs.json()['id']}/duplicates")
    refused(unknown, 404, "not_found")
    # By an id that it had once.
    old = await people.new(first_name="Old")
    await people.merge(mine, old)
    same = await people.new(first_name="a", last_name="b")
    assert list(await duplicates(people, old)) == [same]


async def job(people: People) -> tuple[dict[str, Any], list[dict[str, str]]]:
    asked = await people.call("POST", "contacts/duplicates")
    assert asked.status_code == 202, asked.text
    assert asked.headers["location"] == f"/v1/jobs/{asked.json()['id']}"
    ended = await people.office.ended(asked.json()["id"])
    assert ended["status"] == "succeeded", ended
    answer = await people.office.client.get(ended["result_file"], headers=people.office.headers)
    return ended, list(csv.DictReader(io.StringIO(answer.content.decode(), newline="")))


async def test_all_contacts(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates_job, "BATCH", 3)
    monkeypatch.setattr(duplicates_job, "GROUPS", 2)
    monkeypatch.setattr(duplicates_job, "_TIDIED", 4)
    groups: dict[str, set[str]] = {}
    for number in range(4):
        phone = f"+25191100000{number}"
        groups[f"n{number}"] = {
            await people.new(first_name="=Abebe", last_name=f"B{number}", phone=phone),
            await people.new(first_name=f"b{number}", last_name="=abebe"),
        }
        again = await people.new(addresses=[{"type": "whatsapp", "value": phone}])
        groups[f"p{number}"] = {min(groups[f"n{number}"]), again}
        await people.new(first_name=f"Alone{number}", last_name="X", email=f"alone{number}@example.com")
    ended, rows = await job(people)
    assert (ended["total"], ended["done"], ended["result"]) == (16, 16, {"groups": 8, "contacts": 16})
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["group"], set()).add(row["contact_id"])
    assert sorted(map(sorted, found.values())) == sorted(map(sorted, groups.values()))
    assert sorted(found, key=int) == [str(number) for number in range(1, 9)]
    assert {(row["reason"], row["score"]) for row in rows} == {("same_number", "90"), ("same_name", "50")}
    # No formula, and nothing stays behind.
    assert {row["first_name"] for row in rows if "Abebe" in row["first_name"]} == {"'=Abebe"}
    left = await people.office.sql("SELECT count(*) FROM contact_duplicate_keys WHERE job_id = :id", id=ended["id"])
    assert left.scalar_one() == 0


async def test_an_empty_account(people: People) -> None:
    ended, rows = await job(people)
    assert (ended["total"], ended["result"], rows) == (0, {"groups": 0, "contacts": 0}, [])


async def test_a_large_group_is_named_in_part(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates_job, "MOST_MEMBERS", 3)
    for _ in range(5):
        await people.new(first_name="Same", last_name="Name")
    ended, rows = await job(people)
    assert (len(rows), {row["size"] for row in rows}) == (3, {"5"})
    assert ended["result"] == {"groups": 1, "contacts": 5}
