"""One operator account (an SMPP channel): its binds, its rate, its messages in memory."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import msgspec
from aio_pika.abc import AbstractIncomingMessage

from app.domain.channels.directory import ChannelRecord
from app.domain.channels.states import ChannelStatus
from app.domain.messages.events import DispatchMessage, Lane, decode_dispatch
from app.domain.messages.handover import Claim, Handover, Verdict
from app.lib.broker import Publisher
from app.lib.errors import Unavailable
from app.lib.ids import NewId
from app.lib.logging import get_logger
from app.lib.service import backoff
from app.lib.tasks import end_tasks
from connectors.smpp.config import SmppConfig, SmppCredentials
from smpp_daemon import metrics, outcomes
from smpp_daemon.backlog import Backlog, Item
from smpp_daemon.bind import BindKeeper, Links
from smpp_daemon.bind_health import BindState
from smpp_daemon.bind_set import BindSet
from smpp_daemon.bridge import BrokerLink, DispatchConsumer, acknowledge, dead_letter, hand_back
from smpp_daemon.claims import Claimer, ahead, set_size, worth_claiming
from smpp_daemon.control import Control
from smpp_daemon.health import AccountState, account_health, account_state
from smpp_daemon.history import Trend
from smpp_daemon.inbound import InboundReader
from smpp_daemon.inbox import Inbox
from smpp_daemon.line import Line
from smpp_daemon.multi import Many, apart
from smpp_daemon.pace import Counters, limits, throttle_of
from smpp_daemon.pool import choose
from smpp_daemon.probe import Probes, Token
from smpp_daemon.protocol.events import (
    AlertReceived,
    BindFailed,
    Bound,
    DeliverReceived,
    EnquireLatency,
    Event,
    LateAnswer,
    PeerUnbound,
    ProtocolViolation,
    RequestAnswered,
    RequestExpired,
    SubmitAnswered,
    SubmitExpired,
    Unanswered,
)
from smpp_daemon.reporter import Confirmed, Reporter
from smpp_daemon.requests import Pending, settle
from smpp_daemon.submission import SubmissionEncoder, UnsendableError
from smpp_daemon.trace import Tap
from smpp_daemon.transport import Connection

log = get_logger(__name__)

FLUSH_SECONDS = 5.0
LAST_SECONDS = 2.0
"""How long each of the last steps may wait for RabbitMQ or PostgreSQL when the account ends and they are away."""

REDELIVER_SECONDS = 600.0
"""A batch that takes longer than this is delivered anew, because RabbitMQ closes channels over old deliveries."""


class Shared(msgspec.Struct, frozen=True):
    """What all accounts of a process use."""

    handover: Handover
    publisher: Publisher
    link: BrokerLink
    new_id: NewId
    links: Links
    wall: Callable[[], float] = time.time


class OperatorAccount:
    """Runs from `start` to `stop`. `changed` is called whenever its state or a bind's may have changed.

    The order of things that keeps messages from being lost or sent twice: delivered → claimed (one committed row each)
    → written → answered → result confirmed by RabbitMQ → delivery acknowledged.
    """

    def __init__(
        self, record: ChannelRecord, credentials: SmppCredentials, shared: Shared, changed: Callable[[], None]
    ) -> None:
        config = record.config
        assert isinstance(config, SmppConfig)
        loop = asyncio.get_running_loop()
        self.record = record
        self.config = config
        self.credentials = credentials
        self.control = Control()
        self.counters = Counters()
        self.trend = Trend(shared.wall())
        self.tap = Tap(str(record.id), lambda: self.record.name, shared.wall)
        self.throttle = throttle_of(record.rate_per_second, record.burst, loop.time())
        self._shared = shared
        self._loop = loop
        self._changed = changed
        self._held = False
        self._stopping = False
        self._giving_back = asyncio.Lock()
        self._encoder = SubmissionEncoder(config, shared.wall)
        self._backlog: Backlog[AbstractIncomingMessage] = Backlog()
        self._reporter = Reporter(shared.publisher, record.account_id, record.id, shared.new_id, self._confirmed)
        self._inbox = Inbox(config, self._reporter, self.counters, loop, shared.wall, shared.new_id)
        self.probes = Probes(loop, self._inbox.forward)
        self._inbox.intercept = self.probes.takes
        self._line = Line(
            loop,
            self.throttle,
            self.counters,
            connections=self._senders,
            blocked=self._blocked,
            report=self._reporter.result,
            report_sent=self._reporter.sent,
            wall=shared.wall,
            on_unknown=config.on_unknown,
        )
        self._configure_line(config)
        self._claimer = Claimer(
            shared.handover, record.account_id, record.id, self._next_set, self._claimed, self._backlog.put_back
        )
        self._consumer = DispatchConsumer(shared.link, record.id, self._delivered, self._channel_lost)
        self.binds = BindSet(str(record.id), self, changed, shared.links)
        self._keepers = self.binds.keepers
        self._follow_again = asyncio.Event()
        self._drained = asyncio.Event()
        self._acking: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._unlisten: Callable[[], None] | None = None

    # -- what others see ------------------------------------------------------------------------------------------

    @property
    def id(self) -> UUID:
        """The channel's id."""
        return self.record.id

    @property
    def keepers(self) -> Sequence[BindKeeper]:
        """Its binds."""
        return self._keepers

    @property
    def in_flight(self) -> int:
        """Requests that wait for an answer."""
        return sum(connection.in_flight for connection in self._connections())

    @property
    def in_memory(self) -> int:
        """Messages taken from RabbitMQ whose outcome is not published."""
        return len(self._backlog)

    @property
    def oldest_at(self) -> float | None:
        """When the oldest of them was put into its queue, in seconds since 1970."""
        return self._backlog.oldest_at

    @property
    def unpublished(self) -> int:
        """Results, receipts and inbound messages that RabbitMQ has not confirmed."""
        return self._reporter.pending

    @property
    def state(self) -> AccountState:
        """As it is reported for the channel."""
        return account_state(self.config, [keeper.health() for keeper in self._keepers])

    def health(self) -> dict[str, Any]:
        """The channel's public health."""
        health = account_health(self.config, [keeper.health() for keeper in self._keepers], self.throttle, self._held)
        told = self.control.in_words()
        return health if told is None else health | {"detail": told}

    # -- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect, and take messages once a bind can send."""
        self._tasks = [
            asyncio.create_task(self._reporter.run(), name=f"results-{self.id}"),
            asyncio.create_task(self._claimer.run(), name=f"claims-{self.id}"),
            asyncio.create_task(self._follow(), name=f"messages-{self.id}"),
            asyncio.create_task(self._tick(), name=f"tick-{self.id}"),
        ]
        self._unlisten = self._shared.link.listen(self._follow_again.set)
        self.binds.apply(self.config, self.credentials)

    async def stop(self, drain_seconds: float) -> None:
        """Take nothing more, wait for answers, tell what is known, hand back the rest, unbind."""
        self._stopping = True
        await self.binds.freeze()
        if self._unlisten is not None:
            self._unlisten()
        await self._consumer.cancel()
        if not await self._drain(drain_seconds):
            log.warning("answers did not come in time", channel_id=str(self.id), messages=self.in_flight)
        # Receipts are answered before the session ends, or the operator sends them again.
        await self._reporter.flush(LAST_SECONDS)
        await self.binds.stop()
        await self._give_back()
        await asyncio.gather(*self._acking, return_exceptions=True)
        await self._consumer.close()
        await end_tasks(*self._tasks)

    async def update(self, record: ChannelRecord, credentials: SmppCredentials) -> None:
        """Take what the owner changed: in place what can be, with new sessions what must be."""
        config = record.config
        assert isinstance(config, SmppConfig)
        self.record, self.config, self.credentials = record, config, credentials
        self.throttle.set_rate(*limits(record.rate_per_second, record.burst), self._loop.time())
        self._encoder = SubmissionEncoder(config, self._shared.wall)
        self._inbox.reader = InboundReader(config)
        self._configure_line(config)
        if not self._stopping:
            self.control.forget_overrides()
            self.binds.apply(config, credentials)
            if record.status is ChannelStatus.CONNECTING:
                # The owner changed the link, or asked for another try.
                self.binds.try_now()
        self._line.pump()
        self._claimer.wake()

    def hold(self, held: bool) -> None:
        """While the lease is in doubt nothing is sent; sessions stay."""
        if held is not self._held:
            self._held = held
            self._changed()
            self._go_on()

    # -- what an operator of ours tells it (smppctl) ----------------------------------------------------------------

    def reconsider(self) -> None:
        """`control` or a bind was changed: take or hand back messages accordingly, and go on."""
        self._changed()
        self._follow_again.set()
        if not self._stopping and self._can_send():
            self._drained.set()
        self._go_on()

    def bodies(self, message: DispatchMessage) -> list[bytes]:
        """The submit_sm bodies of a message on this channel. Raises `UnsendableError`."""
        return self._encoder.bodies(message)

    def sender_with_room(self, parts: int) -> Connection | None:
        """A session that takes so many PDUs at once now."""
        return choose(self._senders(), parts)

    # -- transport.Owner ------------------------------------------------------------------------------------------

    def received(self, connection: Connection, events: list[Event]) -> None:
        """The hot path: every event of every session comes through here."""
        if self.probes.unanswered:
            events = self.probes.sift(events)
        answers: list[SubmitAnswered] = []
        for event in events:
            kind = type(event)
            if kind is SubmitAnswered:
                answers.append(event)  # type: ignore[arg-type]
            elif kind is DeliverReceived:
                self._inbox.received(connection, event)  # type: ignore[arg-type]
            else:
                self._seldom(connection, event)
        if answers and not self._line.answered(answers):
            connection.close("the operator says that the bind does not allow submit_sm")
        self._go_on()

    def writable(self, connection: Connection) -> None:
        """The operator reads again."""
        self._line.pump()

    def lost(self, connection: Connection, unanswered: list[Unanswered], reason: str) -> None:
        """A session is over."""
        for request in apart(settle(unanswered)):
            if isinstance(request.token, Token):
                request.token.probe.answer(request.token.index, None, "", None)
            else:
                self._line.unanswered(request)
        self._line.lost_connection(connection)
        for keeper in self._keepers_of(connection):
            keeper.ended()
        self._follow_again.set()
        self._go_on()

    # -- inside ---------------------------------------------------------------------------------------------------

    def _seldom(self, connection: Connection, event: Event) -> None:
        match event:
            case SubmitExpired(Token() as token, _):
                token.probe.answer(token.index, None, "", None)
            case LateAnswer(Token()):
                log.info("late answer to a test message", channel_id=str(self.id))
            case RequestAnswered(Pending() as pending) | RequestExpired(Pending() as pending):
                pending.settle(event)
            case RequestAnswered(Many() as many):
                self._line.answered(many.answered(event))
            case RequestExpired(Many() as many):
                for each in many.expired(event):
                    self._line.expired(each)
            case AlertReceived(pdu):
                self._inbox.alert(pdu)
            case SubmitExpired():
                self._line.expired(event)
            case LateAnswer():
                self._line.late(event)
            case Bound() | BindFailed() | PeerUnbound() | EnquireLatency():
                for keeper in self._keepers_of(connection):
                    keeper.observe(event)
                if isinstance(event, Bound):
                    self._follow_again.set()
            case ProtocolViolation(detail, command, _, answered):
                metrics.violations.inc()
                log.warning(
                    "protocol violation", channel_id=str(self.id), detail=detail, command=command, answered=answered
                )
            case _:
                log.debug("event", channel_id=str(self.id), event_type=type(event).__name__)

    def _configure_line(self, config: SmppConfig) -> None:
        self._line.on_unknown = config.on_unknown
        self._line.statuses = outcomes.Statuses(config.status_classes)
        self._line.multi = config.submit_multi

    def _go_on(self) -> None:
        self._line.pump()
        self._claimer.wake()
        if not self.in_flight and (self._stopping or self._giving_back.locked()):
            self._drained.set()

    async def _drain(self, seconds: float) -> bool:
        """Wait until nothing waits for an answer, while nothing more is written; whether it came to that."""
        self._drained.clear()
        if not self.in_flight:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._drained.wait()
        except TimeoutError:
            return False
        return True

    def _keepers_of(self, connection: Connection) -> list[BindKeeper]:
        return [keeper for keeper in self._keepers if keeper.connection is connection]

    def _connections(self) -> list[Connection]:
        return [keeper.connection for keeper in self._keepers if keeper.connection is not None]

    def _senders(self) -> list[Connection]:
        return [keeper.connection for keeper in self._keepers if keeper.connection is not None and not keeper.paused]

    def _can_send(self) -> bool:
        return self.control.sends and any(connection.can_send for connection in self._senders())

    def _blocked(self) -> bool:
        return self._stopping or self._held or self.control.stops or self._giving_back.locked() or self._reporter.full

    # claims: Backlog → Line

    def _next_set(self) -> list[Item]:
        if self._blocked() or not self._can_send():
            return []
        windows = sum(connection.session.link.window.limit for connection in self._connections())
        size = set_size(self.throttle.current_rate, windows, self.counters.last_second(self._loop.time()))
        room = {lane: ahead(size) - self._line.waiting(lane) - self._claimer.claiming(lane) for lane in Lane}
        # What is claimed of one lane never keeps the other from being claimed.
        high = worth_claiming(size, room[Lane.HIGH], self._backlog.waiting(Lane.HIGH))
        bulk = worth_claiming(size, room[Lane.BULK], self._backlog.waiting(Lane.BULK))
        return self._backlog.take(high, min(size - high, bulk))

    def _claimed(self, items: list[Item], claims: list[Claim]) -> None:
        at = self._shared.wall()
        nothing_to_do: list[Item] = []
        bodies, append = self._encoder.bodies, self._line.append
        for item, claim in zip(items, claims, strict=True):
            verdict = claim.verdict
            if verdict is Verdict.CLAIMED:
                try:
                    item.prepare(bodies(item.message))
                except UnsendableError as error:
                    self._reporter.result(outcomes.unsendable(item, str(error), at), item)
                else:
                    append(item)
            elif verdict is Verdict.EXPIRED:
                self._reporter.result(outcomes.expired(item, at), item)
            elif verdict is Verdict.TAKEN:
                # Claimed by a process that is gone: this one's own messages are in the backlog only once.
                self.counters.unknown += 1
                metrics.unknown.inc()
                self._reporter.result(outcomes.taken(item, self.config.on_unknown, at), item)
            else:
                nothing_to_do.append(item)
        if nothing_to_do:
            self._reporter.settled(nothing_to_do)
        self._line.pump()

    # RabbitMQ → Backlog

    def _delivered(self, delivery: AbstractIncomingMessage) -> None:
        try:
            event = decode_dispatch(delivery.body)
        except msgspec.DecodeError:
            log.exception("unreadable dispatch batch", channel_id=str(self.id))
            self._later(dead_letter(delivery))
            return
        if event.channel_id != self.id or event.account_id != self.record.account_id:
            log.error("dispatch batch of another channel", channel_id=str(self.id), event_id=str(event.event_id))
            self._later(dead_letter(delivery))
            return
        if not self._backlog.add(event, delivery, self._loop.time()):
            self._later(acknowledge([delivery]))
        self._claimer.wake()

    def _channel_lost(self) -> None:
        self._backlog.forget_deliveries()
        self._follow_again.set()

    def _later(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._acking.add(task)
        task.add_done_callback(self._acking.discard)

    async def _confirmed(self, confirmed: Confirmed) -> None:
        deliveries = self._backlog.done(confirmed.items)
        self._inbox.answer(confirmed.owed)
        if deliveries:
            self._later(acknowledge(deliveries))
        self._go_on()

    async def _follow(self) -> None:
        """Consume while a bind can send; hand back what is held when none can."""
        failures = 0
        while True:
            await self._follow_again.wait()
            self._follow_again.clear()
            if self._stopping:
                continue
            if self._can_send() and not self._consumer.consuming:
                try:
                    await self._consumer.start()
                    failures = 0
                except Unavailable as error:
                    failures += 1
                    if self._shared.link.connected:
                        log.warning("no messages", channel_id=str(self.id), reason=error.detail)
                    self._loop.call_later(backoff(failures, most=5.0), self._follow_again.set)
                # The bind may have gone meanwhile.
                if not self._can_send():
                    self._follow_again.set()
            elif not self._can_send() and self._consumer.consuming:
                await self._consumer.cancel()
                await self._give_back()
                self._follow_again.set()

    async def _give_back(self) -> None:
        """Undo the claims of what was never written and return it to RabbitMQ, unless the channel is gone.

        Results are confirmed first, so that whoever gets the batch next finds its other messages settled. Goes on until
        it is done or a bind can send again; when the account ends, each step is tried once.
        """
        async with self._giving_back:
            if self.in_flight and not self._stopping:
                # Paused by hand, with sessions that are up: a batch goes back only once its answers are here.
                await self._drain(self.config.response_timeout_seconds)
            await self._claimer.quiet()
            claimed = self._line.withdraw()
            while claimed:
                left = await self._claimer.release(claimed, LAST_SECONDS if self._stopping else FLUSH_SECONDS)
                self._backlog.put_back(claimed[: len(claimed) - len(left)])
                claimed = left
                if self._stopping:
                    break
            while self._consumer.open and (self._stopping or not self._can_send()):
                if await self._reporter.flush(LAST_SECONDS if self._stopping else FLUSH_SECONDS):
                    await hand_back(self._backlog.give_back())
                    break
                if self._stopping:
                    break
        self._go_on()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self._inbox.tick()
            bound = any(keeper.state is BindState.BOUND for keeper in self._keepers)
            self.trend.sample(self._shared.wall(), self.counters.totals(), bound=bound)
            stale = self._backlog.stale_deliveries(self._loop.time() - REDELIVER_SECONDS)
            if stale:
                await hand_back(stale)
