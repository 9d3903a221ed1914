"""What the receivers of one SMPP account get: from its queue to deliver_sm, acknowledged once they have taken it."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol
from uuid import UUID

import msgspec
from aio_pika.abc import AbstractIncomingMessage

from app.domain.smpp_accounts.events import SmppDelivery, decode_delivery, encode
from app.domain.smpp_accounts.schemas import BindSettings
from app.lib.broker import Outgoing as PublishedBody
from app.lib.broker import Publisher, smpp_queue, unavailable_broker
from app.lib.errors import Unavailable
from app.lib.ids import NewId
from app.lib.logging import get_logger
from app.lib.service import backoff
from smpp_daemon.bridge import CALL_SECONDS, BrokerLink, acknowledge
from smpp_daemon.protocol.errors import PduEncodeError
from smpp_daemon.protocol.status import RMSGQFUL, RSYSERR, RTHROTTLED, RX_T_APPN
from smpp_daemon.server import metrics
from smpp_daemon.server.queues import QueueDeclarer
from smpp_daemon.server.writing import Outgoing, inbound_pdus, receipt_pdu

log = get_logger(__name__)

PREFETCH = 5
"""Deliveries (of up to 100 receipts and messages) in hand."""

HELD_SECONDS = 600.0
"""How long a delivery may stay unacknowledged: RabbitMQ closes the channel of a consumer that keeps one for longer."""

LOOK_SECONDS = 30.0
FIRST_PAUSE_SECONDS = 1.0
MOST_PAUSE_SECONDS = 30.0
REMEMBERED = 1000
LATER = frozenset({RX_T_APPN, RMSGQFUL, RTHROTTLED, RSYSERR})
"""Answers to a deliver_sm after which it is sent again; after any other error it is not (SMPP 3.4 §5.1.3)."""


class Receiver(Protocol):
    """A bind that takes deliver_sm."""

    @property
    def room(self) -> int:
        """How many it takes now."""

    @property
    def interface_version(self) -> int | None:
        """What the application said in its bind."""

    def deliver(self, bodies: list[bytes], pieces: "list[Piece]") -> int:
        """Send as many as there is room for; how many those were."""


class _Parcel:
    """One delivery of RabbitMQ. `settled` outlives it: what was taken is not sent again when the rest comes again."""

    __slots__ = ("content", "delivery", "left", "received_at", "settled")

    def __init__(
        self,
        delivery: AbstractIncomingMessage,
        content: SmppDelivery,
        settled: set[int],
        left: int,
        received_at: float,
    ) -> None:
        self.delivery = delivery
        self.content = content
        self.settled = settled
        self.left = left
        self.received_at = received_at


class _Letter:
    """One receipt or message of a parcel. `left` counts its PDUs that nobody has taken."""

    __slots__ = ("index", "kind", "left", "parcel")

    def __init__(self, parcel: _Parcel, index: int, kind: str, left: int) -> None:
        self.parcel = parcel
        self.index = index
        self.kind = kind
        self.left = left


class Piece:
    """One deliver_sm on its way. `done` once it was answered for good, by whichever attempt."""

    __slots__ = ("done", "letter", "outgoing")

    def __init__(self, letter: _Letter, outgoing: Outgoing) -> None:
        self.letter = letter
        self.outgoing = outgoing
        self.done = False


class _Pause:
    """A receiver that asked to be left alone for a while."""

    __slots__ = ("refusals", "until")

    def __init__(self) -> None:
        self.until = 0.0
        self.refusals = 0


class Mailbox:
    """One for each account that is bound here. `run` as a task; after `stop`, what was not taken is in the queue again.

    It is not to be cancelled: that could leave a consumer behind, with deliveries that nobody sends. Consumes only
    while there is a receiver. `settings` gives the account's settings of the moment.
    """

    def __init__(
        self,
        link: BrokerLink,
        publisher: Publisher,
        queues: QueueDeclarer,
        smpp_account_id: UUID,
        settings: Callable[[], BindSettings],
        new_id: NewId,
    ) -> None:
        self._link = link
        self._publisher = publisher
        self._new_id = new_id
        self._queues = queues
        self._id = smpp_account_id
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._receivers: dict[Receiver, _Pause] = {}
        self._waiting: deque[Piece] = deque()
        self._parcels: set[_Parcel] = set()
        self._remembered: OrderedDict[UUID, set[int]] = OrderedDict()
        self._acknowledging: set[asyncio.Task[None]] = set()
        self._look = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._stopping = asyncio.Event()
        self._reference = 0

    @property
    def waiting(self) -> int:
        """PDUs that no receiver was sent yet."""
        return len(self._waiting)

    # -- receivers ------------------------------------------------------------------------------------------------

    def add(self, receiver: Receiver) -> None:
        """A receiver is bound."""
        self._receivers[receiver] = _Pause()
        self._look.set()
        self.pump()

    def remove(self, receiver: Receiver, unanswered: Iterable[Piece] = ()) -> None:
        """A receiver is gone; what it never answered is sent again, first of all."""
        if self._receivers.pop(receiver, None) is None:
            return
        self._waiting.extendleft(reversed([piece for piece in unanswered if self._is_ours(piece)]))
        self._look.set()
        self.pump()

    def answered(self, receiver: Receiver, piece: Piece, status: int) -> None:
        """A receiver answered, in time or late."""
        if piece.done:
            return
        pause = self._receivers.get(receiver)
        if status in LATER:
            self.postponed(receiver, piece)
            return
        if pause is not None:
            pause.refusals = 0
        piece.done = True
        if status:
            metrics.dropped.inc()
            log.warning("an application refused a receipt or message", smpp_account_id=str(self._id), status=status)
        letter = piece.letter
        letter.left -= 1
        if not letter.left:
            metrics.delivered.labels(letter.kind).inc()
            self._settle(letter)

    def postponed(self, receiver: Receiver, piece: Piece) -> None:
        """A receiver cannot take it now, or did not answer: it goes first, after a pause of that receiver."""
        if piece.done:
            return
        metrics.postponed.inc()
        pause = self._receivers.get(receiver)
        now = self._loop.time()
        if pause is not None and pause.until <= now:
            # The refusals of one window come together and count once.
            pause.until = now + min(MOST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(pause.refusals, 8))
            pause.refusals += 1
        if self._is_ours(piece):
            self._waiting.appendleft(piece)

    def pump(self) -> None:
        """Send what the receivers have room for."""
        now = self._loop.time()
        paused_until = None
        for receiver, pause in self._receivers.items():
            if pause.until > now:
                paused_until = pause.until if paused_until is None else min(paused_until, pause.until)
                continue
            if self._waiting and (room := receiver.room) > 0:
                self._send(receiver, room)
            if not self._waiting:
                break
        if self._waiting and paused_until is not None and self._timer is None:
            self._timer = self._loop.call_at(paused_until + 0.001, self._again)

    def _is_ours(self, piece: Piece) -> bool:
        # What went back to the queue comes again from there.
        return not piece.done and piece.letter.parcel in self._parcels

    def _again(self) -> None:
        self._timer = None
        self.pump()

    def _send(self, receiver: Receiver, room: int) -> None:
        pieces: list[Piece] = []
        while self._waiting and len(pieces) < room:
            piece = self._waiting.popleft()
            if not piece.done:
                pieces.append(piece)
        version = receiver.interface_version
        sent = receiver.deliver([piece.outgoing.for_version(version) for piece in pieces], pieces)
        self._waiting.extendleft(reversed(pieces[sent:]))

    # -- the queue ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Declare the queue, and consume from it while there is a receiver, until `stop`."""
        failures = 0
        declared = False
        try:
            while not self._stopping.is_set():
                try:
                    # Even for an account that only sends: without a queue its receipts would stay in the outbox.
                    if self._receivers or not declared:
                        await self._consume()
                        declared = True
                        failures = 0
                    if not self._receivers and not self._stopping.is_set():
                        await self._look.wait()
                        self._look.clear()
                except Unavailable as error:
                    failures += 1
                    if failures in (1, 10) or failures % 100 == 0:
                        log.warning("receipts wait", smpp_account_id=str(self._id), reason=error.detail)
                    await self._rest(failures)
                except Exception:
                    # A defect must not end the account's only consumer.
                    failures += 1
                    log.exception("receipts wait", smpp_account_id=str(self._id))
                    await self._rest(failures)
        finally:
            self._forget()
            if self._timer is not None:
                self._timer.cancel()

    async def _rest(self, failures: int) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(backoff(failures, most=5.0)):
                await self._stopping.wait()

    def stop(self) -> None:
        """End `run`, which takes as long as RabbitMQ takes to answer."""
        self._stopping.set()
        self._look.set()

    async def _consume(self) -> None:
        channel = await self._link.channel()
        closed = asyncio.Event()

        def ended(*_: object) -> None:
            closed.set()
            self._look.set()

        channel.close_callbacks.add(ended)
        try:
            with unavailable_broker():
                async with asyncio.timeout(CALL_SECONDS):
                    queue = await self._queues.declare(channel, smpp_queue(self._id))
                    if not self._is_wanted():
                        return
                    await channel.set_qos(PREFETCH)
                    underlay = await channel.get_underlay_channel()
                    underlay.on_consumer_cancel_callbacks.add(ended)
                    await queue.consume(self._on_message)
            while self._is_wanted() and not closed.is_set() and not self._is_stuck():
                self._look.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._look.wait()
            if closed.is_set():
                raise Unavailable("RabbitMQ ended the consumer.", retry_after=1.0)
        finally:
            await self._return_rests()
            # Everything that is not acknowledged goes back to the queue with its channel.
            if self._acknowledging:
                await asyncio.wait(self._acknowledging, timeout=CALL_SECONDS)
            self._forget()
            with suppress(Unavailable), unavailable_broker():
                async with asyncio.timeout(CALL_SECONDS):
                    await channel.close()

    async def _return_rests(self) -> None:
        """Put what is left of parcels that were begun into the queue as parcels of their own, and end those.

        Whoever serves the account next would otherwise send again what was taken here.
        """
        for parcel in [each for each in self._parcels if each.settled]:
            event_id = self._new_id()
            body = encode(_rest_of(parcel.content, parcel.settled, event_id))
            try:
                refused = await self._publisher.publish([PublishedBody(smpp_queue(self._id), body, str(event_id))])
            except Unavailable:
                return
            if not refused:
                await acknowledge([parcel.delivery])

    def _is_wanted(self) -> bool:
        return bool(self._receivers) and not self._stopping.is_set()

    def _is_stuck(self) -> bool:
        oldest = min((parcel.received_at for parcel in self._parcels), default=None)
        return oldest is not None and self._loop.time() - oldest > HELD_SECONDS

    def _forget(self) -> None:
        self._waiting.clear()
        self._parcels.clear()

    async def _on_message(self, message: AbstractIncomingMessage) -> None:
        try:
            delivery = decode_delivery(message.body)
            letters = self._open(delivery, message)
        except (msgspec.DecodeError, ValueError, PduEncodeError):
            log.exception("unreadable delivery for an application", smpp_account_id=str(self._id))
            self._acknowledge(message)
            return
        if not letters:
            self._acknowledge(message)
            return
        self._waiting.extend(letters)
        self.pump()

    def _open(self, delivery: SmppDelivery, message: AbstractIncomingMessage) -> list[Piece]:
        settled = self._remembered.setdefault(delivery.event_id, set())
        self._remembered.move_to_end(delivery.event_id)
        while len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)
        settings = self._settings()
        contents = [("receipt", [receipt_pdu(receipt)]) for receipt in delivery.receipts]
        for inbound in delivery.inbound:
            self._reference = (self._reference + 1) & 0xFF
            contents.append(("inbound", inbound_pdus(inbound, settings, self._reference)))
        left = [index for index in range(len(contents)) if index not in settled]
        parcel = _Parcel(message, delivery, settled, len(left), self._loop.time())
        pieces: list[Piece] = []
        for index in left:
            kind, parts = contents[index]
            letter = _Letter(parcel, index, kind, len(parts))
            pieces += [Piece(letter, part) for part in parts]
        if pieces:
            self._parcels.add(parcel)
        return pieces

    def _settle(self, letter: _Letter) -> None:
        parcel = letter.parcel
        parcel.settled.add(letter.index)
        parcel.left -= 1
        if not parcel.left and parcel in self._parcels:
            self._parcels.discard(parcel)
            self._acknowledge(parcel.delivery)

    def _acknowledge(self, message: AbstractIncomingMessage) -> None:
        task = asyncio.create_task(acknowledge([message]), name="acknowledge-smpp")
        self._acknowledging.add(task)
        task.add_done_callback(self._acknowledging.discard)


def _rest_of(delivery: SmppDelivery, settled: set[int], event_id: UUID) -> SmppDelivery:
    # Items are numbered receipts first.
    before = len(delivery.receipts)
    return SmppDelivery(
        event_id,
        delivery.smpp_account_id,
        [each for index, each in enumerate(delivery.receipts) if index not in settled],
        [each for index, each in enumerate(delivery.inbound, before) if index not in settled],
    )
