"""How many messages the operator takes.

Not the throttle of our own side: a peer that shared it would share its faults.
"""


class Bucket:
    """`rate` a second on average, `burst` at once. Times are seconds of the loop's clock. Raises ValueError."""

    __slots__ = ("_burst", "_rate", "_tokens", "_updated_at")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        if rate <= 0 or burst < 1:
            raise ValueError(f"throttle: rate {rate} must be above 0 and burst {burst} at least 1")
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._updated_at = now

    def take(self, now: float) -> bool:
        """Whether one more message may pass now."""
        self._tokens = min(self._burst, self._tokens + (now - self._updated_at) * self._rate)
        self._updated_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
