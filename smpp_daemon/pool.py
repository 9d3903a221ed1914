"""Which bound session takes the next message."""

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Sender(Protocol):
    """A session as far as choosing goes: `room` is 0 while it cannot send for whatever reason."""

    @property
    def room(self) -> int:
        """Requests it would take now."""


S = TypeVar("S", bound=Sender)


def choose(sessions: Iterable[S], wanted: int = 1) -> S | None:
    """The session with the most free window, if it has room for `wanted` PDUs; the first among equals."""
    best: S | None = None
    most = wanted - 1
    for session in sessions:
        room = session.room
        if room > most:
            best, most = session, room
    return best
