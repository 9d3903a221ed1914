"""How sessions end, and what crosses an ending on its way."""

import pytest

from smpp_daemon.protocol.codec import HEADER, encode, encode_body
from smpp_daemon.protocol.constants import BindMode, CommandId
from smpp_daemon.protocol.errors import LocalProtocolError
from smpp_daemon.protocol.events import (
    DeliverAnswered,
    DeliverReceived,
    EnquireLatency,
    Failure,
    PeerUnbound,
    SessionFailed,
    SubmitAnswered,
    SubmitReceived,
    Unbound,
    UnexpectedResponse,
)
from smpp_daemon.protocol.pdu import (
    DeliverSm,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    SubmitSm,
    SubmitSmResp,
    Unbind,
)
from smpp_daemon.protocol.session import EsmeSession, SmscSession
from smpp_daemon.protocol.states import State
from smpp_daemon.protocol.status import RINVCMDID, RTHROTTLED, RX_T_APPN
from smpp_daemon.protocol.timers import TimerSettings
from tests.unit.smpp_protocol.pair import Pair, body, frames

ENQUIRE, UNBIND = CommandId.ENQUIRE_LINK, CommandId.UNBIND


def sessions(pair: Pair) -> list[EsmeSession | SmscSession]:
    return [pair.esme, pair.smsc]


@pytest.mark.parametrize("mode", list(BindMode), ids=lambda mode: mode.name)
@pytest.mark.parametrize("side", [0, 1], ids=["esme", "smsc"])
def test_problem_19_either_side_unbinds_in_every_mode(side: int, mode: BindMode) -> None:
    """Answers field problem 19."""
    pair = Pair(mode=mode)
    one, other = sessions(pair)[side], sessions(pair)[1 - side]
    one.unbind(pair.now)
    states = [one.state]
    assert other.receive(one.take_output(), pair.now) == [PeerUnbound()]
    assert one.receive(other.take_output(), pair.now) == [Unbound()]
    states.append(one.state)
    assert states == [State.UNBINDING, State.CLOSED]
    assert one.next_deadline() is None
    assert other.next_deadline() is None
    assert other.close("peer unbound") == []


def test_unbind_before_any_bind() -> None:
    pair = Pair(bind=False)
    pair.esme.unbind(pair.now)
    assert pair.to_smsc() == [PeerUnbound()]
    assert pair.to_esme() == [Unbound()]


def test_an_unbind_overtakes_a_bind() -> None:
    pair = Pair(bind=False)
    pair.esme.bind(pair.now)
    pair.to_smsc()
    pair.esme.unbind(pair.now)
    assert pair.to_smsc() == [PeerUnbound()]
    assert pair.smsc.answer_bind(1, 0, pair.now) is False
    assert pair.smsc.link.inbound == 0
    assert pair.to_esme() == [Unbound()]
    with pytest.raises(LocalProtocolError, match="no bind waits"):
        pair.smsc.answer_bind(1, 0, pair.now)


def test_a_bind_answered_after_our_unbind_changes_nothing() -> None:
    pair = Pair(bind=False)
    pair.esme.bind(pair.now)
    pair.to_smsc()
    pair.smsc.answer_bind(1, 0, pair.now)
    pair.esme.unbind(pair.now)
    assert pair.to_esme() == []
    assert pair.esme.state is State.UNBINDING


def test_asking_twice_to_unbind_asks_the_peer_once() -> None:
    pair = Pair()
    pair.esme.unbind(pair.now)
    pair.esme.unbind(pair.now + 3)
    assert [command for _, command, _, _ in frames(pair.esme.take_output())] == [UNBIND]
    assert pair.esme.next_deadline() == pair.now + 5


def test_a_nack_of_unbind_ends_the_session_as_well() -> None:
    pair = Pair()
    pair.esme.unbind(pair.now)
    ((_, _, _, sequence),) = frames(pair.esme.take_output())
    assert pair.esme.receive(encode(GenericNack(), sequence, RINVCMDID), pair.now) == [Unbound()]


def test_messages_that_cross_our_unbind_are_refused_for_now_only() -> None:
    """A peer may give up a message for good when it is told that the bind is wrong."""
    pair = Pair()
    pair.smsc.deliver(DeliverSm(), "d", pair.now)
    pair.esme.submit(body(), "s", pair.now)
    for session in sessions(pair):
        session.unbind(pair.now)
    to_esme, to_smsc = pair.smsc.take_output(), pair.esme.take_output()
    assert pair.esme.receive(to_esme, pair.now) == [PeerUnbound()]
    assert pair.smsc.receive(to_smsc, pair.now) == [PeerUnbound()]
    assert pair.esme.link.violations == pair.smsc.link.violations == 0
    assert pair.to_smsc() == [DeliverAnswered("d", RX_T_APPN, 0.0), Unbound()]
    assert pair.to_esme() == [SubmitAnswered("s", RTHROTTLED, "", 0.0), Unbound()]


def test_what_was_received_before_an_unbind_is_still_answered() -> None:
    pair = Pair()
    pair.smsc.deliver(DeliverSm(), "d", pair.now)
    (received,) = pair.to_esme()
    assert isinstance(received, DeliverReceived)
    pair.esme.unbind(pair.now)
    assert pair.esme.answer_deliver(received.sequence) is True
    assert pair.to_smsc() == [PeerUnbound(), DeliverAnswered("d", 0, 0.0)]


def test_nothing_happens_after_the_end() -> None:
    pair = Pair()
    pair.esme.unbind(pair.now)
    ((_, _, _, sequence),) = frames(pair.esme.take_output())
    answer = HEADER.pack(16, CommandId.UNBIND_RESP, 0, sequence)
    assert pair.esme.receive(answer + encode(DeliverSm(), 9), pair.now) == [Unbound()]
    assert pair.esme.receive(encode(DeliverSm(), 9), pair.now) == []
    assert pair.esme.tick(pair.now + 1e6) == []
    assert pair.esme.take_output() == b""
    with pytest.raises(LocalProtocolError):
        pair.esme.unbind(pair.now)
    with pytest.raises(LocalProtocolError):
        pair.esme.bind(pair.now)


def test_problem_09_close_with_requests_of_the_peer_open() -> None:
    """Answers field problem 9: everything is settled in one step, and later answers are told that it is over."""
    pair = Pair()
    pair.esme.submit_many([body()] * 2, "ab", pair.now)
    events = [event for event in pair.to_smsc() if isinstance(event, SubmitReceived)]
    assert pair.smsc.close("connection lost") == []
    assert pair.smsc.link.inbound == 0
    assert [pair.smsc.answer_submit(event.sequence, 0, "x") for event in events] == [False, False]


def test_problem_05_answers_are_matched_and_links_kept_alive_while_nothing_else_is_read() -> None:
    """Answers field problem 5: answers and enquire_link need no owner, however many messages came with them."""
    pair = Pair(window=100, inbound_limit=10)
    sent = pair.esme.submit_many([body()] * 100, range(100), pair.now)
    answers = [encode(SubmitSmResp(f"{sequence:x}"), sequence) for sequence in range(2, 2 + sent)]
    flood = [encode(DeliverSm(short_message=b"x" * 140), sequence) for sequence in range(1000)]
    mixed = [frame for pieces in zip(flood, answers, strict=False) for frame in pieces] + flood[100:]
    events = pair.esme.receive(encode(EnquireLink(), 5000).join(mixed), pair.now)
    assert sum(isinstance(event, SubmitAnswered) for event in events) == 100
    assert sum(isinstance(event, DeliverReceived) for event in events) == 10
    commands = [command for _, command, _, _ in frames(pair.esme.take_output())]
    assert commands.count(CommandId.ENQUIRE_LINK_RESP) == len(mixed) - 1
    assert pair.esme.link.busy_refusals == 990


def test_problem_39_a_peer_that_is_never_answered_cannot_fill_the_memory() -> None:
    """Answers field problem 39."""
    pair = Pair(window=10, inbound_limit=5)
    for number in range(2000):
        pair.esme.submit_many([body()] * 20, range(20), pair.now)
        pair.to_smsc()
        pair.smsc.receive(encode(SubmitSm(), number), pair.now)
        pair.to_esme()
        pair.now += 11
        pair.esme.tick(pair.now)
        pair.esme.receive(HEADER.pack(60000, CommandId.DELIVER_SM, 0, 1)[: number % 2], pair.now)
        pair.esme.link._framer._partial.clear()
    assert pair.smsc.link.inbound == 5
    assert len(pair.esme.link.window) <= 10
    assert len(pair.esme.link.window._tombstones) <= 10_000
    assert len(pair.esme.link._control) <= 1


def test_problem_20_a_peer_that_answers_everything_but_enquire_link_lives() -> None:
    """Answers field problem 20: any PDU proves life, and silence after it is asked about anew before the link ends."""
    pair = Pair(timers=TimerSettings(enquire_link_interval=30, enquire_link_timeout=10))
    asked = []
    for _ in range(3):
        pair.now += 30
        assert pair.esme.tick(pair.now) == []
        ((_, command, _, sequence),) = frames(pair.esme.take_output())
        assert command == ENQUIRE
        asked.append(sequence)
        pair.now += 9
        pair.esme.receive(encode(DeliverSm(), 7), pair.now)
        assert pair.esme.tick(pair.now + 20) == []
    assert len(set(asked)) == 3
    # The newest enquiry is the only one whose answer is measured.
    assert pair.esme.receive(encode(EnquireLinkResp(), asked[0]), pair.now) == [
        UnexpectedResponse(CommandId.ENQUIRE_LINK_RESP, asked[0], 0, "")
    ]
    assert pair.esme.receive(encode(EnquireLinkResp(), asked[2]), pair.now) == [EnquireLatency(9.0)]
    pair.esme.tick(pair.now + 30)
    (event,) = pair.esme.tick(pair.now + 40)
    assert isinstance(event, SessionFailed)
    assert event.failure is Failure.LINK_DEAD


def test_problem_21_enquire_link_is_answered_in_every_state_and_never_sent_unbound() -> None:
    """Answers field problem 21."""
    for bind, unbind in ((False, False), (True, False), (True, True)):
        pair = Pair(bind=bind)
        for session in sessions(pair):
            if unbind:
                session.unbind(pair.now)
                session.take_output()
            assert session.receive(encode(EnquireLink(), 77), pair.now) == []
            assert frames(session.take_output()) == [(16, CommandId.ENQUIRE_LINK_RESP, 0, 77)]
            if not bind or unbind:
                session.tick(pair.now + 4.9)
                assert session.take_output() == b""


def test_problem_22_a_new_session_knows_nothing_of_the_one_before() -> None:
    """Answers field problem 22: answers to the old session's requests match nothing, its numbers are free again."""
    old, new = Pair(), Pair()
    sequence = old.esme.submit(body(), "old", old.now)
    assert sequence is not None
    old.esme.close("connection lost")
    assert new.esme.receive(encode(SubmitSmResp("x"), sequence), new.now) == [
        UnexpectedResponse(CommandId.SUBMIT_SM_RESP, sequence, 0, "x")
    ]
    assert new.esme.submit(body(), "new", new.now) == sequence


@pytest.mark.parametrize("sequence", [0, 1, 0xFFFFFFFF])
def test_an_unbind_with_any_number_is_answered_with_it(sequence: int) -> None:
    pair = Pair()
    for session in sessions(pair):
        assert session.receive(encode(Unbind(), sequence), pair.now) == [PeerUnbound()]
        assert frames(session.take_output()) == [(16, CommandId.UNBIND_RESP, 0, sequence)]


def test_a_length_over_the_cap_ends_the_session_and_what_came_before_counts() -> None:
    pair = Pair()
    sequence = pair.esme.submit(body(), "t", pair.now)
    assert sequence is not None
    data = encode(SubmitSmResp("id"), sequence) + HEADER.pack(65537, CommandId.DELIVER_SM, 0, 2) + bytes(100)
    answered, failed = pair.esme.receive(data, pair.now)
    assert answered == SubmitAnswered("t", 0, "id", 0.0)
    assert isinstance(failed, SessionFailed)
    assert failed.failure is Failure.GARBAGE
    longest = DeliverSm(tlvs=((0x0424, b"x" * (65536 - 16 - len(encode_body(DeliverSm())) - 4)),))
    frame = encode(longest, 1)
    assert len(frame) == 65536
    assert len(Pair().esme.receive(frame, 1000.0)) == 1
