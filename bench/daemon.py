"""smppd between RabbitMQ and an operator: batches → claims → submit_sm → answers → confirmed result batches.

Three measurements with one bind and a bare SMSC (`bench/sink.py`) in a process of its own: messages per second from
the first hand-over to the last result that a consumer got from RabbitMQ, claims committed in PostgreSQL with fsync on;
receipts per second, each answered only after RabbitMQ confirmed it; and the time from publishing to the wire at 1,000
messages a second in the `high` lane. The reference is `bench/bare/daemon.py` on the same queues and the same SMSC.
"""

import asyncio
import statistics
import sys
import time

from app.domain.messages.events import Lane
from app.lib.broker import RESULTS_QUEUE, dispatch_queue
from bench.channel import OperatorChannel, operator_channel
from bench.harness import ROOT, emit, say
from bench.sink import RunningSink, running_sink

WINDOW = 100
MESSAGES = 100_000
ROUNDS = 5
LATENCY_RATE = 1000
LATENCY_SECONDS = 20
TICK = 0.01


async def throughput(channel: OperatorChannel) -> float:
    """One round: everything is in the queue before the channel is opened."""
    messages = await channel.store(MESSAGES)
    await channel.publish(messages[:500])
    await channel.until(results=channel.results + 500)
    before = channel.results
    started = time.monotonic()
    await channel.publish(messages[500:])
    await channel.until(results=before + MESSAGES - 500)
    return (MESSAGES - 500) / (channel.last_result_at - started)


async def bare(channel: OperatorChannel, port: int) -> float:
    """The same messages through the bare loop."""
    command = [
        sys.executable,
        "-m",
        "bench.bare.daemon",
        channel.environment["TURUMBA_BROKER_URL"],
        dispatch_queue(channel.channel_id, Lane.BULK.value),
        RESULTS_QUEUE,
        str(port),
        str(WINDOW),
    ]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=asyncio.subprocess.PIPE)
    try:
        return statistics.median([await throughput(channel) for _ in range(3)])
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def latency(channel: OperatorChannel, sink: RunningSink) -> tuple[float, float]:
    """p50 and p99 from publish to wire in ms."""
    share = round(LATENCY_RATE * TICK)
    messages = await channel.store(LATENCY_RATE * LATENCY_SECONDS, to="+2517")
    handed: dict[str, float] = {}
    before = channel.results
    start = time.monotonic()
    publishing: set[asyncio.Task[None]] = set()
    for index in range(0, len(messages), share):
        await asyncio.sleep(max(0.0, start + index / LATENCY_RATE - time.monotonic()))
        some = messages[index : index + share]
        now = time.monotonic()
        handed.update((message.to.removeprefix("+"), now) for message in some)
        task = asyncio.create_task(channel.publish(some, Lane.HIGH, size=share))
        publishing.add(task)
        task.add_done_callback(publishing.discard)
    await channel.until(results=before + len(messages))
    waits = sorted(at - handed[to] for at, to in await sink.arrivals() if to in handed)
    return 1000 * waits[len(waits) // 2], 1000 * waits[int(len(waits) * 0.99)]


async def measure() -> None:
    async with operator_channel() as channel, running_sink("--record") as sink:
        await channel.create(sink.port, window=WINDOW)
        await channel.start_daemon()
        say("warming up")
        await throughput(channel)
        await sink.command("receipts")
        samples, receipts = [], []
        for _ in range(ROUNDS):
            samples.append(await throughput(channel))
            answer = await sink.command("receipts")
            assert not answer["refused"], answer
            receipts.append(answer["receipts"] / answer["seconds"])
            say(f"{samples[-1]:.0f} messages/s, {receipts[-1]:.0f} receipts/s")
        p50, p99 = await latency(channel, sink)
        say(f"queue to wire p50 {p50:.1f} ms, p99 {p99:.1f} ms")
        outcomes = dict(channel.outcomes)
        await channel.stop_daemon()
        ceiling = await bare(channel, sink.port)
    emit(
        "daemon",
        samples,
        "messages/s",
        higher_is_better=True,
        reference={"name": "bare loop without claims, rate or deadlines", "value": round(ceiling, 3)},
        receipts_value=round(statistics.median(receipts), 3),
        receipts_samples=[round(each, 3) for each in receipts],
        latency_p50_ms=round(p50, 3),
        latency_p99_ms=round(p99, 3),
        params={"window": WINDOW, "binds": 1, "messages": MESSAGES, "latency_rate": LATENCY_RATE, "fsync": "on"},
    )
    if set(outcomes) != {"sent"}:
        sys.exit(f"not everything was sent: {outcomes}")


if __name__ == "__main__":
    asyncio.run(measure())
