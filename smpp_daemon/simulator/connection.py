"""One TCP connection of the simulated SMSC: the asyncio shell around an `SmscSession`."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from smpp_daemon.protocol.constants import BindMode
from smpp_daemon.protocol.errors import LocalProtocolError
from smpp_daemon.protocol.events import (
    BindRequested,
    DeliverAnswered,
    Event,
    PeerUnbound,
    ProtocolViolation,
    RequestAnswered,
    RequestExpired,
    RequestReceived,
    SessionFailed,
    SubmitReceived,
    Unbound,
)
from smpp_daemon.protocol.pdu import AlertNotification, DataSm
from smpp_daemon.protocol.session import SmscSession
from smpp_daemon.protocol.states import BOUND, FINISHED
from smpp_daemon.simulator.hazards import Hazard, Hazards, garbage_octets
from smpp_daemon.simulator.receipts import Delivery

if TYPE_CHECKING:
    from smpp_daemon.simulator.server import Simulator


class Connection(asyncio.Protocol):
    """Reads, lets the session and the simulator decide, writes once. `system_id` is None until bound.

    `number` counts connections from 1. `unbound_by` is `esme` or `smsc` once an unbind was answered; `reason` says why
    a connection without unbind ended.
    """

    def __init__(self, simulator: "Simulator") -> None:
        self._simulator = simulator
        self._loop = asyncio.get_running_loop()
        self.session = SmscSession(simulator.session_config, self._loop.time())
        self.system_id: str | None = None
        self.number = 0
        self.unbound_by: str | None = None
        self.reason = "peer"
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._paused = False
        self._stalled = False
        self._hazards: Hazards | None = None
        self._raw: list[bytes] = []

    @property
    def room(self) -> int:
        """How many deliver_sm may be sent on this session now: none while the peer does not read."""
        if self._paused or self._stalled or self.session.state not in BOUND:
            return 0
        return self.session.room

    @property
    def answerable(self) -> bool:
        """Whether an answer to what was read earlier still has somewhere to go."""
        return self._transport is not None and not self._stalled and self.session.state not in FINISHED

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Starts the wait for a bind."""
        self._transport = cast(asyncio.Transport, transport)
        self.number = self._simulator.opened(self)
        if self._simulator.refusing:
            self._transport.abort()
            return
        self._arm()

    def data_received(self, data: bytes) -> None:
        """One read: every message in it is accepted together."""
        now = self._loop.time()
        self._handle(self.session.receive(data, now), now)

    def pause_writing(self) -> None:
        """The peer does not read: nothing more is sent to it, and nothing that would need an answer is read."""
        self._paused = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._paused = False
        if self._transport is not None and not self._transport.is_closing() and not self._stalled:
            self._transport.resume_reading()
        if self.system_id is not None:
            self._simulator.post.pump(self.system_id, self._loop.time())

    def connection_lost(self, exc: Exception | None) -> None:
        """Deliveries without an answer go back."""
        if self._timer is not None:
            self._timer.cancel()
        self.set_hazards(None)
        self._transport = None
        unanswered = self.session.close("connection lost" if exc is None else str(exc))
        self._simulator.closed(self, [cast(Delivery, request.token) for request in unanswered])

    def deliver(self, bodies: Sequence[bytes], deliveries: Sequence[Delivery], now: float) -> None:
        """Sends deliver_sm, with the next `flush`; the caller asked for `room` before."""
        if bodies:
            self.session.deliver_many(bodies, deliveries, now)

    def deliver_data(self, pdu: DataSm, delivery: Delivery, now: float) -> None:
        """Sends one data_sm, with the next `flush`."""
        self.session.deliver(pdu, delivery, now)

    def notify(self, alert: AlertNotification) -> None:
        """Sends alert_notification at once."""
        self.session.notify(alert)
        self.flush()

    def write_raw(self, octets: bytes) -> None:
        """Octets that the session knows nothing of, in their place behind what it has said so far."""
        self._raw.append(self.session.take_output())
        self._raw.append(octets)

    def flush(self) -> None:
        """Writes what the session has to say and sets its next deadline."""
        output = self.session.take_output()
        if self._raw:
            output = b"".join((*self._raw, output))
            self._raw.clear()
        transport = self._transport
        # A connection that was cut a moment ago still has its session, but nothing may be written to it.
        if output and transport is not None and not self._stalled and not transport.is_closing():
            transport.write(output)
        self._arm()

    def unbind(self) -> None:
        """Says good-bye; the connection closes when the peer answers. An unbound one closes at once."""
        if self._stalled:
            self.abort("half_open")
            return
        try:
            if self.session.state in BOUND:
                self.session.unbind(self._loop.time())
                self.flush()
                return
        except LocalProtocolError:
            pass
        self._close()

    def abort(self, reason: str) -> None:
        """Cuts the connection without a word."""
        if self._transport is not None:
            if self.unbound_by is None:
                self.reason = reason
            self._transport.abort()

    def set_hazards(self, hazards: Hazards | None) -> None:
        """What may befall this session from now on."""
        if self._hazards is not None:
            self._hazards.cancel()
        self._hazards = hazards

    def strike(self, hazard: Hazard) -> None:
        """It happens now."""
        script = self._simulator.script
        if self._transport is None or self._stalled:
            return
        if hazard == "drop":
            if script.drop is not None and script.drop.refuse_for:
                self._simulator.refuse_connections(script.drop.refuse_for)
            self.abort("drop")
        elif hazard == "unbind":
            self.unbind()
        elif hazard == "garbage":
            if script.garbage is not None:
                self.write_raw(garbage_octets(script.garbage.send, self._simulator.random))
                self.flush()
        elif script.half_open is not None:
            self._stalled = True
            self._transport.pause_reading()
            if self._timer is not None:
                self._timer.cancel()
            # A peer that gives up is not noticed while nothing is read, so that the end must come by itself.
            self._timer = self._loop.call_later(script.half_open.lasts, self.abort, "half_open")

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _handle(self, events: list[Event], now: float) -> None:
        simulator = self._simulator
        submits: list[SubmitReceived] = []
        taken: list[Delivery] = []
        refused: list[Delivery] = []
        over = False
        for event in events:
            if isinstance(event, SubmitReceived):
                submits.append(event)
            elif isinstance(event, DeliverAnswered | RequestAnswered):
                (refused if event.status else taken).append(cast(Delivery, event.token))
            elif isinstance(event, RequestExpired):
                refused.append(cast(Delivery, event.token))
            elif isinstance(event, BindRequested):
                self._bind(event, now)
            elif isinstance(event, RequestReceived):
                if self.system_id is not None:
                    simulator.requested(self, self.system_id, event, now)
            elif isinstance(event, ProtocolViolation):
                simulator.statistics.violations += 1
            elif isinstance(event, PeerUnbound | Unbound):
                self.unbound_by = "esme" if isinstance(event, PeerUnbound) else "smsc"
                over = True
            elif isinstance(event, SessionFailed):
                self.reason = event.detail
                over = True
        if submits and self.system_id is not None:
            if self._hazards is not None:
                submits = submits[: self._hazards.admit(len(submits))]
            simulator.submitted(self, self.system_id, submits, now)
        if taken:
            simulator.post.acknowledged(taken)
        if refused:
            simulator.post.refused(refused, simulator.settings.retry_seconds)
        if simulator.records.on:
            simulator.records.commit()
        if self._hazards is None:
            self._finish(over, bool(events), now)
            return
        hazard = self._hazards.due(len(events))
        # What these two do not let through is lost together with the answers of this read.
        silent = hazard == "half_open" or (hazard == "drop" and not self._answers_before_drop())
        if not silent:
            self._finish(over, bool(events), now)
        if hazard is not None:
            self.strike(hazard)

    def _finish(self, over: bool, heard: bool, now: float) -> None:
        if over or self.session.state in FINISHED:
            self.flush()
            self._close()
            return
        coalesce = self._simulator.coalesce_bind
        if not coalesce:
            self.flush()
        if self.system_id is not None and heard:
            self._simulator.post.pump(self.system_id, now)
        if coalesce:
            self.flush()

    def _answers_before_drop(self) -> bool:
        drop = self._simulator.script.drop
        return drop is not None and drop.answered

    def _bind(self, event: BindRequested, now: float) -> None:
        request = event.request
        status = self._simulator.check_bind(self, request, now)
        self.session.answer_bind(event.sequence, status, now)
        if status == 0:
            self.system_id = request.system_id
            self._simulator.bound(self, request.system_id, request.mode is not BindMode.TRANSMITTER)

    def _arm(self) -> None:
        if self._stalled:
            return
        due = self.session.next_deadline()
        if due is None:
            return
        if self._timer is not None:
            # A deadline that moved back costs one early tick instead of a new timer for every read.
            if self._timer_due <= due:
                return
            self._timer.cancel()
        self._timer_due = due
        self._timer = self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        self._handle(self.session.tick(now), now)
