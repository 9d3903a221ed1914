"""What both ends of an SMPP connection do alike: framing, numbering, matching answers, keeping alive, ending.

`EsmeSession` and `SmscSession` each hold one `Link` and say which requests their peer may send.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from smpp_daemon.protocol.codec import decode_body, decode_message_id, encode_body, pack_header
from smpp_daemon.protocol.constants import DEFAULT_MAX_PDU, HEADER_LENGTH, RESPONSE_BIT, BindMode, CommandId, Tag
from smpp_daemon.protocol.errors import FramingError, LocalProtocolError, PduDecodeError
from smpp_daemon.protocol.events import (
    BindFailed,
    Bound,
    DeliverAnswered,
    EnquireLatency,
    Event,
    Failure,
    LateAnswer,
    NackReceived,
    PeerUnbound,
    ProtocolViolation,
    RequestAnswered,
    RequestExpired,
    SessionFailed,
    SubmitAnswered,
    SubmitExpired,
    Unanswered,
    Unbound,
    UnexpectedResponse,
)
from smpp_daemon.protocol.framer import Framer
from smpp_daemon.protocol.pdu import BindRequest, Pdu, command_of
from smpp_daemon.protocol.states import BOUND, BOUND_SIGNAL, FINISHED, Signal, State, advance
from smpp_daemon.protocol.status import RALYBND, RINVBNDSTS, RINVCMDID, RINVCMDLEN
from smpp_daemon.protocol.timers import TimerAction, Timers, TimerSettings
from smpp_daemon.protocol.tlv import Tlvs, find_integer
from smpp_daemon.protocol.window import Window

_SUBMIT_SM_RESP = int(CommandId.SUBMIT_SM_RESP)
_DELIVER_SM_RESP = int(CommandId.DELIVER_SM_RESP)
_GENERIC_NACK = int(CommandId.GENERIC_NACK)
_ENQUIRE_LINK = int(CommandId.ENQUIRE_LINK)
_UNBIND = int(CommandId.UNBIND)
_BINDS = frozenset(BindMode)
_WITHOUT_RESPONSE = frozenset({CommandId.OUTBIND, CommandId.ALERT_NOTIFICATION})

_TIMER_FAILURES = {
    TimerAction.BIND_TIMEOUT: (Failure.BIND_TIMEOUT, "no bind within the time allowed"),
    TimerAction.UNBIND_TIMEOUT: (Failure.UNBIND_TIMEOUT, "unbind was not answered"),
    TimerAction.LINK_DEAD: (Failure.LINK_DEAD, "the peer is silent and does not answer enquire_link"),
    TimerAction.INACTIVE: (Failure.INACTIVE, "no message for longer than the inactivity limit"),
}


_Header: TypeAlias = tuple[int, int, int, int]
"""command_length, command_id, command_status, sequence_number."""


class _Control(NamedTuple):
    """A request of ours outside the window: bind, unbind or enquire_link."""

    response: int
    sent_at: float


class Link:
    """One connection's protocol state. The clock is the caller's; nothing here reads or writes a socket.

    `peer_may_send` lists the requests the peer may send, each with the states in which it may; `may_send` is ours.
    `on_request` turns a request into the event its owner sees. At most `inbound_limit` of them wait for an answer;
    further ones get `busy_status` at once.
    """

    __slots__ = (
        "_busy_status",
        "_control",
        "_framer",
        "_inbound",
        "_inbound_limit",
        "_may_send",
        "_on_request",
        "_output",
        "_peer_may_send",
        "_untaken",
        "busy_refusals",
        "close_reason",
        "inbound",
        "state",
        "stray_octets",
        "timers",
        "violations",
        "window",
    )

    def __init__(
        self,
        *,
        window: int,
        timers: TimerSettings,
        may_send: Mapping[int, frozenset[State]],
        peer_may_send: Mapping[int, frozenset[State]],
        on_request: Callable[[int, Pdu, float], Event],
        busy_status: int,
        inbound_limit: int,
        now: float,
        max_pdu: int = DEFAULT_MAX_PDU,
    ) -> None:
        self.state = State.OPEN
        self.window = Window(window, timers.response)
        self.timers = Timers(timers, now, now)
        self.inbound = 0
        self.stray_octets = 0
        self.violations = 0
        self.busy_refusals = 0
        self.close_reason: str | None = None
        self._framer = Framer(max_pdu)
        self._may_send = may_send
        self._peer_may_send = peer_may_send
        self._on_request = on_request
        self._busy_status = busy_status
        self._inbound_limit = inbound_limit
        self._inbound: dict[int, list[int]] = {}
        self._control: dict[int, _Control] = {}
        self._output: list[bytes] = []
        self._untaken: list[int] = []

    # -- octets ---------------------------------------------------------------------------------------------------

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Octets from the peer → what they mean. After the end of a session they mean nothing."""
        events: list[Event] = []
        if self.state in FINISHED:
            return events
        garbage: FramingError | None = None
        try:
            buffer, frames = self._framer.feed(data)
        except FramingError as error:
            garbage, buffer, frames = error, error.buffer, error.frames
        if frames:
            self.timers = self.timers.heard(now)
        append = events.append
        take = self.window.take
        offset = 0
        for length, command, status, sequence in frames:
            start = offset + HEADER_LENGTH
            offset += length
            if command == _SUBMIT_SM_RESP and (entry := take(sequence, command)) is not None:
                message_id, tlvs = self._message_id(buffer, start, offset)
                append(SubmitAnswered(entry[0], status, message_id, now - entry[1], tlvs))
            elif command == _DELIVER_SM_RESP and (entry := take(sequence, command)) is not None:
                tlvs = self._message_id(buffer, start, offset)[1]
                append(DeliverAnswered(entry[0], status, now - entry[1], tlvs))
            elif command & RESPONSE_BIT:
                self._response((length, command, status, sequence), buffer[start:offset], now, events)
            else:
                self._request(command, sequence, buffer[start:offset], now, events)
            if self.state is State.CLOSED:
                return events
        if garbage is not None:
            # §4.3: generic_nack with sequence_number 0 when the PDU could not be made out.
            self._emit(_GENERIC_NACK, RINVCMDLEN, 0)
            self._fail(Failure.GARBAGE, str(garbage), events)
        return events

    def take_output(self) -> bytes:
        """Everything to write, in one piece. Requests in it count as written from here on."""
        if not self._output:
            return b""
        data = b"".join(self._output)
        self._output.clear()
        self._untaken.clear()
        return data

    @property
    def held_back(self) -> bytes:
        """The start of a PDU of which the rest has not come yet."""
        return self._framer.partial

    @property
    def has_output(self) -> bool:
        """Whether `take_output` would return anything."""
        return bool(self._output)

    # -- our requests ---------------------------------------------------------------------------------------------

    def send_many(self, command: int, bodies: Sequence[bytes], tokens: Sequence[object], now: float) -> int:
        """Sends as many of the requests as the window has room for, in order, and returns how many.

        `bodies` are encoded; `tokens` come back with the answers. Raises `LocalProtocolError` when the state forbids
        the command.
        """
        if self.state not in self._may_send[command]:
            raise LocalProtocolError(f"{CommandId(command).name} is not possible in {self.state.name}")
        if len(bodies) != len(tokens):
            raise LocalProtocolError(f"{len(bodies)} bodies with {len(tokens)} tokens")
        sequences = self.window.open(tokens, command | RESPONSE_BIT, now)
        output = self._output
        for sequence, body in zip(sequences, bodies, strict=False):
            output.append(pack_header(HEADER_LENGTH + len(body), command, 0, sequence))
            output.append(body)
        if sequences:
            self._untaken.extend(sequences)
            self.timers = self.timers.active(now)
        return len(sequences)

    def send(self, pdu: Pdu, token: object, now: float) -> int | None:
        """One windowed request; its sequence_number, or None while the window is full. Raises `LocalProtocolError`."""
        if not self.send_many(command_of(pdu), (encode_body(pdu),), (token,), now):
            return None
        return self.last_sequence

    @property
    def last_sequence(self) -> int:
        """sequence_number of the request that `send_many` recorded last and `take_output` has not taken yet."""
        return self._untaken[-1]

    def request_bind(self, request: BindRequest, now: float) -> int:
        """Sends a bind and starts its deadline. Raises `LocalProtocolError` unless OPEN."""
        body = encode_body(request)
        self.state = advance(self.state, Signal.BIND_REQUESTED)
        self.timers = self.timers.awaiting_bind(now)
        return self._send_control(request.mode, body, now)

    def request_unbind(self, now: float) -> None:
        """Sends unbind, once; requests already sent are still answered. Raises `LocalProtocolError` when it is over."""
        if self._sent_control(CommandId.UNBIND_RESP) is not None:
            return
        self.state = advance(self.state, Signal.UNBIND_REQUESTED)
        self.timers = self.timers.stopped().unbinding(now)
        self._send_control(_UNBIND, b"", now)

    def send_without_response(self, pdu: Pdu) -> None:
        """Sends outbind or alert_notification. Raises `LocalProtocolError` when the state forbids it."""
        command = command_of(pdu)
        if self.state not in self._may_send[command]:
            raise LocalProtocolError(f"{command.name} is not possible in {self.state.name}")
        self._emit(command, 0, self.window.next_sequence(), encode_body(pdu))

    # -- answers to the peer --------------------------------------------------------------------------------------

    def answer(self, sequence: int, status: int, body: bytes = b"") -> bool:
        """Answers a request of the peer. False when the session is over: the peer will repeat it on another one.

        Raises `LocalProtocolError` when no request with this number is open.
        """
        if self.state in FINISHED:
            return False
        self._emit(self.settle(sequence), status, sequence, body)
        return True

    def settle(self, sequence: int) -> int:
        """Forgets an open request of the peer and returns the command_id that would answer it."""
        waiting = self._inbound.get(sequence)
        if waiting is None:
            raise LocalProtocolError(f"no request with sequence {sequence} waits for an answer")
        # Some peers number several requests alike (all parts of a message, or always 0): they are answered in order.
        response = waiting.pop(0)
        if not waiting:
            del self._inbound[sequence]
        self.inbound -= 1
        return response

    def bind_answered(self, mode: BindMode, accepted: bool, now: float) -> None:
        """Takes the state change of a bind that our side answered."""
        self.state = advance(self.state, BOUND_SIGNAL[mode] if accepted else Signal.BIND_REFUSED)
        if accepted:
            self.timers = self.timers.bind_done(now)

    # -- time and the end -----------------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Event]:
        """What time alone has brought: expired requests, an enquire_link to write, the death of the link."""
        events: list[Event] = []
        if self.state in FINISHED:
            return events
        for sequence, entry in self.window.expire(now):
            if entry.response == _SUBMIT_SM_RESP:
                events.append(SubmitExpired(entry.token, sequence))
            else:
                events.append(RequestExpired(entry.token, sequence, entry.response))
        action = self.timers.tick(now)
        if action is TimerAction.SEND_ENQUIRE_LINK:
            self.timers = self.timers.enquired(now)
            # The one before was settled by another PDU: its own answer is not waited for any longer.
            before = self._sent_control(CommandId.ENQUIRE_LINK_RESP)
            if before is not None:
                self._forget_control(before)
            self._send_control(_ENQUIRE_LINK, b"", now)
        elif action is not TimerAction.NOTHING:
            failure, detail = _TIMER_FAILURES[action]
            self._fail(failure, detail, events)
        return events

    def next_deadline(self) -> float | None:
        """When `tick` must be called next, or None while nothing is due ever."""
        if self.state in FINISHED:
            return None
        request = self.window.next_deadline()
        timer = self.timers.next_deadline()
        if request is None or timer is None:
            return timer if request is None else request
        return min(request, timer)

    def close(self, reason: str) -> list[Unanswered]:
        """Ends the session for good and hands back every request that was never answered, oldest first. Idempotent."""
        untaken = set(self._untaken)
        self.state = advance(self.state, Signal.CLOSED)
        self.timers = self.timers.stopped()
        self.close_reason = self.close_reason or reason
        self._output.clear()
        self._untaken.clear()
        self._control.clear()
        self._inbound.clear()
        self.inbound = 0
        return [
            Unanswered(entry.token, sequence, entry.response, entry.sent_at, sequence not in untaken)
            for sequence, entry in self.window.drain()
        ]

    # -- inside ---------------------------------------------------------------------------------------------------

    def _emit(self, command: int, status: int, sequence: int, body: bytes = b"") -> None:
        self._output.append(pack_header(HEADER_LENGTH + len(body), command, status, sequence))
        if body:
            self._output.append(body)

    def _send_control(self, command: int, body: bytes, now: float) -> int:
        sequence = self.window.reserve()
        self._control[sequence] = _Control(command | RESPONSE_BIT, now)
        self._emit(command, 0, sequence, body)
        return sequence

    def _sent_control(self, response: CommandId) -> int | None:
        for sequence, control in self._control.items():
            if control.response == response:
                return sequence
        return None

    def _forget_control(self, sequence: int) -> None:
        del self._control[sequence]
        self.window.release(sequence)

    def _fail(self, failure: Failure, detail: str, events: list[Event]) -> None:
        self.state = advance(self.state, Signal.FAILED)
        self.close_reason = detail
        self.timers = self.timers.stopped()
        events.append(SessionFailed(failure, detail))

    def _message_id(self, buffer: bytes, start: int, end: int) -> tuple[str, Tlvs]:
        nul = buffer.find(0, start, end)
        if nul + 1 == end:
            return str(buffer[start:nul], "latin-1"), ()
        message_id, tlvs, stray = decode_message_id(buffer[start:end])
        self.stray_octets += stray
        return message_id, tlvs

    def _violation(self, detail: str, command: int, sequence: int, answered: int | None, events: list[Event]) -> None:
        self.violations += 1
        events.append(ProtocolViolation(detail, command, sequence, answered))

    def _request(self, command: int, sequence: int, body: bytes, now: float, events: list[Event]) -> None:
        if command == _ENQUIRE_LINK:
            self._emit(command | RESPONSE_BIT, 0, sequence)
            return
        if command == _UNBIND:
            self._emit(command | RESPONSE_BIT, 0, sequence)
            if self.state is not State.UNBINDING:
                self.timers = self.timers.stopped()
            self.state = advance(self.state, Signal.UNBIND_REQUESTED)
            events.append(PeerUnbound())
            return
        states = self._peer_may_send.get(command)
        answerable = command not in _WITHOUT_RESPONSE
        if states is None:
            self._emit(_GENERIC_NACK, RINVCMDID, sequence)
            self._violation("a command that this side does not take", command, sequence, RINVCMDID, events)
        elif self.state in states and self.inbound < self._inbound_limit:
            self._accept(command, sequence, body, now, events)
        elif self.state in states or (self.state is State.UNBINDING and states & BOUND):
            # What crosses an unbind is refused for now only: a peer may drop for good what RINVBNDSTS answers.
            self.busy_refusals += 1
            if answerable:
                self._emit(command | RESPONSE_BIT, self._busy_status, sequence)
        else:
            answered = None
            if answerable:
                answered = RALYBND if command in _BINDS else RINVBNDSTS
                self._emit(command | RESPONSE_BIT, answered, sequence)
            self._violation(f"not allowed in {self.state.name}", command, sequence, answered, events)

    def _accept(self, command: int, sequence: int, body: bytes, now: float, events: list[Event]) -> None:
        answerable = command not in _WITHOUT_RESPONSE
        try:
            pdu, stray = decode_body(command, sequence, body)
        except PduDecodeError as error:
            if answerable:
                self._emit(command | RESPONSE_BIT, error.status, sequence)
            self._violation(error.reason, command, sequence, error.status if answerable else None, events)
            return
        self.stray_octets += stray
        self.timers = self.timers.active(now)
        if answerable:
            self._inbound.setdefault(sequence, []).append(command | RESPONSE_BIT)
            self.inbound += 1
        events.append(self._on_request(sequence, pdu, now))

    def _response(self, header: _Header, body: bytes, now: float, events: list[Event]) -> None:
        _, command, status, sequence = header
        control = self._control.get(sequence)
        if control is not None and command in (control.response, _GENERIC_NACK):
            self._forget_control(sequence)
            self._control_answered(control, header, body, now, events)
            return
        nack = command == _GENERIC_NACK
        entry = self.window.take_any(sequence) if nack else self.window.take(sequence, command)
        if entry is not None:
            self._answered(entry, header, body, now, events)
            return
        message_id, tlvs = _message_id_and_tlvs(command, sequence, body)
        late = self.window.take_late(sequence)
        if late is not None:
            events.append(LateAnswer(late[0], late[2], status, message_id, now - late[1], tlvs))
        elif nack:
            events.append(NackReceived(sequence, status))
        else:
            events.append(UnexpectedResponse(command, sequence, status, message_id))

    def _answered(
        self,
        entry: tuple[object, float, int],
        header: _Header,
        body: bytes,
        now: float,
        events: list[Event],
    ) -> None:
        _, command, status, sequence = header
        token, sent_at, response = entry
        latency = now - sent_at
        if response == _SUBMIT_SM_RESP:
            events.append(SubmitAnswered(token, status, "", latency))
        elif response == _DELIVER_SM_RESP:
            events.append(DeliverAnswered(token, status, latency))
        elif command == _GENERIC_NACK:
            events.append(RequestAnswered(token, status, None, latency))
        else:
            pdu, stray = decode_body(command, sequence, body)
            self.stray_octets += stray
            events.append(RequestAnswered(token, status, pdu, latency))

    def _control_answered(
        self, control: _Control, header: _Header, body: bytes, now: float, events: list[Event]
    ) -> None:
        latency = now - control.sent_at
        if control.response == CommandId.ENQUIRE_LINK_RESP:
            # A generic_nack proves life as well: some SMSCs do not know enquire_link.
            events.append(EnquireLatency(latency))
        elif control.response == CommandId.UNBIND_RESP:
            self.state = advance(self.state, Signal.UNBIND_ANSWERED)
            self.timers = self.timers.stopped()
            events.append(Unbound())
        elif self.state is State.BINDING:
            self._bind_answered(control, header, body, latency, now, events)
        # Otherwise the bind was overtaken by an unbind; its answer changes nothing any more.

    def _bind_answered(
        self, control: _Control, header: _Header, body: bytes, latency: float, now: float, events: list[Event]
    ) -> None:
        _, command, status, _ = header
        system_id, tlvs = self._message_id(body, 0, len(body))
        if status or command == _GENERIC_NACK:
            self.state = advance(self.state, Signal.BIND_REFUSED)
            self.timers = self.timers.stopped()
            events.append(BindFailed(status, latency, tlvs))
        else:
            mode = BindMode(control.response & ~RESPONSE_BIT)
            self.state = advance(self.state, BOUND_SIGNAL[mode])
            self.timers = self.timers.bind_done(now)
            events.append(Bound(mode, system_id, find_integer(tlvs, Tag.SC_INTERFACE_VERSION), latency, tlvs))

    def describe(self, kind: str, name: str) -> str:
        """Text for a session's repr."""
        return f"<{kind} {name} {self.state.name} {self.window}>"


def _message_id_and_tlvs(command: int, sequence: int, body: bytes) -> tuple[str, Tlvs]:
    """What can be said about a response that nobody waits for."""
    try:
        pdu, _ = decode_body(command, sequence, body)
    except PduDecodeError:
        return "", ()
    return getattr(pdu, "message_id", ""), getattr(pdu, "tlvs", ())
