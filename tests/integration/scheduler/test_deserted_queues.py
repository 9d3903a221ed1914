"""The alarm for queues that hold messages while nobody consumes them."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import httpx
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from app.domain.channels.directory import ChannelDirectory
from app.domain.channels.states import ChannelStatus
from app.domain.messages.events import Lane
from app.lib.broker import Topology, dispatch_queue
from app.lib.crypto import Envelope
from app.lib.db import Database
from app.lib.errors import Unavailable
from app.settings import Settings
from scheduler.jobs.queues import QueueWatch
from tests.integration.channels.conftest import SMPP

WARNING = "queue has messages and no consumer"


@pytest.fixture
async def channel(broker_url: str) -> AsyncIterator[AbstractChannel]:
    connection = await aio_pika.connect(broker_url)
    async with connection:
        yield await connection.channel()


@pytest.fixture
async def active(
    client: httpx.AsyncClient, registered: dict[str, Any], database: Database, envelope: Envelope
) -> AsyncIterator[UUID]:
    """A channel whose sender says that it is bound."""
    body = {"name": f"Deserted {uuid4()}", **SMPP}
    made = await client.post("/v1/channels", json=body, headers=registered["headers"])
    channel_id = UUID(made.json()["id"])
    await ChannelDirectory(database, envelope).report(channel_id, ChannelStatus.ACTIVE, {"detail": "Bound."})
    yield channel_id
    await client.delete(f"/v1/channels/{channel_id}", headers=registered["headers"])


async def look(watch: QueueWatch, database: Database) -> set[str]:
    """One look; the queues that it warned of."""
    with capture_logs() as logs:
        await watch.find_deserted(database)
    return {each["queue"] for each in logs if each["event"] == WARNING}


async def deserted(watch: QueueWatch, database: Database) -> float:
    """How many there are already: other tests leave queues behind."""
    await look(watch, database)
    await look(watch, database)
    return gauge()


def gauge() -> float:
    value = REGISTRY.get_sample_value("turumba_queues_without_consumer")
    assert value is not None
    return value


async def take(message: AbstractIncomingMessage) -> None:
    await message.ack()


async def publish(channel: AbstractChannel, name: str) -> None:
    await channel.default_exchange.publish(aio_pika.Message(b"batch"), routing_key=name)


async def test_field_problem_16_a_queue_with_messages_and_no_consumer_is_an_alarm(
    channel: AbstractChannel, active: UUID, database: Database, broker_url: str, settings: Settings
) -> None:
    """field problem 16: the consumer is gone and nothing says so; "queue>0, consumers=0" must."""
    topology = Topology(settings.broker.queue_max_mebibytes * 2**20)
    name = dispatch_queue(active, Lane.HIGH)
    queue = await topology.declare(channel, name)
    watch = QueueWatch(broker_url)
    before = await deserted(watch, database)
    assert await look(watch, database) == set(), "an empty queue needs none, and one is not there at all"
    await publish(channel, name)
    assert await look(watch, database) == set(), "a consumer may be on its way from one process to another"
    assert await look(watch, database) == {name}
    assert gauge() == before + 1
    assert await look(watch, database) == set(), "said once, while the gauge stays"
    assert gauge() == before + 1

    # A consumer comes: whether it has taken the message yet or not.
    tag = await queue.consume(take)
    assert await look(watch, database) == set()
    assert gauge() == before

    # And goes away silently, as the one that RabbitMQ's acknowledgement timeout ended.
    await queue.cancel(tag)
    await publish(channel, name)
    await look(watch, database)
    assert await look(watch, database) == {name}
    watch.forget()
    assert gauge() == 0
    await channel.queue_delete(name)


async def test_a_paused_channel_is_not_consumed_and_no_alarm(
    client: httpx.AsyncClient,
    registered: dict[str, Any],
    channel: AbstractChannel,
    active: UUID,
    database: Database,
    broker_url: str,
    settings: Settings,
) -> None:
    name = dispatch_queue(active, Lane.BULK)
    await Topology(settings.broker.queue_max_mebibytes * 2**20).declare(channel, name)
    await publish(channel, name)
    watch = QueueWatch(broker_url)
    before = await deserted(watch, database)
    paused = await client.post(f"/v1/channels/{active}/pause", headers=registered["headers"])
    assert paused.status_code == 200
    await look(watch, database)
    assert gauge() == before - 1
    await channel.queue_delete(name)


async def test_without_rabbitmq_the_look_is_postponed(database: Database) -> None:
    with pytest.raises(Unavailable):
        await QueueWatch("amqp://127.0.0.1:1/").find_deserted(database)
