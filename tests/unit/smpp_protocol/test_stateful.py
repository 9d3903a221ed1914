"""Two sessions driven at random over pipes that deliver in pieces: what must hold whatever happens.

Every request is a token. A token ends exactly once: answered, expired, or handed back by `close`; a late answer may
come after an expiry, once. Nothing is reported after the end, windows are hard, and after a tick nothing is overdue.
"""

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from smpp_daemon.protocol.codec import HEADER, encode, encode_body
from smpp_daemon.protocol.constants import RESPONSE_BIT, BindMode, CommandId
from smpp_daemon.protocol.errors import LocalProtocolError
from smpp_daemon.protocol.events import (
    BindRequested,
    DeliverAnswered,
    DeliverReceived,
    Event,
    LateAnswer,
    RequestAnswered,
    RequestExpired,
    RequestReceived,
    SessionFailed,
    SubmitAnswered,
    SubmitExpired,
    SubmitReceived,
    Unbound,
)
from smpp_daemon.protocol.pdu import DeliverSm, GenericNack, QuerySm, QuerySmResp, SubmitSmResp
from smpp_daemon.protocol.session import EsmeSession, SmscSession
from smpp_daemon.protocol.states import BOUND, FINISHED, State
from smpp_daemon.protocol.timers import TimerSettings
from tests.unit.smpp_protocol.pair import Pair, body, frames

TIMERS = TimerSettings(bind=10, enquire_link_interval=7, enquire_link_timeout=4, response=5, unbind=3, inactivity=60)
RECEIPT = encode_body(DeliverSm(short_message=b"x"))
INBOUND_LIMIT = 4
PLACES = st.integers(0, 9)
SIDES = st.booleans()
SELDOM = st.integers(0, 9).map(lambda number: number == 7)
LIKELY = SELDOM.map(lambda seldom: not seldom)


class Side:
    """One session, the octets on their way to it, and the books of its tokens."""

    def __init__(self, session: EsmeSession | SmscSession) -> None:
        self.session = session
        self.coming = bytearray()
        self.open: set[int] = set()
        self.ended: Counter[int] = Counter()
        self.expired: set[int] = set()
        self.late: Counter[int] = Counter()
        self.to_answer: list[Event] = []
        self.numbers: list[int] = []

    def note(self, events: list[Event], before: State) -> None:
        assert not events or before not in FINISHED
        assert not any(isinstance(event, Unbound | SessionFailed) for event in events[:-1])
        for event in events:
            match event:
                case SubmitAnswered() | DeliverAnswered() | RequestAnswered():
                    self.end(event.token)
                case SubmitExpired() | RequestExpired():
                    self.end(event.token)
                    assert isinstance(event.token, int)
                    self.expired.add(event.token)
                case LateAnswer():
                    assert event.token in self.expired
                    assert isinstance(event.token, int)
                    self.late[event.token] += 1
                case BindRequested() | SubmitReceived() | RequestReceived() | DeliverReceived():
                    self.to_answer.append(event)

    def end(self, token: object) -> None:
        assert isinstance(token, int)
        assert token in self.open
        self.open.remove(token)
        self.ended[token] += 1


class TwoSessions(RuleBasedStateMachine):
    """The test owns the clock and the two pipes."""

    @initialize(window=st.integers(1, 4), mode=st.sampled_from([BindMode.TRANSCEIVER, *BindMode]), bound=LIKELY)
    def connect(self, window: int, mode: BindMode, bound: bool) -> None:
        self.window, self.mode = window, mode
        self.now = 1000.0
        self.opened = 0
        self.start(bound)

    def start(self, bound: bool) -> None:
        self.pair = Pair(
            window=self.window, mode=self.mode, timers=TIMERS, inbound_limit=INBOUND_LIMIT, bind=bound, now=self.now
        )
        self.esme, self.smsc = Side(self.pair.esme), Side(self.pair.smsc)

    def side(self, esme: bool) -> Side:
        return self.esme if esme else self.smsc

    # -- the owners -----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.pair.esme.state is State.OPEN)
    @rule()
    def bind(self) -> None:
        self.pair.esme.bind(self.now)

    @rule(count=st.integers(1, 6), heard=SIDES)
    def submit(self, count: int, heard: bool) -> None:
        tokens = range(self.opened, self.opened + count)
        room = self.pair.esme.room
        try:
            taken = self.pair.esme.submit_many([body()] * count, tokens, self.now)
        except LocalProtocolError:
            assert self.pair.esme.state not in {State.BOUND_TX, State.BOUND_TRX}
            return
        assert taken == min(room, count)
        self.book(self.esme, taken)
        if heard:
            self.exchange()

    @rule()
    def query(self) -> None:
        if self.pair.esme.state in {State.BOUND_TX, State.BOUND_TRX}:
            sent = self.pair.esme.request(QuerySm("1"), self.opened, self.now)
            self.book(self.esme, 0 if sent is None else 1)

    @rule(count=st.integers(1, 6), heard=SIDES)
    def deliver(self, count: int, heard: bool) -> None:
        if self.pair.smsc.state in {State.BOUND_RX, State.BOUND_TRX}:
            tokens = range(self.opened, self.opened + count)
            self.book(self.smsc, self.pair.smsc.deliver_many([RECEIPT] * count, tokens, self.now))
            if heard:
                self.exchange()

    def book(self, side: Side, count: int) -> None:
        side.open.update(range(self.opened, self.opened + count))
        self.opened += count

    @rule(esme=SIDES, place=PLACES, status=st.sampled_from([0, 0, 0x58, 0xFFFFFFFF]), heard=LIKELY, twice=SIDES)
    def answer(self, esme: bool, place: int, status: int, heard: bool, twice: bool) -> None:
        side = self.side(esme)
        if not side.to_answer:
            return
        over = side.session.state in FINISHED
        event = side.to_answer.pop(place % len(side.to_answer))
        match event:
            case BindRequested():
                if not over:
                    self.pair.smsc.answer_bind(event.sequence, status, self.now)
            case SubmitReceived():
                assert self.pair.smsc.answer_submit(event.sequence, status, "id") is not over
                if twice:
                    self.write(False)
                    self.esme.coming += encode(SubmitSmResp("id"), event.sequence, status)
            case RequestReceived():
                assert self.pair.smsc.answer(event.sequence, status, QuerySmResp("1")) is not over
            case DeliverReceived():
                assert self.pair.esme.answer_deliver(event.sequence, status) is not over
        if heard:
            self.exchange()

    @rule()
    def abandon(self) -> None:
        waiting = [event for event in self.smsc.to_answer if isinstance(event, SubmitReceived)]
        if waiting and self.pair.smsc.state not in FINISHED:
            self.smsc.to_answer.remove(waiting[0])
            self.pair.smsc.abandon(waiting[0].sequence)

    @rule(esme=SIDES, often_enough=SELDOM)
    def unbind(self, esme: bool, often_enough: bool) -> None:
        session = self.side(esme).session
        if not often_enough:
            return
        if session.state in BOUND or session.state is State.UNBINDING:
            session.unbind(self.now)

    @rule(esme=SIDES)
    def wrap(self, esme: bool) -> None:
        """Two thousand million requests later."""
        self.side(esme).session.link.window._next = 0x7FFFFFFF

    # -- the network ----------------------------------------------------------------------------------------------

    @rule(esme=SIDES)
    def write(self, esme: bool) -> None:
        """What one side has to say is on its way to the other, and is made of whole PDUs."""
        writer, reader = self.side(esme), self.side(not esme)
        output = writer.session.take_output()
        for _, command, _, sequence in frames(output):
            CommandId(command)
            if not command & RESPONSE_BIT:
                assert 1 <= sequence <= 0x7FFFFFFF
                writer.numbers.append(sequence)
        reader.coming += output

    @rule(esme=SIDES, most=st.one_of(st.just(1 << 20), st.integers(1, 100)))
    def read(self, esme: bool, most: int) -> None:
        side = self.side(esme)
        data = bytes(side.coming[:most])
        del side.coming[:most]
        before = side.session.state
        side.note(side.session.receive(data, self.now), before)

    @rule()
    def exchange(self) -> None:
        """Everything that was said is heard."""
        for esme in (True, False):
            self.write(esme)
            self.read(not esme, 1 << 20)

    @precondition(lambda self: not self.esme.coming and not self.smsc.coming)
    @rule(esme=SIDES, kind=st.sampled_from(["duplicate", "nack", "unknown", "foreign"]), place=PLACES)
    def disturb(self, esme: bool, kind: str, place: int) -> None:
        """Answers to nothing, twice, or of the wrong kind, between whole PDUs."""
        side = self.side(esme)
        number = side.numbers[place % len(side.numbers)] if side.numbers else place
        forged = {
            "duplicate": encode(SubmitSmResp("again"), number),
            "nack": encode(GenericNack(), number, 3),
            "unknown": HEADER.pack(16, 0x111, 0, number),
            "foreign": HEADER.pack(16, 0x80000111, 0, number),
        }[kind]
        if not side.session.link._framer.buffered:
            before = side.session.state
            side.note(side.session.receive(forged, self.now), before)

    @precondition(lambda self: not self.esme.coming and not self.smsc.coming)
    @rule(esme=SIDES, often_enough=SELDOM)
    def garbage(self, esme: bool, often_enough: bool) -> None:
        side = self.side(esme)
        if often_enough and not side.session.link._framer.buffered:
            before = side.session.state
            side.note(side.session.receive(b"HTTP/1.1 400 Bad Request", self.now), before)
            assert side.session.state in FINISHED

    @rule(seconds=st.sampled_from([0.0, 0.5, 0.5, 1.0, 1.0, 3.0, 5.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        for side in (self.esme, self.smsc):
            before = side.session.state
            side.note(side.session.tick(self.now), before)
            due = side.session.next_deadline()
            assert due is None or due > self.now
            assert due is None or side.session.state not in FINISHED

    @rule()
    def lose_the_connection(self) -> None:
        """Both ends are closed and a new connection is made; nothing of the old one comes back."""
        for side in (self.esme, self.smsc):
            self.close(side)
        self.start(bound=True)

    def close(self, side: Side) -> None:
        for request in side.session.close("lost"):
            side.end(request.token)
        assert side.session.state is State.CLOSED
        assert side.session.close("again") == []
        assert side.session.receive(encode(DeliverSm(), 1), self.now) == []
        assert side.session.tick(self.now + 1e6) == []
        assert side.session.take_output() == b""
        assert not side.open
        assert set(side.ended.values()) <= {1}
        assert set(side.late.values()) <= {1}

    # -- what always holds ----------------------------------------------------------------------------------------

    @invariant()
    def windows_are_hard_and_books_agree(self) -> None:
        for side in (self.esme, self.smsc):
            link = side.session.link
            assert len(link.window) == len(side.open) <= self.window
            assert {entry[0] for entry in link.window._pending.values()} == side.open
            assert not set(link.window._pending) & link.window._reserved
            assert set(link._control) == link.window._reserved or link.state is State.CLOSED
            assert link.inbound == sum(map(len, link._inbound.values())) <= INBOUND_LIMIT

    @invariant()
    def deadlines_never_go_back(self) -> None:
        for side in (self.esme, self.smsc):
            sent = [entry[1] for entry in side.session.link.window._pending.values()]
            assert sent == sorted(sent)
            assert all(moment <= self.now for moment in sent)

    def teardown(self) -> None:
        if hasattr(self, "pair"):
            for side in (self.esme, self.smsc):
                self.close(side)


TwoSessions.TestCase.settings = settings(max_examples=300, stateful_step_count=60, deadline=None)
TestTwoSessions = TwoSessions.TestCase
