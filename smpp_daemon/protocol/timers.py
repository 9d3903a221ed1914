"""The session's timers as a value: every step returns new timers, and time is an argument (SMPP 3.4 §2.9).

All times are seconds of one monotonic clock.
"""

from enum import Enum

import msgspec


class TimerSettings(msgspec.Struct, frozen=True):
    """Seconds. `inactivity` closes a bound session without any message in either direction; None leaves it open.

    `bind` limits the wait for a bind (request or answer), `unbind` the wait for unbind_resp. `enquire_link_interval` is
    how long the peer may be silent before it is asked, `enquire_link_timeout` how long it may stay silent after that.
    `response` is the deadline of every windowed request.
    """

    bind: float = 10.0
    enquire_link_interval: float = 30.0
    enquire_link_timeout: float = 10.0
    response: float = 10.0
    unbind: float = 5.0
    inactivity: float | None = None


class TimerAction(Enum):
    """What a tick asks for."""

    NOTHING = "nothing"
    SEND_ENQUIRE_LINK = "send_enquire_link"
    BIND_TIMEOUT = "bind_timeout"
    UNBIND_TIMEOUT = "unbind_timeout"
    LINK_DEAD = "link_dead"
    INACTIVE = "inactive"


class Timers(msgspec.Struct, frozen=True, gc=False):
    """`heard_at`: last octet from the peer; `active_at`: last message either way; the others None unless running."""

    settings: TimerSettings
    heard_at: float
    active_at: float
    bind_due: float | None = None
    enquired_at: float | None = None
    unbind_due: float | None = None
    bound: bool = False

    def heard(self, now: float) -> "Timers":
        """Whole PDUs came from the peer, which proves life like an enquire_link_resp: an open enquiry is settled.

        Under load a peer may answer enquire_link late, or not at all, while its other answers keep coming.
        """
        return Timers(self.settings, now, self.active_at, self.bind_due, None, self.unbind_due, self.bound)

    def active(self, now: float) -> "Timers":
        """A message was sent or received, which postpones the inactivity timer."""
        return Timers(self.settings, self.heard_at, now, self.bind_due, self.enquired_at, self.unbind_due, self.bound)

    def awaiting_bind(self, now: float) -> "Timers":
        """A bind must be requested or answered within `bind` seconds."""
        return msgspec.structs.replace(self, bind_due=now + self.settings.bind)

    def bind_done(self, now: float) -> "Timers":
        """Bound: from now on silence and inactivity count."""
        return msgspec.structs.replace(self, bind_due=None, bound=True, heard_at=now, active_at=now)

    def enquired(self, now: float) -> "Timers":
        """enquire_link was sent."""
        return msgspec.structs.replace(self, enquired_at=now)

    def unbinding(self, now: float) -> "Timers":
        """Our unbind was sent; enquire_link stops (§2.9)."""
        return msgspec.structs.replace(self, unbind_due=now + self.settings.unbind, bound=False, enquired_at=None)

    def stopped(self) -> "Timers":
        """Nothing is due any more."""
        return msgspec.structs.replace(self, bind_due=None, enquired_at=None, unbind_due=None, bound=False)

    def tick(self, now: float) -> TimerAction:
        """The most urgent thing that is due at `now`."""
        if self.bind_due is not None and now >= self.bind_due:
            return TimerAction.BIND_TIMEOUT
        if self.unbind_due is not None and now >= self.unbind_due:
            return TimerAction.UNBIND_TIMEOUT
        if not self.bound:
            return TimerAction.NOTHING
        if self.enquired_at is not None and now >= self.enquired_at + self.settings.enquire_link_timeout:
            return TimerAction.LINK_DEAD
        if self.settings.inactivity is not None and now >= self.active_at + self.settings.inactivity:
            return TimerAction.INACTIVE
        if self.enquired_at is None and now >= self.heard_at + self.settings.enquire_link_interval:
            return TimerAction.SEND_ENQUIRE_LINK
        return TimerAction.NOTHING

    def next_deadline(self) -> float | None:
        """When `tick` has something to say, or None while nothing runs."""
        due = [moment for moment in (self.bind_due, self.unbind_due) if moment is not None]
        if self.bound:
            if self.enquired_at is not None:
                due.append(self.enquired_at + self.settings.enquire_link_timeout)
            else:
                due.append(self.heard_at + self.settings.enquire_link_interval)
            if self.settings.inactivity is not None:
                due.append(self.active_at + self.settings.inactivity)
        return min(due, default=None)
