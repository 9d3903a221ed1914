"""Through a running worker, relay and RabbitMQ, with the sandbox as the provider."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from app.domain.outbox.relay import Relay
from app.lib.broker import Publisher
from app.lib.db import Database
from app.lib.service import Stop
from app.settings import Settings
from app.workers.main import run_worker
from scheduler.main import run_scheduler
from tests.integration.group_messages.conftest import Sender


# Not for the whole session: it takes from the results queue, which other tests read for themselves.
@pytest.fixture(scope="module")
async def running(settings: Settings, database: Database) -> AsyncIterator[None]:
    """Two workers, which take steps at the same time."""
    stop = Stop()
    publisher = Publisher(settings.broker.url, name="test")
    tasks = [
        asyncio.create_task(Relay(database, publisher).run(stop)),
        asyncio.create_task(run_worker(settings, stop)),
        asyncio.create_task(run_worker(settings, stop)),
        asyncio.create_task(run_scheduler(settings, stop)),
    ]
    yield
    stop.set()
    await asyncio.gather(*tasks)


def accepted() -> float:
    """Messages that this process has stored for sending in the `bulk` lane."""
    return REGISTRY.get_sample_value("turumba_messages_accepted_total", {"lane": "bulk"}) or 0.0


@pytest.mark.usefixtures("running")
async def test_each_recipient_gets_one_message_and_the_books_agree(sender: Sender) -> None:
    numbers = [f"+25191{number:07d}" for number in range(1, 1501)]
    contacts = await sender.contacts(20, "vip", first=5000)
    before = accepted()
    sent = await sender.send({"tags": ["vip"], "addresses": numbers})
    await sender.until(
        sent, lambda shown: shown["status"] == "completed" and shown["progress"]["sent"] <= len(numbers) / 100
    )
    assert sorted(await sender.recipients(sent)) == sorted([*numbers, *contacts])
    assert accepted() - before == len(numbers) + len(contacts), "each counts as accepted once"
    progress = await sender.check_counters(sent)
    per_ending = len(numbers) // 100
    assert (progress["failed"], progress["read"], progress["expired"]) == (3 * per_ending, per_ending, per_ending)
    report = await sender.answer("GET", f"/group-messages/{sent}/progress")
    assert Counter({each["class"]: each["count"] for each in report["failures"]}) == {
        "recipient": per_ending,
        "message": per_ending,
        "opted_out": per_ending,
    }
    events = await sender.answer("GET", "/events", **{"type[contains]": "group_message."})
    assert {event["type"] for event in events["items"]} >= {"group_message.started", "group_message.completed"}


@pytest.mark.usefixtures("running")
async def test_nothing_is_sent_after_a_cancellation(sender: Sender) -> None:
    await sender.open_channel(rate={"per_second": 50})
    numbers = [f"+25192{number:07d}" for number in range(10, 100_000, 100)]
    sent = await sender.send({"addresses": numbers})
    await sender.until(sent, lambda shown: shown["progress"]["delivered"] > 20)
    await sender.act(sent, "cancel")
    await sender.until(sent, lambda shown: not shown["progress"]["queued"])
    settled = await sender.check_counters(sent)
    assert settled["delivered"] + settled["sent"] + settled["canceled"] == len(await sender.messages(sent))
    async with sender.database.reading() as session:
        after = await session.scalar(
            text(
                "SELECT count(*) FROM message_attempts a JOIN group_messages g ON g.account_id = a.account_id"
                " WHERE g.id = CAST(:id AS uuid) AND a.outcome IS NULL AND a.started_at > g.ended_at"
            ),
            {"id": sent},
        )
    assert after == 0
