"""A bind as people see it: its state, its health, and what happened to it."""

from collections import deque
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

EVENTS = 20
"""How many of its last states a bind remembers."""

_HOUR = 3600.0
_DAY_HOURS = 24


class BindState(StrEnum):
    """`error` waits for somebody to change something; `waiting` is between two tries for any other reason."""

    CONNECTING = "connecting"
    BINDING = "binding"
    BOUND = "bound"
    WAITING = "waiting"
    ERROR = "error"
    UNBINDING = "unbinding"
    STOPPED = "stopped"


class BindHealth(msgspec.Struct, frozen=True):
    """A bind as people see it; moments are RFC 3339. `since` is when it came into this state.

    `id` counts binds from 0; with `pair` the transmitter of bind n is 2n and its receiver 2n + 1. `away`: bound to
    another host than its own, which failed. `retry_at` and `tries` are the next try and the failures in a row so far,
    while it is not bound. `bound_at` is when it was last bound, `peer` how the operator calls itself, `reconnects_24h`
    how often it was lost in a day. `enquire_rtt_ms` is the last enquire_link's. `certificate_days` and
    `client_certificate_days` are whole days until the operator's and our certificate end, negative afterwards, None
    without one; `warning` says in words what will fail soon. The last states with their reasons are
    `BindKeeper.events`, not here: they would make every answer long.
    """

    id: int
    host: str
    mode: str
    state: BindState
    since: str
    window: dict[str, int]
    last_error: str | None
    tls: bool = False
    away: bool = False
    retry_at: str | None = None
    tries: int = 0
    bound_at: str | None = None
    peer: str = ""
    reconnects_24h: int = 0
    enquire_rtt_ms: float | None = None
    certificate_days: int | None = None
    client_certificate_days: int | None = None
    warning: str | None = None


class BindEvent(msgspec.Struct, frozen=True):
    """A state a bind came into, when (RFC 3339), on which host, and why."""

    at: str
    state: BindState
    host: str
    reason: str


class History:
    """The last `EVENTS` states, and how often the bind was lost. Times are seconds since 1970."""

    def __init__(self) -> None:
        self.reconnects = 0
        self._events: deque[BindEvent] = deque(maxlen=EVENTS)
        # By the hour, because a bind that flaps for a day would fill a list of moments.
        self._hours: deque[tuple[int, int]] = deque(maxlen=_DAY_HOURS + 1)

    @property
    def events(self) -> list[BindEvent]:
        """Oldest first."""
        return list(self._events)

    def record(self, at: float, state: BindState, host: str, reason: str) -> None:
        """The bind came into a state."""
        self._events.append(BindEvent(moment(at), state, host, reason))

    def lost(self, at: float) -> None:
        """A bind that was up ended without anybody here wanting it."""
        self.reconnects += 1
        hour, count = int(at // _HOUR), 1
        if self._hours and self._hours[-1][0] == hour:
            count += self._hours.pop()[1]
        self._hours.append((hour, count))

    def reconnects_since_a_day(self, now: float) -> int:
        """How often it was lost within 24 hours, to the hour."""
        first = int(now // _HOUR) - _DAY_HOURS
        return sum(count for hour, count in self._hours if hour > first)


def moment(at: float) -> str:
    """Seconds since 1970 → RFC 3339 in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
