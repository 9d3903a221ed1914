"""SMPP accounts through the served application."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from app.domain.smpp_accounts.directory import SmppAccountDirectory
from app.lib.db import Database
from tests.integration.channels.test_channels_api import make as make_channel
from tests.integration.channels.test_channels_api import problem

PATH = "/v1/smpp-accounts"


@pytest.fixture
async def channel(client: httpx.AsyncClient, registered: dict[str, Any]) -> str:
    made: str = (await make_channel(client, registered))["id"]
    return made


async def make(client: httpx.AsyncClient, who: dict[str, Any], channel: str, **fields: Any) -> dict[str, Any]:
    body = {"name": f"App {uuid4()}", "system_id": uuid4().hex[:12], "channel_id": channel} | fields
    answer = await client.post(PATH, json=body, headers=who["headers"])
    assert answer.status_code == 201, answer.text
    account: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"{PATH}/{account['id']}"
    assert answer.headers["etag"]
    return account


async def test_a_generated_password_is_shown_once(
    client: httpx.AsyncClient, registered: dict[str, Any], channel: str, database: Database
) -> None:
    made = await make(client, registered, channel)
    assert len(made["password"]) == 8
    shown = await client.get(f"{PATH}/{made['id']}", headers=registered["headers"])
    listed = await client.get(PATH, headers=registered["headers"])
    del made["password"]
    assert shown.json() == made
    assert "password" not in listed.text
    async with database.reading() as session:
        stored = await session.execute(
            text("SELECT password_hash FROM smpp_accounts WHERE id = :id"), {"id": made["id"]}
        )
        assert stored.scalar_one().startswith("$argon2id$")


async def test_a_given_password_is_never_shown(
    client: httpx.AsyncClient, registered: dict[str, Any], channel: str
) -> None:
    made = await make(client, registered, channel, password="s3cret-password")
    assert "password" not in made
    defaults = {name: made[name] for name in ("enabled", "max_binds", "window", "inbound_limit", "receive_inbound")}
    assert defaults == {"enabled": True, "max_binds": 4, "window": 10, "inbound_limit": 500, "receive_inbound": True}
    assert (made["allowed_networks"], made["rate_per_second"], made["last_bound_at"]) == ([], None, None)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"system_id": "a" * 16}, "/system_id"),
        ({"system_id": "sp ace"}, "/system_id"),
        ({"system_id": "ab"}, "/system_id"),
        ({"password": "short"}, "/password"),
        ({"password": "with space"}, "/password"),
        ({"allowed_networks": ["192.0.2.0/24", "nowhere"]}, "/allowed_networks/1"),
        ({"allowed_networks": ["192.0.2.1/24"]}, "/allowed_networks/0"),
        ({"max_binds": 0}, "/max_binds"),
        ({"rate_per_second": 0}, "/rate_per_second"),
        ({"burst": 5}, "/burst"),
        ({"window": 1001}, "/window"),
        ({"default_country": "XX"}, "/default_country"),
        ({"default_alphabet": "ebcdic"}, "/default_alphabet"),
        ({"lane": "slow"}, "/lane"),
        ({"unknown": 1}, "/unknown"),
    ],
)
async def test_what_is_wrong_is_pointed_at(
    client: httpx.AsyncClient, registered: dict[str, Any], channel: str, fields: dict[str, Any], pointer: str
) -> None:
    body = {"name": "App", "system_id": uuid4().hex[:12], "channel_id": channel} | fields
    answer = await client.post(PATH, json=body, headers=registered["headers"])
    problem(answer, 422, "invalid_value", pointer)


async def test_the_channel_must_be_one_of_the_account(
    client: httpx.AsyncClient, registered: dict[str, Any], other: dict[str, Any], channel: str
) -> None:
    for wrong in (str(uuid4()), (await make_channel(client, other))["id"]):
        body = {"name": "App", "system_id": uuid4().hex[:12], "channel_id": wrong}
        answer = await client.post(PATH, json=body, headers=registered["headers"])
        document = problem(answer, 422, "invalid_value", "/channel_id")
        assert document["errors"][0]["code"] == "not_found"
        made = await make(client, registered, channel)
        patched = await client.patch(f"{PATH}/{made['id']}", json={"channel_id": wrong}, headers=registered["headers"])
        problem(patched, 422, "invalid_value", "/channel_id")


async def test_a_system_id_is_unique_in_the_installation_and_a_name_in_its_account(
    client: httpx.AsyncClient, registered: dict[str, Any], other: dict[str, Any], channel: str
) -> None:
    made = await make(client, registered, channel)
    theirs = (await make_channel(client, other))["id"]
    body = {"name": made["name"], "system_id": made["system_id"], "channel_id": theirs}
    problem(await client.post(PATH, json=body, headers=other["headers"]), 409, "system_id_taken")
    await make(client, other, theirs, name=made["name"])
    body = {"name": made["name"], "system_id": uuid4().hex[:12], "channel_id": channel}
    problem(await client.post(PATH, json=body, headers=registered["headers"]), 409, "name_taken")
    deleted = await client.delete(f"{PATH}/{made['id']}", headers=registered["headers"])
    assert deleted.status_code == 204
    await make(client, other, theirs, system_id=made["system_id"])


async def test_another_tenant_sees_nothing(
    client: httpx.AsyncClient, registered: dict[str, Any], other: dict[str, Any], channel: str
) -> None:
    made = await make(client, registered, channel)
    path, headers = f"{PATH}/{made['id']}", other["headers"]
    problem(await client.get(path, headers=headers), 404, "not_found")
    problem(await client.patch(path, json={"enabled": False}, headers=headers), 404, "not_found")
    problem(await client.post(f"{path}/rotate-password", headers=headers), 404, "not_found")
    problem(await client.delete(path, headers=headers), 404, "not_found")
    assert (await client.get(PATH, headers=headers)).json()["items"] == []
    assert (await client.get(path, headers=registered["headers"])).status_code == 200


async def test_a_patch_changes_what_is_sent_and_follows_if_match(
    client: httpx.AsyncClient, registered: dict[str, Any], channel: str
) -> None:
    made = await make(client, registered, channel, rate_per_second=10, default_from="DEMO")
    path, headers = f"{PATH}/{made['id']}", registered["headers"]
    etag = (await client.get(path, headers=headers)).headers["etag"]
    changed = await client.patch(
        path,
        json={"window": 50, "rate_per_second": None, "allowed_networks": ["2001:DB8::/32"]},
        headers=headers | {"If-Match": etag},
    )
    assert changed.status_code == 200, changed.text
    body = changed.json()
    assert (body["window"], body["rate_per_second"], body["default_from"]) == (50, None, "DEMO")
    assert body["allowed_networks"] == ["2001:db8::/32"]
    problem(
        await client.patch(path, json={"window": 5}, headers=headers | {"If-Match": etag}), 412, "precondition_failed"
    )
    same = await client.patch(path, json={"window": 50}, headers=headers)
    assert same.headers["etag"] == changed.headers["etag"]
    problem(await client.patch(path, json={"window": None}, headers=headers), 422, "invalid_value", "/window")
    problem(await client.patch(path, json={"enabled": None}, headers=headers), 422, "invalid_value", "/enabled")


async def test_rotating_the_password_changes_the_version(
    client: httpx.AsyncClient, registered: dict[str, Any], channel: str, database: Database
) -> None:
    made = await make(client, registered, channel, password="s3cret-password")
    directory = SmppAccountDirectory(database)
    before = await directory.find(made["system_id"])
    path, headers = f"{PATH}/{made['id']}", registered["headers"]
    etag = (await client.get(path, headers=headers)).headers["etag"]
    rotated = await client.post(f"{path}/rotate-password", headers=headers | {"If-Match": etag})
    assert rotated.status_code == 200, rotated.text
    assert len(rotated.json()["password"]) == 8
    assert rotated.headers["etag"] != etag
    after = await directory.find(made["system_id"])
    assert before is not None
    assert after is not None
    assert before.password_hash != after.password_hash
    again = await client.post(f"{path}/rotate-password", headers=headers | {"If-Match": etag})
    problem(again, 412, "precondition_failed")


async def test_the_list_is_filtered_and_sorted(
    client: httpx.AsyncClient, registered: dict[str, Any], channel: str
) -> None:
    names = [f"{letter} {uuid4()}" for letter in "cab"]
    for name in names:
        await make(client, registered, channel, name=name)
    listed = await client.get(f"{PATH}?sort=name&limit=2", headers=registered["headers"])
    rest = await client.get(f"{PATH}?sort=name&cursor={listed.json()['next_cursor']}", headers=registered["headers"])
    assert [each["name"] for each in listed.json()["items"] + rest.json()["items"]] == sorted(names)
    found = await client.get(f"{PATH}?name={names[0]}", headers=registered["headers"])
    assert [each["name"] for each in found.json()["items"]] == [names[0]]
    problem(await client.get(f"{PATH}?password_hash=x", headers=registered["headers"]), 400, "unknown_filter")


async def test_needs_a_caller(client: httpx.AsyncClient) -> None:
    for path in (PATH, f"{PATH}/{uuid4()}"):
        problem(await client.get(path), 401, "unauthenticated")


async def test_a_record_is_disabled_while_its_tenant_is_suspended(
    client: httpx.AsyncClient, registered: dict[str, Any], channel: str, database: Database
) -> None:
    made = await make(client, registered, channel, allowed_networks=["192.0.2.7"])
    directory = SmppAccountDirectory(database)
    record = await directory.find(made["system_id"])
    assert record is not None
    assert (record.enabled, [str(network) for network in record.networks]) == (True, ["192.0.2.7/32"])
    async with database.unit_of_work() as session:
        await session.execute(
            text("UPDATE accounts SET suspended = true WHERE id = :id"), {"id": UUID(made["account_id"])}
        )
    found = (await directory.read([record.id]))[record.id]
    assert not found.enabled
    assert await directory.find("nobody\0") is None
