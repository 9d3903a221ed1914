"""Verifying an e-mail address, and choosing a new password with a code."""

import asyncio
import secrets
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from app.lib.db import Database
from tests.conftest import Registered
from tests.integration.logins.conftest import (
    OTHER_PASSWORD,
    PASSWORD,
    CodeFor,
    actions,
    change,
    identifier,
    mails_to,
    other_than,
)

_FORGET_MINUTE = "UPDATE email_codes SET created_at = created_at - interval '61 seconds' WHERE user_id = :user"
_NO_WAIT = "DELETE FROM login_failures WHERE subject LIKE 'code:%'"


async def verify(client: httpx.AsyncClient, email: str, code: str) -> httpx.Response:
    return await client.post("/v1/auth/verify-email", json={"email": email, "code": code})


async def reset(client: httpx.AsyncClient, email: str, code: str, password: str = OTHER_PASSWORD) -> httpx.Response:
    return await client.post("/v1/auth/reset-password", json={"email": email, "code": code, "password": password})


async def forgot(client: httpx.AsyncClient, email: str) -> httpx.Response:
    return await client.post("/v1/auth/forgot-password", json={"email": email})


def refusal(answer: httpx.Response) -> tuple[int, list[tuple[str, str]]]:
    return answer.status_code, [(error["pointer"], error["code"]) for error in answer.json()["errors"]]


WRONG = (422, [("/code", "invalid_code")])


async def test_the_code_from_the_mail_verifies_the_address_once(
    client: httpx.AsyncClient, registered: Registered, code_for: CodeFor
) -> None:
    email = registered["user"]["email"]
    code = await code_for(email)
    assert registered["user"]["email_verified"] is False
    answer = await verify(client, email.upper(), f" {code} ")
    assert (answer.status_code, answer.content) == (204, b"")
    me = (await client.get("/v1/users/me", headers=registered["headers"])).json()
    assert me["email_verified"] is True
    assert refusal(await verify(client, email, code)) == WRONG
    assert (await actions(client, registered["headers"]))[0] == "email_verified"


async def test_what_is_stored_does_not_show_the_code(
    database: Database, registered: Registered, code_for: CodeFor
) -> None:
    code = await code_for(registered["user"]["email"])
    async with database.reading() as session:
        rows = await session.execute(
            text("SELECT c.code, m.body FROM email_codes c, mails m WHERE c.user_id = :user AND m.recipient = :email"),
            {"user": identifier(registered), "email": registered["user"]["email"]},
        )
        stored = [bytes(value) for row in rows for value in row]
    assert len(stored) == 2
    assert not any(code.encode() in value for value in stored)


async def test_strangers_and_wrong_codes_look_the_same(
    client: httpx.AsyncClient, registered: Registered, code_for: CodeFor
) -> None:
    code = await code_for(registered["user"]["email"])
    stranger = f"{secrets.token_hex(6)}@example.com"
    answers = [
        await verify(client, registered["user"]["email"], other_than(code)),
        await verify(client, stranger, code),
        await verify(client, "no address", code),
        await verify(client, stranger, "not six digits"),
        await verify(client, stranger, "١٢٣٤٥٦"),
    ]
    documents = [answer.json() for answer in answers]
    for document in documents:
        del document["request_id"]
    assert all(document == documents[0] for document in documents)
    assert refusal(answers[0]) == WRONG


async def test_a_code_takes_five_wrong_tries_and_then_none(
    client: httpx.AsyncClient, database: Database, registered: Registered, code_for: CodeFor
) -> None:
    email = registered["user"]["email"]
    code = await code_for(email)
    for _ in range(5):
        await change(database, _NO_WAIT)
        assert refusal(await verify(client, email, other_than(code))) == WRONG
    await change(database, _NO_WAIT)
    assert refusal(await verify(client, email, code)) == WRONG


async def test_parallel_tries_are_counted_each(
    client: httpx.AsyncClient, database: Database, registered: Registered, code_for: CodeFor
) -> None:
    email = registered["user"]["email"]
    wrong = other_than(await code_for(email))
    answers = await asyncio.gather(*(verify(client, email, wrong) for _ in range(12)))
    assert sorted(answer.status_code for answer in answers) == [422] * 5 + [429] * 7
    async with database.reading() as session:
        tries = await session.scalar(
            text("SELECT wrong_tries FROM email_codes WHERE user_id = :user"), {"user": identifier(registered)}
        )
    assert tries == 5


async def test_an_expired_code_is_none(
    client: httpx.AsyncClient, database: Database, registered: Registered, code_for: CodeFor
) -> None:
    email = registered["user"]["email"]
    code = await code_for(email)
    await change(
        database,
        "UPDATE email_codes SET expires_at = now() - interval '1 second' WHERE user_id = :user",
        user=identifier(registered),
    )
    assert refusal(await verify(client, email, code)) == WRONG


async def test_another_code_is_sent_once_a_minute_and_five_times_an_hour(
    client: httpx.AsyncClient, database: Database, registered: Registered, code_for: CodeFor
) -> None:
    email = registered["user"]["email"]

    async def resend() -> int:
        answer = await client.post("/v1/auth/resend-verification", json={"email": email})
        assert answer.status_code == 202
        return len(await mails_to(database, email))

    first = await code_for(email)
    assert await resend() == 1, "the one from the registration is not a minute old"
    for sent in (2, 3, 4, 5):
        await change(database, _FORGET_MINUTE, user=identifier(registered))
        assert await resend() == sent
    await change(database, _FORGET_MINUTE, user=identifier(registered))
    assert await resend() == 5, "five in an hour"
    newest = await code_for(email)
    assert newest == first or refusal(await verify(client, email, first)) == WRONG, "the newest only"
    assert (await verify(client, email, newest)).status_code == 204
    await change(
        database,
        "UPDATE email_codes SET created_at = created_at - interval '2 hours' WHERE user_id = :user",
        user=identifier(registered),
    )
    assert await resend() == 5, "a verified address needs no code"


async def test_two_requests_at_once_send_one_code(
    client: httpx.AsyncClient, database: Database, registered: Registered
) -> None:
    email = registered["user"]["email"]
    answers = await asyncio.gather(*(forgot(client, email) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {202}
    assert [mail.subject for mail in await mails_to(database, email)].count("Choose a new password") == 1


@pytest.mark.parametrize("route", ["forgot-password", "resend-verification"])
async def test_nobody_learns_whether_an_address_exists(
    client: httpx.AsyncClient, database: Database, registered: Registered, route: str
) -> None:
    known, stranger = registered["user"]["email"], f"{secrets.token_hex(6)}@example.com"
    answers = [
        await client.post(f"/v1/auth/{route}", json={"email": email}) for email in (known, stranger, "no address", "")
    ]
    assert {(answer.status_code, answer.text) for answer in answers} == {(202, answers[0].text)}
    names = [set(answer.headers) for answer in answers]
    assert all(each == names[0] for each in names)
    assert await mails_to(database, stranger) == []


async def test_a_new_password_ends_every_session_and_verifies_the_address(
    client: httpx.AsyncClient, database: Database, registered: Registered, code_for: CodeFor
) -> None:
    email, headers = registered["user"]["email"], registered["headers"]
    assert (await client.get("/v1/users/me", headers=headers)).status_code == 200
    await forgot(client, email)
    code = await code_for(email)
    assert refusal(await verify(client, email, code)) == WRONG, "it is for another purpose"
    assert refusal(await reset(client, email, code, "short")) == (422, [("/password", "weak_password")])
    answer = await reset(client, email, code)
    assert (answer.status_code, answer.content) == (204, b"")

    refused = await client.get("/v1/users/me", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (401, "session_ended")
    refreshed = await client.post("/v1/auth/refresh", json={"refresh_token": registered["tokens"]["refresh_token"]})
    assert refreshed.status_code == 401
    old = await client.post("/v1/auth/login", json={"email": email, "password": PASSWORD})
    assert (old.status_code, old.json()["code"]) == (401, "invalid_credentials")
    tokens = await client.post("/v1/auth/login", json={"email": email, "password": OTHER_PASSWORD})
    assert tokens.status_code == 200
    headers = {"Authorization": f"Bearer {tokens.json()['access_token']}"}
    assert (await client.get("/v1/users/me", headers=headers)).json()["email_verified"] is True
    assert (await actions(client, headers))[:2] == ["logged_in", "password_reset"]
    assert refusal(await reset(client, email, code)) == WRONG
    assert (await mails_to(database, email))[0].subject == "Your password was changed"


async def test_one_code_resets_once_however_fast(
    client: httpx.AsyncClient, registered: Registered, code_for: CodeFor
) -> None:
    email = registered["user"]["email"]
    await forgot(client, email)
    code = await code_for(email)
    answers = await asyncio.gather(*(reset(client, email, code, f"{PASSWORD} {n}") for n in range(4)))
    assert sorted(answer.status_code for answer in answers) == [204, 422, 422, 422]


@pytest.mark.parametrize(
    "body",
    [{}, {"email": "a@example.com"}, {"email": 1, "code": "1"}, {"email": "a@b.co", "code": "1" * 65}, []],
    ids=str,
)
async def test_malformed_requests_are_told_so(client: httpx.AsyncClient, body: Any) -> None:
    for route in ("verify-email", "reset-password"):
        answer = await client.post(f"/v1/auth/{route}", json=body)
        assert answer.status_code == 422
        assert answer.json()["code"] == "invalid_value"
