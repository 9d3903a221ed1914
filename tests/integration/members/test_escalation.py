"""Nobody rises by their own hand: not by roles, members, invitations or keys, neither as people nor as machines."""

from typing import Any

import httpx
import pytest

from app.domain.identity.permissions import ADMIN, CATALOGUE, OPERATOR, OWNER, VIEWER
from tests.integration.members.conftest import Account, Headers, pointers, refusal

MANAGING = {
    "roles": ["read", "create", "update", "delete"],
    "users": ["read", "update", "delete"],
    "invitations": ["read", "create", "delete"],
    "api_keys": ["read", "create", "delete"],
    "messages": ["read"],
}
"""Everything that gives something to somebody, and little to give."""

EVERYTHING = {resource: list(actions) for resource, actions in CATALOGUE.items()}


async def managers(account: Account) -> list[Headers]:
    """A person, a key with the role, and a key with the same permissions."""
    role = await account.role(MANAGING, "Manager")
    member = await account.member("Manager")
    by_role = await account.key(role_id=role["id"])
    by_permissions = await account.key(permissions=MANAGING)
    return [member["headers"], by_role["headers"], by_permissions["headers"]]


async def test_nobody_makes_a_role_above_themselves(client: httpx.AsyncClient, account: Account) -> None:
    for headers in await managers(account):
        body = {"name": "Bigger", "permissions": {"messages": ["read", "send"], "channels": ["read"]}}
        refused = await client.post("/v1/roles", json=body, headers=headers)
        assert refusal(refused) == (422, "exceeds_your_own")
        assert pointers(refused) == [
            ("/permissions/messages/1", "exceeds_your_own"),
            ("/permissions/channels/0", "exceeds_your_own"),
        ]
        assert "messages:send" in refused.json()["errors"][0]["detail"]
        body = {"name": "Equal", "permissions": MANAGING}
        made = await client.post("/v1/roles", json=body, headers=headers)
        assert made.status_code == 201
        assert (await client.delete(f"/v1/roles/{made.json()['id']}", headers=headers)).status_code == 204


async def test_nobody_edits_their_own_role_up(client: httpx.AsyncClient, account: Account) -> None:
    everybody = await managers(account)
    role = (await client.get("/v1/roles?name=Manager", headers=account.headers)).json()["items"][0]
    path = f"/v1/roles/{role['id']}"
    for headers in everybody:
        more = {"permissions": MANAGING | {"audit_log": ["read"]}}
        refused = await client.patch(path, json=more, headers=headers)
        assert refusal(refused) == (422, "exceeds_your_own")
        assert pointers(refused) == [("/permissions/audit_log/0", "exceeds_your_own")]
        renamed = await client.patch(path, json={"name": "Manager"}, headers=headers)
        assert renamed.status_code == 200
        assert renamed.json()["permissions"] == MANAGING


async def test_nobody_touches_a_role_above_themselves(client: httpx.AsyncClient, account: Account) -> None:
    above = await account.role({"messages": ["read", "send"]}, "Above")
    path = f"/v1/roles/{above['id']}"
    for headers in await managers(account):
        bodies: list[dict[str, Any]] = [{"permissions": {"messages": ["read"]}}, {"permissions": {}}, {"name": "Mine"}]
        for body in bodies:
            refused = await client.patch(path, json=body, headers=headers)
            assert refusal(refused) == (422, "exceeds_your_own")
            assert pointers(refused) == [("/permissions", "exceeds_your_own")]
            assert "messages:send" in refused.json()["detail"]
    assert (await client.get(path, headers=account.headers)).json() == above


@pytest.mark.parametrize("name", ["owner", "admin", "operator", "viewer"])
async def test_nobody_gives_a_role_above_themselves(client: httpx.AsyncClient, account: Account, name: str) -> None:
    low = await account.role({"messages": ["read"]}, "Low")
    target = await account.member("Low")
    role_id = str({role.name: role.id for role in (OWNER, ADMIN, OPERATOR, VIEWER)}[name])
    for headers in await managers(account):
        me = (await client.get("/v1/context/basic", headers=headers)).json()["user"]
        bodies: list[tuple[dict[str, Any], str]] = [({"role": name}, "/role"), ({"role_id": role_id}, "/role_id")]
        for body, pointer in bodies:
            users = [target["user"]["id"], *([me["id"]] if me else [])]
            answers = [
                *[await client.patch(f"/v1/users/{each}", json=body, headers=headers) for each in users],
                await client.post("/v1/invitations", json=body | {"email": "x@example.com"}, headers=headers),
                await client.post("/v1/api-keys", json=body | {"name": "x"}, headers=headers),
            ]
            for answer in answers:
                assert refusal(answer) == (422, "exceeds_your_own"), answer.text
                assert {each for each, _ in pointers(answer)} == {pointer}
    shown = (await client.get(f"/v1/users/{target['user']['id']}", headers=account.headers)).json()
    assert shown["role"]["id"] == low["id"]


async def test_no_key_makes_a_bigger_key(client: httpx.AsyncClient, account: Account) -> None:
    key = await account.key(permissions={"api_keys": ["create", "read"], "messages": ["read"]})
    body = {"name": "Bigger", "permissions": {"messages": ["read", "send"], "api_keys": ["delete"]}}
    refused = await client.post("/v1/api-keys", json=body, headers=key["headers"])
    assert refusal(refused) == (422, "exceeds_your_own")
    assert sorted(pointers(refused)) == [
        ("/permissions/api_keys/0", "exceeds_your_own"),
        ("/permissions/messages/1", "exceeds_your_own"),
    ]
    equal = await account.key(headers=key["headers"], permissions={"api_keys": ["create"], "messages": ["read"]})
    assert equal["created_by"] is None
    log = await account.log(resource_id=equal["id"])
    assert log[0]["actor"] == {"type": "api_key", "id": key["id"], "name": key["name"]}
    # Its maker's end is not its own: it is the account's.
    assert (await client.delete(f"/v1/api-keys/{key['id']}", headers=account.headers)).status_code == 204
    assert refusal(await client.get("/v1/api-keys", headers=equal["headers"])) == (403, "missing_permission")


async def test_an_admin_does_not_become_an_owner(client: httpx.AsyncClient, account: Account) -> None:
    admin, owner = await account.member("admin"), account.owner["user"]["id"]
    headers = admin["headers"]
    me = f"/v1/users/{admin['user']['id']}"
    assert refusal(await client.patch(me, json={"role": "owner"}, headers=headers)) == (422, "exceeds_your_own")
    body: dict[str, Any] = {"email": "x@example.com", "role": "owner"}
    assert refusal(await client.post("/v1/invitations", json=body, headers=headers)) == (422, "exceeds_your_own")
    body = {"name": "x", "role": "owner"}
    refused = await client.post("/v1/api-keys", json=body, headers=headers)
    assert pointers(refused) == [("/role", "exceeds_your_own")]
    assert "accounts:delete" in refused.json()["detail"]
    body = {"name": "x", "permissions": EVERYTHING}
    for path in ("/v1/roles", "/v1/api-keys"):
        refused = await client.post(path, json=body, headers=headers)
        assert pointers(refused) == [("/permissions/accounts/3", "exceeds_your_own")]
    # Nor does the owner end by an admin's hand.
    demoted = await client.patch(f"/v1/users/{owner}", json={"role": "viewer"}, headers=headers)
    assert refusal(demoted) == (422, "exceeds_your_own")
    assert refusal(await client.delete(f"/v1/users/{owner}", headers=headers)) == (403, "exceeds_your_own")
    # Everything else about members is theirs to decide.
    viewer = await account.member("viewer")
    path = f"/v1/users/{viewer['user']['id']}"
    assert (await client.patch(path, json={"role": "admin"}, headers=headers)).status_code == 200
    assert (await client.patch(me, json={"role": "viewer"}, headers=viewer["headers"])).status_code == 200
    assert refusal(await client.patch(path, json={"role": "viewer"}, headers=headers))[0] == 403


async def test_only_an_owner_makes_and_unmakes_owners(client: httpx.AsyncClient, account: Account) -> None:
    """The permissions of an owner are not enough, nor is a key with an owner's role."""
    await account.role(EVERYTHING, "Everything")
    second, equal = await account.member("owner"), await account.member("Everything")
    viewer = await account.member("viewer")
    key = await account.key(role="owner")
    for headers in (equal["headers"], key["headers"]):
        for user, role in ((viewer, "owner"), (second, "viewer"), (equal, "owner")):
            path = f"/v1/users/{user['user']['id']}"
            answer = await client.patch(path, json={"role": role}, headers=headers)
            assert refusal(answer) == (403, "owner_required")
        gone = await client.delete(f"/v1/users/{second['user']['id']}", headers=headers)
        assert refusal(gone) == (403, "owner_required")
        body = {"email": "x@example.com", "role": "owner"}
        invited = await client.post("/v1/invitations", json=body, headers=headers)
        assert refusal(invited) == (403, "owner_required")
    path = f"/v1/users/{viewer['user']['id']}"
    assert (await client.patch(path, json={"role": "owner"}, headers=second["headers"])).status_code == 200
    assert (await client.delete(path, headers=account.headers)).status_code == 204


async def test_a_viewer_changes_nothing(client: httpx.AsyncClient, account: Account) -> None:
    viewer = await account.member("viewer")
    role, key = await account.role({}), await account.key(role="viewer")
    invitation, _ = await account.invite("x@example.com", role="viewer")
    me, headers = viewer["user"]["id"], viewer["headers"]
    requests: list[tuple[str, str, dict[str, Any] | None]] = [
        ("POST", "/v1/roles", {"name": "x", "permissions": {}}),
        ("PATCH", f"/v1/roles/{role['id']}", {"name": "x"}),
        ("DELETE", f"/v1/roles/{role['id']}", None),
        ("PATCH", f"/v1/users/{me}", {"role": "viewer"}),
        ("DELETE", f"/v1/users/{me}", None),
        ("DELETE", f"/v1/users/{account.owner['user']['id']}", None),
        ("GET", "/v1/invitations", None),
        ("GET", f"/v1/invitations/{invitation['id']}", None),
        ("POST", "/v1/invitations", {"email": "y@example.com", "role": "viewer"}),
        ("DELETE", f"/v1/invitations/{invitation['id']}", None),
        ("GET", "/v1/api-keys", None),
        ("GET", f"/v1/api-keys/{key['id']}", None),
        ("POST", "/v1/api-keys", {"name": "x", "role": "viewer"}),
        ("DELETE", f"/v1/api-keys/{key['id']}", None),
    ]
    for method, path, body in requests:
        for credentials in (headers, key["headers"]):
            answer = await client.request(method, path, json=body, headers=credentials)
            assert refusal(answer) == (403, "missing_permission"), (method, path)
        assert (await client.request(method, path, json=body)).status_code == 401


async def test_a_member_above_is_out_of_reach(client: httpx.AsyncClient, account: Account) -> None:
    operator = await account.member("operator")
    path = f"/v1/users/{operator['user']['id']}"
    for headers in await managers(account):
        refused = await client.patch(path, json={"role": "Manager"}, headers=headers)
        assert refusal(refused) == (422, "exceeds_your_own")
        removed = await client.delete(path, headers=headers)
        assert refusal(removed) == (403, "exceeds_your_own")
        assert "messages:send" in removed.json()["detail"]
    assert (await client.get(path, headers=account.headers)).json()["role"]["name"] == "operator"


async def test_power_in_one_account_is_none_in_another(
    client: httpx.AsyncClient, account: Account, stranger: Account
) -> None:
    """The owner of one account, a viewer in another: what counts is the account that is acted in."""
    await account.join(stranger.owner, "viewer")
    here = stranger.owner["headers"] | {"X-Account-Id": account.id}
    me = stranger.owner["user"]["id"]
    assert refusal(await client.patch(f"/v1/users/{me}", json={"role": "owner"}, headers=here))[0] == 403
    # In one's own account, members of the other one are nobody.
    other = f"/v1/users/{account.owner['user']['id']}"
    assert (await client.patch(other, json={"role": "viewer"}, headers=stranger.headers)).status_code == 404
    # A role of one account is no role in the other, by whatever way it is named.
    role = await stranger.role(EVERYTHING, "Everything")
    for body in ({"role": "Everything"}, {"role_id": role["id"]}):
        requests: list[tuple[str, dict[str, Any]]] = [
            ("/v1/api-keys", body | {"name": "x"}),
            ("/v1/invitations", body | {"email": "x@example.com"}),
        ]
        for path, sent in requests:
            refused = await client.post(path, json=sent, headers=account.headers)
            assert (refused.status_code, pointers(refused)) == (422, [(f"/{next(iter(body))}", "not_found")])
