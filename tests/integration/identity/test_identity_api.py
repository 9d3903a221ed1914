"""Registering, context and accounts through the API."""

import asyncio
import json
import secrets
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from app.domain.identity.access import IdentityAccess
from app.domain.identity.events import announce_change
from app.domain.identity.permissions import SYSTEM_ROLES, VIEWER
from app.lib.clock import utc_now
from app.lib.crypto import Envelope
from app.lib.db import Database
from app.lib.ids import new_id
from app.settings import Settings
from tests.conftest import Registered

PASSWORD = "correct horse battery staple"


def registration(**changes: Any) -> dict[str, Any]:
    return {
        "email": f"{secrets.token_hex(6)}@example.com",
        "password": PASSWORD,
        "full_name": "A Person",
        "account_name": "An Account",
    } | changes


def pointers(answer: httpx.Response) -> list[tuple[str, str]]:
    return [(error["pointer"], error["code"]) for error in answer.json()["errors"]]


async def join(database: Database, user: Registered, account_id: str, role: str) -> None:
    async with database.unit_of_work() as session:
        await session.execute(
            text(
                "INSERT INTO memberships (id, user_id, account_id, role_id) SELECT gen_random_uuid(),"
                " CAST(:user AS uuid), CAST(:account AS uuid), id FROM roles WHERE name = :role"
            ),
            {"user": user["user"]["id"], "account": account_id, "role": role},
        )


async def test_registering_makes_a_user_who_owns_an_account(client: httpx.AsyncClient) -> None:
    email = f"New.{secrets.token_hex(6)}@Example.COM"
    answer = await client.post("/v1/auth/register", json=registration(email=email, full_name="  Cafe\u0301  "))
    assert answer.status_code == 201
    body = answer.json()
    assert body["user"]["email"] == email.lower()
    assert body["user"]["full_name"] == "Caf\u00e9"
    assert body["user"]["email_verified"] is False
    assert body["account"]["name"] == "An Account"
    assert answer.headers["location"] == f"/v1/accounts/{body['account']['id']}"
    assert "password" not in answer.text

    tokens = (await client.post("/v1/auth/login", json={"email": email, "password": PASSWORD})).json()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    context = (await client.get("/v1/context", headers=headers)).json()
    assert context["user"] == body["user"]
    assert context["active_account"] == {"id": body["account"]["id"], "name": "An Account"}
    (membership,) = context["accounts"]
    assert membership["role"]["name"] == "owner"
    assert membership["parent_id"] is None
    assert membership["permissions"]["messages"] == ["read", "send", "cancel"]
    basic = (await client.get("/v1/context/basic", headers=headers)).json()
    del membership["permissions"]
    assert basic == {**context, "api_key": None}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"email": "nobody"}, [("/email", "invalid")]),
        ({"email": "a\0@example.com"}, [("/email", "invalid")]),
        ({"email": 5}, [("/email", "wrong_type")]),
        ({"password": "short"}, [("/password", "weak_password")]),
        ({"password": "password123"}, [("/password", "weak_password")]),
        ({"email": "long.name@example.com", "password": "Long.Name@example.com"}, [("/password", "weak_password")]),
        ({"password": "pw " * 50}, [("/password", "too_long")]),
        ({"full_name": ""}, [("/full_name", "wrong_length")]),
        ({"full_name": "   "}, [("/full_name", "wrong_length")]),
        ({"full_name": "a\0b"}, [("/full_name", "not_allowed")]),
        ({"account_name": "x" * 201}, [("/account_name", "wrong_length")]),
        ({"surprise": 1}, [("/surprise", "unknown_field")]),
        ({"email": "x", "password": "x"}, [("/email", "invalid"), ("/password", "weak_password")]),
    ],
    ids=str,
)
async def test_what_cannot_be_registered(
    client: httpx.AsyncClient, changes: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    answer = await client.post("/v1/auth/register", json=registration(**changes))
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "invalid_value"
    assert pointers(answer) == expected


async def test_an_address_registers_once_however_it_is_written_and_however_fast(client: httpx.AsyncClient) -> None:
    body = registration()
    twice = [body, body | {"email": body["email"].upper()}]
    answers = await asyncio.gather(*(client.post("/v1/auth/register", json=each) for each in twice))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert refused.json()["code"] == "email_taken"


async def test_the_user_changes_their_name(client: httpx.AsyncClient, registered: Registered) -> None:
    headers = registered["headers"]
    changed = await client.patch("/v1/users/me", json={"full_name": "Another Name"}, headers=headers)
    assert changed.status_code == 200
    assert changed.json()["full_name"] == "Another Name"
    assert changed.json()["updated_at"] > registered["user"]["updated_at"]
    assert (await client.get("/v1/users/me", headers=headers)).json() == changed.json()
    assert (await client.patch("/v1/users/me", json={}, headers=headers)).json() == changed.json()

    for body, code in (({"full_name": None}, "not_nullable"), ({"full_name": "\t"}, "wrong_length")):
        refused = await client.patch("/v1/users/me", json=body, headers=headers)
        assert (refused.status_code, pointers(refused)) == (422, [("/full_name", code)])
    refused = await client.patch("/v1/users/me", json={"email": "x@example.com"}, headers=headers)
    assert pointers(refused) == [("/email", "unknown_field")]


async def test_accounts_and_sub_accounts(client: httpx.AsyncClient, registered: Registered, other: Registered) -> None:
    headers = registered["headers"]
    parent_id = registered["account"]["id"]
    made = await client.post("/v1/accounts", json={"name": "Sub", "parent_id": parent_id}, headers=headers)
    assert made.status_code == 201
    sub = made.json()
    assert (sub["name"], sub["parent_id"], sub["status"]) == ("Sub", parent_id, "active")
    shown = await client.get(made.headers["location"], headers=headers)
    assert shown.json() == sub

    active = await client.get("/v1/context", headers=headers | {"X-Account-Id": sub["id"]})
    assert active.json()["active_account"] == {"id": sub["id"], "name": "Sub"}
    assert [account["id"] for account in active.json()["accounts"]] == [parent_id, sub["id"]]

    renamed = await client.patch(f"/v1/accounts/{sub['id']}", json={"name": "Renamed"}, headers=headers)
    assert renamed.json()["name"] == "Renamed"
    assert renamed.json()["updated_at"] > sub["updated_at"]
    cleared = await client.patch(f"/v1/accounts/{sub['id']}", json={"name": None}, headers=headers)
    assert pointers(cleared) == [("/name", "not_nullable")]

    for unreachable in (other["account"]["id"], str(uuid4())):
        refused = await client.post("/v1/accounts", json={"name": "X", "parent_id": unreachable}, headers=headers)
        assert (refused.status_code, pointers(refused)) == (422, [("/parent_id", "not_found")])
        assert (await client.get(f"/v1/accounts/{unreachable}", headers=headers)).status_code == 404
        patched = await client.patch(f"/v1/accounts/{unreachable}", json={"name": "X"}, headers=headers)
        assert patched.status_code == 404
        asked = await client.get("/v1/context", headers=headers | {"X-Account-Id": unreachable})
        assert (asked.status_code, asked.json()["code"]) == (403, "not_a_member")
    malformed = await client.get("/v1/context", headers=headers | {"X-Account-Id": "mine"})
    assert (malformed.status_code, malformed.json()["code"]) == (400, "bad_account_id")
    unknown = await client.get("/v1/accounts/not-an-id", headers=headers)
    assert unknown.status_code == 404


async def test_the_list_shows_own_accounts_only_in_pages(
    client: httpx.AsyncClient, registered: Registered, other: Registered
) -> None:
    headers = registered["headers"]
    for name in ("C", "A", "B"):
        await client.post("/v1/accounts", json={"name": name}, headers=headers)
    first = (await client.get("/v1/accounts?sort=name&limit=3&include=total", headers=headers)).json()
    assert [account["name"] for account in first["items"]] == ["A", "An Account", "B"]
    assert first["total"] == 4
    query = {"sort": "name", "limit": "3", "cursor": first["next_cursor"]}
    second = (await client.get("/v1/accounts", params=query, headers=headers)).json()
    assert [account["name"] for account in second["items"]] == ["C"]
    assert second["next_cursor"] is None
    newest = (await client.get("/v1/accounts", headers=headers)).json()
    assert [account["name"] for account in newest["items"]] == ["B", "A", "C", "An Account"]
    found = (await client.get("/v1/accounts?name[in]=A,B&status=active", headers=headers)).json()
    assert {account["name"] for account in found["items"]} == {"A", "B"}
    wrong = await client.get("/v1/accounts?colour=red", headers=headers)
    assert (wrong.status_code, wrong.json()["code"]) == (400, "unknown_filter")
    assert "parent_id" in wrong.json()["detail"]
    assert other["account"]["id"] not in {account["id"] for account in newest["items"]}


async def test_a_viewer_reads_and_changes_nothing(
    client: httpx.AsyncClient, database: Database, registered: Registered, other: Registered
) -> None:
    account_id = registered["account"]["id"]
    await join(database, other, account_id, VIEWER.name)
    headers = other["headers"] | {"X-Account-Id": account_id}
    path = f"/v1/accounts/{account_id}"
    assert (await client.get(path, headers=headers)).status_code == 200
    # The role in the account that the path names counts, not the one in the active account.
    for sent in (headers, other["headers"]):
        refused = await client.patch(path, json={"name": "Mine"}, headers=sent)
        assert (refused.status_code, refused.json()["code"]) == (403, "missing_permission")
        assert "accounts:update" in refused.json()["detail"]
    sub = await client.post("/v1/accounts", json={"name": "X", "parent_id": account_id}, headers=headers)
    assert pointers(sub) == [("/parent_id", "not_found")]
    channel = await client.post("/v1/channels", json={"name": "x", "type": "sandbox"}, headers=headers)
    assert (channel.status_code, channel.json()["code"]) == (403, "missing_permission")
    assert (await client.get("/v1/channels", headers=headers)).status_code == 200
    assert (await client.get("/v1/context", headers=headers)).json()["active_account"]["id"] == account_id


async def test_a_suspended_account_is_shut_and_not_chosen(
    client: httpx.AsyncClient, database: Database, envelope: Envelope, settings: Settings, registered: Registered
) -> None:
    headers, token = registered["headers"], registered["tokens"]["access_token"]
    account_id = registered["account"]["id"]
    spare = (await client.post("/v1/accounts", json={"name": "Spare"}, headers=headers)).json()
    async with database.unit_of_work() as session:
        await session.execute(
            text("UPDATE accounts SET status = 'suspended', suspended = true WHERE id = :id"), {"id": UUID(account_id)}
        )
        await announce_change(session)
    renamed = await client.patch(
        f"/v1/accounts/{account_id}", json={"name": "X"}, headers=headers | {"X-Account-Id": spare["id"]}
    )
    assert (renamed.status_code, renamed.json()["code"]) == (403, "account_suspended")
    # A process that remembers nothing of this user: without a wish, the account that is open is used.
    elsewhere = IdentityAccess(
        database, envelope, settings.identity, issuer=settings.public_url, clock=utc_now, new_id=new_id
    )
    assert str((await elsewhere.authenticate(token, None, None)).account_id) == spare["id"]


async def test_headers_of_the_old_gateway_are_not_believed(
    client: httpx.AsyncClient, registered: Registered, other: Registered
) -> None:
    claimed = {"x-account-ids": other["account"]["id"], "x-role-ids": str(SYSTEM_ROLES[0].id)}
    context = await client.get("/v1/context", headers=registered["headers"] | claimed)
    assert context.json()["active_account"]["id"] == registered["account"]["id"]
    assert (await client.get("/v1/context", headers=claimed)).status_code == 401


async def test_the_database_has_the_system_roles_of_the_code(database: Database) -> None:
    async with database.reading() as session:
        rows = await session.execute(text("SELECT id, name FROM roles WHERE account_id IS NULL"))
        stored = {(str(role_id), name) for role_id, name in rows}
        assert stored == {(str(role.id), role.name) for role in SYSTEM_ROLES}
        for role in SYSTEM_ROLES:
            permissions = await session.scalar(
                text("SELECT permissions = CAST(:expected AS jsonb) FROM roles WHERE id = :id"),
                {"id": role.id, "expected": json.dumps(role.permissions)},
            )
            assert permissions is True, role.name
