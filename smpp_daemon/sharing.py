"""How several daemons share the channels: everybody takes about the same number, and who has more gives one up.

Nobody decides for the others. Each looks at what all of them hold and follows the same two rules, which settle on
numbers that differ by one at most.
"""

from collections.abc import Callable, Iterable, Mapping
from uuid import UUID

import msgspec


class Peers(msgspec.Struct, frozen=True):
    """The other daemons as last seen. `others` maps each one's number to how many channels it serves.

    `taken` are the leases that others hold. `since` is when the set of daemons last changed, seconds of the loop's
    clock; `own` is the number of this one.
    """

    own: int = 0
    others: Mapping[int, int] = {}
    taken: frozenset[int] = frozenset()
    since: float = 0.0

    @classmethod
    def of(cls, locks: Iterable[tuple[int, bool, int]], own: int, now: float) -> "Peers":
        """From advisory locks: (process, whether it is the lock that all daemons share, number of the lock)."""
        locks = list(locks)
        others = {process: 0 for process, member, _ in locks if member and process != own}
        taken: set[int] = set()
        for process, member, key in locks:
            if process == own or member:
                continue
            taken.add(key)
            if process in others:
                others[process] += 1
        return cls(own, others, frozenset(taken), now)

    def since_before(self, before: "Peers") -> "Peers":
        """The same with the moment of an earlier look at the same daemons."""
        return msgspec.structs.replace(self, since=before.since)


class Sharing(msgspec.Struct, frozen=True):
    """Seconds. `survey`: how often the daemons look at each other, which also proves that the connection is alive.

    `settle` is how long the set of daemons must have stood before anything is given up to another one, `between`
    separates two of those moves, `keep_off` is how long the giver leaves the channel to the others.
    """

    survey: float = 2.0
    settle: float = 10.0
    between: float = 2.0
    keep_off: float = 30.0


class Balance:
    """What one daemon does about its share."""

    def __init__(self, sharing: Sharing) -> None:
        self._sharing = sharing
        self._next_move = 0.0
        self._given: dict[UUID, float] = {}
        self._last: UUID | None = None

    def may_take(self, channel_id: UUID, peers: Peers, now: float) -> bool:
        """Whether a channel that nobody serves is not one that was just given up to somebody else."""
        if not peers.others:
            self._given.clear()
        return self._given.get(channel_id, 0.0) <= now

    def has_too_many(self, own: int, peers: Peers, now: float) -> bool:
        """Whether this daemon is the one to give a channel up now."""
        if not peers.others or now < max(self._next_move, peers.since + self._sharing.settle):
            return False
        if own - min(peers.others.values()) < 2:
            return False
        # Of several with the most, one moves at a time: the others see its move before it is their turn.
        return (own, peers.own) >= max((count, process) for process, count in peers.others.items())

    def waits(self, taken: Callable[[UUID], bool], now: float) -> bool:
        """Whether nobody serves yet what was given up last: the numbers would make this daemon give more than it has
        too many. `taken` says whether another one has a channel. What nobody takes is waited for until it may be taken
        back.
        """
        return self._last is not None and self._given.get(self._last, 0.0) > now and not taken(self._last)

    def giving(self, channel_id: UUID, now: float) -> None:
        """A channel is being given up."""
        self._last = channel_id
        self._given[channel_id] = now + self._sharing.keep_off
        self._next_move = now + self._sharing.between


def share(channels: int, daemons: int) -> int:
    """How many channels one of so many daemons takes at most: an equal part, rounded up."""
    return -(-channels // max(1, daemons))
