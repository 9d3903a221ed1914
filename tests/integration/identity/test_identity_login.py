"""Logging in, refresh tokens, access tokens and keys against a real database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import jwt
import pytest
from argon2 import Parameters, PasswordHasher, extract_parameters
from sqlalchemy import text

from app.domain.identity.access import IdentityAccess
from app.domain.identity.keys import RELOAD_AFTER_SECONDS, RELOAD_AT_MOST_EVERY_SECONDS, SigningKeys
from app.lib.clock import utc_now
from app.lib.crypto import CryptoError, Envelope
from app.lib.db import Database
from app.lib.errors import Forbidden, Unauthenticated, Unavailable
from app.lib.ids import new_id
from app.settings import Settings
from tests.conftest import Registered


async def login(client: httpx.AsyncClient, registered: Registered) -> dict[str, str]:
    answer = await client.post("/v1/auth/login", json=registered["credentials"])
    assert answer.status_code == 200
    tokens: dict[str, str] = answer.json()
    return tokens


async def refresh(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post("/v1/auth/refresh", json={"refresh_token": token})


async def test_login_answers_tokens_that_nobody_may_keep(client: httpx.AsyncClient, registered: Registered) -> None:
    credentials = registered["credentials"] | {"email": registered["credentials"]["email"].upper()}
    answer = await client.post("/v1/auth/login", json=credentials)
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 900)
    assert answer.headers["cache-control"] == "no-store"


async def test_strangers_and_wrong_passwords_look_the_same(client: httpx.AsyncClient, registered: Registered) -> None:
    good = registered["credentials"]
    attempts = [
        good | {"password": "wrong horse battery"},
        good | {"email": "stranger@example.com"},
        good | {"email": "not an address"},
        good | {"email": "a\0@example.com"},
        good | {"password": ""},
    ]
    answers = [await client.post("/v1/auth/login", json=attempt) for attempt in attempts]
    assert {answer.status_code for answer in answers} == {401}
    documents = [answer.json() for answer in answers]
    for document in documents:
        del document["request_id"]
    assert all(document == documents[0] for document in documents)
    assert documents[0]["code"] == "invalid_credentials"
    assert "bearer" in answers[0].headers["www-authenticate"].lower()


async def test_strangers_cost_the_same_hash_as_wrong_passwords(
    client: httpx.AsyncClient, registered: Registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the time it takes would tell who has an account."""
    verify, verified = PasswordHasher.verify, list[Parameters]()

    def noted(hasher: PasswordHasher, password_hash: str, password: str) -> bool:
        verified.append(extract_parameters(password_hash))
        return verify(hasher, password_hash, password)

    monkeypatch.setattr(PasswordHasher, "verify", noted)
    for email in (registered["credentials"]["email"], "stranger@example.com"):
        answer = await client.post("/v1/auth/login", json={"email": email, "password": "wrong horse battery"})
        assert answer.status_code == 401
    known, stranger = verified
    assert known == stranger


async def test_refresh_rotates_and_reuse_ends_the_session(client: httpx.AsyncClient, registered: Registered) -> None:
    first = registered["tokens"]["refresh_token"]
    apart = (await login(client, registered))["refresh_token"]
    answer = await refresh(client, first)
    assert answer.status_code == 200
    second = answer.json()["refresh_token"]
    assert second != first
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert (await client.get("/v1/users/me", headers=headers)).status_code == 200

    reused = await refresh(client, first)
    assert (reused.status_code, reused.json()["code"]) == (401, "invalid_refresh_token")
    assert (await refresh(client, second)).status_code == 401
    # Another session of the same user goes on.
    assert (await refresh(client, apart)).status_code == 200


async def test_a_token_used_twice_at_once_gives_one_session_at_most(
    client: httpx.AsyncClient, registered: Registered
) -> None:
    token = registered["tokens"]["refresh_token"]
    answers = await asyncio.gather(*(refresh(client, token) for _ in range(6)))
    good = [answer for answer in answers if answer.status_code == 200]
    assert len(good) == 1
    assert {answer.status_code for answer in answers} == {200, 401}
    # The others were reuse: what the winner got is revoked with the rest of its family.
    assert (await refresh(client, good[0].json()["refresh_token"])).status_code == 401


async def test_a_revocation_beside_a_rotation_leaves_no_token_behind(
    client: httpx.AsyncClient, registered: Registered
) -> None:
    for _ in range(5):
        token = (await login(client, registered))["refresh_token"]
        rotated, ended = await asyncio.gather(
            refresh(client, token), client.post("/v1/auth/logout", json={"refresh_token": token})
        )
        assert ended.status_code == 204
        if rotated.status_code == 200:
            assert (await refresh(client, rotated.json()["refresh_token"])).status_code == 401


async def test_logout_ends_the_session_and_never_complains(client: httpx.AsyncClient, registered: Registered) -> None:
    token = registered["tokens"]["refresh_token"]
    for sent in (token, token, "rt_unknown", ""):
        answer = await client.post("/v1/auth/logout", json={"refresh_token": sent})
        assert (answer.status_code, answer.content) == (204, b"")
    assert (await refresh(client, token)).status_code == 401


async def test_an_expired_refresh_token_is_refused_and_forgotten(
    client: httpx.AsyncClient, database: Database, registered: Registered
) -> None:
    user_id = UUID(registered["user"]["id"])
    async with database.unit_of_work() as session:
        await session.execute(
            text("UPDATE refresh_tokens SET expires_at = now() - interval '1 second' WHERE user_id = :user"),
            {"user": user_id},
        )
    assert (await refresh(client, registered["tokens"]["refresh_token"])).status_code == 401
    await login(client, registered)
    async with database.reading() as session:
        count = await session.scalar(
            text("SELECT count(*) FROM refresh_tokens WHERE user_id = :user"), {"user": user_id}
        )
    assert count == 1


async def test_only_digests_and_sealed_keys_are_stored(
    client: httpx.AsyncClient, database: Database, registered: Registered
) -> None:
    async with database.reading() as session:
        stored = (await session.execute(text("SELECT CAST(t AS text) FROM refresh_tokens t"))).scalars().all()
        keys = (await session.execute(text("SELECT private_key FROM signing_keys"))).scalars().all()
    token = registered["tokens"]["refresh_token"]
    assert stored
    assert not any(token in row or token.encode().hex() in row for row in stored)
    # The DER form of an RSA key names its algorithm.
    rsa_encryption = bytes.fromhex("2a864886f70d010101")
    assert keys
    assert not any(rsa_encryption in bytes(key) for key in keys)


async def test_a_password_hash_of_old_parameters_is_replaced(
    client: httpx.AsyncClient, database: Database, registered: Registered, settings: Settings
) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(registered["credentials"]["password"])
    user = {"id": UUID(registered["user"]["id"])}
    async with database.unit_of_work() as session:
        await session.execute(text("UPDATE users SET password_hash = :hash WHERE id = :id"), {"hash": weak, **user})
    await login(client, registered)
    async with database.reading() as session:
        stored = await session.scalar(text("SELECT password_hash FROM users WHERE id = :id"), user)
    assert stored != weak
    assert f"m={settings.identity.password_memory_mebibytes * 1024}," in str(stored)
    await login(client, registered)


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic dXNlcjpwdw==", "Bearer a.b.c", "Bearer tk_abcdef", "token x"]
)
async def test_without_a_good_token_nobody_is_there(client: httpx.AsyncClient, header: str) -> None:
    answer = await client.get("/v1/context", headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] in ("unauthenticated", "invalid_token")
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_two_authorization_headers_are_refused(client: httpx.AsyncClient, registered: Registered) -> None:
    value = registered["headers"]["Authorization"]
    answer = await client.get("/v1/context", headers=[("Authorization", value), ("Authorization", value)])
    assert answer.status_code == 401


async def test_anybody_can_verify_our_tokens_with_the_published_keys(
    client: httpx.AsyncClient, registered: Registered
) -> None:
    published = await client.get("/.well-known/jwks.json")
    assert published.status_code == 200
    keys = jwt.PyJWKSet.from_dict(published.json())
    assert all("d" not in key for key in published.json()["keys"])
    token = registered["tokens"]["access_token"]
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, algorithms=["RS256"], audience="turumba", issuer="http://turumba.test")
    assert claims["sub"] == registered["user"]["id"]


class Moments:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def fresh_database(make_database: Callable[[], Awaitable[str]]) -> AsyncIterator[Database]:
    database = Database(await make_database(), process="test-keys", pool_size=6)
    yield database
    await database.close()


async def test_many_workers_starting_at_once_share_one_key(fresh_database: Database, envelope: Envelope) -> None:
    workers = [SigningKeys(fresh_database, envelope, token_seconds=900) for _ in range(5)]
    with pytest.raises(Unavailable):
        await workers[0].signing()
    await asyncio.gather(*(worker.start() for worker in workers))
    assert len({(await worker.signing()).kid for worker in workers}) == 1
    assert len(await workers[0].jwks()) == 1


async def test_rotation_reaches_other_processes(fresh_database: Database, envelope: Envelope) -> None:
    moments = Moments()
    one = SigningKeys(fresh_database, envelope, token_seconds=900)
    two = SigningKeys(fresh_database, envelope, token_seconds=900, monotonic=moments)
    await one.start()
    await two.start()
    old = (await one.signing()).kid
    new = await one.rotate()
    assert (await one.signing()).kid == new != old
    assert {key["kid"] for key in await one.jwks()} == {old, new}

    # Another process looks an unknown key up, but not for each invented one.
    assert await two.verifying(new) is None
    moments.now += RELOAD_AT_MOST_EVERY_SECONDS
    assert await two.verifying(new) is not None
    assert await two.verifying(old) is not None
    assert await two.verifying("invented") is None
    moments.now += RELOAD_AFTER_SECONDS + 1
    assert (await two.signing()).kid == new

    async with fresh_database.unit_of_work() as session:
        await session.execute(
            text("UPDATE signing_keys SET retired_at = now() - interval '2 hours' WHERE id = :id"), {"id": old}
        )
    moments.now += RELOAD_AFTER_SECONDS + 1
    assert [key["kid"] for key in await two.jwks()] == [new]
    assert await two.verifying(old) is None


async def test_a_signing_key_needs_its_encryption_key(fresh_database: Database, envelope: Envelope) -> None:
    await SigningKeys(fresh_database, envelope, token_seconds=900).start()
    stranger = SigningKeys(fresh_database, Envelope({"other": bytes(32)}), token_seconds=900)
    with pytest.raises(CryptoError):
        await stranger.start()


def access(database: Database, envelope: Envelope, settings: Settings, moments: Moments) -> IdentityAccess:
    return IdentityAccess(
        database,
        envelope,
        settings.identity,
        issuer=settings.public_url,
        clock=utc_now,
        new_id=new_id,
        monotonic=moments,
    )


async def test_a_lost_membership_is_noticed_when_the_memory_ends(
    database: Database, envelope: Envelope, settings: Settings, registered: Registered
) -> None:
    moments = Moments()
    identity = access(database, envelope, settings, moments)
    token, account = registered["tokens"]["access_token"], registered["account"]["id"]
    callers = await asyncio.gather(*(identity.authenticate(token, account, None) for _ in range(20)))
    assert len({id(caller) for caller in callers}) == 1
    assert callers[0].may("messages:send")
    assert callers[0] == await identity.authenticate(token, None, None)

    async with database.unit_of_work() as session:
        await session.execute(
            text("DELETE FROM memberships WHERE user_id = :user"), {"user": UUID(registered["user"]["id"])}
        )
    assert await identity.authenticate(token, account, None) is callers[0]
    moments.now += settings.identity.context_cache_seconds
    with pytest.raises(Forbidden) as refused:
        await identity.authenticate(token, account, None)
    assert refused.value.code == "not_a_member"
    with pytest.raises(Forbidden) as refused:
        await identity.authenticate(token, None, None)
    assert refused.value.code == "no_account"

    async with database.unit_of_work() as session:
        await session.execute(text("DELETE FROM users WHERE id = :id"), {"id": UUID(registered["user"]["id"])})
    with pytest.raises(Unauthenticated):
        await identity.authenticate(token, None, None)


async def test_a_caller_who_leaves_does_not_take_the_answer_from_the_others(
    database: Database, envelope: Envelope, settings: Settings, registered: Registered
) -> None:
    identity = access(database, envelope, settings, Moments())
    token = registered["tokens"]["access_token"]
    await identity.tokens.verify(token)
    leaving = asyncio.create_task(identity.authenticate(token, None, None))
    staying = asyncio.create_task(identity.authenticate(token, None, None))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).user_id == UUID(registered["user"]["id"])
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_an_expired_access_token_says_so(
    database: Database, envelope: Envelope, settings: Settings, registered: Registered, client: httpx.AsyncClient
) -> None:
    past = IdentityAccess(
        database,
        envelope,
        settings.identity,
        issuer=settings.public_url,
        clock=lambda: datetime.now(UTC) - timedelta(hours=1),
        new_id=new_id,
    )
    token = (await past.tokens.signer()).access_token(UUID(registered["user"]["id"]), new_id())
    answer = await client.get("/v1/context", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["code"]) == (401, "token_expired")
