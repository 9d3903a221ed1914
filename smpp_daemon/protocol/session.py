"""Both ends of an SMPP session without input or output: octets and time go in, events and octets come out.

The owner calls `receive` with what it read, `tick` when `next_deadline` has come, writes `take_output`, and in the end
`close`, which hands back the requests that nobody ever answered. `now` is seconds of any one monotonic clock.
"""

from collections.abc import Sequence

import msgspec

from smpp_daemon.protocol.codec import encode_body, encode_text
from smpp_daemon.protocol.constants import (
    DEFAULT_MAX_PDU,
    INTERFACE_VERSION_34,
    BindMode,
    CommandId,
    Tag,
)
from smpp_daemon.protocol.errors import LocalProtocolError
from smpp_daemon.protocol.events import (
    AlertReceived,
    BindRequested,
    DeliverReceived,
    Event,
    OutbindReceived,
    RequestReceived,
    SubmitReceived,
    Unanswered,
)
from smpp_daemon.protocol.link import Link
from smpp_daemon.protocol.pdu import (
    AlertNotification,
    BindRequest,
    BindResponse,
    CancelSm,
    CancelSmResp,
    DataSm,
    DataSmResp,
    DeliverSm,
    Outbind,
    Pdu,
    QuerySm,
    QuerySmResp,
    ReplaceSm,
    ReplaceSmResp,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSm,
)
from smpp_daemon.protocol.states import ESME_MAY_SEND, SMSC_MAY_SEND, Signal, State, advance
from smpp_daemon.protocol.status import RTHROTTLED, RX_T_APPN
from smpp_daemon.protocol.timers import TimerSettings
from smpp_daemon.protocol.tlv import Tlvs

_SUBMIT_SM = int(CommandId.SUBMIT_SM)
_DELIVER_SM = int(CommandId.DELIVER_SM)


class EsmeConfig(msgspec.Struct, frozen=True):
    """How we bind to an SMSC. `name` is for people; `window` counts unanswered requests.

    `inbound_limit` is how many deliver_sm may wait for our answer before further ones are refused with RX_T_APPN.
    """

    name: str
    system_id: str
    password: str
    mode: BindMode = BindMode.TRANSCEIVER
    system_type: str = ""
    interface_version: int = INTERFACE_VERSION_34
    addr_ton: int = 0
    addr_npi: int = 0
    address_range: str = ""
    window: int = 10
    inbound_limit: int = 2000
    max_pdu: int = DEFAULT_MAX_PDU
    timers: TimerSettings = TimerSettings()

    def __repr__(self) -> str:
        return f"EsmeConfig({self.name!r}, {self.mode.name}, system_id={self.system_id!r}, window={self.window})"


class EsmeSession:
    """Our side of a bind to an operator. One object for one connection; a reconnect starts with a new one."""

    __slots__ = ("_link", "config")

    def __init__(self, config: EsmeConfig, now: float) -> None:
        self.config = config
        self._link = Link(
            window=config.window,
            timers=config.timers,
            may_send=ESME_MAY_SEND,
            peer_may_send=SMSC_MAY_SEND,
            on_request=self._requested,
            busy_status=RX_T_APPN,
            inbound_limit=config.inbound_limit,
            now=now,
            max_pdu=config.max_pdu,
        )

    @property
    def link(self) -> Link:
        """State, window, timers and counters."""
        return self._link

    @property
    def state(self) -> State:
        """Where the session is."""
        return self._link.state

    @property
    def room(self) -> int:
        """How many requests the window would take now."""
        return self._link.window.room

    def bind(self, now: float) -> None:
        """Sends the bind request of the configuration. Answered by `Bound`, `BindFailed` or `SessionFailed`."""
        config = self.config
        self._link.request_bind(
            BindRequest(
                config.mode,
                config.system_id,
                config.password,
                config.system_type,
                config.interface_version,
                config.addr_ton,
                config.addr_npi,
                config.address_range,
            ),
            now,
        )

    def submit(self, body: bytes, token: object, now: float) -> int | None:
        """One submit_sm from its encoded body (`SubmitTemplate.body`).

        Returns its sequence_number, or None while the window is full. Raises `LocalProtocolError` unless bound to send.
        """
        link = self._link
        if not link.send_many(_SUBMIT_SM, (body,), (token,), now):
            return None
        return link.last_sequence

    def submit_many(self, bodies: Sequence[bytes], tokens: Sequence[object], now: float) -> int:
        """The first submit_sm of `bodies` that the window has room for; how many those are."""
        return self._link.send_many(_SUBMIT_SM, bodies, tokens, now)

    def request(
        self, pdu: SubmitSm | DataSm | SubmitMulti | QuerySm | CancelSm | ReplaceSm, token: object, now: float
    ) -> int | None:
        """Any windowed request from its value; its sequence_number, None while the window is full.

        Raises `LocalProtocolError` unless bound for sending, `PduEncodeError` when a field does not fit.
        """
        return self._link.send(pdu, token, now)

    def answer_deliver(self, sequence: int, status: int = 0) -> bool:
        """Answers a `DeliverReceived`, deliver_sm or data_sm. Call it once the PDU is durable.

        False when the session is over: the SMSC then repeats it. Raises `LocalProtocolError` for an unknown number.
        """
        # deliver_sm_resp and data_sm_resp have the same body with an empty message_id (§4.6.2, §4.7.2).
        return self._link.answer(sequence, status, b"\0")

    def unbind(self, now: float) -> None:
        """Sends unbind; answered by `Unbound`. Raises `LocalProtocolError` when the session is over."""
        self._link.request_unbind(now)

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Octets from the SMSC → events, in order."""
        return self._link.receive(data, now)

    def tick(self, now: float) -> list[Event]:
        """What time has brought: expired requests, a dead link. May leave an enquire_link to write."""
        return self._link.tick(now)

    def next_deadline(self) -> float | None:
        """When to call `tick`; None while nothing will ever be due."""
        return self._link.next_deadline()

    def take_output(self) -> bytes:
        """Everything to write, in one piece."""
        return self._link.take_output()

    def close(self, reason: str) -> list[Unanswered]:
        """Ends the session whatever its state and hands back the requests without an answer, oldest first."""
        return self._link.close(reason)

    @staticmethod
    def _requested(sequence: int, pdu: Pdu, now: float) -> Event:
        if isinstance(pdu, DeliverSm | DataSm):
            return DeliverReceived(sequence, pdu)
        if isinstance(pdu, AlertNotification):
            return AlertReceived(pdu)
        assert isinstance(pdu, Outbind)
        return OutbindReceived(pdu)

    def __repr__(self) -> str:
        return self._link.describe("EsmeSession", self.config.name)


class SmscConfig(msgspec.Struct, frozen=True):
    """How we take binds. `system_id` names us in bind_resp; `window` counts deliver_sm without a response.

    `inbound_limit` is how many requests of the ESME may wait for our answer before further ones get RTHROTTLED.
    """

    name: str
    system_id: str = "SMSC"
    window: int = 10
    inbound_limit: int = 10_000
    max_pdu: int = DEFAULT_MAX_PDU
    timers: TimerSettings = TimerSettings()


class SmscSession:
    """The operator's side of a connection. The bind timer runs from the start.

    `interface_version` is what the ESME said in its bind, None before. One below 0x34 does not know optional parameters
    (§2.11): what it is sent should have none.
    """

    __slots__ = ("_bind", "_link", "config", "interface_version")

    def __init__(self, config: SmscConfig, now: float) -> None:
        self.config = config
        self.interface_version: int | None = None
        self._bind: BindRequest | None = None
        self._link = Link(
            window=config.window,
            timers=config.timers,
            may_send=SMSC_MAY_SEND,
            peer_may_send=ESME_MAY_SEND,
            on_request=self._requested,
            busy_status=RTHROTTLED,
            inbound_limit=config.inbound_limit,
            now=now,
            max_pdu=config.max_pdu,
        )
        self._link.timers = self._link.timers.awaiting_bind(now)

    @property
    def link(self) -> Link:
        """State, window, timers and counters."""
        return self._link

    @property
    def state(self) -> State:
        """Where the session is."""
        return self._link.state

    @property
    def room(self) -> int:
        """How many deliver_sm the window would take now."""
        return self._link.window.room

    def answer_bind(self, sequence: int, status: int, now: float) -> bool:
        """Accepts (status 0) or refuses a `BindRequested`. Raises `LocalProtocolError` when no bind waits."""
        request = self._bind
        if request is None:
            raise LocalProtocolError("no bind waits for an answer")
        self._bind = None
        if self._link.state is not State.BINDING:
            # Unbound meanwhile: nobody waits for the answer.
            self._link.settle(sequence)
            return False
        self._link.bind_answered(request.mode, status == 0, now)
        body = b""
        if status == 0:
            version: Tlvs = ()
            # Only peers of 3.4 and later know optional parameters (§2.11).
            if request.interface_version >= INTERFACE_VERSION_34:
                version = ((Tag.SC_INTERFACE_VERSION, bytes((INTERFACE_VERSION_34,))),)
            body = encode_body(BindResponse(request.mode, self.config.system_id, version))
        return self._link.answer(sequence, status, body)

    def answer_submit(self, sequence: int, status: int, message_id: str = "") -> bool:
        """Answers a `SubmitReceived`; a refusal has no body (§4.4.2). False when the session is over.

        Raises `LocalProtocolError` for an unknown number, `PduEncodeError` for an id over 64 characters.
        """
        return self._link.answer(sequence, status, b"" if status else encode_text(message_id, 65))

    def answer(
        self,
        sequence: int,
        status: int,
        response: DataSmResp | SubmitMultiResp | QuerySmResp | CancelSmResp | ReplaceSmResp,
    ) -> bool:
        """Answers a `RequestReceived`; a refusal has no body. False when the session is over."""
        return self._link.answer(sequence, status, b"" if status else encode_body(response))

    def abandon(self, sequence: int) -> None:
        """The request will never be answered; it no longer counts against `inbound_limit`."""
        self._link.settle(sequence)

    def deliver(self, pdu: DeliverSm | DataSm, token: object, now: float) -> int | None:
        """One deliver_sm or data_sm; its sequence_number, None while the window is full.

        Raises `LocalProtocolError` unless bound for receiving, `PduEncodeError` when a field does not fit.
        """
        return self._link.send(pdu, token, now)

    def deliver_many(self, bodies: Sequence[bytes], tokens: Sequence[object], now: float) -> int:
        """The first deliver_sm of `bodies` (encoded) that the window has room for; how many those are."""
        return self._link.send_many(_DELIVER_SM, bodies, tokens, now)

    def notify(self, pdu: AlertNotification | Outbind) -> None:
        """Sends a PDU that has no response. Raises `LocalProtocolError` when the state forbids it."""
        self._link.send_without_response(pdu)

    def unbind(self, now: float) -> None:
        """Sends unbind; answered by `Unbound`. Raises `LocalProtocolError` when the session is over."""
        self._link.request_unbind(now)

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Octets from the ESME → events, in order."""
        return self._link.receive(data, now)

    def tick(self, now: float) -> list[Event]:
        """What time has brought: expired deliver_sm, a dead link. May leave an enquire_link to write."""
        return self._link.tick(now)

    def next_deadline(self) -> float | None:
        """When to call `tick`; None while nothing will ever be due."""
        return self._link.next_deadline()

    def take_output(self) -> bytes:
        """Everything to write, in one piece."""
        return self._link.take_output()

    def close(self, reason: str) -> list[Unanswered]:
        """Ends the session whatever its state and hands back the deliver_sm without an answer, oldest first."""
        return self._link.close(reason)

    def _requested(self, sequence: int, pdu: Pdu, now: float) -> Event:
        if isinstance(pdu, SubmitSm):
            return SubmitReceived(sequence, pdu)
        if isinstance(pdu, BindRequest):
            self._link.state = advance(self._link.state, Signal.BIND_REQUESTED)
            self._bind = pdu
            self.interface_version = pdu.interface_version
            return BindRequested(sequence, pdu)
        assert isinstance(pdu, DataSm | SubmitMulti | QuerySm | CancelSm | ReplaceSm)
        return RequestReceived(sequence, pdu)

    def __repr__(self) -> str:
        return self._link.describe("SmscSession", self.config.name)
