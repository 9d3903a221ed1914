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
    RequestExpired,
    RequestReceived,
    SessionFailed,
    SubmitReceived,
    Unbound,
)
from smpp_daemon.protocol.pdu import CancelSmResp
from smpp_daemon.protocol.session import SmscSession
from smpp_daemon.protocol.states import BOUND, FINISHED
from smpp_daemon.protocol.status import RINVCMDID
from smpp_daemon.simulator.journal import Accepted

if TYPE_CHECKING:
    from smpp_daemon.simulator.server import Simulator

REFUSED_RETRY_SECONDS = 5.0


class Connection(asyncio.Protocol):
    """Reads, lets the session and the simulator decide, writes once. `system_id` is None until bound."""

    def __init__(self, simulator: "Simulator") -> None:
        self._simulator = simulator
        self._loop = asyncio.get_running_loop()
        self.session = SmscSession(simulator.session_config, self._loop.time())
        self.system_id: str | None = None
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._paused = False

    @property
    def room(self) -> int:
        """How many receipts may be sent on this session now: none while the peer does not read."""
        return 0 if self._paused or self.session.state not in BOUND else self.session.room

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Starts the wait for a bind."""
        self._transport = cast(asyncio.Transport, transport)
        self._simulator.opened(self)
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
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        if self.system_id is not None:
            self._simulator.pump(self.system_id, self._loop.time())

    def connection_lost(self, exc: Exception | None) -> None:
        """Receipts without an answer go back."""
        if self._timer is not None:
            self._timer.cancel()
        unanswered = self.session.close("connection lost" if exc is None else str(exc))
        self._simulator.closed(self, [cast(Accepted, request.token) for request in unanswered])

    def deliver(self, bodies: Sequence[bytes], messages: Sequence[Accepted], now: float) -> None:
        """Sends receipts; the caller asked for `room` before."""
        self.session.deliver_many(bodies, messages, now)
        self.flush()

    def flush(self) -> None:
        """Writes what the session has to say and sets its next deadline."""
        output = self.session.take_output()
        if output and self._transport is not None:
            self._transport.write(output)
        self._arm()

    def unbind(self) -> None:
        """Says good-bye; the connection closes when the peer answers. An unbound one closes at once."""
        try:
            if self.session.state in BOUND:
                self.session.unbind(self._loop.time())
                self.flush()
                return
        except LocalProtocolError:
            pass
        self._close()

    def abort(self) -> None:
        """Cuts the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _handle(self, events: list[Event], now: float) -> None:
        submits: list[SubmitReceived] = []
        taken: list[Accepted] = []
        refused: list[Accepted] = []
        over = False
        for event in events:
            if isinstance(event, SubmitReceived):
                submits.append(event)
            elif isinstance(event, DeliverAnswered):
                (refused if event.status else taken).append(cast(Accepted, event.token))
            elif isinstance(event, RequestExpired):
                refused.append(cast(Accepted, event.token))
            elif isinstance(event, BindRequested):
                self._bind(event, now)
            elif isinstance(event, RequestReceived):
                self.session.answer(event.sequence, RINVCMDID, CancelSmResp())
            elif isinstance(event, ProtocolViolation):
                self._simulator.statistics.violations += 1
            elif isinstance(event, PeerUnbound | Unbound | SessionFailed):
                over = True
        simulator = self._simulator
        if submits and self.system_id is not None:
            simulator.submitted(self, self.system_id, submits, now)
        if taken:
            simulator.acknowledged(taken)
        if refused:
            simulator.statistics.receipts_refused += len(refused)
            simulator.take_back(refused, REFUSED_RETRY_SECONDS)
        self.flush()
        if over or self.session.state in FINISHED:
            self._close()
        elif self.system_id is not None and events:
            simulator.pump(self.system_id, now)

    def _bind(self, event: BindRequested, now: float) -> None:
        request = event.request
        status = self._simulator.check_bind(request)
        self.session.answer_bind(event.sequence, status, now)
        if status == 0:
            self.system_id = request.system_id
            self._simulator.bound(self, request.system_id, request.mode is not BindMode.TRANSMITTER)

    def _arm(self) -> None:
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
