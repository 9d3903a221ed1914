"""The members of an account, and users about themselves."""

import asyncio
from uuid import uuid4

import httpx
from sqlalchemy import text

from app.lib.db import Database
from tests.conftest import Registered
from tests.integration.members.conftest import Account, pointers, refusal


async def test_members_are_listed_and_shown(client: httpx.AsyncClient, account: Account, stranger: Account) -> None:
    viewer, operator = await account.member("viewer"), await account.member("operator")
    listed = (await client.get("/v1/users?include=total", headers=viewer["headers"])).json()
    ids = [user["id"] for user in listed["items"]]
    assert ids == [each["user"]["id"] for each in (operator, viewer, account.owner)]
    assert listed["total"] == 3
    newest = listed["items"][0]
    assert newest["role"]["name"] == "operator"
    assert newest["joined_at"] > newest["created_at"]
    assert {name: newest[name] for name in ("email", "full_name", "email_verified")} == {
        name: operator["user"][name] for name in ("email", "full_name", "email_verified")
    }
    assert "default_account_id" not in newest

    shown = await client.get(f"/v1/users/{newest['id']}", headers=viewer["headers"])
    assert shown.json() == newest
    assert shown.headers["etag"]
    for params, expected in (
        ({"email": newest["email"]}, [operator]),
        ({"role": "viewer"}, [viewer]),
        ({"role_id[ne]": newest["role"]["id"], "sort": "joined_at"}, [account.owner, viewer]),
        ({"full_name[contains]": "person", "sort": "joined_at", "limit": "1"}, [account.owner]),
        ({"full_name": "Nobody"}, []),
    ):
        found = (await client.get("/v1/users", params=params, headers=account.headers)).json()["items"]
        assert [user["id"] for user in found] == [each["user"]["id"] for each in expected], params
    assert refusal(await client.get("/v1/users?password=x", headers=account.headers)) == (400, "unknown_filter")

    # Nobody else's members, by whatever way they are asked for.
    theirs = stranger.owner["user"]["id"]
    for user_id in (theirs, str(uuid4())):
        path = f"/v1/users/{user_id}"
        assert (await client.get(path, headers=account.headers)).status_code == 404
        assert (await client.patch(path, json={"role": "viewer"}, headers=account.headers)).status_code == 404
        assert (await client.delete(path, headers=account.headers)).status_code == 404
    assert (await client.get(f"/v1/users?email={stranger.owner['user']['email']}", headers=account.headers)).json()[
        "items"
    ] == []


async def test_pages_of_members_follow_each_other_in_any_order(client: httpx.AsyncClient, account: Account) -> None:
    members = [account.owner, await account.member("viewer"), await account.member("viewer")]
    everybody = {each["user"]["id"] for each in members}
    for sort in ("joined_at", "-joined_at", "email", "-email", "full_name", "-full_name"):
        seen: list[str] = []
        cursor: str | None = None
        for _ in members:
            params = {"sort": sort, "limit": "1"} | ({"cursor": cursor} if cursor else {})
            page = (await client.get("/v1/users", params=params, headers=account.headers)).json()
            seen += [user["email"] if "email" in sort else user["id"] for user in page["items"]]
            cursor = page["next_cursor"]
        assert cursor is None
        if "email" in sort:
            assert seen == sorted(seen, reverse=sort.startswith("-"))
        else:
            assert set(seen) == everybody


async def test_a_member_gets_another_role(client: httpx.AsyncClient, account: Account) -> None:
    member = await account.member("viewer")
    path = f"/v1/users/{member['user']['id']}"
    role = await account.role({"messages": ["read"]}, "Reader")
    shown = await client.get(path, headers=account.headers)
    assert (await client.get("/v1/channels", headers=member["headers"])).status_code == 200

    stale = account.headers | {"If-Match": '"1"'}
    assert refusal(await client.patch(path, json={"role": "operator"}, headers=stale)) == (412, "precondition_failed")
    fresh = account.headers | {"If-Match": shown.headers["etag"]}
    changed = await client.patch(path, json={"role_id": role["id"]}, headers=fresh)
    assert changed.status_code == 200, changed.text
    assert changed.json()["role"] == {"id": role["id"], "name": "Reader"}
    assert changed.headers["etag"] != shown.headers["etag"]
    assert (await client.get(path, headers=account.headers)).headers["etag"] == changed.headers["etag"]
    # The member's next request is already held to it.
    assert (await client.get("/v1/channels", headers=member["headers"])).status_code == 403

    for same in ({}, {"role": "Reader"}, {"role_id": role["id"]}):
        again = await client.patch(path, json=same, headers=account.headers)
        assert again.headers["etag"] == changed.headers["etag"]
    (entry,) = await account.log(resource_id=member["user"]["id"])
    assert entry["action"] == "role_changed"
    assert (entry["before"]["role"]["name"], entry["after"]) == ("viewer", changed.json())


async def test_which_role_must_be_said_well(client: httpx.AsyncClient, account: Account, stranger: Account) -> None:
    theirs = await stranger.role({"messages": ["read"]}, "Theirs")
    member = await account.member("viewer")
    path = f"/v1/users/{member['user']['id']}"
    viewer_id = (await client.get(path, headers=account.headers)).json()["role"]["id"]
    for body, expected in (
        ({"role": "Theirs"}, ("/role", "not_found")),
        ({"role": "a\0b"}, ("/role", "not_found")),
        ({"role_id": theirs["id"]}, ("/role_id", "not_found")),
        ({"role_id": str(uuid4())}, ("/role_id", "not_found")),
        ({"role_id": "x"}, ("/role_id", "not_uuid")),
        ({"role": "viewer", "role_id": viewer_id}, ("/role_id", "not_both")),
        ({"role": None}, ("/role", "not_nullable")),
        ({"role_id": None}, ("/role_id", "not_nullable")),
        ({"full_name": "X"}, ("/full_name", "unknown_field")),
    ):
        answer = await client.patch(path, json=body, headers=account.headers)
        assert (answer.status_code, pointers(answer)) == (422, [expected]), body


async def test_a_membership_ends_at_once(client: httpx.AsyncClient, account: Account) -> None:
    member = await account.member("viewer")
    path = f"/v1/users/{member['user']['id']}"
    body = {"default_account_id": account.id}
    assert (await client.patch("/v1/users/me", json=body, headers=member["headers"])).status_code == 200
    tag = (await client.get(path, headers=account.headers)).headers["etag"]
    assert refusal(await client.delete(path, headers=account.headers | {"If-Match": '"1"'}))[0] == 412
    gone = await client.delete(path, headers=account.headers | {"If-Match": tag})
    assert gone.status_code == 204
    assert refusal(await client.get("/v1/channels", headers=member["headers"])) == (403, "not_a_member")
    assert (await client.get(path, headers=account.headers)).status_code == 404
    assert (await client.delete(path, headers=account.headers)).status_code == 404
    own = {"Authorization": member["headers"]["Authorization"]}
    me = (await client.get("/v1/users/me", headers=own)).json()
    assert me["default_account_id"] is None
    (entry,) = await account.log(action="removed")
    assert (entry["resource_id"], entry["before"]["role"]["name"]) == (member["user"]["id"], "viewer")


async def test_the_last_owner_stays(client: httpx.AsyncClient, account: Account) -> None:
    owner = f"/v1/users/{account.owner['user']['id']}"
    for answer in (
        await client.patch(owner, json={"role": "viewer"}, headers=account.headers),
        await client.delete(owner, headers=account.headers),
    ):
        assert refusal(answer) == (409, "last_owner")
    assert (await client.patch(owner, json={"role": "owner"}, headers=account.headers)).status_code == 200

    second = await account.member("viewer")
    path = f"/v1/users/{second['user']['id']}"
    assert (await client.patch(path, json={"role": "owner"}, headers=account.headers)).status_code == 200
    assert (await client.patch(owner, json={"role": "viewer"}, headers=second["headers"])).status_code == 200
    assert refusal(await client.delete(path, headers=second["headers"])) == (409, "last_owner")


async def test_owners_who_unmake_each_other_at_once_leave_one(
    client: httpx.AsyncClient, account: Account, database: Database
) -> None:
    owners = [account.owner | {"headers": account.headers}, *[await account.member("owner") for _ in range(3)]]
    paths = [f"/v1/users/{each['user']['id']}" for each in owners]
    # Everybody is known to be an owner when they ask; each takes the next one's ownership, or their own.
    for each in owners:
        assert (await client.get("/v1/users", headers=each["headers"])).status_code == 200
    asked = [
        client.patch(paths[(index + 1) % len(owners)], json={"role": "viewer"}, headers=each["headers"])
        if index % 2
        else client.delete(paths[(index + 1) % len(owners)], headers=each["headers"])
        for index, each in enumerate(owners)
    ] + [
        client.patch(path, json={"role": "admin"}, headers=each["headers"])
        for path, each in zip(paths, owners, strict=True)
    ]
    answers = await asyncio.gather(*asked)
    assert {answer.status_code for answer in answers} <= {200, 204, 403, 404, 409}
    async with database.reading() as session:
        left = await session.scalar(
            text(
                "SELECT count(*) FROM memberships m JOIN roles r ON r.id = m.role_id"
                " WHERE m.account_id = CAST(:account AS uuid) AND r.name = 'owner'"
            ),
            {"account": account.id},
        )
    assert left >= 1


async def test_users_change_themselves(client: httpx.AsyncClient, registered: Registered, other: Registered) -> None:
    headers = registered["headers"]
    shown = await client.get("/v1/users/me", headers=headers)
    assert shown.json()["default_account_id"] == registered["account"]["id"]
    made = await client.post("/v1/accounts", json={"name": "Spare"}, headers=headers)
    spare = made.json()["id"]
    stale = await client.patch("/v1/users/me", json={"full_name": "X"}, headers=headers | {"If-Match": '"1"'})
    assert refusal(stale) == (412, "precondition_failed")

    body = {"default_account_id": spare, "full_name": "Another"}
    changed = await client.patch("/v1/users/me", json=body, headers=headers | {"If-Match": shown.headers["etag"]})
    assert changed.status_code == 200, changed.text
    assert (changed.json()["default_account_id"], changed.json()["full_name"]) == (spare, "Another")
    assert changed.headers["etag"] != shown.headers["etag"]
    assert (await client.get("/v1/context", headers=headers)).json()["active_account"]["id"] == spare
    again = await client.patch("/v1/users/me", json=body, headers=headers)
    assert again.headers["etag"] == changed.headers["etag"]
    # It was done in the account that was active before, which learns nothing of others.
    seen = headers | {"X-Account-Id": registered["account"]["id"]}
    log = await client.get("/v1/audit-log?resource_type=user&action=updated", headers=seen)
    (entry,) = log.json()["items"]
    assert (entry["before"]["full_name"], entry["after"]["full_name"]) == ("A Person", "Another")
    assert spare not in log.text

    for unreachable in (other["account"]["id"], str(uuid4())):
        refused = await client.patch("/v1/users/me", json={"default_account_id": unreachable}, headers=headers)
        assert (refused.status_code, pointers(refused)) == (422, [("/default_account_id", "not_found")])
    cleared = await client.patch("/v1/users/me", json={"default_account_id": None}, headers=headers)
    assert cleared.json()["default_account_id"] is None
    assert (await client.get("/v1/context", headers=headers)).json()["active_account"]["id"] != spare


async def test_a_sub_account_can_be_the_default(client: httpx.AsyncClient, account: Account) -> None:
    body = {"name": "Sub", "parent_id": account.id}
    sub = (await client.post("/v1/accounts", json=body, headers=account.headers)).json()["id"]
    admin = await account.member("admin")
    changed = await client.patch("/v1/users/me", json={"default_account_id": sub}, headers=admin["headers"])
    assert changed.status_code == 200, changed.text
    own = {"Authorization": admin["headers"]["Authorization"]}
    assert (await client.get("/v1/context", headers=own)).json()["active_account"]["id"] == sub
    # Who has access from above is no member there.
    listed = (await client.get("/v1/users", headers=own)).json()["items"]
    assert admin["user"]["id"] not in {user["id"] for user in listed}
