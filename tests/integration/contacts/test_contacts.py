"""Contacts over the API: what goes in comes out in one form, and nothing of it is lost."""

import asyncio
import base64
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from sqlalchemy import text

from app.domain.contacts.stores.contract import Activity, AddressKey, AddressType
from app.domain.contacts.stores.postgres import PostgresContactStores
from app.lib.clock import rfc3339, utc_now
from app.lib.db import Database
from tests.integration.contacts.conftest import Keeper, answered, refused


async def events_of(database: Database, keeper: Keeper) -> list[tuple[str, list[str]]]:
    statement = text("SELECT type, data -> 'fields' FROM events WHERE account_id = :id ORDER BY position, id")
    async with database.reading() as session:
        return [tuple(row) for row in await session.execute(statement, {"id": keeper.account_id})]


async def test_a_contact_comes_back_as_it_was_sent_in_canonical_form(keeper: Keeper) -> None:
    await keeper.call("PATCH", f"/accounts/{keeper.account_id}", {"settings": {"default_country": "ET"}})
    group = await keeper.make("/contact-groups", name="Readers")
    made = await keeper.contact(
        first_name="  Ame\u0301lie ",
        last_name="Bekele",
        language="am",
        timezone="Africa/Addis_Ababa",
        phone="0911 000-001",
        email="Abebe@Example.COM",
        addresses=[{"type": "telegram", "value": "Abebe_B"}, {"type": "phone", "value": "+251 911 000 002"}],
        tags=["vip", " press ", "vip"],
        attributes={"city": "Addis Ababa", "visits": 3, "member": True, "likes": ["b", "a", "b"], "nothing": ""},
        groups=[group["id"]],
        notes="Line one\nLine two",
    )
    assert made["first_name"] == "Am\u00e9lie"
    assert (made["phone"], made["email"]) == ("+251911000001", "abebe@example.com")
    assert [(each["type"], each["value"], each["primary"]) for each in made["addresses"]] == [
        ("telegram", "@abebe_b", True),
        ("phone", "+251911000001", True),
        ("phone", "+251911000002", False),
        ("email", "abebe@example.com", True),
    ]
    assert made["tags"] == ["press", "vip"]
    assert made["attributes"] == {"city": "Addis Ababa", "visits": 3, "member": True, "likes": ["a", "b"]}
    assert made["groups"] == [group["id"]]
    assert (made["status"], made["notes"]) == ("active", "Line one\nLine two")
    assert made["addresses"][0]["opted_out"] == [] and made["addresses"][0]["last_inbound"] == {}
    assert made["last_inbound_at"] is None and made["account_id"] == str(keeper.account_id)
    assert await keeper.show(f"/contacts/{made['id']}") == made
    assert (await keeper.show("/contacts"))["items"] == [made]


async def test_a_contact_may_be_empty(keeper: Keeper) -> None:
    made = await keeper.contact()
    assert made["first_name"] is None and made["phone"] is None and made["addresses"] == []
    nulls = await keeper.contact(first_name=None, addresses=None, tags=None, attributes=None, groups=None, notes=None)
    assert nulls["tags"] == [] and nulls["attributes"] == {} and nulls["groups"] == []


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"phone": "12"}, "/phone", "not_e164"),
        ({"phone": "0911000001"}, "/phone", "not_e164"),
        ({"email": "nobody"}, "/email", "not_an_address"),
        ({"addresses": [{"type": "telegram", "value": "a b"}]}, "/addresses/0/value", "not_an_address"),
        ({"addresses": [{"type": "pigeon", "value": "a"}]}, "/addresses/0/type", "not_allowed"),
        ({"timezone": "Africa/Nowhere"}, "/timezone", "not_a_time_zone"),
        ({"language": "Amharic"}, "/language", "wrong_format"),
        ({"status": "gone"}, "/status", "not_allowed"),
        ({"first_name": "a\u0000b"}, "/first_name", "wrong_format"),
        ({"first_name": "a\u2028b"}, "/first_name", "not_allowed"),
        ({"first_name": "a" * 201}, "/first_name", "wrong_length"),
        ({"notes": "a\u0000b"}, "/notes", "wrong_format"),
        ({"notes": "a" * 10_001}, "/notes", "wrong_length"),
        ({"tags": ["a" * 65]}, "/tags/0", "wrong_length"),
        ({"tags": ["  "]}, "/tags/0", "wrong_format"),
        ({"tags": [f"t{number}" for number in range(101)]}, "/tags", "wrong_length"),
        ({"attributes": {"Ci/ty": "x"}}, "/attributes/Ci~1ty", "wrong_format"),
        ({"attributes": {"a\u0000": "x"}}, "/attributes/a\u0000", "wrong_format"),
        ({"attributes": {"city": {"name": "x"}}}, "/attributes/city", "wrong_type"),
        ({"attributes": {"city": "a" * 1_001}}, "/attributes/city", "wrong_type"),
        ({"attributes": {"many": 2**53 + 1}}, "/attributes/many", "wrong_type"),
        ({"attributes": {f"a{number}": 1 for number in range(101)}}, "/attributes", "wrong_length"),
        (
            {"addresses": [{"type": "email", "value": f"a{n}@example.com"} for n in range(51)]},
            "/addresses",
            "wrong_length",
        ),
        (
            {"addresses": [{"type": "messenger", "value": str(n), "primary": True} for n in (1, 2)]},
            "/addresses/1/primary",
            "duplicate",
        ),
        ({"groups": ["019ab0d4-5c7e-7a90-b2f4-8e1d3a700e02"]}, "/groups/0", "not_found"),
        ({"surprise": 1}, "/surprise", "unknown_field"),
    ],
)
async def test_what_is_wrong_is_said_where_it_is(keeper: Keeper, body: dict[str, Any], pointer: str, code: str) -> None:
    problem = refused(await keeper.call("POST", "/contacts", body), 422, "invalid_value", pointer)
    assert problem["errors"][0]["code"] == code
    assert await keeper.found() == []


async def test_everything_wrong_is_said_at_once(keeper: Keeper) -> None:
    body = {"phone": "1", "email": "2", "timezone": "x", "attributes": {"a": {}}, "groups": [str(uuid4())]}
    pointers = ("/timezone", "/phone", "/email", "/attributes/a", "/groups/0")
    refused(await keeper.call("POST", "/contacts", body), 422, "invalid_value", *pointers)
    assert (await keeper.show("/contact-attributes"))["items"] == [], "nothing is defined by what is refused"


async def test_an_address_belongs_to_one_contact(keeper: Keeper, stranger: Keeper) -> None:
    first = await keeper.contact(phone="+251911000001")
    body = {"addresses": [{"type": "email", "value": "a@example.com"}, {"type": "phone", "value": "+251 911 000001"}]}
    problem = refused(await keeper.call("POST", "/contacts", body), 409, "address_taken", "/addresses/1/value")
    assert first["id"] in problem["errors"][0]["detail"]
    second = await keeper.contact(email="a@example.com")
    taken = await keeper.call("PATCH", f"/contacts/{second['id']}", {"phone": "+251911000001"})
    refused(taken, 409, "address_taken", "/phone")
    # A telephone number is no WhatsApp address, and every account has its own.
    await keeper.change(second["id"], addresses=[{"type": "whatsapp", "value": "251911000001"}])
    assert (await stranger.contact(phone="+251911000001"))["phone"] == "+251911000001"
    await keeper.change(first["id"], phone=None)
    assert (await keeper.change(second["id"], phone="+251911000001"))["phone"] == "+251911000001"


async def test_one_of_many_gets_an_address(keeper: Keeper) -> None:
    answers = await asyncio.gather(*(keeper.call("POST", "/contacts", {"phone": "+251911000001"}) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    (made,) = (answer.json()["id"] for answer in answers if answer.status_code == 201)
    for answer in answers:
        if answer.status_code == 409:
            assert made in refused(answer, 409, "address_taken", "/phone")["errors"][0]["detail"]
    assert await keeper.found() == [made]


async def test_a_change_merges(keeper: Keeper) -> None:
    groups = [(await keeper.make("/contact-groups", name=name))["id"] for name in ("a", "b")]
    made = await keeper.contact(
        first_name="A", last_name="B", tags=["x"], attributes={"city": "Gondar", "age": 7}, groups=groups[:1], notes="n"
    )
    path = made["id"]
    assert (await keeper.change(path)) == made, "nothing is no change"
    changed = await keeper.change(path, last_name=None, tags=["y"], attributes={"age": None, "pet": "cat"}, notes=None)
    assert (changed["first_name"], changed["last_name"], changed["notes"]) == ("A", None, None)
    assert (changed["tags"], changed["attributes"]) == (["y"], {"city": "Gondar", "pet": "cat"})
    assert changed["updated_at"] > made["updated_at"] and changed["groups"] == groups[:1]
    moved = await keeper.change(path, groups=groups[1:])
    assert moved["groups"] == groups[1:] and moved["updated_at"] == changed["updated_at"]
    cleared = await keeper.change(path, groups=None, attributes=None, tags=None, first_name=None)
    assert (cleared["groups"], cleared["attributes"], cleared["tags"], cleared["first_name"]) == ([], {}, [], None)
    refused(await keeper.call("PATCH", f"/contacts/{path}", {"status": None}), 422, "invalid_value", "/status")


async def test_shorthands_are_the_first_of_their_type(keeper: Keeper) -> None:
    def phone(number: int) -> str:
        return f"+25191100000{number}"

    def values(contact: dict[str, Any]) -> list[str]:
        return [each["value"] for each in contact["addresses"]]

    listed = [{"type": "phone", "value": phone(number)} for number in (1, 2)]
    made = await keeper.contact(addresses=[*listed, {"type": "email", "value": "a@example.com"}])
    path = made["id"]
    assert values(await keeper.change(path, phone=phone(3))) == [phone(3), phone(2), "a@example.com"], "instead of"
    assert values(await keeper.change(path, phone=phone(2))) == [phone(2), phone(3), "a@example.com"], "to the front"
    assert values(await keeper.change(path, email="b@example.com")) == [phone(2), phone(3), "b@example.com"]
    both = await keeper.change(path, addresses=listed, phone=phone(4))
    assert values(both) == [phone(4), phone(1), phone(2)], "besides what is sent with it"
    first = await keeper.change(path, addresses=[listed[0], listed[1] | {"primary": True}])
    assert values(first) == [phone(2), phone(1)] and first["phone"] == phone(2)
    none = await keeper.change(path, phone=None)
    assert none["phone"] is None and none["addresses"] == []


async def test_versions(keeper: Keeper) -> None:
    made = await keeper.call("POST", "/contacts", {"first_name": "A"})
    path, tag = made.headers["location"].removeprefix("/v1"), made.headers["etag"]
    changed = await keeper.call("PATCH", path, {"first_name": "B"}, if_match=tag)
    assert changed.status_code == 200 and changed.headers["etag"] != tag
    refused(await keeper.call("PATCH", path, {"first_name": "C"}, if_match=tag), 412, "precondition_failed")
    refused(await keeper.call("DELETE", path, if_match=tag), 412, "precondition_failed")
    assert (await keeper.call("DELETE", path, if_match=changed.headers["etag"])).status_code == 204
    refused(await keeper.call("GET", path), 404, "not_found")
    refused(await keeper.call("PATCH", path, {"phone": "1"}), 404, "not_found")
    refused(await keeper.call("DELETE", path), 404, "not_found")


async def test_no_change_is_lost(keeper: Keeper) -> None:
    made = await keeper.contact(attributes={"n": 0})
    changes = [{"attributes": {f"k{number}": number}} for number in range(24)]
    answers = await asyncio.gather(*(keeper.call("PATCH", f"/contacts/{made['id']}", change) for change in changes))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["etag"] for answer in answers}) == 24, "each made a version of its own"
    expected = {"n": 0} | {f"k{number}": number for number in range(24)}
    assert (await keeper.show(f"/contacts/{made['id']}"))["attributes"] == expected


async def test_one_of_those_who_insist_on_a_version_wins(keeper: Keeper) -> None:
    made = await keeper.call("POST", "/contacts", {})
    path, tag = made.headers["location"].removeprefix("/v1"), made.headers["etag"]
    names = [f"N{number}" for number in range(8)]
    answers = await asyncio.gather(*(keeper.call("PATCH", path, {"first_name": n}, if_match=tag) for n in names))
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7


async def test_lists_are_filtered_by_every_field(keeper: Keeper) -> None:
    group = (await keeper.make("/contact-groups", name="g"))["id"]
    await keeper.make("/contact-attributes", key="born", type="date")
    one = await keeper.contact(
        first_name="Abebe",
        last_name="Bekele",
        language="am",
        timezone="Africa/Addis_Ababa",
        phone="+251911000001",
        email="a@example.com",
        tags=["vip"],
        groups=[group],
        notes="Likes Coffee",
        attributes={"city": "Addis Ababa", "age": 30, "member": True, "born": "1996-02-29", "likes": ["tea"]},
    )
    two = await keeper.contact(first_name="Sara", status="blocked", attributes={"age": 20, "city": "Gondar"})
    queries: list[tuple[dict[str, str], Any]] = [
        ({"id": one["id"]}, one),
        ({"first_name": "Abebe"}, one),
        ({"first_name[startswith]": "sA"}, two),
        ({"last_name[exists]": "false"}, two),
        ({"language": "am"}, one),
        ({"timezone[ne]": "Africa/Addis_Ababa"}, two),
        ({"status": "blocked"}, two),
        ({"notes[contains]": "coffee"}, one),
        ({"phone": "+251911000001"}, one),
        ({"phone[startswith]": "+2519"}, one),
        ({"email[exists]": "true"}, one),
        ({"tags": "vip"}, one),
        ({"tags[ne]": "vip"}, two),
        ({"groups": group}, one),
        ({"attributes.city": "Addis Ababa"}, one),
        ({"attributes.city[contains]": "gon"}, two),
        ({"attributes.age[lt]": "30"}, two),
        ({"attributes.age[in]": "30,31"}, one),
        ({"attributes.member": "true"}, one),
        ({"attributes.born[gte]": "1996-01-01"}, one),
        ({"attributes.likes": "tea"}, one),
        ({"created_at[gt]": "now-1h", "first_name": "Sara"}, two),
        ({"updated_at[gte]": two["updated_at"]}, two),
        ({"last_inbound_at[exists]": "true"}, None),
    ]
    for query, expected in queries:
        assert await keeper.found(**query) == ([] if expected is None else [expected["id"]]), query
    # An unescaped plus arrives as a space.
    answer = await keeper.client.get("/v1/contacts?phone=+251911000001", headers=keeper.headers)
    assert [each["id"] for each in answered(answer)["items"]] == [one["id"]]
    for query in ({"attributes.unknown": "1"}, {"surprise": "1"}, {"attributes.age[contains]": "1"}):
        problem = refused(
            await keeper.client.get("/v1/contacts", params=query, headers=keeper.headers), 400, "unknown_filter"
        )
        assert "attributes.city" in problem["detail"] or "Operators of attributes.age: eq" in problem["detail"]


async def test_addresses_are_found_however_they_are_written(keeper: Keeper) -> None:
    await keeper.call("PATCH", f"/accounts/{keeper.account_id}", {"settings": {"default_country": "ET"}})
    one = await keeper.contact(phone="+251911000001", email="abebe@example.com")
    two = await keeper.contact(phone="+251911000002", addresses=[{"type": "telegram", "value": "@abebe_b"}])
    for query, expected in (
        ({"phone": "0911 000-001"}, [one]),
        ({"phone[ne]": "0911000001"}, [two]),
        ({"phone[in]": "911000001,+251911000002"}, [two, one]),
        ({"phone[nin]": "0911000001,0911000003"}, [two]),
        ({"email": "Abebe@EXAMPLE.com"}, [one]),
        ({"telegram": "Abebe_B"}, [two]),
        ({"phone": "nothing of the kind"}, []),
        ({"phone[contains]": "0001"}, [one]),
    ):
        assert await keeper.found(**query) == [each["id"] for each in expected], query
    searched = {"filter": {"not": {"field": "phone", "op": "eq", "value": "0911000001"}}}
    assert [each["id"] for each in answered(await keeper.call("POST", "/contacts/search", searched))["items"]] == [
        two["id"]
    ]


async def test_lists_are_paged_in_every_order(keeper: Keeper, stranger: Keeper) -> None:
    await stranger.contact(first_name="a")
    names = ["b", "A", "é", "a", "a", "B", "", "z"]
    made = [await keeper.contact(first_name=name, last_name=name[::-1]) for name in names]
    await keeper.change(made[0]["id"], tags=["changed"])

    async def walked(sort: str) -> list[str]:
        ids: list[str] = []
        query = {"sort": sort, "limit": "3", "include": "total"}
        while True:
            page = answered(await keeper.client.get("/v1/contacts", params=query, headers=keeper.headers))
            assert page["total"] == len(names)
            ids += [each["id"] for each in page["items"]]
            if page["next_cursor"] is None:
                return ids
            query["cursor"] = page["next_cursor"]

    in_order = [each["id"] for each in made]
    assert await walked("created_at") == in_order
    assert await walked("-created_at") == in_order[::-1]
    assert await walked("updated_at") == [*in_order[1:], in_order[0]]
    by_name = [each for _, each in sorted(zip(names, in_order, strict=True))]
    assert await walked("first_name") == by_name
    assert await walked("-first_name") == by_name[::-1]
    assert await walked("last_name") == by_name
    bad = await keeper.client.get("/v1/contacts", params={"sort": "notes"}, headers=keeper.headers)
    refused(bad, 400, "unknown_sort")


async def test_cursors_that_are_none(keeper: Keeper) -> None:
    def cursor(*parts: Any) -> str:
        return base64.urlsafe_b64encode(msgspec.msgpack.encode(parts)).decode().rstrip("=")

    for given in (cursor("first_name", "a\0b", uuid4()), cursor("first_name", 7, uuid4()), cursor("x", None, uuid4())):
        query = {"sort": "first_name", "cursor": given}
        refused(await keeper.client.get("/v1/contacts", params=query, headers=keeper.headers), 400, "bad_cursor")
        refused(await keeper.call("POST", "/contacts/search", query), 400, "bad_cursor")


async def test_searching_by_an_expression(keeper: Keeper) -> None:
    one = await keeper.contact(first_name="A", tags=["vip"], attributes={"city": "Gondar"})
    two = await keeper.contact(first_name="B", tags=["vip"])
    await keeper.contact(first_name="C")
    vip = {"field": "tags", "op": "contains", "value": "vip"}
    gondar = {"field": "attributes.city", "op": "eq", "value": "Gondar"}
    found = answered(await keeper.call("POST", "/contacts/search", {"filter": vip, "sort": "first_name", "limit": 1}))
    assert [each["id"] for each in found["items"]] == [one["id"]] and "total" not in found
    more = {"filter": vip, "sort": "first_name", "limit": 1, "cursor": found["next_cursor"], "include": "total"}
    rest = answered(await keeper.call("POST", "/contacts/search", more))
    assert ([each["id"] for each in rest["items"]], rest["total"]) == ([two["id"]], 2)
    both = {"and": [vip, {"not": gondar}]}
    assert [
        each["id"] for each in answered(await keeper.call("POST", "/contacts/search", {"filter": both}))["items"]
    ] == [two["id"]]
    assert len(answered(await keeper.call("POST", "/contacts/search", {}))["items"]) == 3
    wrong = await keeper.call("POST", "/contacts/search", {"filter": {"and": [vip, {"field": "x"}]}})
    refused(wrong, 422, "invalid_value", "/filter/and/1/field")
    group = {"field": "groups", "op": "in", "value": [str(uuid4())]}
    wrong = await keeper.call("POST", "/contacts/search", {"filter": {"not": group}})
    refused(wrong, 422, "invalid_value", "/filter/not/value/0")
    refused(await keeper.call("POST", "/contacts/search", {"sort": "notes"}), 400, "unknown_sort")


async def test_when_addresses_last_wrote(keeper: Keeper, database: Database) -> None:
    made = await keeper.contact(phone="+251911000001", email="a@example.com")
    channel, at = uuid4(), utc_now()
    async with database.unit_of_work() as session:
        store = PostgresContactStores().of(session, keeper.account_id)
        key = AddressKey(AddressType.PHONE, "+251911000001")
        await store.record_activity([Activity(UUID(made["id"]), channel, key, last_inbound_at=at)])
    shown = await keeper.show(f"/contacts/{made['id']}")
    assert shown["addresses"][0]["last_inbound"] == {str(channel): rfc3339(at)}
    assert shown["addresses"][1]["last_inbound"] == {}
    assert shown["last_inbound_at"] == rfc3339(at) and shown["last_outbound_at"] is None
    assert shown["updated_at"] == made["updated_at"]
    assert await keeper.found(**{"last_inbound_at[gte]": "now-1h"}) == [made["id"]]


async def test_new_addresses_of_who_has_opted_out(keeper: Keeper) -> None:
    opted = {"channel_class": "sms", "address": "+251911000001", "topic": "marketing"}
    assert (await keeper.call("POST", "/opt-outs", opted)).status_code == 201
    made = await keeper.contact(phone="+251911000001")
    assert made["addresses"][0]["opted_out"] == ["marketing"]
    other = await keeper.contact(phone="+251911000002")
    assert other["addresses"][0]["opted_out"] == []
    assert await keeper.found(opted_out="sms:marketing") == [made["id"]]
    await keeper.change(made["id"], phone=None)
    changed = await keeper.change(other["id"], addresses=[{"type": "phone", "value": "+251911000001"}])
    assert changed["addresses"][0]["opted_out"] == ["marketing"]


async def test_what_happens_is_an_event_without_personal_data(keeper: Keeper, database: Database) -> None:
    group = (await keeper.make("/contact-groups", name="g"))["id"]
    made = await keeper.contact(first_name="Abebe", phone="+251911000001")
    await keeper.change(made["id"], first_name="Abebe", tags=["x"])
    await keeper.change(made["id"], tags=["x"])
    await keeper.change(made["id"], groups=[group])
    assert await events_of(database, keeper) == [
        ("contact.created", ["first_name", "status", "addresses"]),
        ("contact.updated", ["tags"]),
        ("contact.updated", ["groups"]),
    ]
    log = (await keeper.show("/audit-log?resource_type=contact"))["items"]
    assert [entry["action"] for entry in log] == ["updated", "updated", "created"]
    assert all(entry["before"] is None and entry["after"] is None for entry in log)


async def test_other_accounts_see_nothing(keeper: Keeper, stranger: Keeper) -> None:
    made = await keeper.contact(first_name="A", phone="+251911000001", tags=["vip"])
    path = f"/contacts/{made['id']}"
    for method, body in (("GET", None), ("PATCH", {"first_name": "B"}), ("DELETE", None)):
        refused(await stranger.call(method, path, body), 404, "not_found")
    assert await stranger.found() == [] and await stranger.found(id=made["id"]) == []
    assert (await keeper.show(path)) == made
