"""How fast an account may go when its channel names no rate, and what its counters say."""

from collections import deque
from collections.abc import Iterable

from smpp_daemon.history import ReceiptLag, Refusals, Totals
from smpp_daemon.protocol.throttle import Throttle

UNLIMITED_RATE = 100_000.0
"""PDUs a second of a channel without a rate: above what one process can write, so only refusals slow it down."""

UNLIMITED_BURST = 10_000.0
RATE_SECONDS = 5
LATENCIES = 1000


def limits(rate: float | None, burst: int | None) -> tuple[float, float]:
    """A channel's rate and burst → those of a throttle. Without a burst, a tenth of a second's worth may go at once.

    Less than 10 ms' worth cannot be kept by timers of milliseconds without falling below the rate.
    """
    if rate is None:
        return UNLIMITED_RATE, UNLIMITED_BURST
    return rate, max(1.0, rate * 0.01, burst if burst is not None else rate / 10)


def throttle_of(rate: float | None, burst: int | None, now: float) -> Throttle:
    """The account's bucket; it outlives every connection."""
    return Throttle(*limits(rate, burst), now)


class Counters:
    """What an account has done, for people. Times are seconds of the loop's clock."""

    def __init__(self) -> None:
        self.submitted = 0
        self.accepted = 0
        self.refused = 0
        self.unknown = 0
        self.throttled = 0
        self.late = 0
        self.receipts = 0
        self.inbound = 0
        self.refusals = Refusals()
        self.receipt_lag = ReceiptLag()
        self._latencies: deque[float] = deque(maxlen=LATENCIES)
        self._seconds: deque[tuple[int, int]] = deque(maxlen=RATE_SECONDS + 1)

    def totals(self) -> Totals:
        """What only ever grows."""
        return Totals(self.accepted, self.refused, self.throttled, self.unknown, self.receipts, self.inbound)

    def sent(self, count: int, now: float) -> None:
        """PDUs were written."""
        self.submitted += count
        second = int(now)
        if self._seconds and self._seconds[-1][0] == second:
            count += self._seconds.pop()[1]
        self._seconds.append((second, count))

    def answered(self, latencies: Iterable[float]) -> None:
        """Answers came, after so many seconds each."""
        self._latencies.extend(latencies)

    def last_second(self, now: float) -> int:
        """PDUs of the last full second, or of the one that runs when those are more."""
        current = int(now)
        return max((count for second, count in self._seconds if current - 1 <= second <= current), default=0)

    def rate(self, now: float) -> float:
        """PDUs a second over the last full seconds."""
        last = int(now)
        return sum(count for second, count in self._seconds if last - RATE_SECONDS <= second < last) / RATE_SECONDS

    def percentile(self, share: float) -> float | None:
        """Seconds that this share of the last answers did not exceed; None before the first."""
        if not self._latencies:
            return None
        ordered = sorted(self._latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
