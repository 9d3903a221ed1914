"""RabbitMQ → accounts: one AMQP connection for the process, one channel with two consumers for each account.

Plain connections on purpose: what a "robust" one restores by itself (consumers, unacknowledged deliveries) is exactly
what an account must decide about.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from uuid import UUID

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aiormq.exceptions import ChannelInvalidStateError

from app.domain.messages.events import Lane
from app.lib.broker import Topology, connect_broker, dispatch_queue, unavailable_broker
from app.lib.errors import Unavailable
from app.lib.logging import get_logger
from app.lib.service import backoff

log = get_logger(__name__)

CONNECT_SECONDS = 10.0
CALL_SECONDS = 10.0
PREFETCH = {Lane.HIGH: 20, Lane.BULK: 8}
"""Deliveries (batches of up to 500) in hand for each lane."""


class BrokerLink:
    """The connection of this process's consumers; made again, with growing waits, for as long as `run` runs."""

    def __init__(self, url: str, topology: Topology, *, name: str) -> None:
        self.topology = topology
        self._url = url
        self._name = name
        self._connection: AbstractConnection | None = None
        self._listeners: set[Callable[[], None]] = set()

    @property
    def connected(self) -> bool:
        """Whether channels can be opened."""
        return self._connection is not None and not self._connection.is_closed

    def listen(self, connected: Callable[[], None]) -> Callable[[], None]:
        """Have `connected` called after each (re)connection; returns what ends that."""
        self._listeners.add(connected)
        return lambda: self._listeners.discard(connected)

    async def channel(self) -> AbstractChannel:
        """A new channel. Raises `Unavailable`."""
        if self._connection is None or self._connection.is_closed:
            raise Unavailable("RabbitMQ is not reachable.", retry_after=1.0)
        with unavailable_broker():
            return await self._connection.channel(publisher_confirms=False)

    async def run(self) -> None:
        """Keep the connection up until cancelled."""
        failures = 0
        while True:
            try:
                with unavailable_broker():
                    self._connection = await connect_broker(self._url, name=self._name, seconds=CONNECT_SECONDS)
                closed = asyncio.Event()
                self._connection.close_callbacks.add(lambda *_, closed=closed: closed.set())
                failures = 0
                for listener in tuple(self._listeners):
                    listener()
                await closed.wait()
                log.warning("connection to RabbitMQ lost")
            except Unavailable as error:
                log.warning("RabbitMQ is not reachable", cause=repr(error.__cause__))
            self._connection = None
            failures += 1
            await asyncio.sleep(backoff(failures, most=5.0))

    async def close(self) -> None:
        """Close the connection; what is unacknowledged goes back to the queues."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Unavailable), unavailable_broker():
                async with asyncio.timeout(CALL_SECONDS):
                    await connection.close()


class DispatchConsumer:
    """The two consumers of one account. `received` gets each delivery, `lost` is called when the channel is gone."""

    def __init__(
        self,
        link: BrokerLink,
        channel_id: UUID,
        received: Callable[[AbstractIncomingMessage], None],
        lost: Callable[[], None],
    ) -> None:
        self._link = link
        self._channel_id = channel_id
        self._received = received
        self._lost = lost
        self._channel: AbstractChannel | None = None
        self._consuming: list[tuple[aio_pika.abc.AbstractQueue, str]] = []

    @property
    def open(self) -> bool:
        """Whether deliveries of the current channel can still be acknowledged."""
        return self._channel is not None

    @property
    def consuming(self) -> bool:
        """Whether new deliveries may come."""
        return bool(self._consuming)

    async def start(self) -> None:
        """Consume from both lanes. Raises `Unavailable`; then nothing is consumed."""
        try:
            with unavailable_broker("The channel's queues cannot be consumed from; will try again."):
                async with asyncio.timeout(CALL_SECONDS):
                    await self._begin()
        except Unavailable:
            await self.close()
            raise

    async def _begin(self) -> None:
        channel = self._channel
        if channel is None:
            channel = await self._link.channel()
            await self._watch(channel)
        for lane in Lane:
            queue = await self._link.topology.declare(channel, dispatch_queue(self._channel_id, lane.value))
            # Prefetch counts for the consumers that begin after it.
            await channel.set_qos(PREFETCH[lane])
            tag = await queue.consume(self._on_message)
            self._consuming.append((queue, tag))

    async def cancel(self) -> None:
        """Let nothing more come; what was delivered can still be acknowledged or handed back."""
        consuming, self._consuming = self._consuming, []
        try:
            with unavailable_broker():
                async with asyncio.timeout(CALL_SECONDS):
                    for queue, tag in consuming:
                        await queue.cancel(tag)
        except Unavailable:
            await self.close()

    async def close(self) -> None:
        """Close the channel: every delivery that was not acknowledged goes back to its queue."""
        channel, self._channel = self._channel, None
        self._consuming.clear()
        if channel is not None:
            with suppress(Unavailable), unavailable_broker():
                async with asyncio.timeout(CALL_SECONDS):
                    await channel.close()

    async def _watch(self, channel: AbstractChannel) -> None:
        self._channel = channel
        closing: list[asyncio.Task[None]] = []

        def gone(*_: object) -> None:
            if self._channel is channel:
                self._channel = None
                self._consuming.clear()
                self._lost()

        def cancelled(_: object) -> None:
            # The broker ended a consumer, because its queue was deleted or its node left: begin anew, or nothing
            # would ever come again.
            closing.append(asyncio.ensure_future(channel.close()))

        channel.close_callbacks.add(gone)
        (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(cancelled)

    async def _on_message(self, message: AbstractIncomingMessage) -> None:
        self._received(message)


async def acknowledge(deliveries: Iterable[AbstractIncomingMessage]) -> None:
    """Acknowledge; a delivery of a channel that is gone will come again, which does no harm."""
    with suppress(Unavailable), unavailable_broker():
        async with asyncio.timeout(CALL_SECONDS):
            for delivery in deliveries:
                with suppress(ChannelInvalidStateError):
                    await delivery.ack()


async def hand_back(deliveries: Iterable[AbstractIncomingMessage]) -> None:
    """Put deliveries back into their queue, at their old places."""
    with suppress(Unavailable), unavailable_broker():
        async with asyncio.timeout(CALL_SECONDS):
            for delivery in deliveries:
                with suppress(ChannelInvalidStateError):
                    await delivery.nack(requeue=True)


async def dead_letter(delivery: AbstractIncomingMessage) -> None:
    """Nobody can read it: to the queue an operator looks at."""
    with suppress(Unavailable), unavailable_broker():
        async with asyncio.timeout(CALL_SECONDS):
            await delivery.reject(requeue=False)
