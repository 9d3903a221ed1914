"""Segments over the API: saved as they were sent, true at the moment they are asked."""

from typing import Any
from uuid import uuid4

import pytest

from tests.integration.contacts.conftest import Keeper, answered, refused

VIP: dict[str, Any] = {"field": "tags", "op": "contains", "value": "vip"}
GONDAR: dict[str, Any] = {"field": "attributes.city", "op": "eq", "value": "Gondar"}


async def test_members_are_whoever_matches_now(keeper: Keeper) -> None:
    one = await keeper.contact(first_name="A", tags=["vip"], attributes={"city": "Gondar"})
    two = await keeper.contact(first_name="B", tags=["vip"])
    made = await keeper.call("POST", "/segments", {"name": "Vips", "filter": VIP, "description": "d"})
    segment = answered(made, 201)
    path = made.headers["location"].removeprefix("/v1")
    assert (segment["filter"], segment["count"], segment["description"]) == (VIP, 2, "d")
    assert await keeper.show(path) == segment
    assert (await keeper.show("/segments"))["items"] == [
        {name: value for name, value in segment.items() if name != "count"}
    ]
    assert await keeper.found(f"{path}/contacts") == [two["id"], one["id"]]
    assert await keeper.found(f"{path}/contacts", sort="first_name", **{"attributes.city": "Gondar"}) == [one["id"]]
    page = await keeper.show(f"{path}/contacts?limit=1&include=total")
    assert page["total"] == 2 and page["next_cursor"] is not None
    await keeper.change(two["id"], tags=None)
    assert (await keeper.show(path))["count"] == 1
    changed = answered(await keeper.call("PATCH", path, {"filter": {"not": VIP}, "description": None}))
    assert (changed["count"], changed["description"], changed["filter"]) == (1, None, {"not": VIP})
    assert await keeper.found(f"{path}/contacts") == [two["id"]]
    tag = made.headers["etag"]
    refused(await keeper.call("PATCH", path, {"name": "x"}, if_match=tag), 412, "precondition_failed")
    refused(await keeper.call("DELETE", path, if_match=tag), 412, "precondition_failed")
    refused(await keeper.call("PATCH", path, {"filter": None}), 422, "invalid_value", "/filter")
    refused(await keeper.call("POST", "/segments", {"name": "Vips", "filter": VIP}), 409, "name_taken")
    assert (await keeper.call("DELETE", path)).status_code == 204
    for answer in (await keeper.call("GET", path), await keeper.call("GET", f"{path}/contacts")):
        refused(answer, 404, "not_found")


async def test_a_preview_counts_and_shows_the_newest(keeper: Keeper) -> None:
    ids = [(await keeper.contact(tags=["vip"]))["id"] for _ in range(12)]
    preview = answered(await keeper.call("POST", "/segments/preview", {"filter": VIP}))
    assert preview["count"] == 12
    assert [each["id"] for each in preview["sample"]] == ids[:1:-1]
    assert preview["sample"][0] == await keeper.show(f"/contacts/{ids[-1]}")
    recent = {"and": [{"field": "created_at", "op": "gte", "value": "now-1h"}, VIP]}
    assert answered(await keeper.call("POST", "/segments/preview", {"filter": recent}))["count"] == 12
    later = {"field": "created_at", "op": "gte", "value": "now+1h"}
    assert answered(await keeper.call("POST", "/segments/preview", {"filter": later})) == {"count": 0, "sample": []}


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"field": "x", "op": "eq", "value": 1}, "/filter/field"),
        ({"and": [VIP, {"field": "tags", "op": "gt", "value": "a"}]}, "/filter/and/1/op"),
        ({"or": [{"not": GONDAR}]}, "/filter/or/0/not/field"),
        ({"field": "tags", "op": "eq", "value": "a\u0000b"}, "/filter/value"),
        ({"field": "created_at", "op": "gt", "value": "yesterday"}, "/filter/value"),
        ({"and": [], "or": []}, "/filter"),
        ({"field": "groups", "op": "in", "value": ["019ab0d4-5c7e-7a90-b2f4-8e1d3a700e02"]}, "/filter/value/0"),
        ({"and": [{"field": "groups", "value": "019ab0d4-5c7e-7a90-b2f4-8e1d3a700e02"}]}, "/filter/and/0/value"),
        ({"tags": "vip"}, "/filter/tags"),
    ],
    ids=["field", "operator", "attribute", "NUL", "moment", "both", "group in a list", "group", "shape"],
)
async def test_filters_that_are_none(keeper: Keeper, wrong: dict[str, Any], pointer: str) -> None:
    for path, body in (("/segments", {"name": "x"}), ("/segments/preview", {}), ("/contacts/search", {})):
        refused(await keeper.call("POST", path, {**body, "filter": wrong}), 422, "invalid_value", pointer)
    assert (await keeper.show("/segments"))["items"] == []


async def test_a_group_of_another_account_is_none(keeper: Keeper, stranger: Keeper) -> None:
    theirs = (await stranger.make("/contact-groups", name="g"))["id"]
    body = {"name": "x", "filter": {"field": "groups", "op": "eq", "value": theirs}}
    problem = refused(await keeper.call("POST", "/segments", body), 422, "invalid_value", "/filter/value")
    assert problem["errors"][0]["code"] == "not_found"
    # Whether somebody is in any group at all names none.
    assert answered(
        await keeper.call("POST", "/segments/preview", {"filter": {"field": "groups", "op": "exists", "value": False}})
    ) == {"count": 0, "sample": []}


async def test_a_filter_is_stored_in_one_form(keeper: Keeper) -> None:
    await keeper.contact(tags=["cafe\u0301"])
    made = await keeper.make("/segments", name="x", filter={"field": "tags", "op": "eq", "value": "cafe\u0301"})
    assert made["filter"]["value"] == "caf\u00e9" and made["count"] == 1


async def test_what_a_filter_names_may_go(keeper: Keeper) -> None:
    group = await keeper.make("/contact-groups", name="g")
    attribute = await keeper.make("/contact-attributes", key="city", type="text")
    in_group = await keeper.make("/segments", name="a", filter={"field": "groups", "op": "eq", "value": group["id"]})
    by_city = await keeper.make("/segments", name="b", filter={"not": GONDAR})
    contact = await keeper.contact()
    await keeper.call("DELETE", f"/contact-groups/{group['id']}")
    await keeper.call("DELETE", f"/contact-attributes/{attribute['id']}")
    for segment, pointer in ((in_group, "/filter/value"), (by_city, "/filter/not/field")):
        path = f"/segments/{segment['id']}"
        shown = await keeper.show(path)
        assert shown["count"] is None and "does not hold any more" in shown["problem"]
        refused(await keeper.call("GET", f"{path}/contacts"), 409, "segment_broken", pointer)
        explained = await keeper.call("POST", f"{path}/explain", {"contact_id": contact["id"]})
        refused(explained, 409, "segment_broken", pointer)
        repaired = answered(await keeper.call("PATCH", path, {"filter": {"not": VIP}}))
        assert repaired["count"] == 1 and "problem" not in repaired


async def test_why_is_this_person_in(keeper: Keeper, stranger: Keeper) -> None:
    made = await keeper.contact(tags=["vip"], attributes={"city": "Gondar"})
    wanted = {"and": [VIP, {"not": GONDAR}]}
    segment = await keeper.make("/segments", name="x", filter=wanted)
    path = f"/segments/{segment['id']}/explain"
    explained = answered(await keeper.call("POST", path, {"contact_id": made["id"]}))
    assert explained == {
        "matches": False,
        "explanation": {
            "holds": False,
            "and": [
                {"holds": True, **VIP, "actual": ["vip"]},
                {"holds": False, "not": {"holds": True, **GONDAR, "actual": "Gondar"}},
            ],
        },
    }
    await keeper.change(made["id"], attributes=None)
    assert answered(await keeper.call("POST", path, {"contact_id": made["id"]}))["matches"] is True
    for unknown in (str(uuid4()), (await stranger.contact())["id"]):
        refused(await keeper.call("POST", path, {"contact_id": unknown}), 422, "invalid_value", "/contact_id")
    refused(await stranger.call("POST", path, {"contact_id": made["id"]}), 404, "not_found")


async def test_contacts_are_for_those_who_may_read_contacts(keeper: Keeper) -> None:
    segment = await keeper.make("/segments", name="x", filter=VIP)
    body = {"name": "segments only", "permissions": {"segments": ["read", "create"]}}
    key = answered(await keeper.call("POST", "/api-keys", body), 201)["secret"]
    headers = {"Authorization": f"Bearer {key}"}
    assert (await keeper.client.get(f"/v1/segments/{segment['id']}", headers=headers)).status_code == 200
    for answer in (
        await keeper.client.get(f"/v1/segments/{segment['id']}/contacts", headers=headers),
        await keeper.client.post("/v1/segments/preview", json={"filter": VIP}, headers=headers),
        await keeper.client.post(
            f"/v1/segments/{segment['id']}/explain", json={"contact_id": str(uuid4())}, headers=headers
        ),
    ):
        refused(answer, 403, "missing_permission")
