"""The arithmetic of buckets: whatever processes ask, they hand out no more than the bucket had."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.limits.allowances import (
    ASK_AGAIN_SECONDS,
    HOLD_SECONDS,
    WORTHWHILE_AHEAD,
    Allowance,
    granted,
    kept,
    next_ahead,
)

PER_MINUTE = st.integers(1, 100_000_000)
BURST_SECONDS = st.integers(1, 60)
AVAILABLE = st.floats(0, 1e8, allow_nan=False)


def some(per_minute: int, burst_seconds: int) -> Allowance:
    allowance = Allowance.of(per_minute, burst_seconds)
    assert allowance is not None
    return allowance


def test_zero_is_no_limit() -> None:
    assert Allowance.of(0, 10) is None


@pytest.mark.parametrize(
    ("per_minute", "burst_seconds", "capacity", "ahead"),
    [(60, 10, 10, 0), (1, 1, 1, 0), (120_000, 10, 20_000, 625), (1_530, 10, 255, 0), (1_536, 10, 256, 8)],
)
def test_capacity_and_what_may_be_held(per_minute: int, burst_seconds: int, capacity: float, ahead: int) -> None:
    allowance = some(per_minute, burst_seconds)
    assert (allowance.capacity, allowance.ahead) == (capacity, ahead)
    assert allowance.policy == f"{per_minute};w=60;burst={int(capacity)}"


@given(PER_MINUTE, BURST_SECONDS)
def test_a_bucket_is_full_again_after_a_minute(per_minute: int, burst_seconds: int) -> None:
    allowance = some(per_minute, burst_seconds)
    assert allowance.seconds_until(0, allowance.capacity) <= 60 + 1e-6
    assert allowance.ahead == 0 or WORTHWHILE_AHEAD <= allowance.ahead <= allowance.capacity / 32


@given(AVAILABLE, st.integers(0, 100_000))
def test_a_balance_tells_what_was_given_and_what_is_left(available: float, wanted: int) -> None:
    balance = available - wanted
    given_tokens = granted(wanted, balance)
    assert given_tokens == min(wanted, math.floor(balance + wanted))
    assert kept(balance) >= 0
    assert math.isclose(given_tokens + kept(balance), available, abs_tol=1e-6)


@given(st.integers(0, 10_000), st.floats(0, 10), PER_MINUTE, BURST_SECONDS)
def test_what_is_taken_ahead_is_bounded(ahead: int, elapsed: float, per_minute: int, burst_seconds: int) -> None:
    allowance = some(per_minute, burst_seconds)
    before = min(ahead, allowance.ahead)
    after = next_ahead(before, elapsed, allowance)
    assert 0 <= after <= allowance.ahead
    if elapsed >= HOLD_SECONDS:
        assert after == 0
    elif elapsed < ASK_AGAIN_SECONDS:
        assert after >= before
