"""Codes by time at log-in, and recovery codes when the authenticator is lost."""

import asyncio
import time
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp
import pytest
from sqlalchemy import text

from app.domain.identity.guessing.service import login_subject
from app.lib.crypto import Envelope
from app.lib.db import Database
from tests.conftest import Registered
from tests.integration.logins.conftest import CodeFor, actions, change, identifier, mails_to, other_than

ROUTE = "/v1/users/me/second-factor"


class Authenticator:
    """What a telephone does with the secret."""

    def __init__(self, secret: str) -> None:
        self._totp = pyotp.TOTP(secret)

    def code(self, steps: int = 0) -> str:
        return self._totp.at(int(time.time()) + 30 * steps)


async def enable(client: httpx.AsyncClient, someone: Registered) -> tuple[Authenticator, list[str]]:
    begun = await client.post(ROUTE, headers=someone["headers"])
    assert begun.status_code == 200, begun.text
    authenticator = Authenticator(begun.json()["secret"])
    confirmed = await client.post(f"{ROUTE}/confirm", json={"code": authenticator.code(-1)}, headers=someone["headers"])
    assert confirmed.status_code == 200, confirmed.text
    return authenticator, confirmed.json()["recovery_codes"]


async def login(client: httpx.AsyncClient, someone: Registered, code: str | None = None) -> httpx.Response:
    return await client.post("/v1/auth/login", json={**someone["credentials"], "code": code})


async def forget_use(database: Database, someone: Registered) -> None:
    """As if some minutes had passed since the last code: it can be used again, and so can the steps after it."""
    await change(
        database, "UPDATE users SET totp_last_step = totp_last_step - 10 WHERE id = :user", user=identifier(someone)
    )


async def test_it_is_offered_confirmed_and_then_asked_for(
    client: httpx.AsyncClient, database: Database, registered: Registered
) -> None:
    headers = registered["headers"]
    nothing = {"enabled": False, "pending": False, "confirmed_at": None, "recovery_codes_left": 0}
    assert (await client.get(ROUTE, headers=headers)).json() == nothing
    begun = await client.post(ROUTE, headers=headers)
    assert begun.headers["cache-control"] == "no-store"
    secret, uri = begun.json()["secret"], urlsplit(begun.json()["uri"])
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert parse_qs(uri.query) == {"secret": [secret], "issuer": ["Turumba"]}
    assert registered["user"]["email"] in uri.path.replace("%40", "@")
    assert (await client.get(ROUTE, headers=headers)).json() == nothing | {"pending": True}
    assert (await login(client, registered)).status_code == 200, "not in force yet"

    wrong = await client.post(
        f"{ROUTE}/confirm", json={"code": other_than(Authenticator(secret).code())}, headers=headers
    )
    assert (wrong.status_code, wrong.json()["errors"][0]["code"]) == (422, "invalid_code")
    confirmed = await client.post(f"{ROUTE}/confirm", json={"code": Authenticator(secret).code()}, headers=headers)
    assert confirmed.status_code == 200
    assert confirmed.headers["cache-control"] == "no-store"
    assert len(set(confirmed.json()["recovery_codes"])) == 10
    state = (await client.get(ROUTE, headers=headers)).json()
    assert state["enabled"] and not state["pending"]
    assert state["recovery_codes_left"] == 10

    required = await login(client, registered)
    assert (required.status_code, required.json()["code"]) == (401, "second_factor_required")
    again = await client.post(ROUTE, headers=headers)
    assert (again.status_code, again.json()["code"]) == (409, "second_factor_enabled")
    assert (await actions(client, headers))[0] == "second_factor_enabled"
    assert (await mails_to(database, registered["user"]["email"]))[0].subject == "Your second factor was turned on"


async def test_a_code_logs_in_once(client: httpx.AsyncClient, database: Database, registered: Registered) -> None:
    authenticator, _ = await enable(client, registered)
    await forget_use(database, registered)
    code = authenticator.code()
    answers = await asyncio.gather(*(login(client, registered, code) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401]
    refused = await login(client, registered, code)
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_code")
    # The one of the step before is older than what was used.
    assert (await login(client, registered, authenticator.code(-1))).status_code == 401


@pytest.mark.parametrize(("steps", "status"), [(-3, 401), (3, 401), (1, 200)])
async def test_clocks_may_differ_by_one_step(
    client: httpx.AsyncClient, database: Database, registered: Registered, steps: int, status: int
) -> None:
    authenticator, _ = await enable(client, registered)
    await forget_use(database, registered)
    assert (await login(client, registered, authenticator.code(steps))).status_code == status


async def test_without_the_password_the_code_is_not_looked_at(
    client: httpx.AsyncClient, database: Database, registered: Registered
) -> None:
    authenticator, _ = await enable(client, registered)
    await forget_use(database, registered)
    code = authenticator.code()
    body = {"email": registered["user"]["email"], "password": "wrong horse battery", "code": code}
    answer = await client.post("/v1/auth/login", json=body)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")
    assert (await login(client, registered, code)).status_code == 200


async def test_codes_cannot_be_guessed_by_who_has_the_password(
    client: httpx.AsyncClient, database: Database, registered: Registered
) -> None:
    authenticator, _ = await enable(client, registered)
    await forget_use(database, registered)
    await change(
        database,
        "INSERT INTO login_failures VALUES (:subject, 12, now(), NULL)",
        subject=login_subject(registered["user"]["email"]),
    )
    for _ in range(3):
        assert (await login(client, registered)).json()["code"] == "second_factor_required", "no guess, no failure"
    wrong = other_than(authenticator.code())
    answers = await asyncio.gather(*(login(client, registered, wrong) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [401] + [429] * 4
    assert (await login(client, registered, authenticator.code())).status_code == 429


async def test_codes_cannot_be_guessed_by_who_has_the_session(
    client: httpx.AsyncClient, database: Database, registered: Registered
) -> None:
    authenticator, _ = await enable(client, registered)
    wrong = {"code": other_than(authenticator.code())}
    answers = await asyncio.gather(
        *(client.request("DELETE", ROUTE, json=wrong, headers=registered["headers"]) for _ in range(9))
    )
    assert sorted(answer.status_code for answer in answers) == [422] * 5 + [429] * 4


async def test_a_recovery_code_stands_in_once(client: httpx.AsyncClient, registered: Registered) -> None:
    _, codes = await enable(client, registered)
    typed = codes[0].upper().replace("-", " ")
    answers = await asyncio.gather(*(login(client, registered, typed) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401]
    state = (await client.get(ROUTE, headers=registered["headers"])).json()
    assert state["recovery_codes_left"] == 9
    assert (await login(client, registered, codes[1])).status_code == 200


async def test_recovery_codes_of_others_are_worth_nothing(
    client: httpx.AsyncClient, registered: Registered, other: Registered
) -> None:
    _, codes = await enable(client, registered)
    await enable(client, other)
    assert (await login(client, other, codes[0])).status_code == 401


async def test_new_recovery_codes_replace_the_old(client: httpx.AsyncClient, registered: Registered) -> None:
    _, old = await enable(client, registered)
    headers = registered["headers"]
    renewed = await client.post(f"{ROUTE}/recovery-codes", json={"code": old[0]}, headers=headers)
    assert renewed.status_code == 200
    assert not set(renewed.json()["recovery_codes"]) & set(old)
    assert (await login(client, registered, old[1])).status_code == 401
    assert (await login(client, registered, renewed.json()["recovery_codes"][0])).status_code == 200


async def test_it_is_turned_off_with_a_code(
    client: httpx.AsyncClient, database: Database, registered: Registered
) -> None:
    headers = registered["headers"]
    none = await client.request("DELETE", ROUTE, json={"code": "123456"}, headers=headers)
    assert (none.status_code, none.json()["code"]) == (409, "no_second_factor")
    _, codes = await enable(client, registered)
    off = await client.request("DELETE", ROUTE, json={"code": codes[3]}, headers=headers)
    assert (off.status_code, off.content) == (204, b"")
    assert (await login(client, registered)).status_code == 200
    assert (await client.get(ROUTE, headers=headers)).json()["recovery_codes_left"] == 0
    assert (await actions(client, headers))[:2] == ["logged_in", "second_factor_disabled"]
    assert (await mails_to(database, registered["user"]["email"]))[0].subject == "Your second factor was turned off"


async def test_a_forgotten_password_is_no_way_around_it(
    client: httpx.AsyncClient, registered: Registered, code_for: CodeFor
) -> None:
    await enable(client, registered)
    email = registered["user"]["email"]
    await client.post("/v1/auth/forgot-password", json={"email": email})
    body = {"email": email, "code": await code_for(email), "password": "another horse battery"}
    assert (await client.post("/v1/auth/reset-password", json=body)).status_code == 204
    answer = await client.post("/v1/auth/login", json={"email": email, "password": "another horse battery"})
    assert (answer.status_code, answer.json()["code"]) == (401, "second_factor_required")


async def test_secrets_are_sealed_and_move_to_a_new_key(
    client: httpx.AsyncClient, database: Database, envelope: Envelope, registered: Registered
) -> None:
    begun = await client.post(ROUTE, headers=registered["headers"])
    user = identifier(registered)

    async def stored() -> bytes:
        async with database.reading() as session:
            value = await session.scalar(text("SELECT totp_secret FROM users WHERE id = :id"), {"id": user})
        return bytes(value)

    sealed = await stored()
    context = f"user:{user}:totp"
    assert begun.json()["secret"].encode() not in sealed
    assert envelope.decrypt(sealed, context).decode() == begun.json()["secret"]
    with pytest.raises(Exception, match="does not decrypt"):
        envelope.decrypt(sealed, "user:00000000-0000-7000-8000-000000000001:totp")
