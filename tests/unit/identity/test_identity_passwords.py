import asyncio

import pytest
from argon2 import PasswordHasher

from app.domain.identity.emails import check_email, normalise_email
from app.domain.identity.passwords import MAX_WAITING, Passwords, check_new_password
from app.lib.errors import FieldError, TooManyRequests

FAST = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("correct horse battery staple", None),
        ("ten chars!", None),
        ("x" * 5 + "yz" * 61 + "1", None),
        ("nine char", "weak_password"),
        ("", "weak_password"),
        ("Password123", "weak_password"),
        ("aaaaaaaaaaaaaaaa", "weak_password"),
        ("abababababab", "weak_password"),
        ("Someone@Example.com", "weak_password"),
        ("xyz" * 43, "too_long"),
    ],
)
def test_new_passwords(password: str, code: str | None) -> None:
    errors: list[FieldError] = []
    check_new_password(password, "someone@example.com", errors)
    assert [(error.pointer, error.code) for error in errors] == ([] if code is None else [("/password", code)])


async def test_a_hash_verifies_its_password_only() -> None:
    passwords = Passwords(FAST)
    stored = await passwords.hash("correct horse")
    assert stored.startswith("$argon2id$")
    assert await passwords.verify(stored, "correct horse")
    assert not await passwords.verify(stored, "correct horses")
    assert not await passwords.verify("not a hash", "correct horse")
    assert not await passwords.verify(None, "correct horse")


async def test_composed_and_decomposed_characters_are_one_password() -> None:
    passwords = Passwords(FAST)
    assert await passwords.verify(await passwords.hash("caf\u00e9 au lait"), "cafe\u0301 au lait")


async def test_a_hash_with_other_parameters_is_outdated() -> None:
    stored = await Passwords(FAST).hash("correct horse")
    assert not Passwords(FAST).outdated(stored)
    assert Passwords(PasswordHasher(time_cost=2, memory_cost=8, parallelism=1)).outdated(stored)


async def test_the_queue_is_bounded_and_recovers() -> None:
    passwords = Passwords(FAST)
    outcomes = await asyncio.gather(
        *(passwords.hash("correct horse") for _ in range(MAX_WAITING + 10)), return_exceptions=True
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, TooManyRequests)]
    assert len(refused) == 10
    assert refused[0].retry_after
    assert await passwords.hash("correct horse")


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("a@example.com", "a@example.com"),
        (" A.B@Example.COM ", "a.b@example.com"),
        ("x@B\u00dcCHER.example.com", "x@b\u00fccher.example.com"),
        ("no-at-sign", None),
        ("a@b", None),
        ("a\0@example.com", None),
        ("a" * 300 + "@example.com", None),
        ("", None),
    ],
)
def test_addresses_have_one_form(text: str, normalised: str | None) -> None:
    errors: list[FieldError] = []
    checked = check_email(text, errors)
    assert normalise_email(text) == normalised
    if normalised is None:
        assert [(error.pointer, error.code) for error in errors] == [("/email", "invalid")]
    else:
        assert (checked, errors) == (normalised, [])
