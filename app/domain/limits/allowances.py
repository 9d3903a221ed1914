"""The arithmetic of token buckets: what fills them, what a process may take in advance, what an answer of theirs means.

A bucket holds at most `capacity` tokens and gains `rate` of them a second; a request takes one. So in any span of
`t` seconds at most `capacity + rate * t` requests are let in, whoever asks and however many processes serve them.
"""

import math

import msgspec

MOST_AHEAD = 1 / 32
"""The share of a bucket that one process may hold in advance."""

WORTHWHILE_AHEAD = 8
"""Fewer tokens than these are not held in advance: a small limit stays exact, and needs few statements anyway."""

ASK_AGAIN_SECONDS = 0.25
"""A process that comes back sooner takes twice as much the next time."""

HOLD_SECONDS = 1.0
"""How long a process may hold what it does not use."""


class Allowance(msgspec.Struct, frozen=True):
    """A limit: `rate` is tokens per second, `capacity` what may be used at once, `ahead` what a process may hold."""

    per_minute: int
    rate: float
    capacity: float
    ahead: int
    policy: str

    @classmethod
    def of(cls, per_minute: int, burst_seconds: int) -> "Allowance | None":
        """The allowance for a limit; None when it is 0, which is no limit."""
        if per_minute <= 0:
            return None
        rate = per_minute / 60
        # Somebody who may send anything at all may send one request now.
        capacity = max(1.0, rate * burst_seconds)
        ahead = int(capacity * MOST_AHEAD)
        return cls(
            per_minute=per_minute,
            rate=rate,
            capacity=capacity,
            ahead=ahead if ahead >= WORTHWHILE_AHEAD else 0,
            policy=f"{per_minute};w=60;burst={int(capacity)}",
        )

    def seconds_until(self, tokens: float, wanted: float = 1.0) -> float:
        """When a bucket that holds `tokens` now has `wanted` of them."""
        return max(0.0, (wanted - tokens) / self.rate)


def granted(wanted: int, balance: float) -> int:
    """How many of `wanted` tokens were given, by the balance that the bucket shows afterwards.

    A balance below zero says how much was asked in vain; the bucket gives whole tokens only.
    """
    return wanted if balance >= 0 else max(0, wanted + math.floor(balance))


def kept(balance: float) -> float:
    """What really is in a bucket with this balance: below zero only the fraction that could not be given is left."""
    return balance - min(0, math.floor(balance))


def next_ahead(ahead: int, elapsed: float, allowance: Allowance) -> int:
    """How much to take in advance now, when `ahead` was taken `elapsed` seconds ago and is used up."""
    if elapsed < ASK_AGAIN_SECONDS:
        return min(allowance.ahead, max(WORTHWHILE_AHEAD, 2 * ahead))
    if elapsed < HOLD_SECONDS:
        return ahead
    return 0
