"""A user's sessions: seen, ended one by one and all at once; a password that is changed."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.lib.db import Database
from tests.conftest import Registered
from tests.integration.logins.conftest import OTHER_PASSWORD, PASSWORD, actions, change, identifier, mails_to

SESSIONS = "/v1/users/me/sessions"


async def log_in(client: httpx.AsyncClient, someone: Registered, agent: str = "A browser") -> dict[str, Any]:
    """Another session: its headers and its tokens."""
    answer = await client.post("/v1/auth/login", json=someone["credentials"], headers={"User-Agent": agent})
    assert answer.status_code == 200, answer.text
    return {"headers": {"Authorization": f"Bearer {answer.json()['access_token']}"}, **answer.json()}


async def status(client: httpx.AsyncClient, session: dict[str, Any]) -> tuple[int, int]:
    """What its access token and its refresh token are answered."""
    shown = await client.get("/v1/users/me", headers=session["headers"])
    refreshed = await client.post("/v1/auth/refresh", json={"refresh_token": session["refresh_token"]})
    return shown.status_code, refreshed.status_code


async def test_sessions_are_listed_with_where_they_began(
    client: httpx.AsyncClient, registered: Registered, other: Registered
) -> None:
    second = await log_in(client, registered, "Mozilla/5.0 \x01(phone)")
    answer = await client.get(f"{SESSIONS}?include=total", headers=second["headers"])
    assert answer.status_code == 200
    page = answer.json()
    assert (page["total"], page["next_cursor"]) == (2, None)
    newest, first = page["items"]
    assert (newest["current"], first["current"]) == (True, False)
    assert newest["ip"] == "127.0.0.1"
    assert newest["user_agent"] == "Mozilla/5.0 (phone)"
    assert set(newest) == {
        *("id", "current", "ip", "user_agent", "last_used_at", "expires_at", "created_at", "updated_at"),
    }
    one = (await client.get(f"{SESSIONS}?limit=1", headers=second["headers"])).json()
    two = (await client.get(f"{SESSIONS}?limit=1&cursor={one['next_cursor']}", headers=second["headers"])).json()
    assert [one["items"][0]["id"], two["items"][0]["id"]] == [newest["id"], first["id"]]
    unknown = await client.get(f"{SESSIONS}?sort=ip", headers=second["headers"])
    assert (unknown.status_code, unknown.json()["code"]) == (400, "unknown_sort")


async def test_a_session_that_is_ended_is_refused_at_once(
    client: httpx.AsyncClient, registered: Registered, other: Registered
) -> None:
    second = await log_in(client, registered)
    assert (await client.get("/v1/users/me", headers=second["headers"])).status_code == 200
    items = (await client.get(SESSIONS, headers=registered["headers"])).json()["items"]
    (target,) = [session["id"] for session in items if not session["current"]]

    assert (await client.delete(f"{SESSIONS}/{target}", headers=other["headers"])).status_code == 404
    assert (await client.delete(f"{SESSIONS}/{uuid4()}", headers=registered["headers"])).status_code == 404
    ended = await client.delete(f"{SESSIONS}/{target}", headers=registered["headers"])
    assert (ended.status_code, ended.content) == (204, b"")
    assert (await client.delete(f"{SESSIONS}/{target}", headers=registered["headers"])).status_code == 404
    assert await status(client, second) == (401, 401)
    assert (await client.get("/v1/users/me", headers=registered["headers"])).status_code == 200
    items = (await client.get(SESSIONS, headers=registered["headers"])).json()["items"]
    assert [session["current"] for session in items] == [True]
    assert (await actions(client, registered["headers"]))[0] == "session_revoked"


async def test_all_others_end_at_once(client: httpx.AsyncClient, registered: Registered) -> None:
    others = [await log_in(client, registered) for _ in range(3)]
    assert (await client.delete(SESSIONS, headers=registered["headers"])).status_code == 204
    assert [await status(client, session) for session in others] == [(401, 401)] * 3
    assert (await client.get("/v1/users/me", headers=registered["headers"])).status_code == 200
    # Ending nothing is no mistake.
    assert (await client.delete(SESSIONS, headers=registered["headers"])).status_code == 204


async def test_one_may_end_the_session_one_is_in(client: httpx.AsyncClient, registered: Registered) -> None:
    items = (await client.get(SESSIONS, headers=registered["headers"])).json()["items"]
    ended = await client.delete(f"{SESSIONS}/{items[0]['id']}", headers=registered["headers"])
    assert ended.status_code == 204
    refused = await client.get(SESSIONS, headers=registered["headers"])
    assert (refused.status_code, refused.json()["code"]) == (401, "session_ended")


async def test_logging_out_refuses_the_access_token_too(client: httpx.AsyncClient, registered: Registered) -> None:
    second = await log_in(client, registered)
    assert (await client.get("/v1/users/me", headers=second["headers"])).status_code == 200
    left = await client.post("/v1/auth/logout", json={"refresh_token": second["refresh_token"]})
    assert left.status_code == 204
    assert await status(client, second) == (401, 401)


async def test_a_rotation_beside_a_revocation_leaves_no_token_behind(
    client: httpx.AsyncClient, registered: Registered
) -> None:
    for _ in range(5):
        second = await log_in(client, registered)
        rotated, ended = await asyncio.gather(
            client.post("/v1/auth/refresh", json={"refresh_token": second["refresh_token"]}),
            client.delete(SESSIONS, headers=registered["headers"]),
        )
        assert ended.status_code == 204
        if rotated.status_code == 200:
            again = await client.post("/v1/auth/refresh", json={"refresh_token": rotated.json()["refresh_token"]})
            assert again.status_code == 401


async def test_an_unused_session_expires(client: httpx.AsyncClient, database: Database, registered: Registered) -> None:
    second = await log_in(client, registered)
    await change(
        database,
        "UPDATE sessions SET expires_at = now() WHERE user_id = :user AND user_agent = 'A browser'",
        user=identifier(registered),
    )
    items = (await client.get(SESSIONS, headers=registered["headers"])).json()["items"]
    assert [session["current"] for session in items] == [True]
    assert (await client.get("/v1/users/me", headers=second["headers"])).status_code == 401


async def test_a_changed_password_ends_the_other_sessions(
    client: httpx.AsyncClient, database: Database, registered: Registered
) -> None:
    second = await log_in(client, registered)
    route, headers = "/v1/auth/change-password", registered["headers"]
    wrong = await client.post(
        route, json={"current_password": OTHER_PASSWORD, "new_password": OTHER_PASSWORD}, headers=headers
    )
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/current_password")
    assert wrong.json()["errors"][0]["code"] == "wrong_password"
    weak = await client.post(route, json={"current_password": PASSWORD, "new_password": "short"}, headers=headers)
    assert (weak.status_code, weak.json()["errors"][0]["pointer"]) == (422, "/new_password")

    changed = await client.post(
        route, json={"current_password": PASSWORD, "new_password": OTHER_PASSWORD}, headers=headers
    )
    assert (changed.status_code, changed.content) == (204, b"")
    assert (await client.get("/v1/users/me", headers=headers)).status_code == 200
    assert await status(client, second) == (401, 401)
    email = registered["user"]["email"]
    assert (await client.post("/v1/auth/login", json={"email": email, "password": PASSWORD})).status_code == 401
    assert (await client.post("/v1/auth/login", json={"email": email, "password": OTHER_PASSWORD})).status_code == 200
    assert (await actions(client, headers))[:2] == ["logged_in", "password_changed"]
    assert (await mails_to(database, email))[0].subject == "Your password was changed"


async def test_a_login_beside_a_change_of_password_leaves_no_session_of_the_old_one(
    client: httpx.AsyncClient, registered: Registered
) -> None:
    headers = registered["headers"]
    old = registered["credentials"]["password"]
    for number in range(3):
        new = f"{PASSWORD} {number}"
        logged_in, changed = await asyncio.gather(
            client.post("/v1/auth/login", json={"email": registered["user"]["email"], "password": old}),
            client.post(
                "/v1/auth/change-password", json={"current_password": old, "new_password": new}, headers=headers
            ),
        )
        assert changed.status_code == 204
        if logged_in.status_code == 200:
            token = {"Authorization": f"Bearer {logged_in.json()['access_token']}"}
            assert (await client.get("/v1/users/me", headers=token)).status_code == 401
        old = new


@pytest.mark.parametrize(
    ("method", "route"),
    [
        ("GET", SESSIONS),
        ("DELETE", SESSIONS),
        ("DELETE", f"{SESSIONS}/00000000-0000-7000-8000-000000000001"),
        ("POST", "/v1/auth/change-password"),
        ("GET", "/v1/users/me/second-factor"),
        ("POST", "/v1/users/me/second-factor"),
        ("POST", "/v1/users/me/second-factor/confirm"),
        ("POST", "/v1/users/me/second-factor/recovery-codes"),
        ("DELETE", "/v1/users/me/second-factor"),
    ],
)
async def test_strangers_have_none_of_this(client: httpx.AsyncClient, method: str, route: str) -> None:
    assert (await client.request(method, route, json={})).status_code == 401


async def test_a_repeated_request_with_a_key_gets_the_first_answer(client: httpx.AsyncClient) -> None:
    """And is worked on once: one user, one session, one code."""
    body = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD, "full_name": "A", "account_name": "B"}
    key = {"Idempotency-Key": str(uuid4())}
    first, second = [await client.post("/v1/auth/register", json=body, headers=key) for _ in range(2)]
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert first.headers["location"] == second.headers["location"] == f"/v1/accounts/{first.json()['account']['id']}"
    assert second.headers["idempotency-replayed"] == "true"

    key, body = {"Idempotency-Key": str(uuid4())}, {"email": body["email"], "password": PASSWORD}
    first, second = [await client.post("/v1/auth/login", json=body, headers=key) for _ in range(2)]
    assert first.json() == second.json()
    assert second.headers["cache-control"] == "no-store"
    headers = {"Authorization": f"Bearer {first.json()['access_token']}"}
    assert len((await client.get(SESSIONS, headers=headers)).json()["items"]) == 1
    assert await actions(client, headers) == ["logged_in", "created"]
