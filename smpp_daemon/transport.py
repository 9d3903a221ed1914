"""One TCP (or TLS) connection around one `EsmeSession`: octets, time and the socket's limits, nothing of messages."""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Protocol, cast

import msgspec

from smpp_daemon.protocol.errors import LocalProtocolError
from smpp_daemon.protocol.events import BindFailed, Event, PeerUnbound, SessionFailed, Unanswered, Unbound
from smpp_daemon.protocol.session import EsmeConfig, EsmeSession
from smpp_daemon.protocol.states import BOUND, State
from smpp_daemon.protocol.timers import TimerSettings
from smpp_daemon.sockets import tune
from smpp_daemon.tls import failure_in_words, peer_certificate
from smpp_daemon.trace import LinkTap

DRAIN_SECONDS = 30.0
"""How long the peer may refuse to read before the connection is given up."""

CLOSE_SECONDS = 2.0
"""How long the last octets may take."""

HIGH_WATER = 256 * 1024
"""Octets in our own write buffer above which no request is submitted."""

_SENDING = frozenset({State.BOUND_TX, State.BOUND_TRX})
_GOING = BOUND | {State.BINDING}
_ENDING = frozenset({SessionFailed, PeerUnbound, Unbound, BindFailed})


class Owner(Protocol):
    """Who is told, in the event loop and without awaiting."""

    def received(self, connection: "Connection", events: list[Event]) -> None:
        """Events of the session, in order."""

    def writable(self, connection: "Connection") -> None:
        """The write buffer has emptied; requests may go again."""

    def lost(self, connection: "Connection", unanswered: list[Unanswered], reason: str) -> None:
        """The connection is over; called once."""


class Connection(asyncio.Protocol):
    """Binds as soon as it is connected. Everything written in one step of the loop leaves in one piece."""

    def __init__(self, config: EsmeConfig, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self.session = EsmeSession(config, loop.time())
        self.reason = ""
        self.tap: LinkTap | None = None
        self._owner = owner
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._drain_timer: asyncio.TimerHandle | None = None
        self._armed_at = 0.0
        self._paused = False
        self._closing = False
        self._over = False
        self._drained: asyncio.Event | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a socket that was not lost yet."""
        return self._transport is not None and not self._over

    @property
    def bound(self) -> bool:
        """Whether messages can pass in some direction."""
        return not self._closing and self.session.state in BOUND

    @property
    def unbinding(self) -> bool:
        """Whether one side has asked to end the session and the end is near."""
        return self.connected and self.session.state is State.UNBINDING

    @property
    def can_send(self) -> bool:
        """Whether it is bound for sending and takes requests."""
        return not self._closing and self._drained is None and self.session.state in _SENDING

    @property
    def room(self) -> int:
        """Requests it takes now: the free window, or 0 while it cannot send or the peer does not read."""
        return 0 if self._paused or not self.can_send else self.session.room

    @property
    def in_flight(self) -> int:
        """Requests that wait for their answer."""
        return len(self.session.link.window)

    def submit(self, bodies: Sequence[bytes], tokens: Sequence[object]) -> int:
        """Writes as many submit_sm as the window takes and returns how many; see `EsmeSession.submit_many`."""
        now = self._loop.time()
        count = self.session.submit_many(bodies, tokens, now)
        self.flush()
        return count

    def answer_deliver(self, sequence: int, status: int = 0) -> bool:
        """Answers a deliver_sm or data_sm; `flush` writes it. False when the connection is over."""
        if self._over:
            return False
        try:
            return self.session.answer_deliver(sequence, status)
        except LocalProtocolError:
            return False

    def set_window(self, window: int) -> None:
        """Takes another window at once."""
        self.session.link.window.limit = window

    def set_timers(self, timers: TimerSettings) -> None:
        """Takes other timers at once, for requests that wait already too."""
        link = self.session.link
        link.timers = msgspec.structs.replace(link.timers, settings=timers)
        link.window.response_timeout = timers.response
        self.flush()

    @property
    def certificate(self) -> bytes | None:
        """The operator's certificate (DER); None without TLS."""
        return None if self._transport is None else peer_certificate(self._transport)

    def drain(self) -> asyncio.Event:
        """Takes no more requests; the event is set once none waits for its answer, or the connection is over."""
        if self._drained is None:
            self._drained = asyncio.Event()
        self._look_whether_drained()
        return self._drained

    def unbind(self) -> None:
        """Asks to end the session; the answer closes the connection."""
        if not self.bound:
            self.close("closed before the bind was complete")
            return
        self.reason = self.reason or "unbound"
        self.session.unbind(self._loop.time())
        self.flush()

    def close(self, reason: str) -> None:
        """Writes what is left to write and closes; aborts when that takes too long."""
        if self._closing:
            return
        self._closing = True
        self.reason = self.reason or reason
        self.flush()
        if self._transport is not None:
            self._transport.close()
            self._arm_drain(CLOSE_SECONDS)

    def abort(self, reason: str) -> None:
        """Closes without writing anything more."""
        self._closing = True
        self.reason = self.reason or reason
        if self._transport is not None:
            self._transport.abort()

    def flush(self) -> None:
        """Writes everything the session has for the peer, and sets the timer for what is due next."""
        if self._transport is None or self._over:
            return
        data = self.session.take_output()
        if data:
            self._transport.write(data)
            if self.tap is not None:
                self.tap.sent(data)
        due = self.session.next_deadline()
        if due is not None and (self._timer is None or due < self._armed_at):
            self._arm(due)

    # -- called by the event loop ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Binds."""
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = stream = cast("asyncio.Transport", transport)
        stream.set_write_buffer_limits(high=HIGH_WATER)
        tune(transport.get_extra_info("socket"))
        self.session.bind(self._loop.time())
        self.flush()

    def data_received(self, data: bytes) -> None:
        """The hot path: octets → events → whatever they lead to → octets."""
        if self.tap is not None:
            self.tap.received(data)
        self._handle(self.session.receive(data, self._loop.time()))
        self.flush()
        if self._drained is not None:
            self._look_whether_drained()

    def pause_writing(self) -> None:
        """The peer does not read: nothing more is submitted, and not for ever."""
        self._paused = True
        self._arm_drain(DRAIN_SECONDS)

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._paused = False
        if self._drain_timer is not None and not self._closing:
            self._drain_timer.cancel()
            self._drain_timer = None
        self._owner.writable(self)

    def connection_lost(self, error: Exception | None) -> None:
        """The end, whoever wanted it: what was never answered goes back to the owner."""
        self._over = self._closing = True
        for timer in (self._timer, self._drain_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._drain_timer = None
        self.reason = self.reason or _loss_in_words(error)
        self._owner.lost(self, self.session.close(self.reason), self.reason)
        if self._drained is not None:
            self._look_whether_drained()

    # -- inside ---------------------------------------------------------------------------------------------------

    def _handle(self, events: list[Event]) -> None:
        if not events:
            return
        self._owner.received(self, events)
        if self.session.state not in _GOING:
            for event in events:
                if type(event) in _ENDING:
                    self.close(_end_in_words(event))
                    break

    def _look_whether_drained(self) -> None:
        if self._drained is not None and (self._over or not self.in_flight):
            self._drained.set()

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_at = due
        # The clock of the loop has milliseconds: a tick that comes one too early would only come again.
        self._timer = self._loop.call_at(due + 0.001, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._handle(self.session.tick(self._loop.time()))
        self.flush()
        if self._drained is not None:
            self._look_whether_drained()

    def _arm_drain(self, seconds: float) -> None:
        if self._drain_timer is not None:
            self._drain_timer.cancel()
        self._drain_timer = self._loop.call_later(seconds, self.abort, "the operator does not read what we send")


def _loss_in_words(error: Exception | None) -> str:
    if error is None:
        return "the operator closed the connection"
    if isinstance(error, ssl.SSLError):
        return f"connection lost: {failure_in_words(error, None)}"
    return f"connection lost: {error}"


def _end_in_words(event: Event) -> str:
    match event:
        case SessionFailed(_, detail):
            return detail
        case PeerUnbound():
            return "the operator sent unbind"
        case BindFailed():
            return "the bind was refused"
        case _:
            return "unbound"
