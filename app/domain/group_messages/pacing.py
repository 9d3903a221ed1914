"""How many messages of a group message may be under way: a few seconds of what its channel sends, and no more.

So a pause or a cancellation bites at once, queues stay short, and what others send over the channel waits behind a few
seconds of this. It is measured how fast messages leave; a channel's rate is what it sends at most, but an operator who
answers slowly, or an outage, lets less through.
"""

import msgspec

SECONDS_UNDER_WAY = 4.0
LEAST = 500
MOST = 40_000
"""Messages under way at most and at least, whatever the rate."""

WORTHWHILE = 2_000
"""So much room is waited for, or an eighth of what may be under way: each step is a transaction."""

_SMOOTHING = 0.5
"""Weight of the newest measurement."""

_SHORTEST = 0.2
"""Seconds between two measurements, at least: shorter ones see only the batches in which results come."""

SHORTEST_WAIT = 0.05
LONGEST_WAIT = 1.0
"""Seconds until one without room is looked at again."""


class Pace(msgspec.Struct, frozen=True):
    """What is known of the pace at `at`, in seconds of the database's clock.

    `allowance` is how many its own limit lets go at that moment, fractions included. At `measured_at`, `settled`
    messages had left since the beginning, lately `rate` per second; at `moved_at` one was seen to leave, or began to.
    `segments` is what one message lately took of the channel's rate, on average.
    """

    at: float
    measured_at: float
    settled: int
    moved_at: float
    rate: float = 0.0
    allowance: float = 1.0
    segments: float = 1.0


def looked_again(before: Pace | None, now: float, settled: int, own_rate: float | None) -> Pace:
    """The pace now that `settled` messages have left; `own_rate` is the group message's limit, per second."""
    if before is None:
        return Pace(now, now, settled, now)
    seconds = max(now - before.at, 0.0)
    # At most what one second allows gathers: after a pause nobody is flooded with what was not sent meanwhile.
    # Of a slow one two do, so that no fraction is lost between two looks.
    allowance = 1.0 if own_rate is None else min(max(own_rate, 2.0), before.allowance + own_rate * seconds)
    measuring = now - before.measured_at
    if measuring < _SHORTEST:
        return msgspec.structs.replace(before, at=now, allowance=allowance)
    rate = max(settled - before.settled, 0) / measuring
    known = rate if before.rate == 0 else before.rate + _SMOOTHING * (rate - before.rate)
    moved_at = now if settled != before.settled else before.moved_at
    return Pace(now, now, settled, moved_at, known, allowance, before.segments)


def room(pace: Pace, channel_rate: float | None, own_rate: float | None, under_way: int, sharing: int) -> int:
    """How many more messages may be handed over now.

    `channel_rate` is the channel's limit in segments per second, None without one; `sharing` group messages use the
    channel, this one included, and each has its part.
    """
    # It grows for as long as messages leave sooner than that, so a channel that could send faster soon does.
    most = max(LEAST, int(pace.rate * SECONDS_UNDER_WAY))
    if channel_rate is not None:
        most = max(1, min(most, int(channel_rate / pace.segments / sharing * SECONDS_UNDER_WAY)))
    most = min(most, MOST)
    free = max(0, most - under_way)
    if free < min(WORTHWHILE, most // 8):
        return 0
    if own_rate is None:
        return free
    return min(free, int(pace.allowance)) if pace.allowance >= _worthwhile(own_rate) else 0


def handed_over(pace: Pace, count: int, segments: int, own_rate: float | None) -> Pace:
    """The pace after `count` messages were handed over that take so many `segments` together."""
    if count == 0:
        return pace
    allowance = pace.allowance if own_rate is None else max(pace.allowance - count, 0.0)
    return msgspec.structs.replace(pace, allowance=allowance, segments=max(segments / count, 1.0))


def wait(pace: Pace, own_rate: float | None) -> float:
    """Seconds until it is worth to look again at one that has no room."""
    # The longer nothing has left, the longer it may take.
    seconds = (pace.at - pace.moved_at) / 10
    if pace.rate > 0:
        # A quarter of the time in which enough of them leave.
        seconds = max(seconds, min(SECONDS_UNDER_WAY / 8, WORTHWHILE / pace.rate) / 4)
    if own_rate is not None and pace.allowance < _worthwhile(own_rate):
        seconds = max(seconds, (_worthwhile(own_rate) - pace.allowance) / own_rate)
    return min(max(seconds, SHORTEST_WAIT), LONGEST_WAIT)


def _worthwhile(own_rate: float) -> float:
    """Of its own limit a quarter of a second is waited for, one message at least."""
    return max(1.0, own_rate / 4)
