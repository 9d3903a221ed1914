"""RabbitMQ: the names and arguments of every queue, and the publisher that only believes confirms."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any
from uuid import UUID

import aio_pika
import msgspec
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.connection import make_url
from aio_pika.exceptions import AMQPError, DeliveryError, PublishError
from aiormq.exceptions import ChannelInvalidStateError

from app.lib.errors import Unavailable

BROKER_ERRORS = (OSError, TimeoutError, AMQPError, ChannelInvalidStateError, RuntimeError)
"""What aio-pika and aiormq raise when the connection or the channel is not there (any more)."""

RESULTS_QUEUE = "turumba.results"
"""Submit results, receipts and inbound messages of every sender."""

DELIVERY_LIMIT = 1_000_000
"""Deliveries of one message before it is dead-lettered: poison is rejected by who cannot read it, not counted out."""

DEAD_QUEUE = "turumba.dead"
"""Where deliveries go that no consumer could read."""

DISPATCH_PREFIX = "turumba.dispatch."
SMPP_PREFIX = "turumba.smpp."

SMPP_KEPT_SECONDS = 3 * 86_400
"""How long receipts and messages wait for an application that binds to us over SMPP."""


def dispatch_queue(channel_id: UUID, lane: str) -> str:
    """The queue of one channel and lane."""
    return f"{DISPATCH_PREFIX}{channel_id.hex}.{lane}"


def smpp_queue(smpp_account_id: UUID) -> str:
    """The queue of what an SMPP account's receivers get."""
    return f"{SMPP_PREFIX}{smpp_account_id.hex}"


async def connect_broker(url: str, *, name: str, seconds: float) -> AbstractConnection:
    """A connection to RabbitMQ within so many seconds; `name` is what its operators see. Raises `BROKER_ERRORS`.

    Not `aio_pika.connect`, which leaves a connection that failed to the garbage collector, whose finaliser needs a
    running loop and complains without one.
    """
    connection = aio_pika.Connection(make_url(url), client_properties={"connection_name": name})
    try:
        async with asyncio.timeout(seconds):
            await connection.connect()
    except BaseException:
        await connection.close()
        raise
    return connection


class QueueSpec(msgspec.Struct, frozen=True):
    """A durable queue as it is declared: every declarer must use the same arguments, so they are made here only."""

    name: str
    arguments: dict[str, Any]


class Topology:
    """The declarations. `queue_max_bytes` bounds each dispatch queue; what does not fit stays in the outbox.

    A queue is declared by its consumer, one at a time: RabbitMQ 3.10 closes the connection with an internal error when
    two connections create the same quorum queue at the same moment.
    """

    def __init__(self, queue_max_bytes: int) -> None:
        self._queue_max_bytes = queue_max_bytes

    def spec(self, name: str) -> QueueSpec:
        """The declaration of any of our queues, by its name."""
        if name == DEAD_QUEUE:
            return QueueSpec(name, {"x-queue-type": "quorum"})
        if name.startswith(SMPP_PREFIX):
            # Without a dead-letter queue: what nobody fetched in time is of no use to an operator either.
            return QueueSpec(
                name,
                {
                    "x-queue-type": "quorum",
                    "x-message-ttl": SMPP_KEPT_SECONDS * 1000,
                    "x-max-length-bytes": self._queue_max_bytes,
                    "x-overflow": "drop-head",
                    "x-delivery-limit": DELIVERY_LIMIT,
                    # Goes by itself some time after the account that it belonged to.
                    "x-expires": 2 * SMPP_KEPT_SECONDS * 1000,
                },
            )
        dead_letter = {
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": DEAD_QUEUE,
            # Every loss of a consumer counts as a delivery, and RabbitMQ 4 gives up after 20 of them.
            "x-delivery-limit": DELIVERY_LIMIT,
        }
        if name == RESULTS_QUEUE:
            return QueueSpec(name, {"x-queue-type": "quorum", **dead_letter})
        if name.startswith(DISPATCH_PREFIX):
            return QueueSpec(
                name,
                {
                    "x-queue-type": "quorum",
                    # Order, rate and window of a channel live in one consumer; the broker moves them when it dies.
                    "x-single-active-consumer": True,
                    "x-max-length-bytes": self._queue_max_bytes,
                    "x-overflow": "reject-publish",
                    **dead_letter,
                },
            )
        raise ValueError(f"no such queue: {name}")

    async def declare(self, channel: AbstractChannel, name: str) -> aio_pika.abc.AbstractQueue:
        """Declare one queue (idempotent)."""
        spec = self.spec(name)
        return await channel.declare_queue(spec.name, durable=True, arguments=spec.arguments, timeout=10)

    async def declare_fixed(self, channel: AbstractChannel) -> None:
        """Declare the queues that exist whatever channels there are."""
        for name in (DEAD_QUEUE, RESULTS_QUEUE):
            await self.declare(channel, name)


class Outgoing(msgspec.Struct, frozen=True):
    """One body for one queue; `message_id` is the event id consumers are idempotent by."""

    queue: str
    body: bytes
    message_id: str


class Refused(msgspec.Struct, frozen=True):
    """A publish the broker did not take, and why: `full`, or `no_queue` while its consumer never ran."""

    index: int
    reason: str


class unavailable_broker:  # noqa: N801 - a context manager used like a function
    """Turns whatever aio-pika raises when RabbitMQ is away into `Unavailable`.

    That includes a `CancelledError` nobody asked for: a connection that dies while a call waits cancels the call's
    future, and taken for a cancellation of our own it would end a task that was meant to live for ever.
    """

    def __init__(self, detail: str = "RabbitMQ is not reachable; will try again.") -> None:
        self._detail = detail

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: object) -> None:
        task = asyncio.current_task()
        stray = isinstance(error, asyncio.CancelledError) and task is not None and not task.cancelling()
        if stray or isinstance(error, BROKER_ERRORS):
            raise Unavailable(self._detail, retry_after=1.0) from error


class Publisher:
    """Publishes persistent, mandatory, confirmed messages. It declares no queue: whoever consumes one does.

    Not a pool and not robust on purpose: after any failure of the connection the next call opens a new one, and the
    caller decides how long to wait between calls.
    """

    def __init__(self, url: str, *, name: str, confirm_timeout: float = 10.0) -> None:
        self._url = url
        self._name = name
        self._timeout = confirm_timeout
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._opening = asyncio.Lock()

    async def publish(self, messages: Iterable[Outgoing]) -> list[Refused]:
        """Publish all, wait for all confirms; returns those the broker refused one by one.

        Raises `Unavailable` when the broker cannot be reached or does not confirm in time: each message may then be
        stored or not, so the same call is made again later and consumers drop the repetition.
        """
        outgoing = list(messages)
        try:
            with unavailable_broker():
                async with asyncio.timeout(self._timeout):
                    channel = await self._open()
                    outcomes = await asyncio.gather(
                        *(self._publish_one(channel, message) for message in outgoing), return_exceptions=True
                    )
        except Unavailable:
            await self.close()
            raise
        refused: list[Refused] = []
        for index, outcome in enumerate(outcomes):
            if isinstance(outcome, DeliveryError):
                refused.append(Refused(index, "no_queue" if isinstance(outcome, PublishError) else "full"))
            elif isinstance(outcome, BaseException):
                await self.close()
                raise Unavailable("RabbitMQ did not confirm; will try again.", retry_after=1.0) from outcome
        return refused

    @staticmethod
    async def _publish_one(channel: AbstractChannel, message: Outgoing) -> None:
        body = aio_pika.Message(
            message.body,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=message.message_id,
            content_type="application/msgpack",
        )
        await channel.default_exchange.publish(body, routing_key=message.queue, mandatory=True)

    async def _open(self) -> AbstractChannel:
        async with self._opening:
            if self._channel is not None and not self._channel.is_closed:
                return self._channel
            await self.close()
            self._connection = await connect_broker(self._url, name=self._name, seconds=self._timeout)
            self._channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
            return self._channel

    async def close(self) -> None:
        """Close the connection, if any."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            await _quietly(connection.close)


async def _quietly(close: Callable[[], Any]) -> None:
    with suppress(Unavailable), unavailable_broker():
        async with asyncio.timeout(3):
            await close()
