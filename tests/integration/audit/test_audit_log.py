"""Who did what: written with the change, without secrets, seen by those who may."""

from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from app.lib.db import API_ROLE
from app.settings import Settings
from tests.conftest import Registered

SMPP: dict[str, Any] = {
    "name": "Operator",
    "type": "smpp",
    "config": {"hosts": [{"host": "127.0.0.1", "port": 2775}]},
    "credentials": {"system_id": "demo", "password": "s3cret-password"},
}


async def entries(client: httpx.AsyncClient, headers: dict[str, str], query: str = "") -> list[dict[str, Any]]:
    answer = await client.get(f"/v1/audit-log?{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_the_life_of_a_channel_is_in_the_log(client: httpx.AsyncClient, registered: Registered) -> None:
    headers = registered["headers"] | {"User-Agent": "a client/1", "X-Request-Id": f"request-{uuid4()}"}
    channel = (await client.post("/v1/channels", json=SMPP, headers=headers)).json()
    path = f"/v1/channels/{channel['id']}"
    await client.patch(path, json={"name": "Renamed"}, headers=headers)
    await client.patch(path, json={"name": "Renamed"}, headers=headers)
    await client.patch(path, json={"credentials": {"system_id": "demo", "password": "an0ther"}}, headers=headers)
    await client.post(f"{path}/pause", headers=headers)
    await client.post(f"{path}/resume", headers=headers)
    await client.delete(path, headers=headers)

    log = await entries(client, headers, f"resource_id={channel['id']}&sort=created_at")
    # What changes nothing is no deed.
    assert [entry["action"] for entry in log] == ["created", "updated", "updated", "paused", "resumed", "deleted"]
    created, renamed, secret, *_, deleted = log
    assert created["actor"] == {
        "type": "user",
        "id": registered["user"]["id"],
        "name": registered["user"]["email"],
    }
    assert (created["resource_type"], created["before"]) == ("channel", None)
    assert created["after"]["config"] == channel["config"]
    assert (created["user_agent"], created["request_id"]) == (headers["User-Agent"], headers["X-Request-Id"])
    assert (renamed["before"]["name"], renamed["after"]["name"]) == ("Operator", "Renamed")
    assert secret["after"]["credentials"] == "***"
    assert (deleted["before"]["name"], deleted["after"]) == ("Renamed", None)
    text = (await client.get("/v1/audit-log", headers=headers)).text
    assert "s3cret-password" not in text and "an0ther" not in text

    assert [entry["action"] for entry in await entries(client, headers, "action=paused&actor_type=user")] == ["paused"]


async def test_a_password_of_an_smpp_account_is_masked(client: httpx.AsyncClient, registered: Registered) -> None:
    headers = registered["headers"]
    channel = (await client.post("/v1/channels", json=SMPP, headers=headers)).json()
    body = {"name": "Shop", "system_id": f"s{uuid4().hex[:12]}", "channel_id": channel["id"], "password": "pass-4-it"}
    made = (await client.post("/v1/smpp-accounts", json=body, headers=headers)).json()
    rotated = (await client.post(f"/v1/smpp-accounts/{made['id']}/rotate-password", headers=headers)).json()
    await client.delete(f"/v1/smpp-accounts/{made['id']}", headers=headers)
    log = await entries(client, headers, f"resource_id={made['id']}&sort=created_at")
    assert [entry["action"] for entry in log] == ["created", "password_rotated", "deleted"]
    assert log[1]["after"]["password"] == "***"
    text = (await client.get("/v1/audit-log", headers=headers)).text
    assert "pass-4-it" not in text and rotated["password"] not in text


async def test_a_refused_change_leaves_nothing(client: httpx.AsyncClient, registered: Registered) -> None:
    headers = registered["headers"]
    channel = (await client.post("/v1/channels", json=SMPP, headers=headers)).json()
    await client.post("/v1/channels", json=SMPP, headers=headers)
    refused = await client.patch(
        f"/v1/channels/{channel['id']}", json={"name": "X"}, headers=headers | {"If-Match": '"0"'}
    )
    assert refused.status_code == 412
    assert [entry["action"] for entry in await entries(client, headers, "resource_type=channel")] == ["created"]


async def test_another_account_sees_nothing(
    client: httpx.AsyncClient, registered: Registered, other: Registered
) -> None:
    await client.post("/v1/channels", json=SMPP, headers=registered["headers"])
    assert await entries(client, other["headers"], "resource_type=channel") == []


async def test_the_api_cannot_change_what_is_written(
    client: httpx.AsyncClient, registered: Registered, settings: Settings
) -> None:
    await client.post("/v1/channels", json=SMPP, headers=registered["headers"])
    connection = await asyncpg.connect(settings.database.url, server_settings={"role": API_ROLE})
    try:
        await connection.execute("SELECT set_config('turumba.accounts', $1, false)", registered["account"]["id"])
        assert await connection.fetchval("SELECT count(*) FROM audit_log") >= 1
        for statement in ("UPDATE audit_log SET action = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()
