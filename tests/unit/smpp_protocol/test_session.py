"""Two sessions back to back. Tests that answer a known field problem carry its number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpp_daemon.protocol.codec import HEADER, decode, encode
from smpp_daemon.protocol.constants import BindMode, CommandId, Tag
from smpp_daemon.protocol.errors import LocalProtocolError
from smpp_daemon.protocol.events import (
    AlertReceived,
    BindFailed,
    BindRequested,
    Bound,
    DeliverAnswered,
    DeliverReceived,
    EnquireLatency,
    Event,
    Failure,
    LateAnswer,
    NackReceived,
    OutbindReceived,
    PeerUnbound,
    ProtocolViolation,
    RequestAnswered,
    RequestExpired,
    RequestReceived,
    SessionFailed,
    SubmitAnswered,
    SubmitExpired,
    SubmitReceived,
    Unanswered,
    Unbound,
    UnexpectedResponse,
)
from smpp_daemon.protocol.pdu import (
    AlertNotification,
    BindRequest,
    BindResponse,
    CancelSm,
    CancelSmResp,
    DataSm,
    DataSmResp,
    DeliverSm,
    EnquireLink,
    GenericNack,
    Outbind,
    QuerySm,
    QuerySmResp,
    SubmitSmResp,
)
from smpp_daemon.protocol.states import State
from smpp_daemon.protocol.status import (
    RALYBND,
    RINVBNDSTS,
    RINVCMDID,
    RINVCMDLEN,
    RINVMSGLEN,
    RINVPASWD,
    RTHROTTLED,
    RX_T_APPN,
)
from smpp_daemon.protocol.timers import TimerSettings
from tests.unit.smpp_protocol.pair import Pair, body, frames

FRAME = 16


@pytest.mark.parametrize(
    ("mode", "state"),
    [
        (BindMode.TRANSMITTER, State.BOUND_TX),
        (BindMode.RECEIVER, State.BOUND_RX),
        (BindMode.TRANSCEIVER, State.BOUND_TRX),
    ],
)
def test_bind(mode: BindMode, state: State) -> None:
    pair = Pair(mode=mode)
    assert pair.bound == [Bound(mode, "SMSC", 0x34, 0.0, ((Tag.SC_INTERFACE_VERSION, b"\x34"),))]
    assert pair.esme.state is pair.smsc.state is state


def test_repr_shows_state_and_window() -> None:
    pair = Pair()
    pair.esme.submit_many([body(n) for n in range(7)], list(range(7)), pair.now)
    assert repr(pair.esme) == "<EsmeSession smsc-a BOUND_TRX window 7/10>"
    assert repr(pair.smsc) == "<SmscSession esme-1 BOUND_TRX window 0/10>"
    assert "secret" not in repr(pair.esme.config)


@pytest.mark.parametrize("status", [RINVPASWD, RALYBND, 0x55F])
def test_problem_18_a_refused_bind_is_not_bound_whatever_the_status(status: int) -> None:
    """Answers field problem 18."""
    pair = Pair(bind=False)
    assert pair.bind(status) == [BindFailed(status, 0.0)]
    assert pair.esme.state is pair.smsc.state is State.OPEN
    with pytest.raises(LocalProtocolError):
        pair.esme.submit(body(), 1, pair.now)
    (bound,) = pair.bind()
    assert isinstance(bound, Bound)


def test_a_bind_answered_by_generic_nack_failed() -> None:
    pair = Pair(bind=False)
    pair.esme.bind(pair.now)
    (header,) = frames(pair.esme.take_output())
    assert pair.esme.receive(encode(GenericNack(), header[3], RINVCMDID), pair.now) == [BindFailed(RINVCMDID, 0.0)]


def test_a_bind_without_answer_times_out() -> None:
    pair = Pair(bind=False)
    pair.esme.bind(pair.now)
    assert pair.esme.next_deadline() == pair.now + 10
    assert pair.esme.tick(pair.now + 9) == []
    (event,) = pair.esme.tick(pair.now + 10)
    assert isinstance(event, SessionFailed)
    assert event.failure is Failure.BIND_TIMEOUT
    assert pair.esme.next_deadline() is None
    (silent,) = pair.smsc.tick(pair.now + 10)
    assert isinstance(silent, SessionFailed)


def test_a_second_bind_is_refused_as_already_bound() -> None:
    pair = Pair()
    again = encode(BindRequest(BindMode.TRANSCEIVER, "u", "p"), 99)
    assert pair.smsc.receive(again, pair.now) == [
        ProtocolViolation("not allowed in BOUND_TRX", CommandId.BIND_TRANSCEIVER, 99, RALYBND)
    ]


def test_problem_28_bind_response_and_first_messages_in_one_read() -> None:
    """Answers field problem 28."""
    pair = Pair(bind=False)
    pair.esme.bind(pair.now)
    (requested,) = pair.to_smsc()
    assert isinstance(requested, BindRequested)
    pair.smsc.answer_bind(requested.sequence, 0, pair.now)
    pair.smsc.deliver(DeliverSm(short_message=b"first"), "a", pair.now)
    events = pair.to_esme()
    assert [type(event) for event in events] == [Bound, DeliverReceived]


def test_submit_and_answer() -> None:
    pair = Pair()
    sequence = pair.esme.submit(body(5), "token", pair.now)
    (received,) = pair.to_smsc()
    assert isinstance(received, SubmitReceived)
    assert received.sequence == sequence
    assert received.pdu.destination_addr == "251900000005"
    pair.now += 0.25
    pair.smsc.answer_submit(received.sequence, 0, "ab12")
    assert pair.to_esme() == [SubmitAnswered("token", 0, "ab12", 0.25)]


def test_tlvs_of_a_response_are_kept() -> None:
    pair = Pair()
    sequence = pair.esme.submit(body(), "t", pair.now)
    assert sequence is not None
    answer = encode(SubmitSmResp("x", ((0x1401, b"v"),)), sequence, 0)
    assert pair.esme.receive(answer, pair.now) == [SubmitAnswered("t", 0, "x", 0.0, ((0x1401, b"v"),))]


def test_problem_07_a_full_window_blocks_and_opens_again() -> None:
    """Answers field problem 7."""
    pair = Pair(window=3)
    assert pair.esme.submit_many([body()] * 5, list(range(5)), pair.now) == 3
    assert pair.esme.submit(body(), 9, pair.now) is None
    assert pair.esme.room == 0
    for event in pair.to_smsc():
        assert isinstance(event, SubmitReceived)
        pair.smsc.answer_submit(event.sequence, 0, "1")
    assert len(pair.to_esme()) == 3
    assert pair.esme.room == 3


def test_many_submits_make_one_output() -> None:
    pair = Pair(window=500)
    pair.esme.submit_many([body(n) for n in range(500)], list(range(500)), pair.now)
    assert len(frames(pair.esme.take_output())) == 500
    assert not pair.esme.link.has_output


def test_problem_04_a_late_response_still_yields_the_message_id() -> None:
    """Answers field problem 4."""
    pair = Pair()
    sequence = pair.esme.submit(body(), "t", pair.now)
    assert sequence is not None
    sent_at = pair.now
    pair.to_smsc()
    pair.now += 10
    assert pair.esme.tick(pair.now) == [SubmitExpired("t", sequence)]
    assert pair.esme.room == 10
    pair.now += 5
    pair.smsc.answer_submit(sequence, 0, "late-id")
    assert pair.to_esme() == [LateAnswer("t", CommandId.SUBMIT_SM_RESP, 0, "late-id", pair.now - sent_at)]
    duplicate = encode(SubmitSmResp("late-id"), sequence)
    assert pair.esme.receive(duplicate, pair.now) == [
        UnexpectedResponse(CommandId.SUBMIT_SM_RESP, sequence, 0, "late-id")
    ]


def test_responses_to_nothing_are_reported() -> None:
    pair = Pair()
    assert pair.esme.receive(encode(SubmitSmResp("x"), 4711, 5), pair.now) == [
        UnexpectedResponse(CommandId.SUBMIT_SM_RESP, 4711, 5, "x")
    ]
    sequence = pair.esme.submit(body(), "t", pair.now)
    assert sequence is not None
    wrong = pair.esme.receive(encode(DataSmResp("x"), sequence), pair.now)
    assert wrong == [UnexpectedResponse(CommandId.DATA_SM_RESP, sequence, 0, "x")]
    assert pair.esme.room == 9


def test_problem_42_generic_nack_is_matched_by_sequence() -> None:
    """Answers field problem 42."""
    pair = Pair()
    sequence = pair.esme.submit(body(), "t", pair.now)
    assert sequence is not None
    assert pair.esme.receive(encode(GenericNack(), sequence, RINVCMDLEN), pair.now) == [
        SubmitAnswered("t", RINVCMDLEN, "", 0.0)
    ]
    assert pair.esme.receive(encode(GenericNack(), 0, RINVCMDLEN), pair.now) == [NackReceived(0, RINVCMDLEN)]
    assert pair.esme.state is State.BOUND_TRX


def test_problem_37_and_38_deliver_is_answered_by_the_owner_when_durable() -> None:
    """Answers field problem 37 and field problem 38."""
    pair = Pair()
    pair.smsc.deliver(DeliverSm(short_message=b"hi"), "m", pair.now)
    (received,) = pair.to_esme()
    assert isinstance(received, DeliverReceived)
    assert pair.esme.take_output() == b""
    pair.now += 1
    assert pair.esme.answer_deliver(received.sequence) is True
    assert pair.to_smsc() == [DeliverAnswered("m", 0, 1.0)]
    with pytest.raises(LocalProtocolError, match="no request with sequence"):
        pair.esme.answer_deliver(received.sequence)


def test_problem_42_receipts_in_data_sm() -> None:
    """Answers field problem 42."""
    pair = Pair()
    pair.smsc.deliver(DataSm(tlvs=((Tag.MESSAGE_PAYLOAD, b"hi"),)), "m", pair.now)
    (received,) = pair.to_esme()
    assert isinstance(received, DeliverReceived)
    assert received.pdu.content == b"hi"
    pair.esme.answer_deliver(received.sequence, RX_T_APPN)
    assert pair.to_smsc() == [RequestAnswered("m", RX_T_APPN, DataSmResp(""), 0.0)]


def test_problem_37_too_many_open_requests_are_refused() -> None:
    """Answers field problem 37."""
    pair = Pair(window=5, inbound_limit=2)
    pair.smsc.deliver_many([b"\0" * 17] * 3, "abc", pair.now)
    received = pair.to_esme()
    assert len(received) == 2
    assert pair.esme.link.busy_refusals == 1
    (refused,) = pair.to_smsc()
    assert refused == DeliverAnswered("c", RX_T_APPN, 0.0)
    pair.esme.submit_many([body()] * 3, "xyz", pair.now)
    pair.to_smsc()
    assert pair.to_esme() == [SubmitAnswered("z", RTHROTTLED, "", 0.0)]


@pytest.mark.parametrize("sequence", [0, 0x80000000, 0xFFFFFFFF, 5])
def test_problem_41_any_sequence_is_echoed_even_when_repeated(sequence: int) -> None:
    """Answers field problem 41."""
    pair = Pair()
    frame = encode(DeliverSm(short_message=b"part"), sequence)
    events = pair.esme.receive(frame * 2, pair.now)
    assert [event.sequence for event in events if isinstance(event, DeliverReceived)] == [sequence] * 2
    pair.esme.answer_deliver(sequence)
    pair.esme.answer_deliver(sequence)
    assert [frame[3] for frame in frames(pair.esme.take_output())] == [sequence] * 2


def test_enquire_link_is_answered_inside_in_any_state() -> None:
    for pair in (Pair(), Pair(bind=False)):
        for session in (pair.esme, pair.smsc):
            assert session.receive(encode(EnquireLink(), 77), pair.now) == []
            assert frames(session.take_output()) == [(16, CommandId.ENQUIRE_LINK_RESP, 0, 77)]


@pytest.mark.parametrize("nack", [False, True])
def test_enquire_link_measures_the_link(nack: bool) -> None:
    pair = Pair()
    pair.now += 30
    assert pair.esme.tick(pair.now) == []
    ((_, command, _, sequence),) = frames(pair.esme.take_output())
    assert command == CommandId.ENQUIRE_LINK
    pair.now += 0.5
    answer = encode(GenericNack(), sequence, RINVCMDID) if nack else HEADER.pack(16, 0x80000015, 0, sequence)
    assert pair.esme.receive(answer, pair.now) == [EnquireLatency(0.5)]
    assert pair.esme.next_deadline() == pair.now + 30


def test_problem_20_a_half_open_link_is_found_dead() -> None:
    """Answers field problem 20."""
    pair = Pair()
    pair.esme.tick(pair.now + 30)
    (event,) = pair.esme.tick(pair.now + 40)
    assert isinstance(event, SessionFailed)
    assert event.failure is Failure.LINK_DEAD
    assert pair.esme.state is State.ERROR


def test_unknown_commands_are_nacked_and_unknown_responses_are_not() -> None:
    pair = Pair()
    assert pair.esme.receive(HEADER.pack(20, 0x0112, 0, 8) + b"abcd", pair.now) == [
        ProtocolViolation("a command that this side does not take", 0x0112, 8, RINVCMDID)
    ]
    assert frames(pair.esme.take_output()) == [(16, CommandId.GENERIC_NACK, RINVCMDID, 8)]
    assert pair.esme.receive(HEADER.pack(16, 0x80000112, 0, 8), pair.now) == [UnexpectedResponse(0x80000112, 8, 0, "")]
    assert pair.esme.take_output() == b""
    assert pair.esme.link.violations == 1


def test_problem_26_one_unreadable_pdu_does_not_end_the_link() -> None:
    """Answers field problem 26."""
    pair = Pair()
    broken = b"\0" * 16 + b"\x05abc"
    frame = HEADER.pack(16 + len(broken), CommandId.DELIVER_SM, 0, 3) + broken
    events = pair.esme.receive(frame + encode(DeliverSm(short_message=b"ok"), 4), pair.now)
    assert [type(event) for event in events] == [ProtocolViolation, DeliverReceived]
    assert frames(pair.esme.take_output()) == [(16, CommandId.DELIVER_SM_RESP, RINVMSGLEN, 3)]
    assert pair.esme.state is State.BOUND_TRX


def test_problem_27_garbage_is_nacked_and_ends_the_session() -> None:
    """Answers field problem 27."""
    pair = Pair()
    events = pair.esme.receive(encode(DeliverSm(), 4) + b"HTTP/1.1 200 OK\r\n", pair.now)
    assert isinstance(events[0], DeliverReceived)
    assert isinstance(events[1], SessionFailed)
    assert "HTTP/1.1 200 OK" in events[1].detail
    assert frames(pair.esme.take_output()) == [(16, CommandId.GENERIC_NACK, RINVCMDLEN, 0)]
    assert pair.esme.receive(encode(DeliverSm(), 5), pair.now) == []
    assert pair.esme.answer_deliver(4) is False


def test_what_the_bind_does_not_allow() -> None:
    pair = Pair(mode=BindMode.TRANSMITTER)
    assert pair.esme.receive(encode(DeliverSm(), 4), pair.now) == [
        ProtocolViolation("not allowed in BOUND_TX", CommandId.DELIVER_SM, 4, RINVBNDSTS)
    ]
    with pytest.raises(LocalProtocolError, match="DELIVER_SM is not possible in BOUND_TX"):
        pair.smsc.deliver(DeliverSm(), 1, pair.now)
    with pytest.raises(LocalProtocolError, match="2 bodies with 1 tokens"):
        pair.esme.submit_many([body()] * 2, [1], pair.now)


def test_problem_19_the_peer_unbinds() -> None:
    """Answers field problem 19."""
    pair = Pair()
    pair.esme.submit(body(), "t", pair.now)
    pair.to_smsc()
    pair.smsc.unbind(pair.now)
    assert pair.to_esme() == [PeerUnbound()]
    with pytest.raises(LocalProtocolError, match="UNBINDING"):
        pair.esme.submit(body(), 1, pair.now)
    pair.smsc.answer_submit(2, 0, "x")
    assert pair.to_esme() == [SubmitAnswered("t", 0, "x", 0.0)]
    assert pair.to_smsc() == [Unbound()]
    assert pair.smsc.state is State.CLOSED


def test_our_unbind_and_both_at_once() -> None:
    pair = Pair()
    pair.esme.unbind(pair.now)
    pair.smsc.unbind(pair.now)
    to_smsc, to_esme = pair.esme.take_output(), pair.smsc.take_output()
    assert pair.smsc.receive(to_smsc, pair.now) == [PeerUnbound()]
    assert pair.esme.receive(to_esme, pair.now) == [PeerUnbound()]
    assert pair.to_smsc() == [Unbound()]
    assert pair.to_esme() == [Unbound()]
    assert pair.esme.state is pair.smsc.state is State.CLOSED


def test_an_unanswered_unbind_ends_anyway() -> None:
    pair = Pair()
    pair.esme.unbind(pair.now)
    assert pair.esme.next_deadline() == pair.now + 5
    (event,) = pair.esme.tick(pair.now + 5)
    assert isinstance(event, SessionFailed)
    assert event.failure is Failure.UNBIND_TIMEOUT


def test_problem_09_close_hands_back_every_unanswered_request() -> None:
    """Answers field problem 9."""
    pair = Pair(window=5)
    pair.esme.submit_many([body()] * 2, ["a", "b"], pair.now)
    pair.esme.take_output()
    pair.now += 1
    pair.esme.submit(body(), "c", pair.now)
    response = int(CommandId.SUBMIT_SM_RESP)
    assert pair.esme.close("connection lost") == [
        Unanswered("a", 2, response, 1000.0, True),
        Unanswered("b", 3, response, 1000.0, True),
        Unanswered("c", 4, response, 1001.0, False),
    ]
    assert pair.esme.close("again") == []
    assert pair.esme.link.close_reason == "connection lost"
    assert pair.esme.tick(9e9) == []
    assert pair.esme.next_deadline() is None


def test_rare_requests_both_ways() -> None:
    pair = Pair()
    pair.esme.request(QuerySm("id-1"), "q", pair.now)
    pair.esme.request(CancelSm(message_id="id-1"), "c", pair.now)
    query, cancel = pair.to_smsc()
    assert isinstance(query, RequestReceived)
    assert isinstance(cancel, RequestReceived)
    pair.smsc.answer(query.sequence, 0, QuerySmResp("id-1", "", 2, 0))
    pair.smsc.answer(cancel.sequence, 0x11, CancelSmResp())
    assert pair.to_esme() == [
        RequestAnswered("q", 0, QuerySmResp("id-1", "", 2, 0), 0.0),
        RequestAnswered("c", 0x11, CancelSmResp(), 0.0),
    ]
    sequence = pair.esme.request(QuerySm("id-2"), "late", pair.now)
    assert sequence is not None
    assert pair.esme.tick(pair.now + 10) == [RequestExpired("late", sequence, CommandId.QUERY_SM_RESP)]
    alert = AlertNotification(source_addr="251911000100")
    pair.smsc.notify(alert)
    assert pair.to_esme() == [AlertReceived(alert)]


def test_outbind_is_reported_and_leaves_the_session_open() -> None:
    pair = Pair(bind=False)
    pair.smsc.notify(Outbind("smsc", "p"))
    assert pair.to_esme() == [OutbindReceived(Outbind("smsc", "p"))]
    assert pair.esme.state is State.OPEN


def test_an_abandoned_request_makes_room() -> None:
    pair = Pair(inbound_limit=1)
    pair.esme.submit(body(), "t", pair.now)
    (event,) = pair.to_smsc()
    assert isinstance(event, SubmitReceived)
    pair.smsc.abandon(event.sequence)
    assert pair.smsc.link.inbound == 0


def test_an_old_peer_gets_no_optional_parameters() -> None:
    pair = Pair(bind=False)
    request = encode(BindRequest(BindMode.RECEIVER, "u", "p", interface_version=0x33), 1)
    pair.smsc.receive(request, pair.now)
    pair.smsc.answer_bind(1, 0, pair.now)
    assert decode(pair.smsc.take_output()).pdu == BindResponse(BindMode.RECEIVER, "SMSC")


@given(st.lists(st.binary(max_size=60), max_size=20), st.booleans())
def test_no_octets_break_a_session(pieces: list[bytes], framed: bool) -> None:
    pair = Pair(timers=TimerSettings())
    for number, piece in enumerate(pieces):
        data = HEADER.pack(FRAME + len(piece), *((piece + b"\0" * 4)[0] & 0x1F, 0, number)) + piece if framed else piece
        for session in (pair.esme, pair.smsc):
            events: list[Event] = session.receive(data, pair.now)
            assert isinstance(events, list)
            session.take_output()


@given(st.lists(st.sampled_from(["submit", "answer", "lose", "tick", "deliver"]), max_size=60), st.integers(1, 5))
def test_every_submit_ends_exactly_once(steps: list[str], window: int) -> None:
    pair = Pair(window=window)
    sent = 0
    ended: list[object] = []
    waiting: list[int] = []

    def collect(events: list[Event]) -> None:
        ended.extend(event.token for event in events if isinstance(event, SubmitAnswered | SubmitExpired))

    for step in steps:
        pair.now += 1
        if step == "submit":
            sent += pair.esme.submit_many([body()] * 3, [sent, sent + 1, sent + 2], pair.now)
            waiting += [event.sequence for event in pair.to_smsc() if isinstance(event, SubmitReceived)]
        elif step == "answer" and waiting:
            pair.smsc.answer_submit(waiting.pop(), 0, "x")
            collect(pair.to_esme())
        elif step == "lose" and waiting:
            pair.smsc.abandon(waiting.pop(0))
        elif step == "deliver":
            pair.smsc.deliver(DeliverSm(), "d", pair.now)
            pair.to_esme()
        else:
            collect(pair.esme.tick(pair.now))
    ended += [request.token for request in pair.esme.close("end")]
    assert sorted(str(token) for token in ended) == sorted(str(number) for number in range(sent))
