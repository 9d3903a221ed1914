"""kill -9 at any moment: nothing is lost, nothing is submitted twice."""

import asyncio
from collections import Counter

import pytest

from smpp_daemon.simulator.journal import Accepted, read_records
from tests.faults.conftest import World

COUNT = 5000
OURS = ("api", "relay", "worker", "scheduler", "smppd", "smsc-sim")
SERVERS = ("postgres", "rabbitmq")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [*OURS, *SERVERS])
async def test_a_batch_survives_the_death_of(name: str, world: World) -> None:
    prefix = f"+25191{(*OURS, *SERVERS).index(name)}"
    recipients = [f"{prefix}{n:06}" for n in range(COUNT)]
    if name == "rabbitmq":
        await world.until_registered()
    sending = asyncio.create_task(world.send(recipients))
    # In the middle: some are through, most are not.
    await world.until(lambda counts: counts.get("delivered", 0) + counts.get("sent", 0) >= COUNT // 10)
    process = world.stack.process(name)
    await process.kill()
    assert not process.running
    await process.start()

    accepted = await sending
    counts = await world.until(
        lambda counts: (
            sum(counts.values()) >= accepted and not {"queued", "sent"} & {s for s, n in counts.items() if n}
        ),
        seconds=180,
    )
    assert accepted == COUNT
    assert set(counts) <= {"delivered", "unknown"}, counts

    # A batch whose answer was lost with the API is posted again: its recipients then have two messages.
    expected = Counter(recipients) if name != "api" else await _messages_by_recipient(world)
    assert sum(counts.values()) == sum(expected.values())
    seen = Counter(
        "+" + record.destination
        for record in read_records(world.journal)
        if isinstance(record, Accepted) and record.destination.startswith(prefix[1:])
    )
    twice = {to: n for to, n in seen.items() if n > expected[to]}
    assert not twice, f"{len(twice)} submitted more often than stored, e.g. {list(twice.items())[:3]}"
    assert sum(expected.values()) - sum(seen.values()) <= counts.get("unknown", 0)


async def _messages_by_recipient(world: World) -> Counter[str]:
    stored: Counter[str] = Counter()
    cursor = ""
    while True:
        page = await world.get(f"/v1/messages?limit=200&channel_id={world.channel}{cursor}")
        stored.update(message["to"] for message in page["items"])
        if page["next_cursor"] is None:
            return stored
        cursor = f"&cursor={page['next_cursor']}"
