"""Roles and the catalogue of permissions."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.domain.identity.permissions import CATALOGUE, NAMES, SYSTEM_ROLES
from app.domain.identity.roles.catalogue import DESCRIPTIONS
from tests.integration.members.conftest import Account, pointers, refusal

OWNER = str(SYSTEM_ROLES[0].id)


def test_every_permission_is_described() -> None:
    assert DESCRIPTIONS.keys() == NAMES
    assert all(words.endswith(".") for words in DESCRIPTIONS.values())


async def test_the_catalogue_is_for_everybody_who_is_known(client: httpx.AsyncClient, account: Account) -> None:
    viewer = await account.member("viewer")
    shown = await client.get("/v1/permissions", headers=viewer["headers"])
    assert shown.status_code == 200
    assert {
        each["resource"]: tuple(action["action"] for action in each["actions"]) for each in shown.json()["items"]
    } == CATALOGUE
    first = shown.json()["items"][0]["actions"][0]
    assert first["permission"] == "accounts:read"
    assert first["description"]
    assert (await client.get("/v1/permissions")).status_code == 401


async def test_a_role_lives_and_ends(client: httpx.AsyncClient, account: Account) -> None:
    made = await client.post(
        "/v1/roles",
        json={"name": " Support ", "permissions": {"messages": ["send", "read", "send"], "contacts": []}},
        headers=account.headers,
    )
    assert made.status_code == 201, made.text
    role = made.json()
    assert (role["name"], role["system"], role["permissions"]) == ("Support", False, {"messages": ["read", "send"]})
    assert made.headers["location"] == f"/v1/roles/{role['id']}"
    shown = await client.get(made.headers["location"], headers=account.headers)
    assert shown.json() == role
    assert shown.headers["etag"] == made.headers["etag"]

    path = f"/v1/roles/{role['id']}"
    stale = account.headers | {"If-Match": '"1"'}
    assert refusal(await client.patch(path, json={"name": "X"}, headers=stale)) == (412, "precondition_failed")
    fresh = account.headers | {"If-Match": shown.headers["etag"]}
    changed = await client.patch(path, json={"permissions": {"messages": ["read"]}}, headers=fresh)
    assert changed.status_code == 200
    assert changed.json()["permissions"] == {"messages": ["read"]}
    assert changed.json()["name"] == "Support"
    assert changed.headers["etag"] != shown.headers["etag"]
    for same in ({}, {"name": "Support"}, {"permissions": {"messages": ["read"]}}):
        again = await client.patch(path, json=same, headers=account.headers)
        assert again.headers["etag"] == changed.headers["etag"]

    assert refusal(await client.delete(path, headers=fresh)) == (412, "precondition_failed")
    gone = await client.delete(path, headers=account.headers | {"If-Match": changed.headers["etag"]})
    assert gone.status_code == 204
    assert (await client.get(path, headers=account.headers)).status_code == 404

    log = await account.log(resource_id=role["id"])
    assert [entry["action"] for entry in log] == ["deleted", "updated", "created"]
    assert log[1]["before"]["permissions"] == {"messages": ["read", "send"]}
    assert log[1]["after"] == changed.json()


async def test_the_list_has_the_roles_of_the_system_and_ones_own(
    client: httpx.AsyncClient, account: Account, stranger: Account
) -> None:
    theirs = await stranger.role({"messages": ["read"]})
    mine = await account.role({"messages": ["read"]}, "Mine")
    listed = (await client.get("/v1/roles?include=total", headers=account.headers)).json()
    assert [role["name"] for role in listed["items"]] == ["owner", "admin", "operator", "viewer", "Mine"]
    assert listed["total"] == 5
    assert [role["system"] for role in listed["items"]] == [True] * 4 + [False]
    own = (await client.get("/v1/roles?system=false", headers=account.headers)).json()
    assert [role["id"] for role in own["items"]] == [mine["id"]]
    two = (await client.get("/v1/roles?sort=-name&limit=2", headers=account.headers)).json()
    more = {"sort": "-name", "limit": "9", "cursor": two["next_cursor"]}
    rest = (await client.get("/v1/roles", params=more, headers=account.headers)).json()
    names = [role["name"] for role in two["items"] + rest["items"]]
    assert len(names) == 5
    assert set(names) == {"owner", "admin", "operator", "viewer", "Mine"}
    assert refusal(await client.get("/v1/roles?colour=red", headers=account.headers)) == (400, "unknown_filter")

    for path in (f"/v1/roles/{theirs['id']}", f"/v1/roles/{uuid4()}"):
        assert (await client.get(path, headers=account.headers)).status_code == 404
        assert (await client.patch(path, json={"name": "X"}, headers=account.headers)).status_code == 404
        assert (await client.delete(path, headers=account.headers)).status_code == 404
    assert (await client.get(f"/v1/roles/{theirs['id']}", headers=stranger.headers)).json() == theirs


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"permissions": {"messages": ["read", "fly"]}}, [("/permissions/messages/1", "not_allowed")]),
        ({"permissions": {"mess/ages": ["read"]}}, [("/permissions/mess~1ages", "not_allowed")]),
        (
            {"name": " ", "permissions": {"x": [], "contacts": ["send"]}},
            [("/name", "wrong_length"), ("/permissions/x", "not_allowed"), ("/permissions/contacts/0", "not_allowed")],
        ),
        ({"permissions": {"messages": "read"}}, [("/permissions/*", "wrong_type")]),
        ({"permissions": {"messages": ["read"]}, "system": True}, [("/system", "unknown_field")]),
        ({"name": "X"}, [("/permissions", "missing_field")]),
    ],
    ids=str,
)
async def test_what_cannot_be_a_role(
    client: httpx.AsyncClient, account: Account, body: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    answer = await client.post("/v1/roles", json={"name": "A role"} | body, headers=account.headers)
    if "permissions" not in body:
        answer = await client.post("/v1/roles", json=body, headers=account.headers)
    assert answer.status_code == 422, answer.text
    assert pointers(answer) == expected


async def test_names_are_unique_and_those_of_the_system_taken(client: httpx.AsyncClient, account: Account) -> None:
    role = await account.role({"messages": ["read"]}, "One")
    other = await account.role({}, "Two")
    for name in ("One", "owner", "Owner", " VIEWER "):
        made = await client.post("/v1/roles", json={"name": name, "permissions": {}}, headers=account.headers)
        assert refusal(made) == (409, "name_taken"), name
        path = f"/v1/roles/{other['id']}"
        renamed = await client.patch(path, json={"name": name}, headers=account.headers)
        assert refusal(renamed) == (409, "name_taken"), name
    assert (
        await client.patch(f"/v1/roles/{role['id']}", json={"name": "One"}, headers=account.headers)
    ).status_code == 200
    for body in ({"name": None}, {"permissions": None}):
        cleared = await client.patch(f"/v1/roles/{role['id']}", json=body, headers=account.headers)
        assert pointers(cleared) == [(f"/{next(iter(body))}", "not_nullable")]


async def test_a_name_is_given_once_however_fast(client: httpx.AsyncClient, account: Account) -> None:
    body = {"name": "Race", "permissions": {}}
    made = await asyncio.gather(*(client.post("/v1/roles", json=body, headers=account.headers) for _ in range(4)))
    assert sorted(answer.status_code for answer in made) == [201, 409, 409, 409]


async def test_the_roles_of_the_system_stay_as_they_are(client: httpx.AsyncClient, account: Account) -> None:
    for role in SYSTEM_ROLES:
        path = f"/v1/roles/{role.id}"
        shown = (await client.get(path, headers=account.headers)).json()
        assert (shown["name"], shown["system"]) == (role.name, True)
        changed = await client.patch(path, json={"permissions": {}}, headers=account.headers)
        assert refusal(changed) == (409, "system_role")
        assert refusal(await client.delete(path, headers=account.headers)) == (409, "system_role")


async def test_a_role_that_somebody_has_is_not_deleted(client: httpx.AsyncClient, account: Account) -> None:
    role = await account.role({"messages": ["read"]}, "Used")
    path = f"/v1/roles/{role['id']}"
    member = await account.member("Used")
    await account.member("Used")
    key = await account.key(role="Used")
    invitation, _ = await account.invite("somebody@example.com", role_id=role["id"])
    refused = await client.delete(path, headers=account.headers)
    assert refusal(refused) == (409, "role_in_use")
    assert "2 members, 1 API key, 1 open invitation" in refused.json()["detail"]

    members = (await client.get(f"/v1/users?role_id={role['id']}", headers=account.headers)).json()["items"]
    assert len(members) == 2
    for each in members:
        assert (await client.delete(f"/v1/users/{each['id']}", headers=account.headers)).status_code == 204
    assert (await client.delete(f"/v1/api-keys/{key['id']}", headers=account.headers)).status_code == 204
    assert "by 1 open invitation." in (await client.delete(path, headers=account.headers)).json()["detail"]
    gone = await client.delete(f"/v1/invitations/{invitation['id']}", headers=account.headers)
    assert gone.status_code == 204
    assert (await client.delete(path, headers=account.headers)).status_code == 204
    assert (await client.get("/v1/roles", headers=member["headers"])).status_code == 403


async def test_a_role_shrinks_and_grows_for_whoever_has_it_at_once(client: httpx.AsyncClient, account: Account) -> None:
    role = await account.role({"channels": ["read"], "roles": ["read"]}, "Flexible")
    member, key = await account.member("Flexible"), await account.key(role_id=role["id"])
    both = (member["headers"], key["headers"])
    for headers in both:
        assert (await client.get("/v1/channels", headers=headers)).status_code == 200
    for permissions, status in (({"roles": ["read"]}, 403), ({"roles": ["read"], "channels": ["read"]}, 200)):
        path = f"/v1/roles/{role['id']}"
        changed = await client.patch(path, json={"permissions": permissions}, headers=account.headers)
        assert changed.status_code == 200
        for headers in both:
            assert (await client.get("/v1/channels", headers=headers)).status_code == status
    shown = (await client.get(f"/v1/api-keys/{key['id']}", headers=account.headers)).json()
    assert shown["permissions"] == {"roles": ["read"], "channels": ["read"]}
