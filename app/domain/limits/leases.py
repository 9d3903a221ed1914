"""What one process holds of one bucket."""

import asyncio
from collections import deque

from app.domain.limits.allowances import HOLD_SECONDS, Allowance, granted, kept, next_ahead
from app.domain.limits.repository import Asked
from app.domain.limits.schemas import Standing

REFUSE_AT_LEAST_SECONDS = 0.05
REFUSE_AT_MOST_SECONDS = 1.0
"""How long a refusal is remembered before the bucket is asked again, whatever its rate."""


class Lease:
    """Tokens of one subject that this process may hand out, and the requests that wait for some.

    Times are of a monotonic clock. Asking the bucket is the caller's: `ask()` before, `settle()` after.
    """

    __slots__ = (
        "_ahead",
        "_asked_at",
        "_available_at",
        "_expires_at",
        "_left",
        "_refused_until",
        "allowance",
        "asking",
        "subject",
        "tokens",
        "waiting",
    )

    def __init__(self, subject: str, allowance: Allowance) -> None:
        self.subject = subject
        self.allowance = allowance
        self.tokens = 0
        self.asking = False
        self.waiting: deque[asyncio.Future[bool]] = deque()
        self._ahead = 0
        self._left = allowance.capacity
        self._asked_at = self._expires_at = self._refused_until = self._available_at = float("-inf")

    def holds(self, now: float) -> bool:
        """Whether a token could be handed out now."""
        return self.tokens > 0 and now < self._expires_at

    def take(self, now: float) -> bool:
        """Hand out a token that is held, if there is one."""
        if not self.holds(now):
            return False
        self.tokens -= 1
        return True

    def refuses(self, now: float) -> bool:
        """Whether the bucket was found empty a moment ago."""
        return now < self._refused_until

    def has_plenty(self) -> bool:
        """Whether the bucket was far from empty when it was last asked, or was never asked, and is no small one."""
        return self.allowance.ahead > 0 and self._left - len(self.waiting) > self.allowance.capacity / 2

    def runs_low(self) -> bool:
        """Whether it is time to ask for more before anybody has to wait."""
        return self._ahead > 0 and self.tokens <= self._ahead // 4

    def expired(self, now: float) -> bool:
        """Whether tokens are held that should go back."""
        return self.tokens > 0 and now >= self._expires_at

    def ask(self, now: float) -> Asked:
        """What to ask of the bucket now; tokens that were held for too long go back with it."""
        returned = 0
        if self.expired(now):
            returned, self.tokens = self.tokens, 0
        in_use = bool(self.waiting) or now < self._expires_at
        self._ahead = next_ahead(self._ahead, now - self._asked_at, self.allowance) if in_use else 0
        self._asked_at = now
        wanted = len(self.waiting) + max(0, self._ahead - self.tokens)
        return Asked(self.subject, self.allowance, wanted, returned)

    def settle(self, asked: Asked, balance: float, now: float) -> None:
        """Hand out what the bucket gave. Who came while it was being asked stays waiting, unless it is empty."""
        self.tokens += granted(asked.wanted, balance)
        self._left = kept(balance)
        self._expires_at = now + HOLD_SECONDS
        while self.waiting and self.tokens > 0:
            if self._answer(True):
                self.tokens -= 1
        if balance < 0:
            wait = self.allowance.seconds_until(self._left)
            self._available_at = now + wait
            self._refused_until = now + min(max(wait, REFUSE_AT_LEAST_SECONDS), REFUSE_AT_MOST_SECONDS)
            while self.waiting:
                self._answer(False)

    def let_in(self) -> None:
        """Let everybody in who waits: the bucket cannot be asked."""
        while self.waiting:
            self._answer(True)

    def standing(self, now: float, *, refused: bool = False) -> Standing:
        """What this process knows of the bucket."""
        if refused:
            return Standing(self.allowance, 0, max(0.0, self._available_at - now))
        return Standing(self.allowance, self.tokens + int(self._left))

    def _answer(self, admitted: bool) -> bool:
        waiter = self.waiting.popleft()
        # Whoever gave up in the meantime takes no token.
        if waiter.done():
            return False
        waiter.set_result(admitted)
        return True
