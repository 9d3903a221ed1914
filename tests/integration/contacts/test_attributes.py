"""Definitions of custom attributes over the API, and the values they let in."""

import asyncio

import pytest

from app.domain.contacts import attributes
from tests.integration.contacts.conftest import Keeper, answered, refused


async def test_a_definition_from_its_making_to_its_end(keeper: Keeper, stranger: Keeper) -> None:
    made = await keeper.call("POST", "/contact-attributes", {"key": "city", "name": "Town", "type": "text"})
    attribute = answered(made, 201)
    path, tag = made.headers["location"].removeprefix("/v1"), made.headers["etag"]
    assert (attribute["key"], attribute["name"], attribute["type"]) == ("city", "Town", "text")
    assert await keeper.show(path) == attribute
    refused(await keeper.call("POST", "/contact-attributes", {"key": "city", "type": "date"}), 409, "key_taken")
    changed = await keeper.call("PATCH", path, {"name": "City"}, if_match=tag)
    assert answered(changed)["name"] == "City"
    refused(await keeper.call("PATCH", path, {"name": "x"}, if_match=tag), 412, "precondition_failed")
    refused(await keeper.call("PATCH", path, {"type": "number"}), 422, "invalid_value", "/type")
    refused(await keeper.call("PATCH", path, {"key": "town"}), 422, "invalid_value", "/key")
    for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)):
        refused(await stranger.call(method, path, body), 404, "not_found")
    assert (await stranger.make("/contact-attributes", key="city", type="number"))["type"] == "number"
    assert (await keeper.call("DELETE", path)).status_code == 204
    refused(await keeper.call("GET", path), 404, "not_found")
    assert (await keeper.make("/contact-attributes", key="city", type="number"))["name"] == "city"


async def test_the_first_value_defines(keeper: Keeper) -> None:
    values = {"city": "2026-11-24", "age": 7, "member": False, "likes": ["a"], "nothing": None, "empty": ""}
    await keeper.contact(attributes=values)
    listed = (await keeper.show("/contact-attributes?sort=key"))["items"]
    assert {each["key"]: each["type"] for each in listed} == {
        "age": "number",
        "city": "text",
        "likes": "list",
        "member": "boolean",
    }


async def test_values_are_of_the_defined_type(keeper: Keeper) -> None:
    for kind in ("text", "number", "boolean", "date", "list"):
        await keeper.make("/contact-attributes", key=f"a_{kind}", type=kind)
    good = {"a_text": "x", "a_number": 1.5, "a_boolean": True, "a_date": "2026-11-24", "a_list": ["b", "a"]}
    made = await keeper.contact(attributes=good)
    assert made["attributes"] == good | {"a_list": ["a", "b"]}
    wrong = {"a_text": 1, "a_number": "1", "a_boolean": "true", "a_date": "soon", "a_list": "a"}
    pointers = [f"/attributes/{key}" for key in wrong]
    refused(await keeper.call("POST", "/contacts", {"attributes": wrong}), 422, "invalid_value", *pointers)
    change = await keeper.call("PATCH", f"/contacts/{made['id']}", {"attributes": wrong})
    refused(change, 422, "invalid_value", *pointers)
    dated = await keeper.change(made["id"], attributes={"a_date": "2026-11-24T10:00:00+03:00"})
    assert dated["attributes"]["a_date"] == "2026-11-24T07:00:00Z"


async def test_two_first_values_of_different_types(keeper: Keeper) -> None:
    bodies = [{"attributes": {"rank": value}} for value in (1, "one", 2, "two", ["three"], True)]
    answers = await asyncio.gather(*(keeper.call("POST", "/contacts", body) for body in bodies))
    (definition,) = (await keeper.show("/contact-attributes"))["items"]
    types = {"number": (int,), "text": (str,), "list": (list,), "boolean": (bool,)}
    for body, answer in zip(bodies, answers, strict=True):
        if type(body["attributes"]["rank"]) in types[definition["type"]]:
            assert answer.status_code == 201, answer.text
        else:
            refused(answer, 422, "invalid_value", "/attributes/rank")


async def test_an_attribute_with_values_stays(keeper: Keeper) -> None:
    one, two = [await keeper.contact(attributes={"city": "Gondar", "unused": "x"}) for _ in range(2)]
    listed = (await keeper.show("/contact-attributes"))["items"]
    path = next(f"/contact-attributes/{each['id']}" for each in listed if each["key"] == "city")
    assert "2 contacts have" in refused(await keeper.call("DELETE", path), 409, "attribute_in_use")["detail"]
    await keeper.change(one["id"], attributes={"city": None})
    assert "1 contact has" in refused(await keeper.call("DELETE", path), 409, "attribute_in_use")["detail"]
    await keeper.change(two["id"], attributes=None)
    assert (await keeper.call("DELETE", path)).status_code == 204


async def test_a_value_that_comes_while_its_attribute_goes(keeper: Keeper) -> None:
    for _ in range(5):
        attribute = await keeper.make("/contact-attributes", key="city", type="number")
        path = f"/contact-attributes/{attribute['id']}"
        made, deleted = await asyncio.gather(
            keeper.call("POST", "/contacts", {"attributes": {"city": 1}}), keeper.call("DELETE", path)
        )
        contact = answered(made, 201)
        assert deleted.status_code in (204, 409)
        # Either way the value has a definition.
        (definition,) = (await keeper.show("/contact-attributes"))["items"]
        assert (definition["key"], definition["type"]) == ("city", "number")
        assert await keeper.found(**{"attributes.city": "1"}) == [contact["id"]]
        await keeper.call("DELETE", f"/contacts/{contact['id']}")
        assert (await keeper.call("DELETE", f"/contact-attributes/{definition['id']}")).status_code == 204


async def test_there_is_an_end_to_definitions(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attributes, "MAX_DEFINITIONS", 3)
    await keeper.contact(attributes={"a": 1, "b": 1})
    too_many = {"attributes": {"c": 1, "d": 1}}
    refused(await keeper.call("POST", "/contacts", too_many), 409, "too_many_attributes")
    await keeper.contact(attributes={"c": 1})
    await keeper.contact(attributes={"a": 2, "c": 2})
    another = await keeper.call("POST", "/contact-attributes", {"key": "d", "type": "text"})
    refused(another, 409, "too_many_attributes")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"key": "City", "type": "text"}, "/key"),
        ({"key": "a" * 65, "type": "text"}, "/key"),
        ({"key": "a", "type": "object"}, "/type"),
        ({"key": "a"}, "/type"),
        ({"key": "a", "type": "text", "name": " "}, "/name"),
    ],
    ids=["upper case", "long", "no type", "type missing", "blank name"],
)
async def test_definitions_that_are_none(keeper: Keeper, body: dict[str, str], pointer: str) -> None:
    refused(await keeper.call("POST", "/contact-attributes", body), 422, "invalid_value", pointer)
