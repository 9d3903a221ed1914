"""Sends through the connectors that work over HTTP (and the sandbox): one consumer for each channel and lane."""

import asyncio
import time
from collections.abc import Sequence
from uuid import UUID

import msgspec
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitMessage
from faststream.rabbit.subscriber import RabbitSubscriber

import connectors.registry
from app.domain.channels.directory import ChannelDirectory, ChannelRecord
from app.domain.messages.events import (
    DispatchBatch,
    DispatchMessage,
    Failure,
    Inbound,
    Lane,
    Outcome,
    Receipt,
    ReceiptStatus,
    ResultBatch,
    SubmitResult,
    SubmittedPart,
    decode_dispatch,
    encode,
)
from app.domain.messages.handover import Claim, ClaimInDoubt, Doubt, Handover, Verdict
from app.lib.broker import RESULTS_QUEUE, Outgoing, Publisher, Topology, dispatch_queue
from app.lib.db import Database
from app.lib.errors import Unavailable
from app.lib.ids import NewId
from app.lib.logging import get_logger
from app.lib.metrics import dispatched
from app.lib.service import Stop, backoff
from app.workers.topology import as_it_is, declare_one_by_one, rabbit_queue
from connectors.contract import (
    ChannelError,
    OutcomeUnknownError,
    SendError,
    SendingChannel,
    SendRequest,
    SendResult,
)
from connectors.contract import Outcome as SendOutcome

log = get_logger(__name__)

CLAIM_SIZE = 100
"""Messages claimed at once: so many at most become `unknown` when this process is killed."""

SEND_SECONDS = 35.0
"""Deadline of one call of a connector."""

POLL_SECONDS = 5.0

PAUSED_SECONDS = 0.2
"""How often a batch whose channel was paused looks whether its queue is left alone by now."""


class Dispatcher:
    """Keeps one subscriber for each lane of each channel that this worker may send for."""

    def __init__(
        self,
        broker: RabbitBroker,
        url: str,
        topology: Topology,
        publisher: Publisher,
        directory: ChannelDirectory,
        database: Database,
        handover: Handover,
        new_id: NewId,
        stop: Stop,
    ) -> None:
        self._broker = broker
        self._url = url
        self._topology = topology
        self._publisher = publisher
        self._directory = directory
        self._database = database
        self._handover = handover
        self._new_id = new_id
        self._stop = stop
        self._subscribers: dict[str, RabbitSubscriber] = {}

    async def run(self, lost: asyncio.Event) -> None:
        """Follow the channels until the process stops or the connection is `lost`.

        New channels are served within seconds, paused ones left alone. Raises what aio-pika raises.
        """
        changed = asyncio.Event()
        unsubscribe = self._directory.subscribe(lambda _: changed.set())
        lost_watch = asyncio.create_task(_forward(lost, changed))
        try:
            while not self._stop.requested and not lost.is_set():
                changed.clear()
                try:
                    await self._follow(await self._wanted())
                except Unavailable as error:
                    log.warning("cannot follow the channels", reason=error.detail)
                await self._stop.wait_or(changed, POLL_SECONDS)
        finally:
            lost_watch.cancel()
            unsubscribe()

    async def _wanted(self) -> dict[str, UUID]:
        # What is still queued for a deleted channel is failed here, whoever used to send for it.
        channels = await self._directory.recently_deleted()
        for connector in connectors.registry.connectors():
            if connector.send is not None:
                channels += [each for each in await self._directory.of_type(connector.type) if not each.paused]
        return {dispatch_queue(channel.id, lane.value): channel.id for channel in channels for lane in Lane}

    async def _follow(self, wanted: dict[str, UUID]) -> None:
        for name in self._subscribers.keys() - wanted.keys():
            await _end(self._subscribers.pop(name))
        new = wanted.keys() - self._subscribers.keys()
        if new:
            await declare_one_by_one(self._database, self._url, self._topology, sorted(new))
        for name in new:
            subscriber = self._broker.subscriber(
                rabbit_queue(self._topology.spec(name)),
                channel=Channel(prefetch_count=2),
                ack_policy=AckPolicy.MANUAL,
                decoder=as_it_is,
                persistent=False,
            )
            subscriber(self._consume)
            self._subscribers[name] = subscriber
            await subscriber.start()

    async def _consume(self, message: RabbitMessage) -> None:
        try:
            batch = decode_dispatch(message.body)
        except msgspec.DecodeError:
            log.exception("unreadable dispatch batch")
            await message.reject(requeue=False)
            return
        queue = dispatch_queue(batch.channel_id, batch.lane.value)
        failures, begin = 0, 0
        while not self._stop.requested:
            try:
                await self._send(batch, begin)
            except _PausedError as paused:
                begin = paused.position
                if queue not in self._subscribers:
                    # The rest waits there: what was sent of it is known by its claims.
                    break
                await self._stop.wait(PAUSED_SECONDS)
            except Unavailable as error:
                failures += 1
                wait = backoff(failures, most=5.0)
                log.warning("cannot send", reason=error.detail, retry_in=round(wait, 2))
                await self._stop.wait(wait)
            else:
                await message.ack()
                return
        await message.nack(requeue=True)

    async def _send(self, batch: DispatchBatch, begin: int) -> None:
        for start in range(begin, len(batch.messages), CLAIM_SIZE):
            # Asked again each time: a large batch to a slow provider must not outlast a pause by minutes.
            channel = await self._directory.get(batch.account_id, batch.channel_id)
            if channel is not None and channel.paused and not channel.deleted:
                raise _PausedError(start)
            await self._send_some(batch, channel, batch.messages[start : start + CLAIM_SIZE])

    async def _send_some(
        self, batch: DispatchBatch, channel: ChannelRecord | None, messages: list[DispatchMessage]
    ) -> None:
        claims = await self._claim(batch, messages)
        now = time.time()
        results = [
            SubmitResult(
                claim.message.id,
                claim.message.attempt,
                Outcome.EXPIRED if claim.verdict is Verdict.EXPIRED else Outcome.UNKNOWN,
                now,
                failure=Failure("transient", "validity_expired", "The validity period ended before it could be sent.")
                if claim.verdict is Verdict.EXPIRED
                else None,
            )
            for claim in claims
            if claim.verdict in (Verdict.EXPIRED, Verdict.TAKEN)
        ]
        requests = [
            SendRequest(m.id, m.attempt, m.to, m.sender, m.text, m.validity_seconds)
            for m in (claim.message for claim in claims if claim.verdict is Verdict.CLAIMED)
        ]
        receipts: list[Receipt] = []
        inbound: list[Inbound] = []
        if requests:
            outcomes = await self._call(channel, requests)
            for request, outcome in zip(requests, outcomes, strict=True):
                results.append(_result(request, outcome))
                if isinstance(outcome, SendResult):
                    receipts += _receipts(request, outcome)
                    inbound += self._inbound(outcome)
                dispatched.labels(channel.type if channel else "deleted", results[-1].outcome.value).inc()
        await self._report(ResultBatch(self._new_id(), batch.account_id, batch.channel_id, results, receipts, inbound))

    async def _claim(self, batch: DispatchBatch, messages: list[DispatchMessage]) -> list[Claim]:
        doubt: Doubt | None = None
        failures = 0
        while True:
            try:
                return await self._handover.claim(batch.account_id, batch.channel_id, messages, doubt)
            except Unavailable as error:
                doubt = error.doubt if isinstance(error, ClaimInDoubt) else doubt
                if doubt is None or self._stop.requested:
                    raise
                failures += 1
                await self._stop.wait(backoff(failures, most=5.0))

    async def _call(self, channel: ChannelRecord | None, requests: Sequence[SendRequest]) -> Sequence[SendOutcome]:
        connector = connectors.registry.get(channel.type) if channel is not None else None
        if channel is None or channel.deleted or connector is None or connector.send is None:
            return [_channel_gone() for _ in requests]
        try:
            credentials = await self._directory.credentials(channel)
            sending = SendingChannel(channel.id, channel.config, credentials)
            async with asyncio.timeout(SEND_SECONDS):
                return await connector.send(requests, sending)
        except TimeoutError:
            return [OutcomeUnknownError("deadline", "The provider did not answer in time.") for _ in requests]

    def _inbound(self, outcome: SendResult) -> list[Inbound]:
        return [
            Inbound(self._new_id().bytes, message.dedupe_key, message.sender, message.to, message.text, time.time())
            for message in outcome.inbound
        ]

    async def _report(self, report: ResultBatch) -> None:
        if not (report.results or report.receipts or report.inbound):
            return
        body = Outgoing(RESULTS_QUEUE, encode(report), str(report.event_id))
        failures = 0
        # The messages have left: whatever happens to RabbitMQ, their outcome is told as long as this process lives.
        while True:
            try:
                refused = await self._publisher.publish([body])
            except Unavailable:
                refused = []
            else:
                if not refused:
                    return
            failures += 1
            if await self._stop.wait(backoff(failures, most=5.0)):
                raise Unavailable("The process ends before the results could be reported.")


class _PausedError(Exception):
    """Nothing is to be sent for the channel of a batch for now; `position` is the first message that waits."""

    def __init__(self, position: int) -> None:
        super().__init__()
        self.position = position


async def _end(subscriber: RabbitSubscriber) -> None:
    """Stop consuming, and wait for what is being sent.

    RabbitMQ is told first: what it delivered to a subscriber that no longer runs would stay unsettled, and unsent, for
    as long as the connection lives.
    """
    queue, tag = subscriber._queue_obj, subscriber._consumer_tag
    if queue is not None and tag is not None and not queue.channel.is_closed:
        await queue.cancel(tag)
        subscriber._consumer_tag = None
    await subscriber.stop()


async def _forward(event: asyncio.Event, to: asyncio.Event) -> None:
    await event.wait()
    to.set()


def _channel_gone() -> SendError:
    return ChannelError("channel_deleted", "The channel was deleted before the message was sent.")


def _result(request: SendRequest, outcome: SendOutcome) -> SubmitResult:
    now = time.time()
    if isinstance(outcome, SendResult):
        parts = [SubmittedPart(n, provider_id) for n, provider_id in enumerate(outcome.provider_message_ids, 1)]
        return SubmitResult(request.message_id, request.attempt, Outcome.SENT, now, parts)
    if not outcome.outcome_known:
        verdict = Outcome.UNKNOWN
    else:
        verdict = Outcome.RETRY if outcome.retryable else Outcome.FAILED
    failure = Failure(outcome.kind.value, outcome.code, outcome.detail, outcome.provider_code)
    return SubmitResult(
        request.message_id, request.attempt, verdict, now, failure=failure, retry_after=outcome.retry_after
    )


def _receipts(request: SendRequest, outcome: SendResult) -> list[Receipt]:
    return [
        Receipt(
            receipt.provider_message_id,
            ReceiptStatus(receipt.status.value),
            time.time(),
            request.to,
            receipt.provider_status,
            receipt.provider_code,
        )
        for receipt in outcome.receipts
    ]
