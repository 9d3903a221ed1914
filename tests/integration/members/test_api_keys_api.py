"""API keys: made, used, held to what they are for, and ended."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from app.domain.identity.access import IdentityAccess
from app.domain.identity.api_keys.secrets import new_secret, secret_hash
from app.domain.identity.api_keys.service import MAX_KEYS
from app.domain.identity.permissions import SYSTEM_ROLES
from app.lib.clock import utc_now
from app.lib.crypto import Envelope
from app.lib.db import Database
from app.lib.errors import Unauthenticated
from app.lib.ids import new_id
from app.settings import Settings
from tests.conftest import serve_app
from tests.integration.members.conftest import Account, pointers, refusal

NOBODY = "01900000-0000-7000-8000-00000000dead"


async def sql(database: Database, statement: str, **values: Any) -> None:
    async with database.unit_of_work() as session:
        await session.execute(text(statement), values)


async def test_a_key_with_a_role_lives_and_ends(
    client: httpx.AsyncClient, account: Account, database: Database
) -> None:
    made = await client.post("/v1/api-keys", json={"name": " ci ", "role": "operator"}, headers=account.headers)
    assert made.status_code == 201, made.text
    key = made.json()
    secret = key.pop("secret")
    assert secret.startswith("tk_")
    assert len(secret) > 40
    assert (key["name"], key["prefix"], key["expires_at"]) == ("ci", secret[:7], None)
    assert key["role"]["name"] == "operator"
    assert key["permissions"]["messages"] == ["read", "send", "cancel"]
    assert (key["allowed_networks"], key["last_used_at"], key["last_used_ip"]) == ([], None, None)
    assert key["created_by"] == account.owner["user"]["id"]
    assert made.headers["location"] == f"/v1/api-keys/{key['id']}"
    assert made.headers["cache-control"] == "no-store"

    shown = await client.get(made.headers["location"], headers=account.headers)
    assert shown.json() == key
    listed = await client.get("/v1/api-keys", headers=account.headers)
    assert listed.json()["items"] == [key]
    async with database.reading() as session:
        stored = await session.scalar(
            text("SELECT secret_hash FROM api_keys WHERE id = CAST(:id AS uuid)"), {"id": key["id"]}
        )
    assert stored == secret_hash(secret)

    headers = {"Authorization": f"Bearer {secret}"}
    assert (await client.get("/v1/channels", headers=headers)).status_code == 200
    context = (await client.get("/v1/context/basic", headers=headers)).json()
    assert context["api_key"] == {"id": key["id"], "name": "ci"}
    assert context["active_account"]["id"] == account.id
    refused = await client.get("/v1/api-keys", headers=headers)
    assert refusal(refused) == (403, "missing_permission")
    assert refusal(await client.get("/v1/users/me", headers=headers)) == (403, "user_required")

    path = f"/v1/api-keys/{key['id']}"
    assert refusal(await client.delete(path, headers=account.headers | {"If-Match": '"1"'}))[0] == 412
    tag = account.headers | {"If-Match": shown.headers["etag"]}
    assert (await client.delete(path, headers=tag)).status_code == 204
    assert refusal(await client.get("/v1/channels", headers=headers)) == (401, "invalid_token")
    assert (await client.get(path, headers=account.headers)).status_code == 404
    log = await account.log(resource_id=key["id"])
    assert [entry["action"] for entry in log] == ["deleted", "created"]
    assert log[1]["after"] == key
    assert secret not in str(log)


async def test_a_key_ends_in_every_process_at_once(
    client: httpx.AsyncClient, account: Account, settings: Settings
) -> None:
    key = await account.key(role="operator")
    async with serve_app(settings) as elsewhere:
        assert (await elsewhere.get("/v1/channels", headers=key["headers"])).status_code == 200
        gone = await client.delete(f"/v1/api-keys/{key['id']}", headers=account.headers)
        assert gone.status_code == 204
        async with asyncio.timeout(1.5):  # It would be remembered for 2 s.
            while (await elsewhere.get("/v1/channels", headers=key["headers"])).status_code != 401:
                await asyncio.sleep(0.01)


async def test_a_key_with_permissions_of_its_own(client: httpx.AsyncClient, account: Account) -> None:
    key = await account.key(permissions={"channels": ["read", "read"], "messages": []})
    assert key["role"] is None
    assert key["permissions"] == {"channels": ["read"]}
    assert (await client.get("/v1/channels", headers=key["headers"])).status_code == 200
    refused = await client.get("/v1/messages", headers=key["headers"])
    assert refusal(refused) == (403, "missing_permission")
    assert "messages:read" in refused.json()["detail"]
    body = {"name": "x", "type": "sandbox"}
    assert refusal(await client.post("/v1/channels", json=body, headers=key["headers"]))[0] == 403


async def test_a_key_expires(client: httpx.AsyncClient, account: Account, database: Database) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    key = await account.key(role="operator", expires_at=soon)
    assert datetime.fromisoformat(key["expires_at"]) == datetime.fromisoformat(soon)
    assert (await client.get("/v1/channels", headers=key["headers"])).status_code == 200
    await sql(
        database,
        "UPDATE api_keys SET expires_at = now() - interval '1 hour' WHERE id = CAST(:id AS uuid)",
        id=key["id"],
    )
    await sql(database, "SELECT pg_notify('turumba_identity_changed', '')")
    async with asyncio.timeout(5):
        while (answer := await client.get("/v1/channels", headers=key["headers"])).status_code == 200:
            await asyncio.sleep(0.01)
    assert refusal(answer) == (401, "token_expired")


async def test_the_clock_ends_a_key_that_is_remembered(
    account: Account, database: Database, envelope: Envelope, settings: Settings
) -> None:
    moment = utc_now()
    key = await account.key(role="viewer", expires_at=(moment + timedelta(seconds=60)).isoformat())
    now = [moment]
    identity = IdentityAccess(
        database, envelope, settings.identity, issuer=settings.public_url, clock=lambda: now[0], new_id=new_id
    )
    caller = await identity.authenticate(key["secret"], None, "192.0.2.1")
    assert str(caller.api_key_id) == key["id"]
    now[0] += timedelta(seconds=60)
    with pytest.raises(Unauthenticated, match="expired"):
        await identity.authenticate(key["secret"], None, "192.0.2.1")


async def test_a_key_is_for_its_networks(client: httpx.AsyncClient, account: Account) -> None:
    near = await account.key(role="viewer", allowed_networks=["127.0.0.0/8", "2001:db8::/32", "127.0.0.0/8"])
    assert near["allowed_networks"] == ["127.0.0.0/8", "2001:db8::/32"]
    assert (await client.get("/v1/channels", headers=near["headers"])).status_code == 200
    far = await account.key(role="viewer", allowed_networks=["192.0.2.7", "2001:db8::1"])
    assert far["allowed_networks"] == ["192.0.2.7/32", "2001:db8::1/128"]
    assert refusal(await client.get("/v1/channels", headers=far["headers"])) == (403, "address_not_allowed")


async def test_a_key_stays_in_its_account(client: httpx.AsyncClient, account: Account, stranger: Account) -> None:
    body = {"name": "Sub", "parent_id": account.id}
    sub = (await client.post("/v1/accounts", json=body, headers=account.headers)).json()["id"]
    plain = await account.key(role="operator")
    broad = await account.key(role="admin")
    narrow = await account.key(permissions={"sub_accounts": ["access"], "channels": ["read"]})
    for key, account_id, status in (
        (plain, account.id, 200),
        (plain, sub, 403),
        (broad, sub, 200),
        (narrow, sub, 200),
        (plain, stranger.id, 403),
        (broad, stranger.id, 403),
        (broad, str(uuid4()), 403),
    ):
        answer = await client.get("/v1/channels", headers=key["headers"] | {"X-Account-Id": account_id})
        assert answer.status_code == status
        if status == 403:
            assert answer.json()["code"] == "not_a_member"
    in_sub = {"X-Account-Id": sub}
    assert (await client.get("/v1/roles", headers=narrow["headers"] | in_sub)).status_code == 403
    # What it makes there belongs there, and does not work above.
    made = await account.key(headers=broad["headers"] | in_sub, role="admin")
    context = (await client.get("/v1/context/basic", headers=made["headers"])).json()
    assert context["active_account"]["id"] == sub
    above = await client.get("/v1/channels", headers=made["headers"] | {"X-Account-Id": account.id})
    assert refusal(above) == (403, "not_a_member")
    # A key of a sub-account is not among those of the account above.
    assert (await client.get(f"/v1/api-keys/{made['id']}", headers=account.headers)).status_code == 404


async def test_the_last_use_is_written_down(client: httpx.AsyncClient, account: Account) -> None:
    key = await account.key(role="viewer")
    path = f"/v1/api-keys/{key['id']}"
    tag = (await client.get(path, headers=account.headers)).headers["etag"]
    assert (await client.get("/v1/channels", headers=key["headers"])).status_code == 200
    async with asyncio.timeout(20):
        while (shown := await client.get(path, headers=account.headers)).json()["last_used_at"] is None:
            await asyncio.sleep(0.1)
    assert shown.json()["last_used_ip"] == "127.0.0.1"
    assert shown.json()["last_used_at"] > key["created_at"]
    # Its use does not change its version.
    assert (await client.delete(path, headers=account.headers | {"If-Match": tag})).status_code == 204


async def test_keys_are_listed_and_stay_private(client: httpx.AsyncClient, account: Account, stranger: Account) -> None:
    keys = [await account.key(role="viewer", name=name) for name in ("b", "a", "c")]
    theirs = await stranger.key(role="viewer")
    listed = (await client.get("/v1/api-keys?sort=name&limit=2&include=total", headers=account.headers)).json()
    assert [key["name"] for key in listed["items"]] == ["a", "b"]
    assert listed["total"] == 3
    more = {"sort": "name", "cursor": listed["next_cursor"]}
    rest = (await client.get("/v1/api-keys", params=more, headers=account.headers)).json()
    assert [key["name"] for key in rest["items"]] == ["c"]
    found = await client.get(f"/v1/api-keys?prefix={keys[0]['prefix']}", headers=account.headers)
    assert keys[0]["id"] in {key["id"] for key in found.json()["items"]}
    assert keys[0]["secret"] not in found.text
    wrong = await client.get("/v1/api-keys?secret=x", headers=account.headers)
    assert refusal(wrong) == (400, "unknown_filter")
    for key_id in (theirs["id"], str(uuid4())):
        path = f"/v1/api-keys/{key_id}"
        assert (await client.get(path, headers=account.headers)).status_code == 404
        assert (await client.delete(path, headers=account.headers)).status_code == 404
    assert (await client.get("/v1/channels", headers=theirs["headers"])).status_code == 200
    body = {"name": "a", "role": "viewer"}
    assert refusal(await client.post("/v1/api-keys", json=body, headers=account.headers)) == (409, "name_taken")
    assert (await client.post("/v1/api-keys", json=body, headers=stranger.headers)).status_code == 201


BAD_NETWORK = [("/allowed_networks/0", "not_a_network"), ("/allowed_networks/1", "not_a_network")]
PAST = "2020-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, [("/role", "missing_field")]),
        ({"role": "viewer", "permissions": {}}, [("/permissions", "not_both")]),
        ({"role_id": str(SYSTEM_ROLES[3].id), "permissions": {}}, [("/permissions", "not_both")]),
        ({"role": "viewer", "role_id": str(SYSTEM_ROLES[3].id)}, [("/role_id", "not_both")]),
        ({"role": "nobody"}, [("/role", "not_found")]),
        ({"role_id": NOBODY}, [("/role_id", "not_found")]),
        ({"permissions": {"messages": ["read", "fly"]}}, [("/permissions/messages/1", "not_allowed")]),
        ({"role": "viewer", "expires_at": PAST}, [("/expires_at", "in_the_past")]),
        ({"role": "viewer", "expires_at": "2099-01-01T00:00:00"}, [("/expires_at", "invalid")]),
        ({"role": "viewer", "allowed_networks": ["10.0.0.0/8", "10.0.0.1/8"]}, [BAD_NETWORK[1]]),
        ({"role": "viewer", "allowed_networks": ["::ffff:10.0.0.0/104"]}, [BAD_NETWORK[0]]),
        ({"role": "viewer", "allowed_networks": ["fe80::%1/64", ""]}, BAD_NETWORK),
        ({"role": "viewer", "name": " "}, [("/name", "wrong_length")]),
        ({"role": "viewer", "secret": "tk_mine"}, [("/secret", "unknown_field")]),
    ],
    ids=str,
)
async def test_what_cannot_be_a_key(
    client: httpx.AsyncClient, account: Account, body: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    refused = await client.post("/v1/api-keys", json={"name": "ci"} | body, headers=account.headers)
    assert refused.status_code == 422, refused.text
    assert pointers(refused) == expected


async def test_an_account_has_so_many_keys_and_no_more(
    client: httpx.AsyncClient, account: Account, database: Database
) -> None:
    await sql(
        database,
        "INSERT INTO api_keys (id, account_id, name, prefix, secret_hash, permissions)"
        " SELECT gen_random_uuid(), CAST(:account AS uuid), 'Key ' || n, 'tk_xxxx', uuid_send(gen_random_uuid()), '{}'"
        " FROM generate_series(1, :count) n",
        account=account.id,
        count=MAX_KEYS - 2,
    )
    answers = await asyncio.gather(
        *(
            client.post("/v1/api-keys", json={"name": f"x{n}", "role": "viewer"}, headers=account.headers)
            for n in range(4)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409]
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert refused.json()["code"] == "too_many_keys"


async def test_an_invented_key_opens_nothing(client: httpx.AsyncClient) -> None:
    for secret in (new_secret(), "tk_", "tk_" + "x" * 5000):
        answer = await client.get("/v1/channels", headers={"Authorization": f"Bearer {secret}"})
        assert refusal(answer) == (401, "invalid_token")
