"""How fast an operator account may send: a token bucket counted in PDUs that backs off when the operator says so."""

import math

BACKOFF = 0.5
RECOVERY_PER_SECOND = 0.05
FLOOR = 0.02
LATENESS = 0.005
"""Seconds by which a timer may come late, and a PDU later than the one after it was sent."""

_GRAIN = 1e-9


class Throttle:
    """`rate` PDUs a second on average, shared by every bind of the account and kept across reconnects.

    In no 100 ms do more than a tenth of the rate and `burst` arrive at a peer, also when some are 5 ms late.

    Seconds of one monotonic clock come in as `now`. A refusal (RTHROTTLED, RMSGQFUL) halves the rate and pauses for
    `pause` seconds; after the pause the rate grows back by 5 % of the configured one a second, never under 2 %.
    """

    __slots__ = ("_tokens", "_updated_at", "burst", "current_rate", "paused_until", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        _check(rate, burst)
        self.rate = rate
        self.burst = burst
        self.current_rate = rate
        self.paused_until = -math.inf
        self._tokens = self.capacity
        self._updated_at = now

    def take(self, wanted: int, now: float) -> int:
        """How many of `wanted` PDUs may leave at `now`; those are spent."""
        self._refill(now)
        if now < self.paused_until:
            return 0
        granted = min(wanted, math.floor(self._tokens + _GRAIN))
        if granted <= 0:
            return 0
        self._tokens -= granted
        return granted

    def give_back(self, count: int) -> None:
        """PDUs that were granted and did not leave after all."""
        self._tokens = min(self.capacity, self._tokens + count)

    @property
    def capacity(self) -> float:
        """PDUs that may go at once after a rest."""
        # A little under the burst, so that PDUs which arrive late do not crowd with those behind them above what was
        # agreed; and never just one, or a bucket that is full at 100.0 ms and emptied at 101.5 loses 1.5 % for ever.
        late = self.rate * LATENESS
        return max(self.burst - late, 1 + min(0.999, late))

    def next_at(self, now: float, wanted: int = 1) -> float:
        """The earliest moment at which `take(wanted)` grants all of it (`wanted` is cut to what the bucket holds)."""
        self._refill(now)
        missing = min(wanted, math.floor(self.capacity)) - self._tokens
        start = max(now, self.paused_until)
        if missing <= _GRAIN:
            return start
        return start + missing / self.current_rate

    def on_throttled(self, now: float, pause: float = 1.0) -> None:
        """The operator refused for speed.

        The refusals of one window arrive together, so those during a pause do not halve again; a longer pause wins.
        """
        self._refill(now)
        if now >= self.paused_until:
            self.current_rate = max(self.rate * FLOOR, self.current_rate * BACKOFF)
        self.paused_until = max(self.paused_until, now + pause)
        self._tokens = 0.0

    def set_rate(self, rate: float, burst: float, now: float) -> None:
        """Takes a new limit at once. A rate that is backed off stays so, unless the new limit is lower still."""
        _check(rate, burst)
        self._refill(now)
        self.current_rate = rate if self.current_rate >= self.rate else min(rate, max(self.current_rate, rate * FLOOR))
        self.rate = rate
        self.burst = burst
        self._tokens = min(self._tokens, self.capacity)

    def _refill(self, now: float) -> None:
        # Time spent paused earns nothing, or the pause would end in a burst.
        earned = now - max(self._updated_at, self.paused_until)
        self._updated_at = max(self._updated_at, now)
        if earned <= 0:
            return
        self._tokens = min(self.capacity, self._tokens + earned * self.current_rate)
        if self.current_rate < self.rate:
            self.current_rate = min(self.rate, self.current_rate + earned * RECOVERY_PER_SECOND * self.rate)

    def __repr__(self) -> str:
        return f"<Throttle {self.current_rate:g}/{self.rate:g} per second, burst {self.burst:g}>"


def _check(rate: float, burst: float) -> None:
    if not (0 < rate < math.inf) or not (1 <= burst < math.inf):
        raise ValueError(f"rate {rate} must be above 0 and burst {burst} at least 1")
