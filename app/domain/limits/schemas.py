"""How somebody stands with their limits."""

import math

import msgspec

from app.domain.limits.allowances import Allowance


class Standing(msgspec.Struct, frozen=True):
    """The tightest allowance of a request. `remaining` is what this process knows: it may be a second old.

    `retry_after` (seconds) is set when the request is refused.
    """

    allowance: Allowance
    remaining: int
    retry_after: float | None = None

    @property
    def reset(self) -> int:
        """Seconds until the whole burst is there again, if nothing else is sent."""
        return math.ceil(self.allowance.seconds_until(self.remaining, self.allowance.capacity))
