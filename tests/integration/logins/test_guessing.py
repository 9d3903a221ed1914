"""Guesses of passwords are slowed down, by what was typed and by where it comes from."""

import asyncio
import secrets

import httpx
import pytest
from sqlalchemy import text

from app.domain.identity.guessing.repository import Rule, count_failure, uncount
from app.domain.identity.guessing.service import ADDRESS_RULE, Guesses, login_subject
from app.lib.db import Database
from app.lib.errors import TooManyRequests, Unauthenticated
from tests.conftest import Registered
from tests.integration.logins.conftest import OTHER_PASSWORD, PASSWORD, CodeFor, change

_WAITED = "UPDATE login_failures SET locked_until = now() WHERE subject = :subject AND locked_until IS NOT NULL"


async def login(client: httpx.AsyncClient, email: str, password: str) -> httpx.Response:
    return await client.post("/v1/auth/login", json={"email": email, "password": password})


async def failures(database: Database, subject: str) -> int:
    async with database.reading() as session:
        count = await session.scalar(
            text("SELECT failures FROM login_failures WHERE subject = :subject"), {"subject": subject}
        )
    return int(count or 0)


def some_email() -> str:
    return f"{secrets.token_hex(6)}@example.com"


@pytest.mark.parametrize("known", [True, False])
async def test_after_five_failures_the_waits_double(
    client: httpx.AsyncClient, database: Database, registered: Registered, known: bool
) -> None:
    email = registered["user"]["email"] if known else some_email()
    for _ in range(5):
        answer = await login(client, email, OTHER_PASSWORD)
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")
    for seconds in (1, 2, 4, 8):
        # Set anew, because the machine may have taken longer than the first wait.
        await change(
            database,
            "UPDATE login_failures SET locked_until = now() + make_interval(secs => :seconds) WHERE subject = :subject",
            seconds=float(seconds),
            subject=login_subject(email),
        )
        refused = await login(client, email.upper(), PASSWORD)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests"), "not even the right one"
        assert 1 <= int(refused.headers["retry-after"]) <= seconds
        await change(database, _WAITED, subject=login_subject(email))
        assert (await login(client, email, OTHER_PASSWORD)).status_code == 401
        async with database.reading() as session:
            wait = await session.scalar(
                text(
                    "SELECT extract(epoch FROM locked_until - last_failed_at) FROM login_failures"
                    " WHERE subject = :subject"
                ),
                {"subject": login_subject(email)},
            )
        assert wait == seconds * 2


async def test_waits_end_at_a_quarter_of_an_hour_and_failures_are_forgiven(database: Database) -> None:
    rule = Rule(free=5, forgiven_every=900.0, longest=900.0)
    subject = f"test:{secrets.token_hex(6)}"
    await change(database, "INSERT INTO login_failures VALUES (:subject, 1000, now(), NULL)", subject=subject)
    async with database.unit_of_work() as session:
        assert await count_failure(session, subject, rule) is None
    async with database.unit_of_work() as session:
        wait = await count_failure(session, subject, rule)
    assert wait is not None
    assert 0 < wait <= 900
    await change(
        database,
        "UPDATE login_failures SET failures = 6, locked_until = NULL, last_failed_at = now() - interval '46 minutes'"
        " WHERE subject = :subject",
        subject=subject,
    )
    async with database.unit_of_work() as session:
        assert await count_failure(session, subject, rule) is None
        await session.flush()
    assert await failures(database, subject) == 4
    async with database.unit_of_work() as session:
        await uncount(session, subject)
    assert await failures(database, subject) == 3


async def test_a_right_password_starts_anew(
    client: httpx.AsyncClient, database: Database, registered: Registered
) -> None:
    email = registered["user"]["email"]
    for _ in range(4):
        assert (await login(client, email, OTHER_PASSWORD)).status_code == 401
    assert await failures(database, login_subject(email)) == 4
    assert (await login(client, email, PASSWORD)).status_code == 200
    assert await failures(database, login_subject(email)) == 0


async def test_parallel_guesses_do_not_slip_through(
    client: httpx.AsyncClient, database: Database, registered: Registered
) -> None:
    email = registered["user"]["email"]
    # One before the limit, so that the first of them begins a wait that outlasts the others.
    await change(
        database, "INSERT INTO login_failures VALUES (:subject, 12, now(), NULL)", subject=login_subject(email)
    )
    answers = await asyncio.gather(*(login(client, email, OTHER_PASSWORD) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [401] + [429] * 9


async def test_processes_share_the_count(database: Database) -> None:
    """Each process lets one attempt at a time in; what they count is one row."""
    email = some_email()
    processes = [Guesses(database) for _ in range(3)]
    checked = 0

    async def guess(process: Guesses) -> None:
        nonlocal checked
        async with process.attempt(login_subject(email), None):
            checked += 1
            raise Unauthenticated("wrong")

    await change(
        database, "INSERT INTO login_failures VALUES (:subject, 12, now(), NULL)", subject=login_subject(email)
    )
    outcomes = await asyncio.gather(*(guess(processes[number % 3]) for number in range(12)), return_exceptions=True)
    assert checked == 1
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["TooManyRequests"] * 11 + ["Unauthenticated"]


async def test_many_right_passwords_at_once_are_no_guesses(client: httpx.AsyncClient, registered: Registered) -> None:
    answers = await asyncio.gather(*(login(client, registered["user"]["email"], PASSWORD) for _ in range(9)))
    assert {answer.status_code for answer in answers} == {200}


async def test_one_address_has_a_hundred_guesses(
    elsewhere: httpx.AsyncClient, client: httpx.AsyncClient, database: Database, registered: Registered
) -> None:
    assert (await login(elsewhere, some_email(), OTHER_PASSWORD)).status_code == 401
    async with database.reading() as session:
        subject = await session.scalar(
            text("SELECT subject FROM login_failures WHERE subject LIKE 'address:%/64' ORDER BY last_failed_at DESC")
        )
    assert await failures(database, str(subject)) == 1
    await change(
        database,
        "UPDATE login_failures SET failures = :count, last_failed_at = now() WHERE subject = :subject",
        count=ADDRESS_RULE.free + 3,
        subject=subject,
    )
    victim = some_email()
    assert (await login(elsewhere, victim, OTHER_PASSWORD)).status_code == 401
    refused = await login(elsewhere, victim, OTHER_PASSWORD)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 16
    assert await failures(database, login_subject(victim)) == 1, "what was refused is not counted twice"
    # Who has a user of their own gets in after the wait, and clears nothing but their own.
    await change(database, _WAITED, subject=subject)
    before = await failures(database, str(subject))
    assert (await login(elsewhere, registered["user"]["email"], PASSWORD)).status_code == 200
    assert await failures(database, str(subject)) == before
    # Others are not concerned.
    assert (await login(client, registered["user"]["email"], PASSWORD)).status_code == 200


async def test_a_reset_lifts_the_wait(
    client: httpx.AsyncClient, database: Database, registered: Registered, code_for: CodeFor
) -> None:
    email = registered["user"]["email"]
    await change(
        database,
        "INSERT INTO login_failures VALUES (:subject, 20, now(), now() + interval '15 minutes')",
        subject=login_subject(email),
    )
    assert (await login(client, email, PASSWORD)).status_code == 429
    await client.post("/v1/auth/forgot-password", json={"email": email})
    body = {"email": email, "code": await code_for(email), "password": OTHER_PASSWORD}
    assert (await client.post("/v1/auth/reset-password", json=body)).status_code == 204
    assert (await login(client, email, OTHER_PASSWORD)).status_code == 200


async def test_what_was_not_checked_is_not_held_against_anybody(database: Database) -> None:
    guesses, subject = Guesses(database), f"test:{secrets.token_hex(6)}"
    with pytest.raises(TooManyRequests):
        async with guesses.attempt(subject, "192.0.2.7"):
            raise TooManyRequests("The hasher is busy.", retry_after=2.0)
    assert await failures(database, subject) == 0
    assert await failures(database, "address:192.0.2.7") == 0
