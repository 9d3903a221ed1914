"""How much waits in RabbitMQ for each account, asked with passive declarations."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from uuid import UUID

from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelNotFoundEntity

from app.domain.messages.events import Lane
from app.lib.broker import dispatch_queue, unavailable_broker
from app.lib.errors import Unavailable
from app.lib.logging import get_logger
from smpp_daemon import metrics
from smpp_daemon.bind_health import moment
from smpp_daemon.bridge import BrokerLink
from smpp_daemon.reports import QueueStatus

log = get_logger(__name__)

LOOK_SECONDS = 30.0
"""How often the metrics look; an operator who asks sees at most `FRESH_SECONDS` old numbers."""

FRESH_SECONDS = 3.0
WAIT_SECONDS = 1.0
CALL_SECONDS = 10.0


class QueueDepths:
    """`run` until cancelled, for the metrics; `of` for whoever asks. `accounts` gives the channels of this process."""

    def __init__(self, link: BrokerLink, accounts: Callable[[], Iterable[UUID]], wall: Callable[[], float]) -> None:
        self._link = link
        self._accounts = accounts
        self._wall = wall
        self._known: dict[UUID, tuple[float, QueueStatus | None]] = {}
        self._looking = asyncio.Lock()

    async def of(self, channels: Iterable[UUID]) -> dict[UUID, QueueStatus | None]:
        """What waits for each channel; None while it is not known, because RabbitMQ is away or slow."""
        wanted = list(channels)
        old = self._wall() - FRESH_SECONDS
        if any(self._known.get(channel, (0.0, None))[0] < old for channel in wanted):
            with suppress(TimeoutError):
                async with asyncio.timeout(WAIT_SECONDS):
                    await self._look(wanted, old)
        return {channel: self._known[channel][1] for channel in wanted if channel in self._known}

    async def run(self) -> None:
        """Look now and then, and set the gauges."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            channels = list(self._accounts())
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._look(channels, self._wall() - FRESH_SECONDS)
            except TimeoutError:
                log.warning("RabbitMQ does not tell how much is queued")
            except Exception:
                log.exception("queues were not looked at")
            for gone in self._known.keys() - set(channels):
                del self._known[gone]
            self._measure()

    async def _look(self, channels: list[UUID], older_than: float) -> None:
        async with self._looking:
            due = [channel for channel in channels if self._known.get(channel, (0.0, None))[0] < older_than]
            amqp: AbstractChannel | None = None
            try:
                for channel in due:
                    if amqp is None or amqp.is_closed:
                        amqp = await self._link.channel()
                    self._known[channel] = (self._wall(), await self._depth(amqp, channel))
            except Unavailable:
                for channel in due:
                    self._known[channel] = (self._wall(), None)
            finally:
                if amqp is not None and not amqp.is_closed:
                    with suppress(Unavailable), unavailable_broker():
                        await amqp.close()

    async def _depth(self, amqp: AbstractChannel, channel_id: UUID) -> QueueStatus | None:
        ready = dict.fromkeys(Lane, 0)
        consumers = 0
        for lane in Lane:
            try:
                with unavailable_broker():
                    async with asyncio.timeout(CALL_SECONDS):
                        queue = await amqp.declare_queue(dispatch_queue(channel_id, lane.value), passive=True)
            except Unavailable as error:
                if isinstance(error.__cause__, ChannelNotFoundEntity):
                    # Not declared yet: whoever consumes it does that, and until then the outbox holds the messages.
                    return None
                raise
            result = queue.declaration_result
            ready[lane] = result.message_count or 0
            consumers += result.consumer_count or 0
        return QueueStatus(moment(self._wall()), ready[Lane.HIGH], ready[Lane.BULK], consumers)

    def _measure(self) -> None:
        seen = [queue for _, queue in self._known.values() if queue is not None]
        metrics.queue_messages.set(sum(queue.high + queue.bulk for queue in seen))
        metrics.queue_consumers.set(sum(queue.consumers for queue in seen))
        metrics.queues_unattended.set(sum(bool(queue.high + queue.bulk) and not queue.consumers for queue in seen))
