"""Inviting people, and accepting."""

import asyncio
import secrets
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from app.domain.identity.permissions import OWNER
from app.lib.db import Database
from tests.conftest import Registered
from tests.integration.members.conftest import Account, pointers, refusal, token_in

NOBODY = "01900000-0000-7000-8000-00000000dead"

PASSWORD = "a new and long password"


def fresh() -> str:
    return f"{secrets.token_hex(6)}@example.com"


async def accept(client: httpx.AsyncClient, token: str, headers: dict[str, str] | None = None) -> httpx.Response:
    return await client.post("/v1/invitations/accept", json={"token": token}, headers=headers or {})


async def become(client: httpx.AsyncClient, token: str, **changes: Any) -> httpx.Response:
    body = {"token": token, "full_name": "New Person", "password": PASSWORD} | changes
    return await client.post("/v1/invitations/accept", json=body)


async def sql(database: Database, statement: str, **values: str) -> None:
    async with database.unit_of_work() as session:
        await session.execute(text(statement), values)


async def test_a_user_accepts(client: httpx.AsyncClient, account: Account, other: Registered) -> None:
    email = other["user"]["email"]
    made = await client.post(
        "/v1/invitations", json={"email": f" {email.upper()} ", "role": "operator"}, headers=account.headers
    )
    assert made.status_code == 201, made.text
    invitation = made.json()
    assert (invitation["email"], invitation["role"]["name"]) == (email, "operator")
    assert invitation["invited_by"] == account.owner["user"]["id"]
    assert invitation["accepted_at"] is None
    assert invitation["expires_at"] > invitation["created_at"]
    shown = await client.get(made.headers["location"], headers=account.headers)
    assert (shown.json(), shown.headers["etag"]) == (invitation, made.headers["etag"])

    subject, words = await account.mail(email)
    token = token_in(words)
    assert subject == "Invitation to An Account"
    assert "A Person" in words
    assert "An Account" in words
    assert "operator" in words
    assert "7 days" in words
    assert f"http://turumba.test/invitations/accept?token={token}" in words
    assert token not in made.text + shown.text

    accepted = await accept(client, token, other["headers"])
    assert accepted.status_code == 200, accepted.text
    assert accepted.json()["account"]["id"] == account.id
    assert accepted.json()["account"]["role"]["name"] == "operator"
    assert accepted.json()["account"]["permissions"]["messages"] == ["read", "send", "cancel"]
    assert accepted.json()["user"]["id"] == other["user"]["id"]
    # Whoever holds the token received the mail.
    assert accepted.json()["user"]["email_verified"] is True
    headers = other["headers"] | {"X-Account-Id": account.id}
    assert (await client.get("/v1/channels", headers=headers)).status_code == 200
    over = (await client.get(made.headers["location"], headers=account.headers)).json()
    assert over["accepted_at"]

    assert refusal(await accept(client, token, other["headers"])) == (404, "invitation_not_found")
    again = await client.post("/v1/invitations", json={"email": email, "role": "viewer"}, headers=account.headers)
    assert refusal(again) == (409, "already_member")
    log = await account.log(resource_type="invitation")
    assert [(entry["action"], entry["actor"]["name"]) for entry in log] == [
        ("accepted", email),
        ("invited", account.owner["user"]["email"]),
    ]
    assert token not in str(log)


async def test_a_stranger_becomes_a_user(client: httpx.AsyncClient, account: Account) -> None:
    email = fresh()
    role = await account.role({"messages": ["read"]}, "Reader")
    invitation, token = await account.invite(email, role_id=role["id"])
    for body, expected in (
        ({"password": "short"}, [("/password", "weak_password")]),
        ({"password": email}, [("/password", "weak_password")]),
        ({"full_name": " "}, [("/full_name", "wrong_length")]),
        ({"email": "x@example.com"}, [("/email", "unknown_field")]),
    ):
        refused = await become(client, token, **body)
        assert (refused.status_code, pointers(refused)) == (422, expected), body
    half = await client.post("/v1/invitations/accept", json={"token": token, "full_name": "New Person"})
    assert pointers(half) == [("/password", "missing_field")]
    assert refusal(await accept(client, token)) == (401, "unauthenticated")

    accepted = await become(client, token)
    assert accepted.status_code == 200, accepted.text
    user = accepted.json()["user"]
    assert (user["email"], user["full_name"], user["email_verified"]) == (email, "New Person", True)
    assert PASSWORD not in accepted.text
    logged_in = await client.post("/v1/auth/login", json={"email": email, "password": PASSWORD})
    headers = {"Authorization": f"Bearer {logged_in.json()['access_token']}"}
    context = (await client.get("/v1/context", headers=headers)).json()
    assert context["active_account"]["id"] == account.id
    assert [each["role"]["name"] for each in context["accounts"]] == ["Reader"]
    assert refusal(await become(client, token)) == (404, "invitation_not_found")
    (entry,) = await account.log(action="accepted")
    assert (entry["actor"], entry["resource_id"]) == (
        {"type": "user", "id": user["id"], "name": email},
        invitation["id"],
    )


async def test_who_is_a_user_already_logs_in(client: httpx.AsyncClient, account: Account, other: Registered) -> None:
    _, token = await account.invite(other["user"]["email"], role="viewer")
    assert refusal(await become(client, token)) == (409, "email_taken")
    assert (await accept(client, token, other["headers"])).status_code == 200


async def test_an_invitation_is_for_one_address(client: httpx.AsyncClient, account: Account, other: Registered) -> None:
    _, token = await account.invite(fresh(), role="viewer")
    assert refusal(await accept(client, token, other["headers"])) == (403, "other_address")
    key = await account.key(role="admin")
    assert refusal(await accept(client, token, key["headers"])) == (403, "user_required")
    for header in ("Bearer nonsense", "Bearer", "Basic eDp5"):
        assert (await accept(client, token, {"Authorization": header})).status_code == 401
    # None of that has used it up.
    assert (await become(client, token)).status_code == 200


async def test_no_token_tells_why_it_is_none(
    client: httpx.AsyncClient, account: Account, database: Database, other: Registered
) -> None:
    email = other["user"]["email"]
    old, replaced = await account.invite(email, role="viewer")
    new, expired = await account.invite(email, role="operator")
    assert old["id"] != new["id"]
    assert (await client.get(f"/v1/invitations/{old['id']}", headers=account.headers)).status_code == 404
    await sql(database, "UPDATE invitations SET expires_at = now() WHERE id = CAST(:id AS uuid)", id=new["id"])
    withdrawn_invitation, withdrawn = await account.invite(fresh(), role="viewer")
    gone = await client.delete(f"/v1/invitations/{withdrawn_invitation['id']}", headers=account.headers)
    assert gone.status_code == 204
    bodies = []
    for token in (replaced, expired, withdrawn, "it_unknown", "x"):
        for answer in (await accept(client, token, other["headers"]), await become(client, token)):
            assert refusal(answer) == (404, "invitation_not_found")
            bodies.append({**answer.json(), "request_id": ""})
    assert all(body == bodies[0] for body in bodies)
    for token, code in (("", "wrong_length"), ("x" * 257, "wrong_length")):
        assert pointers(await accept(client, token, other["headers"])) == [("/token", code)]

    # Expired ones are in nobody's way.
    _, token = await account.invite(email, role="viewer")
    accepted = await accept(client, token, other["headers"])
    assert accepted.json()["account"]["role"]["name"] == "viewer"
    log = await account.log(action="invited")
    assert log[0]["before"]["id"] == new["id"]


async def test_a_token_works_once_however_fast(client: httpx.AsyncClient, account: Account, other: Registered) -> None:
    _, token = await account.invite(other["user"]["email"], role="viewer")
    answers = await asyncio.gather(*(accept(client, token, other["headers"]) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 404, 404, 404]
    _, token = await account.invite(fresh(), role="viewer")
    answers = await asyncio.gather(*(become(client, token) for _ in range(3)))
    codes = sorted(answer.status_code for answer in answers)
    assert codes[0] == 200
    assert set(codes[1:]) <= {404, 409}


async def test_accepting_again_with_the_same_idempotency_key_is_accepting_once(
    client: httpx.AsyncClient, account: Account, other: Registered
) -> None:
    _, token = await account.invite(other["user"]["email"], role="viewer")
    headers = other["headers"] | {"Idempotency-Key": secrets.token_hex(8)}
    first, second = [await accept(client, token, headers) for _ in range(2)]
    assert (first.status_code, second.status_code) == (200, 200)
    assert second.json() == first.json()
    assert second.headers["idempotency-replayed"] == "true"


async def test_one_address_has_one_invitation_however_fast(client: httpx.AsyncClient, account: Account) -> None:
    body = {"email": fresh(), "role": "viewer"}
    answers = await asyncio.gather(
        *(client.post("/v1/invitations", json=body, headers=account.headers) for _ in range(4))
    )
    assert {answer.status_code for answer in answers} == {201}
    listed = await client.get(f"/v1/invitations?email={body['email']}", headers=account.headers)
    assert len(listed.json()["items"]) == 1


async def test_the_role_counts_as_it_is_when_it_is_accepted(
    client: httpx.AsyncClient, account: Account, other: Registered
) -> None:
    role = await account.role({"messages": ["read", "send"], "channels": ["read"]}, "Shrinking")
    _, token = await account.invite(other["user"]["email"], role="Shrinking")
    path = f"/v1/roles/{role['id']}"
    body = {"permissions": {"channels": ["read"]}}
    assert (await client.patch(path, json=body, headers=account.headers)).status_code == 200
    assert refusal(await client.delete(path, headers=account.headers)) == (409, "role_in_use")
    accepted = await accept(client, token, other["headers"])
    assert accepted.json()["account"]["permissions"] == {"channels": ["read"]}


async def test_a_user_without_any_account_accepts(
    client: httpx.AsyncClient, account: Account, stranger: Account
) -> None:
    email = fresh()
    _, token = await account.invite(email, role="viewer")
    user = (await become(client, token)).json()["user"]
    logged_in = await client.post("/v1/auth/login", json={"email": email, "password": PASSWORD})
    headers = {"Authorization": f"Bearer {logged_in.json()['access_token']}"}
    assert (await client.delete(f"/v1/users/{user['id']}", headers=account.headers)).status_code == 204
    _, token = await stranger.invite(email, role="operator")
    accepted = await accept(client, token, headers)
    assert accepted.status_code == 200, accepted.text
    context = (await client.get("/v1/context", headers=headers)).json()
    assert context["active_account"]["id"] == stranger.id


async def test_a_session_that_ended_accepts_nothing(
    client: httpx.AsyncClient, account: Account, other: Registered
) -> None:
    _, token = await account.invite(other["user"]["email"], role="viewer")
    ended = await client.post("/v1/auth/logout", json={"refresh_token": other["tokens"]["refresh_token"]})
    assert ended.status_code == 204
    assert refusal(await accept(client, token, other["headers"])) == (401, "session_ended")


async def test_a_suspended_account_takes_nobody_in(
    client: httpx.AsyncClient, account: Account, database: Database, other: Registered
) -> None:
    _, token = await account.invite(other["user"]["email"], role="viewer")
    await sql(database, "UPDATE accounts SET suspended = true WHERE id = CAST(:id AS uuid)", id=account.id)
    assert refusal(await accept(client, token, other["headers"])) == (403, "account_suspended")


async def test_invitations_are_listed_and_withdrawn(
    client: httpx.AsyncClient, account: Account, stranger: Account
) -> None:
    first, _ = await account.invite(fresh(), role="viewer")
    second, _ = await account.invite(fresh(), role="admin")
    theirs, _ = await stranger.invite(fresh(), role="viewer")
    listed = (await client.get("/v1/invitations?include=total", headers=account.headers)).json()
    assert listed["items"] == [second, first]
    assert listed["total"] == 2
    found = (await client.get(f"/v1/invitations?email={first['email']}", headers=account.headers)).json()
    assert found["items"] == [first]
    waiting = (await client.get("/v1/invitations?accepted_at[exists]=true", headers=account.headers)).json()
    assert waiting["items"] == []
    assert refusal(await client.get("/v1/invitations?token=x", headers=account.headers)) == (400, "unknown_filter")
    for invitation_id in (theirs["id"], str(uuid4())):
        path = f"/v1/invitations/{invitation_id}"
        assert (await client.get(path, headers=account.headers)).status_code == 404
        assert (await client.delete(path, headers=account.headers)).status_code == 404
    path = f"/v1/invitations/{first['id']}"
    assert refusal(await client.delete(path, headers=account.headers | {"If-Match": '"1"'}))[0] == 412
    tag = (await client.get(path, headers=account.headers)).headers["etag"]
    assert (await client.delete(path, headers=account.headers | {"If-Match": tag})).status_code == 204
    assert [entry["action"] for entry in await account.log(resource_id=first["id"])] == ["deleted", "invited"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"email": "nobody"}, [("/email", "invalid")]),
        ({"role": "nobody"}, [("/role", "not_found")]),
        ({"role": None}, [("/role", "missing_field")]),
        ({"role_id": str(OWNER.id)}, [("/role_id", "not_both")]),
        ({"role": None, "role_id": NOBODY}, [("/role_id", "not_found")]),
        ({"token": "x"}, [("/token", "unknown_field")]),
    ],
    ids=str,
)
async def test_what_is_no_invitation(
    client: httpx.AsyncClient, account: Account, changes: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    body = {"email": fresh(), "role": "viewer"} | changes
    refused = await client.post("/v1/invitations", json=body, headers=account.headers)
    assert (refused.status_code, pointers(refused)) == (422, expected)


async def test_a_machine_invites_in_the_name_of_the_account(client: httpx.AsyncClient, account: Account) -> None:
    key = await account.key(permissions={"invitations": ["create"]})
    role = await account.role({"invitations": ["create"]}, "Inviter")
    email = fresh()
    body = {"email": email, "role_id": role["id"]}
    made = await client.post("/v1/invitations", json=body, headers=key["headers"])
    assert made.status_code == 201, made.text
    assert made.json()["invited_by"] is None
    _, words = await account.mail(email)
    assert key["name"] not in words
