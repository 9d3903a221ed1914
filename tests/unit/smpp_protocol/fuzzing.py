"""Random and mutated PDUs from a seed, and sessions of both kinds in every state to feed them to."""

import random
from collections.abc import Callable

from smpp_daemon.protocol.codec import HEADER, encode, pack_header
from smpp_daemon.protocol.constants import RESPONSE_BIT, BindMode, CommandId, Tag
from smpp_daemon.protocol.pdu import (
    AlertNotification,
    BindRequest,
    BindResponse,
    CancelSm,
    CancelSmResp,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    Outbind,
    Pdu,
    QuerySm,
    QuerySmResp,
    ReplaceSm,
    ReplaceSmResp,
    SmeAddress,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
    UnsuccessSme,
    command_of,
)
from smpp_daemon.protocol.session import EsmeSession, SmscSession
from smpp_daemon.protocol.states import State
from smpp_daemon.protocol.timers import TimerSettings
from tests.unit.smpp_protocol.pair import Pair, body

TIMERS = TimerSettings(bind=1e9, enquire_link_interval=5, enquire_link_timeout=1e9, response=3, unbind=1e9)
WINDOW = 8
INBOUND_LIMIT = 16
RECEIPT = b"id:1 sub:001 dlvrd:001 submit date:2611240900 done date:2611240900 stat:DELIVRD err:000 text:hello"
TLVS = ((int(Tag.RECEIPTED_MESSAGE_ID), b"1\0"), (int(Tag.MESSAGE_STATE), b"\2"), (0x1400, b"vendor"))
ADDRESS = {"source_addr_ton": 5, "source_addr": "SENDER", "dest_addr_ton": 1, "destination_addr": "251911000100"}

SAMPLES: tuple[Pdu, ...] = (
    *(BindRequest(mode, "user", "secret", "type", tlvs=TLVS) for mode in BindMode),
    *(BindResponse(mode, "smsc", ((int(Tag.SC_INTERFACE_VERSION), b"\x34"),)) for mode in BindMode),
    Outbind("smsc", "secret"),
    Unbind(),
    UnbindResp(),
    GenericNack(),
    EnquireLink(),
    EnquireLinkResp(),
    SubmitSm(**ADDRESS, short_message=b"Hello", registered_delivery=1, tlvs=TLVS),  # type: ignore[arg-type]
    SubmitSmResp("1", TLVS),
    DeliverSm(**ADDRESS, esm_class=4, short_message=RECEIPT, tlvs=TLVS),  # type: ignore[arg-type]
    DeliverSmResp(),
    DataSm("", 1, 1, "1", 1, 1, "2", tlvs=((int(Tag.MESSAGE_PAYLOAD), b"x" * 300),)),
    DataSmResp("1", TLVS),
    SubmitMulti(destinations=(SmeAddress(1, 1, "251911000100"), "list"), short_message=b"Hello", tlvs=TLVS),
    SubmitMultiResp("1", (UnsuccessSme(1, 1, "251911000100", 11),), TLVS),
    QuerySm("1", 1, 1, "2"),
    QuerySmResp("1", "261124090000000+", 2, 0),
    CancelSm("", "1"),
    CancelSmResp(),
    ReplaceSm("1", short_message=b"Hello"),
    ReplaceSmResp(),
    AlertNotification(1, 1, "1", 1, 1, "2", TLVS),
)
assert {command_of(pdu) for pdu in SAMPLES} == set(CommandId)


class Generator:
    """An endless source of frames; the same seed gives the same ones."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._frames = [encode(pdu, 0) for pdu in SAMPLES]
        self._mutations: list[Callable[[bytearray], None]] = [
            self._nothing,
            self._flip,
            self._replace,
            self._cut,
            self._insert,
            self._splice,
            self._command,
            self._fill,
            self._nul,
        ]

    def frame(self) -> bytes:
        """One PDU whose command_length is right, whatever else is not; now and then one whose length is wrong too."""
        pick = self.random
        frame = bytearray(pick.choice(self._frames))
        for _ in range(pick.choice((1, 1, 1, 2, 3))):
            pick.choice(self._mutations)(frame)
        frame[12:16] = self._sequence().to_bytes(4, "big")
        if pick.random() < 0.5:
            frame[8:12] = pick.choice((0, 0x58, 0x0E, 0xFFFFFFFF, pick.getrandbits(32))).to_bytes(4, "big")
        length = len(frame)
        if pick.random() < 0.002:
            length = pick.choice((0, 15, 17, length + 1, 0x48545450, 0xFFFFFFFF, pick.getrandbits(32)))
        frame[0:4] = length.to_bytes(4, "big")
        return bytes(frame)

    def pieces(self, data: bytes) -> list[bytes]:
        """The data as the network might bring it."""
        pick = self.random
        if pick.random() < 0.7 or not data:
            return [data]
        at = sorted(pick.randrange(len(data)) for _ in range(pick.randint(1, 3)))
        return [data[start:end] for start, end in zip([0, *at], [*at, len(data)], strict=True)]

    def _sequence(self) -> int:
        # Most answers should meet a request in flight.
        pick = self.random
        return pick.choice((pick.randrange(20), pick.randrange(20), 0x7FFFFFFF, pick.getrandbits(32)))

    def _nothing(self, frame: bytearray) -> None:
        pass

    def _flip(self, frame: bytearray) -> None:
        frame[self._place(frame)] ^= 1 << self.random.randrange(8)

    def _replace(self, frame: bytearray) -> None:
        frame[self._place(frame)] = self.random.choice((0, 1, 0x7F, 0xFF, self.random.randrange(256)))

    def _cut(self, frame: bytearray) -> None:
        del frame[self.random.randrange(16, len(frame) + 1) :]

    def _insert(self, frame: bytearray) -> None:
        place = self.random.randrange(16, len(frame) + 1)
        frame[place:place] = self.random.randbytes(self.random.choice((1, 2, 4, 40)))

    def _splice(self, frame: bytearray) -> None:
        other = self.random.choice(self._frames)
        frame += other[self.random.randrange(len(other)) :]

    def _command(self, frame: bytearray) -> None:
        command = self.random.choice((*CommandId, 0x111, 0x112, 0x80000111, self.random.getrandbits(32)))
        frame[4:8] = int(command).to_bytes(4, "big")

    def _fill(self, frame: bytearray) -> None:
        frame[16:] = self.random.randbytes(self.random.randrange(200))

    def _nul(self, frame: bytearray) -> None:
        frame += b"\0"

    def _place(self, frame: bytearray) -> int:
        return self.random.randrange(4, len(frame))


class Seat:
    """Keeps one session of one kind in one state: when it has moved on, a new one takes its place."""

    def __init__(self, esme: bool, state: State, mode: BindMode) -> None:
        self.esme = esme
        self.state = state
        self.mode = mode
        self.sessions = 0
        self.session = self._new(0.0)

    def ready(self, now: float) -> EsmeSession | SmscSession:
        """The session, in its state."""
        if self.session.state is not self.state:
            self.session.close("replaced")
            self.session = self._new(now)
        return self.session

    def _new(self, now: float) -> EsmeSession | SmscSession:
        self.sessions += 1
        bound = self.state not in (State.OPEN, State.BINDING)
        pair = Pair(window=WINDOW, mode=self.mode, timers=TIMERS, inbound_limit=INBOUND_LIMIT, bind=bound, now=now)
        if self.state is State.BINDING:
            pair.esme.bind(now)
            pair.to_smsc()
        session: EsmeSession | SmscSession = pair.esme if self.esme else pair.smsc
        self.work(session, now)
        if self.state is State.UNBINDING:
            session.unbind(now)
        elif self.state is State.CLOSED:
            session.close("closed")
        elif self.state is State.ERROR:
            session.receive(b"HTTP", now)
        session.take_output()
        return session

    def work(self, session: EsmeSession | SmscSession, now: float) -> None:
        """Requests of our own, where the state allows them, so that answers have something to meet."""
        if isinstance(session, EsmeSession):
            if session.state in (State.BOUND_TX, State.BOUND_TRX) and session.room:
                session.submit_many([body()] * 3, "abc", now)
                session.request(QuerySm("1"), "q", now)
        elif session.state in (State.BOUND_RX, State.BOUND_TRX) and session.room:
            session.deliver_many([b"\0" * 17] * 3, "abc", now)
            session.deliver(DataSm(), "d", now)


def seats() -> list[Seat]:
    """Both kinds in every state."""
    bound = {State.BOUND_TX: BindMode.TRANSMITTER, State.BOUND_RX: BindMode.RECEIVER}
    return [Seat(esme, state, bound.get(state, BindMode.TRANSCEIVER)) for state in State for esme in (True, False)]


def headers_of(output: bytes) -> list[tuple[int, int, int, int]]:
    """The headers of an output; fails unless it is whole PDUs that a peer could read."""
    found = []
    while output:
        length, command, status, sequence = HEADER.unpack_from(output)
        assert 16 <= length <= len(output)
        assert pack_header(length, CommandId(command), status, sequence) == output[:16]
        assert status == 0 or command & RESPONSE_BIT
        found.append((length, command, status, sequence))
        output = output[length:]
    return found
