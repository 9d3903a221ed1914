"""How an account fared lately: command_status by command_status, minute by minute, and how late receipts come.

Times are seconds since 1970. Everything is bounded, and the hot path pays for refusals only.
"""

from collections import deque
from typing import NamedTuple

from connectors.sms_text.receipts import match_keys, normalise_id
from smpp_daemon import metrics
from smpp_daemon.bind_health import moment
from smpp_daemon.protocol.status import STATUSES, describe
from smpp_daemon.reports import StatusCount

HOUR = 3600.0
BUCKET_SECONDS = 10
MAX_STATUSES = 256
"""Different command_status values that are remembered; operators invent their own."""

SAMPLED = 1000
"""Messages whose receipt is waited for to know its lag: one of each set of answers, not all of them."""

LAGS = 500


class _Seen:
    def __init__(self) -> None:
        self.total = 0
        self.last = 0.0
        self.example = ""
        self.buckets: deque[tuple[int, int]] = deque(maxlen=int(HOUR) // BUCKET_SECONDS + 1)


class Refusals:
    """A histogram of command_status other than ROK."""

    def __init__(self) -> None:
        self._seen: dict[int, _Seen] = {}

    def add(self, status: int, example: str, at: float) -> None:
        """The operator answered with this status; `example` is the recipient."""
        seen = self._seen.get(status)
        if seen is None:
            while len(self._seen) >= MAX_STATUSES:
                del self._seen[next(iter(self._seen))]
            seen = self._seen[status] = _Seen()
        seen.total += 1
        seen.last = at
        seen.example = example
        bucket, count = int(at) // BUCKET_SECONDS, 1
        if seen.buckets and seen.buckets[-1][0] == bucket:
            count += seen.buckets.pop()[1]
        seen.buckets.append((bucket, count))
        # An operator's own codes share one series: there are four thousand million of them.
        metrics.command_status.labels(STATUSES[status].name if status in STATUSES else "other").inc()

    def counts(self, at: float) -> list[StatusCount]:
        """Those of the last hour first, then by number."""
        since = (at - HOUR) // BUCKET_SECONDS
        found = [
            StatusCount(
                status,
                known.name,
                known.status_class.value,
                known.advice,
                seen.total,
                sum(count for bucket, count in seen.buckets if bucket > since),
                moment(seen.last),
                seen.example,
            )
            for status, seen in self._seen.items()
            for known in (describe(status),)
        ]
        return sorted(found, key=lambda each: (-each.last_hour, -each.total, each.status))


class Totals(NamedTuple):
    """Counters of an account, each only ever growing."""

    accepted: int = 0
    refused: int = 0
    throttled: int = 0
    unknown: int = 0
    receipts: int = 0
    inbound: int = 0


class Trend:
    """What the counters did within a minute and within an hour. Give it a sample about once a second.

    `unbound_since` is when the last bind went, None while one is up.
    """

    def __init__(self, at: float) -> None:
        self.unbound_since: float | None = at
        self._seconds: deque[tuple[float, Totals]] = deque(((at, Totals()),), maxlen=61)
        self._minutes: deque[tuple[float, Totals]] = deque(((at, Totals()),), maxlen=61)

    def sample(self, at: float, totals: Totals, *, bound: bool = True) -> None:
        """The counters now, and whether any bind is up."""
        self.unbound_since = None if bound else self.unbound_since or at
        self._seconds.append((at, totals))
        if at - self._minutes[-1][0] >= 60.0:
            self._minutes.append((at, totals))

    def last_minute(self, at: float) -> Totals:
        """What was added within 60 seconds."""
        return self._since(self._seconds, at - 60.0)

    def within(self, seconds: float, at: float) -> Totals:
        """What was added within so many seconds, at most an hour, to the minute."""
        return self._since(self._minutes, at - seconds)

    def _since(self, samples: deque[tuple[float, Totals]], start: float) -> Totals:
        now = self._seconds[-1][1]
        before = next((totals for moment_, totals in samples if moment_ >= start), now)
        return Totals(*(a - b for a, b in zip(now, before, strict=True)))


class ReceiptLag:
    """Seconds from submit_sm_resp to the final receipt, of messages picked out now and then."""

    def __init__(self) -> None:
        self._waiting: dict[str, float] = {}
        self._lags: deque[float] = deque(maxlen=LAGS)

    def accepted(self, provider_message_id: str | None, at: float) -> None:
        """The operator gave a message this id; its receipt is of interest."""
        if not provider_message_id:
            return
        while len(self._waiting) >= SAMPLED:
            del self._waiting[next(iter(self._waiting))]
        self._waiting[normalise_id(provider_message_id)] = at

    def received(self, provider_message_id: str, at: float) -> None:
        """A receipt came."""
        if not self._waiting:
            return
        for key in match_keys(provider_message_id):
            since = self._waiting.pop(key, None)
            if since is not None:
                lag = max(0.0, at - since)
                self._lags.append(lag)
                metrics.receipt_lag_seconds.observe(lag)
                return

    def percentile(self, share: float) -> float | None:
        """Seconds that this share of the last lags did not exceed; None before the first."""
        if not self._lags:
            return None
        ordered = sorted(self._lags)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
