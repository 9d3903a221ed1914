"""Codes by time against the vectors of RFC 6238, and recovery codes however they are typed."""

import base64
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from app.domain.identity.second_factor.totp import (
    RECOVERY_CODES,
    matching_step,
    new_recovery_codes,
    new_secret,
    recovery_code_hash,
)

SECRET = base64.b32encode(b"12345678901234567890").decode()
USER, OTHER = UUID(int=1), UUID(int=2)


# Appendix B, SHA1: our codes are the last six of its eight digits.
@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_the_vectors_of_the_standard(seconds: int, code: str) -> None:
    at = datetime.fromtimestamp(seconds, UTC)
    step = seconds // 30
    assert matching_step(SECRET, code, at) == step
    assert matching_step(SECRET, f" {code[:3]} {code[3:]}\n", at) == step
    for seconds_off in (-30, 30):
        assert matching_step(SECRET, code, at + timedelta(seconds=seconds_off)) == step
    for seconds_off in (60, 90, 3600):
        assert matching_step(SECRET, code, at + timedelta(seconds=seconds_off)) is None


@pytest.mark.parametrize("code", ["", "287081", "2870820", "94287082", "٢٨٧٠٨٢", "\ud800", "287082x"])
def test_anything_else_is_no_code(code: str) -> None:
    assert matching_step(SECRET, code, datetime.fromtimestamp(59, UTC)) is None


def test_secrets_have_160_bits_and_differ() -> None:
    secrets = {new_secret() for _ in range(20)}
    assert len(secrets) == 20
    assert all(len(base64.b32decode(secret)) == 20 for secret in secrets)


def test_a_recovery_code_is_the_same_however_it_is_typed_and_one_users_only() -> None:
    codes = new_recovery_codes()
    assert len(set(codes)) == RECOVERY_CODES
    code = codes[0]
    digest = recovery_code_hash(USER, code)
    for typed in (code.upper(), code.replace("-", ""), f" {code.replace('-', ' ')} "):
        assert recovery_code_hash(USER, typed) == digest
    assert recovery_code_hash(OTHER, code) != digest
    assert recovery_code_hash(USER, codes[1]) != digest
    assert recovery_code_hash(USER, "\ud800") != digest
