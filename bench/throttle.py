"""Does smppd keep to a channel's rate, and does a saturated `bulk` lane hold up `high` messages?

For each rate: more messages than can go wait in the queue for 20 s while a bare SMSC notes when each submit_sm comes.
`value` is the worst relative error of the rate; `burst_share` the fullest 100 ms as a share of what is allowed in them
(rate × 0.1 s + burst); `high_lane_p99_ms` the time from publishing to the wire of `high` messages while `bulk` is
saturated. The reference is the error of a loop that sleeps 1/rate before each PDU, on the same machine at 2,000/s.
"""

import asyncio
import random
import time
from collections import deque

from app.domain.messages.events import Lane
from bench.channel import OperatorChannel, operator_channel
from bench.harness import emit, say
from bench.sink import running_sink

RATES = (10, 100, 2000)
SECONDS = 20
BURST_SECONDS = 0.1
LANE_RATE = 100
HIGH_PER_SECOND = 5
PREFIXES = {10: "+2521", 100: "+2522", 2000: "+2523"}
BULK_PREFIX, HIGH_PREFIX = "+2524", "+2525"


def rate_error(moments: list[float], rate: float) -> float:
    """Relative error over 20 s, counted from the second second on: the first one holds the burst."""
    kept = [at for at in moments if moments[0] + 1 <= at <= moments[0] + 1 + SECONDS]
    return abs((len(kept) - 1) / (kept[-1] - kept[0]) / rate - 1)


def fullest(moments: list[float]) -> int:
    """Most arrivals within any 100 ms."""
    recent: deque[float] = deque()
    most = 0
    for at in moments:
        recent.append(at)
        while recent[0] <= at - BURST_SECONDS:
            recent.popleft()
        most = max(most, len(recent))
    return most


async def high_lane(channel: OperatorChannel) -> dict[str, float]:
    """Publishes `high` messages at random moments while `bulk` has more than can go; when each was published."""
    await channel.publish(await channel.store(LANE_RATE * (SECONDS + 5), to=BULK_PREFIX))
    await channel.until(results=LANE_RATE)
    published: dict[str, float] = {}
    chance = random.Random(1)
    for _ in range(HIGH_PER_SECOND * SECONDS):
        await asyncio.sleep(chance.uniform(0, 2 / HIGH_PER_SECOND))
        (message,) = await channel.store(1, to=HIGH_PREFIX)
        published[message.to.removeprefix("+")] = time.monotonic()
        await channel.publish([message], Lane.HIGH)
    await channel.until(results=LANE_RATE * (SECONDS + 5) + len(published))
    return published


async def naive_error() -> float:
    """What sleeping before each PDU makes of 2,000 a second."""
    moments = []
    start = time.monotonic()
    while time.monotonic() - start < 5:
        await asyncio.sleep(1 / 2000)
        moments.append(time.monotonic())
    return abs((len(moments) - 1) / (moments[-1] - moments[0]) / 2000 - 1)


async def measure() -> None:
    async with operator_channel() as first, running_sink("--record") as sink:
        channels = {}
        for rate in RATES:
            channels[rate] = first if rate == RATES[0] else first.another()
            await channels[rate].create(sink.port, rate={"per_second": rate})
        lanes = first.another()
        await lanes.create(sink.port, rate={"per_second": LANE_RATE, "burst": 1})
        await first.start_daemon()
        for rate, channel in channels.items():
            say(f"{rate} a second for {SECONDS} s")
            count = rate * (SECONDS + 2)
            await channel.publish(await channel.store(count, to=PREFIXES[rate]))
            await channel.until(results=count)
        say("the high lane beside a saturated bulk lane")
        published = await high_lane(lanes)
        arrivals = await sink.arrivals()
        outcomes = [dict(channel.outcomes) for channel in (*channels.values(), lanes)]
        for channel in (*list(channels.values())[1:], lanes):
            await channel.close()
    errors, shares, fullest_counts = {}, {}, {}
    for rate in RATES:
        moments = [at for at, to in arrivals if to.startswith(PREFIXES[rate][1:])]
        errors[rate] = rate_error(moments, rate)
        fullest_counts[rate] = fullest(moments)
        shares[rate] = fullest_counts[rate] / (rate * BURST_SECONDS + max(1.0, rate / 10))
    waits = sorted(at - published[to] for at, to in arrivals if to in published)
    naive = await naive_error()
    emit(
        "throttle",
        [max(errors.values())],
        "relative error of the rate",
        higher_is_better=False,
        reference={"name": "sleeping before each PDU, 2,000/s", "value": round(naive, 6)},
        errors={str(rate): round(error, 5) for rate, error in errors.items()},
        burst_share={str(rate): round(share, 3) for rate, share in shares.items()},
        fullest_100_ms={str(rate): count for rate, count in fullest_counts.items()},
        high_lane_p50_ms=round(1000 * waits[len(waits) // 2], 3),
        high_lane_p99_ms=round(1000 * waits[int(len(waits) * 0.99)], 3),
        params={"rates": list(RATES), "seconds": SECONDS, "lane_rate": LANE_RATE, "high_messages": len(waits)},
    )
    assert all(set(each) == {"sent"} for each in outcomes), outcomes


if __name__ == "__main__":
    asyncio.run(measure())
