"""Who is given a stored answer again, and what lies in the table meanwhile."""

import secrets
from typing import Any

import httpx
from sqlalchemy import text

from app.domain.idempotency.rewrap import rewrap_answers
from app.domain.idempotency.schemas import NOBODY
from app.lib.crypto import Envelope, parse_keys
from app.lib.db import Database
from app.settings import Settings
from tests.conftest import Registered
from tests.integration.idempotency.conftest import Post, replayed


async def stored(database: Database, key: str) -> list[Any]:
    async with database.reading() as session:
        rows = await session.execute(text("SELECT * FROM idempotency_keys WHERE key = :key"), {"key": key})
        return list(rows)


async def join_as_viewer(database: Database, who: Registered, account: str) -> None:
    async with database.unit_of_work() as session:
        await session.execute(
            text(
                "INSERT INTO memberships (id, user_id, account_id, role_id)"
                " SELECT gen_random_uuid(), CAST(:user AS uuid), CAST(:account AS uuid), id FROM roles"
                " WHERE account_id IS NULL AND name = 'viewer'"
            ),
            {"user": who["user"]["id"], "account": account},
        )


async def test_a_secret_that_is_shown_once_is_sealed_and_shown_to_the_same_request(
    post: Post, sandbox: str, key: str, database: Database, envelope: Envelope
) -> None:
    body = {"name": "App", "system_id": secrets.token_hex(6), "channel_id": sandbox}
    first = await post("/v1/smpp-accounts", body)
    assert first.status_code == 201, first.text
    assert first.headers["cache-control"] == "no-store"
    password = first.json()["password"].encode()
    assert replayed(await post("/v1/smpp-accounts", body), first)
    (row,) = await stored(database, key)
    assert all(password not in bytes(str(value), "utf-8") for value in row)
    assert password not in row.body
    context = f"idempotency:{row.account_id}:POST /v1/smpp-accounts:{key}"
    assert password in envelope.decrypt(row.body, context)


async def test_the_request_cannot_be_guessed_from_its_hash(post: Post, key: str, database: Database) -> None:
    """Two rows of the same request have nothing in common: there is no telling whether a guess is right."""
    body = {"name": "x" * 300, "type": "sandbox"}
    await post("/v1/channels", body)
    await post("/v1/channels", body, **{"Idempotency-Key": f"{key}-2"})
    (one,), (two,) = await stored(database, key), await stored(database, f"{key}-2")
    assert one.request_hash != two.request_hash


async def test_registering_is_repeatable_for_nobodys_account(
    client: httpx.AsyncClient, key: str, database: Database
) -> None:
    body = {
        "email": f"{key.lower().strip('-_')}@example.com",
        "password": "correct horse battery staple",
        "full_name": "A",
        "account_name": "A",
    }
    headers = {"Idempotency-Key": key}
    first = await client.post("/v1/auth/register", json=body, headers=headers)
    assert first.status_code == 201, first.text
    assert replayed(await client.post("/v1/auth/register", json=body, headers=headers), first)
    (row,) = await stored(database, key)
    assert (row.account_id, row.route) == (NOBODY, "POST /v1/auth/register")
    assert body["email"].encode() not in row.body


async def test_an_answer_that_says_who_may_not_is_not_kept(
    client: httpx.AsyncClient, registered: Registered, key: str, database: Database
) -> None:
    channel = {"name": "Try", "type": "sandbox"}
    headers = {"Idempotency-Key": key, "Authorization": "Bearer nonsense"}
    assert (await client.post("/v1/channels", json=channel, headers=headers)).status_code == 401
    created = await client.post("/v1/channels", json=channel, headers={**headers, **registered["headers"]})
    assert created.status_code == 201
    assert "idempotency-replayed" not in created.headers


async def test_a_refused_refresh_ends_the_session_although_it_has_a_key(
    client: httpx.AsyncClient, registered: Registered, key: str, database: Database
) -> None:
    old = {"refresh_token": registered["tokens"]["refresh_token"]}
    headers = {"Idempotency-Key": key}
    first = await client.post("/v1/auth/refresh", json=old, headers=headers)
    assert first.status_code == 200, first.text
    # The answer was lost: the same request again is no theft.
    assert replayed(await client.post("/v1/auth/refresh", json=old, headers=headers), first)
    new = {"refresh_token": first.json()["refresh_token"]}
    again = await client.post("/v1/auth/refresh", json=new)
    assert again.status_code == 200, again.text
    # Another request with a used token is.
    theft = await client.post("/v1/auth/refresh", json=old, headers={"Idempotency-Key": f"{key}-2"})
    assert theft.status_code == 401
    assert await stored(database, f"{key}-2") == []
    ended = await client.post("/v1/auth/refresh", json={"refresh_token": again.json()["refresh_token"]})
    assert ended.status_code == 401


async def test_logging_in_is_repeatable_and_counts_once(
    client: httpx.AsyncClient, registered: Registered, key: str, database: Database
) -> None:
    headers = {"Idempotency-Key": key}
    first = await client.post("/v1/auth/login", json=registered["credentials"], headers=headers)
    assert first.status_code == 200, first.text
    assert first.headers["cache-control"] == "no-store"
    assert replayed(await client.post("/v1/auth/login", json=registered["credentials"], headers=headers), first)
    (row,) = await stored(database, key)
    assert first.json()["access_token"].encode() not in row.body
    async with database.reading() as session:
        logged_in = text("SELECT count(*) FROM audit_log WHERE action = 'logged_in' AND account_id = CAST(:id AS uuid)")
        # Once when the test began, and once with the key.
        assert (await session.execute(logged_in, {"id": registered["account"]["id"]})).scalar_one() == 2


async def test_what_concerns_one_user_is_not_shown_to_another_of_the_account(
    client: httpx.AsyncClient, registered: Registered, other: Registered, key: str, database: Database
) -> None:
    """The same key, the same empty body, the same account: a secret of one user, and another user who asks."""
    account = registered["account"]["id"]
    await join_as_viewer(database, other, account)
    path = "/v1/users/me/second-factor"
    mine = await client.post(path, headers={**registered["headers"], "Idempotency-Key": key})
    assert mine.status_code == 200, mine.text
    theirs = await client.post(path, headers={**other["headers"], "X-Account-Id": account, "Idempotency-Key": key})
    assert theirs.status_code == 200, theirs.text
    assert "idempotency-replayed" not in theirs.headers
    assert theirs.json()["secret"] != mine.json()["secret"]
    assert replayed(await client.post(path, headers={**registered["headers"], "Idempotency-Key": key}), mine)


async def test_who_may_not_make_a_request_is_not_shown_its_answer(
    client: httpx.AsyncClient, registered: Registered, other: Registered, key: str, database: Database
) -> None:
    account, channel = registered["account"]["id"], {"name": "Try", "type": "sandbox"}
    await join_as_viewer(database, other, account)
    viewer = {**other["headers"], "X-Account-Id": account, "Idempotency-Key": key}
    owner = {**registered["headers"], "Idempotency-Key": key}
    # Refused, and that is not remembered against those who may.
    assert (await client.post("/v1/channels", json=channel, headers=viewer)).status_code == 403
    made = await client.post("/v1/channels", json=channel, headers=owner)
    assert made.status_code == 201, made.text
    assert (await client.post("/v1/channels", json=channel, headers=viewer)).status_code == 403
    assert replayed(await client.post("/v1/channels", json=channel, headers=owner), made)


async def test_stored_answers_move_to_a_new_encryption_key(
    post: Post, key: str, database: Database, settings: Settings
) -> None:
    first = await post("/v1/channels", {"name": "Try", "type": "sandbox"})
    old, new = parse_keys(settings.encryption_keys), {"new": bytes(32)}
    try:
        assert await rewrap_answers(database, Envelope(new | old)) >= 1
        (row,) = await stored(database, key)
        assert Envelope(new).key_id_of(row.body) == "new"
        context = f"idempotency:{row.account_id}:POST /v1/channels:{key}"
        assert Envelope(new).decrypt(row.body, context)[32:] == first.content
        assert await rewrap_answers(database, Envelope(new | old)) == 0
    finally:
        await rewrap_answers(database, Envelope(old | new))
    assert replayed(await post("/v1/channels", {"name": "Try", "type": "sandbox"}), first)
