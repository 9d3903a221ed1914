"""FastStream's view of our queues: the declarations of `app.lib.broker`, consumed with explicit acknowledgement."""

from collections.abc import Iterable
from typing import Any

from faststream.rabbit import QueueType, RabbitMessage, RabbitQueue
from sqlalchemy import text

from app.lib.broker import QueueSpec, Topology, connect_broker
from app.lib.db import Database

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('turumba:declare', 0))")


def rabbit_queue(spec: QueueSpec) -> RabbitQueue:
    """The queue as FastStream consumes it; it exists already, so it is neither created nor checked again."""
    arguments: Any = {key: value for key, value in spec.arguments.items() if key != "x-queue-type"}
    return RabbitQueue(spec.name, queue_type=QueueType.QUORUM, durable=True, arguments=arguments, declare=False)


async def declare_one_by_one(database: Database, url: str, topology: Topology, names: Iterable[str]) -> None:
    """Declare queues while no other worker does: see `Topology`. Raises what aio-pika raises, and `Unavailable`."""
    async with database.unit_of_work() as session:
        await session.execute(_LOCK)
        connection = await connect_broker(url, name="turumba-worker", seconds=10)
        async with connection:
            channel = await connection.channel()
            for name in names:
                await topology.declare(channel, name)


async def as_it_is(message: RabbitMessage) -> RabbitMessage:
    """A decoder for consumers that settle each message themselves and decode its body."""
    return message
