"""Every command in every state on both sides, what SMPP 5.0 adds, and peers that are older or newer than 3.4."""

import pytest

from smpp_daemon.protocol.codec import HEADER, decode, encode, encode_body
from smpp_daemon.protocol.constants import RESPONSE_BIT, BindMode, CommandId, Tag
from smpp_daemon.protocol.errors import LocalProtocolError, PduDecodeError
from smpp_daemon.protocol.events import (
    BindFailed,
    BindRequested,
    Bound,
    DeliverAnswered,
    DeliverReceived,
    Event,
    LateAnswer,
    OutbindReceived,
    ProtocolViolation,
    RequestAnswered,
    RequestReceived,
    SubmitAnswered,
    SubmitReceived,
    UnexpectedResponse,
)
from smpp_daemon.protocol.pdu import (
    BindRequest,
    BindResponse,
    CancelSm,
    CancelSmResp,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
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
    UnsuccessSme,
)
from smpp_daemon.protocol.session import EsmeSession, SmscSession
from smpp_daemon.protocol.states import State
from smpp_daemon.protocol.status import (
    RALYBND,
    RINVBNDSTS,
    RINVCMDID,
    RINVDESTFLAG,
    RINVMSGLEN,
    RINVPASWD,
    RTHROTTLED,
    RX_T_APPN,
)
from tests.unit.smpp_protocol.pair import Pair, body, frames

VENDOR = (0x1400, b"1101234")
TWICE = (VENDOR, (0x1401, b""), VENDOR)
BROADCAST_SM, QUERY_BROADCAST_SM, CANCEL_BROADCAST_SM = 0x111, 0x112, 0x113

REQUESTS: dict[CommandId, Pdu] = {
    CommandId.BIND_TRANSCEIVER: BindRequest(BindMode.TRANSCEIVER, "u", "p"),
    CommandId.SUBMIT_SM: SubmitSm(short_message=b"x"),
    CommandId.SUBMIT_MULTI: SubmitMulti(destinations=(SmeAddress(1, 1, "1"), "list")),
    CommandId.DATA_SM: DataSm(destination_addr="1"),
    CommandId.QUERY_SM: QuerySm("1"),
    CommandId.CANCEL_SM: CancelSm(message_id="1"),
    CommandId.REPLACE_SM: ReplaceSm("1"),
    CommandId.DELIVER_SM: DeliverSm(short_message=b"x"),
}
TX, RX, TRX = BindMode.TRANSMITTER, BindMode.RECEIVER, BindMode.TRANSCEIVER
SENDING = {CommandId.SUBMIT_SM, CommandId.SUBMIT_MULTI, CommandId.QUERY_SM, CommandId.CANCEL_SM, CommandId.REPLACE_SM}


@pytest.mark.parametrize("mode", [TX, RX, TRX], ids=lambda mode: mode.name)
@pytest.mark.parametrize("command", REQUESTS, ids=lambda command: command.name)
def test_the_table_of_commands_and_states(command: CommandId, mode: BindMode) -> None:
    """SMPP 3.4 §2.3, table 2-1, as an SMSC and as an ESME see their peers."""
    frame = encode(REQUESTS[command], 50)
    for side in ("smsc", "esme"):
        pair = Pair(mode=mode)
        session: EsmeSession | SmscSession = pair.smsc if side == "smsc" else pair.esme
        (event,) = session.receive(frame, pair.now)
        if side == "smsc":
            taken = mode is not RX and command in {*SENDING, CommandId.DATA_SM}
            refusal = {CommandId.BIND_TRANSCEIVER: RALYBND, CommandId.DELIVER_SM: RINVCMDID}.get(command, RINVBNDSTS)
        else:
            taken = mode is not TX and command in {CommandId.DELIVER_SM, CommandId.DATA_SM}
            refusal = RINVBNDSTS if command in {CommandId.DELIVER_SM, CommandId.DATA_SM} else RINVCMDID
        if taken:
            assert isinstance(event, SubmitReceived | RequestReceived | DeliverReceived)
            assert event.pdu == REQUESTS[command]
            assert session.take_output() == b""
        else:
            assert isinstance(event, ProtocolViolation)
            answer = CommandId.GENERIC_NACK if refusal == RINVCMDID else command | RESPONSE_BIT
            assert frames(session.take_output()) == [(16, answer, refusal, 50)]


@pytest.mark.parametrize("command", [BROADCAST_SM, QUERY_BROADCAST_SM, CANCEL_BROADCAST_SM, 0x7FFFFFFF, 0])
def test_commands_of_5_0_and_unknown_ones_get_a_nack_and_the_link_goes_on(command: int) -> None:
    pair = Pair()
    for session in (pair.esme, pair.smsc):
        (event,) = session.receive(HEADER.pack(20, command, 0, 8) + b"abcd", pair.now)
        assert isinstance(event, ProtocolViolation)
        assert frames(session.take_output()) == [(16, CommandId.GENERIC_NACK, RINVCMDID, 8)]
        assert session.state is State.BOUND_TRX


def test_unknown_responses_are_never_answered() -> None:
    pair = Pair()
    for session in (pair.esme, pair.smsc):
        for command in (BROADCAST_SM | RESPONSE_BIT, 0xFFFFFFFF):
            assert session.receive(HEADER.pack(16, command, 0, 8), pair.now) == [UnexpectedResponse(command, 8, 0, "")]
        assert session.take_output() == b""


def test_every_rare_command_there_and_back() -> None:
    pair = Pair()
    multi = SubmitMulti(destinations=(SmeAddress(1, 1, "251911000100"), "friends"), short_message=b"hi", tlvs=TWICE)
    refused = SubmitMultiResp("m", (UnsuccessSme(1, 1, "251911000100", 0xFFFFFFFF),), TWICE)
    exchanges: list[tuple[Pdu, Pdu]] = [
        (multi, refused),
        (DataSm(destination_addr="1", tlvs=TWICE), DataSmResp("d", TWICE)),
        (QuerySm("1", 1, 1, "2", TWICE), QuerySmResp("1", "240101000000000+", 99, 255, TWICE)),
        (CancelSm("", "1", tlvs=TWICE), CancelSmResp(TWICE)),
        (ReplaceSm("1", short_message=b"new", tlvs=TWICE), ReplaceSmResp(TWICE)),
    ]
    for token, (request, response) in enumerate(exchanges):
        pair.esme.request(request, token, pair.now)  # type: ignore[arg-type]
        (received,) = pair.to_smsc()
        assert isinstance(received, RequestReceived)
        assert received.pdu == request
        pair.smsc.answer(received.sequence, 0, response)  # type: ignore[arg-type]
        assert pair.to_esme() == [RequestAnswered(token, 0, response, 0.0)]


def test_tlvs_are_kept_in_order_and_repeated_everywhere() -> None:
    """Answers field problem 25: what nobody knows is still handed on."""
    pair = Pair()
    pair.esme.request(SubmitSm(short_message=b"x", tlvs=TWICE), "s", pair.now)
    (submitted,) = pair.to_smsc()
    assert isinstance(submitted, SubmitReceived)
    assert submitted.pdu.tlvs == TWICE
    pair.smsc.deliver(DeliverSm(tlvs=TWICE), "d", pair.now)
    (delivered,) = pair.to_esme()
    assert isinstance(delivered, DeliverReceived)
    assert delivered.pdu.tlvs == TWICE
    answer = encode(DeliverSmResp("", TWICE), delivered.sequence, 0x64)
    assert pair.smsc.receive(answer, pair.now) == [DeliverAnswered("d", 0x64, 0.0, TWICE)]


def test_congestion_state_of_a_5_0_peer_is_kept() -> None:
    pair = Pair()
    congested = ((Tag.CONGESTION_STATE, b"\x5a"),)
    sequence = pair.esme.submit(body(), "t", pair.now)
    assert sequence is not None
    assert pair.esme.receive(encode(SubmitSmResp("id", congested), sequence), pair.now) == [
        SubmitAnswered("t", 0, "id", 0.0, congested)
    ]


def test_a_late_answer_keeps_what_it_says() -> None:
    pair = Pair()
    first = pair.esme.submit(body(), "s", pair.now)
    second = pair.esme.request(QuerySm("7"), "q", pair.now)
    assert first is not None
    assert second is not None
    pair.esme.tick(pair.now + 10)
    late = encode(SubmitSmResp("id", TWICE), first) + encode(QuerySmResp("7", "", 2, 0), second)
    assert pair.esme.receive(late, pair.now + 11) == [
        LateAnswer("s", CommandId.SUBMIT_SM_RESP, 0, "id", 11.0, TWICE),
        LateAnswer("q", CommandId.QUERY_SM_RESP, 0, "7", 11.0),
    ]
    assert pair.esme.link.stray_octets == 0


@pytest.mark.parametrize("version", [0x00, 0x33, 0x34, 0x50, 0xFF])
def test_a_bind_of_any_version_is_taken(version: int) -> None:
    pair = Pair(bind=False)
    (event,) = pair.smsc.receive(encode(BindRequest(TRX, "u", "p", interface_version=version), 1), pair.now)
    assert isinstance(event, BindRequested)
    pair.smsc.answer_bind(event.sequence, 0, pair.now)
    expected = ((Tag.SC_INTERFACE_VERSION, b"\x34"),) if version >= 0x34 else ()
    assert decode(pair.smsc.take_output()).pdu == BindResponse(TRX, "SMSC", expected)
    assert pair.smsc.interface_version == version


@pytest.mark.parametrize("tlvs", [(), ((Tag.SC_INTERFACE_VERSION, b"\x50"), VENDOR)])
def test_an_smsc_of_any_version_is_bound_to(tlvs: tuple[tuple[int, bytes], ...]) -> None:
    pair = Pair(bind=False)
    pair.esme.bind(pair.now)
    ((_, _, _, sequence),) = frames(pair.esme.take_output())
    answer = encode(BindResponse(TRX, "smsc", tlvs), sequence)
    assert pair.esme.receive(answer, pair.now) == [Bound(TRX, "smsc", 0x50 if tlvs else None, 0.0, tlvs)]


def test_a_refused_bind_keeps_the_operators_words() -> None:
    pair = Pair(bind=False)
    pair.esme.bind(pair.now)
    ((_, _, _, sequence),) = frames(pair.esme.take_output())
    words = ((Tag.ADDITIONAL_STATUS_INFO_TEXT, b"contract ended\0"),)
    answer = encode(BindResponse(TRX, "", words), sequence, RINVPASWD)
    assert pair.esme.receive(answer, pair.now) == [BindFailed(RINVPASWD, 0.0, words)]


def test_outbind_leads_to_a_bind_on_the_same_connection() -> None:
    pair = Pair(bind=False, mode=RX)
    pair.smsc.notify(Outbind("smsc", "theirs"))
    assert pair.to_esme() == [OutbindReceived(Outbind("smsc", "theirs"))]
    (bound,) = pair.bind()
    assert isinstance(bound, Bound)
    assert bound.mode is RX
    with pytest.raises(LocalProtocolError, match="OUTBIND is not possible in BOUND_RX"):
        pair.smsc.notify(Outbind("smsc", "theirs"))
    (late,) = pair.esme.receive(encode(Outbind("smsc", "theirs"), 9), pair.now)
    assert late == ProtocolViolation("not allowed in BOUND_RX", CommandId.OUTBIND, 9, None)
    assert pair.esme.take_output() == b""


def test_an_esme_that_sends_outbind_is_told_that_it_may_not() -> None:
    pair = Pair(bind=False)
    (event,) = pair.smsc.receive(encode(Outbind("u", "p"), 3), pair.now)
    assert isinstance(event, ProtocolViolation)
    assert frames(pair.smsc.take_output()) == [(16, CommandId.GENERIC_NACK, RINVCMDID, 3)]


def test_a_destination_of_no_known_kind_is_refused() -> None:
    pair = Pair()
    octets = encode_body(SubmitMulti(destinations=(SmeAddress(1, 1, "1"),))).replace(b"\1\1\1\0011\0", b"\1\3\1\0011\0")
    (event,) = pair.smsc.receive(HEADER.pack(16 + len(octets), CommandId.SUBMIT_MULTI, 0, 4) + octets, pair.now)
    assert event == ProtocolViolation("dest_flag 3 in destinations", CommandId.SUBMIT_MULTI, 4, RINVDESTFLAG)
    assert frames(pair.smsc.take_output()) == [(16, CommandId.SUBMIT_MULTI_RESP, RINVDESTFLAG, 4)]
    with pytest.raises(PduDecodeError):
        decode(HEADER.pack(16 + len(octets), CommandId.SUBMIT_MULTI, 0, 4) + octets)


@pytest.mark.parametrize("off_by", [1, -1])
@pytest.mark.parametrize("side", ["esme", "smsc"])
def test_problem_26_sm_length_off_by_one(side: str, off_by: int) -> None:
    """Answers field problem 26: one octet too many is refused, one too few is read as told, and the link goes on."""
    pair = Pair()
    session: EsmeSession | SmscSession = pair.esme if side == "esme" else pair.smsc
    pdu: Pdu = DeliverSm(short_message=b"hello") if side == "esme" else SubmitSm(short_message=b"hello")
    command = CommandId.DELIVER_SM if side == "esme" else CommandId.SUBMIT_SM
    octets = encode_body(pdu)
    wrong = octets[:-6] + bytes((5 + off_by,)) + b"hello"
    (event,) = session.receive(HEADER.pack(16 + len(wrong), command, 0, 3) + wrong, pair.now)
    if off_by > 0:
        assert isinstance(event, ProtocolViolation)
        assert frames(session.take_output()) == [(16, command | RESPONSE_BIT, RINVMSGLEN, 3)]
    else:
        assert isinstance(event, DeliverReceived | SubmitReceived)
        assert event.pdu.content == b"hell"
        assert session.link.stray_octets == 1
    assert session.state is State.BOUND_TRX
    (after,) = session.receive(encode(pdu, 4), pair.now)
    assert isinstance(after, DeliverReceived | SubmitReceived)


@pytest.mark.parametrize("status", [0x22, 0x55F, 0x400, 0xFFFFFFFF])
def test_problem_23_a_status_nobody_knows_is_just_a_number(status: int) -> None:
    """Answers field problem 23."""
    pair = Pair()
    sequence = pair.esme.submit(body(), "t", pair.now)
    assert sequence is not None
    assert pair.esme.receive(encode(SubmitSmResp(), sequence, status), pair.now) == [
        SubmitAnswered("t", status, "", 0.0)
    ]
    pair.to_smsc()
    pair.smsc.deliver(DeliverSm(), "d", pair.now)
    (received,) = pair.to_esme()
    assert isinstance(received, DeliverReceived)
    pair.esme.answer_deliver(received.sequence, status)
    assert pair.to_smsc() == [DeliverAnswered("d", status, 0.0)]
    assert pair.esme.state is pair.smsc.state is State.BOUND_TRX


@pytest.mark.parametrize("answer", ["", "00", "6162", "616200", "61620004250001ff"])
def test_problem_24_refusals_with_every_body_free_the_window(answer: str) -> None:
    """Answers field problem 24."""
    pair = Pair(window=1)
    sequence = pair.esme.submit(body(), "t", pair.now)
    assert sequence is not None
    octets = bytes.fromhex(answer)
    frame = HEADER.pack(16 + len(octets), CommandId.SUBMIT_SM_RESP, RTHROTTLED, sequence) + octets
    (event,) = pair.esme.receive(frame, pair.now)
    assert isinstance(event, SubmitAnswered)
    assert (event.token, event.status) == ("t", RTHROTTLED)
    assert pair.esme.room == 1


@pytest.mark.parametrize("sequence", [0, 7, 0xFFFFFFFF])
def test_problem_41_requests_numbered_alike_are_all_taken_and_answered_in_order(sequence: int) -> None:
    """Answers field problem 41."""
    pair = Pair()
    requests: list[Pdu] = [SubmitSm(short_message=b"1"), QuerySm("2"), SubmitSm(short_message=b"3")]
    events: list[Event] = pair.smsc.receive(b"".join(encode(pdu, sequence) for pdu in requests), pair.now)
    assert [event.pdu for event in events if isinstance(event, SubmitReceived | RequestReceived)] == requests
    pair.smsc.answer_submit(sequence, 0, "a")
    pair.smsc.answer(sequence, 0, QuerySmResp("2"))
    pair.smsc.answer_submit(sequence, 0, "b")
    answers = [CommandId.SUBMIT_SM_RESP, CommandId.QUERY_SM_RESP, CommandId.SUBMIT_SM_RESP]
    assert [(command, number) for _, command, _, number in frames(pair.smsc.take_output())] == [
        (command, sequence) for command in answers
    ]
    assert pair.smsc.link.inbound == 0


def test_problem_41_sequence_numbers_wrap_and_pass_over_those_in_flight() -> None:
    """Answers field problem 41: also bind and enquire_link never share a number with a request in flight."""
    pair = Pair(window=5)
    pair.esme.submit_many([body()] * 2, "ab", pair.now)
    pair.to_smsc()
    window = pair.esme.link.window
    window._next = 0x7FFFFFFF
    pair.esme.submit_many([body()] * 2, "cd", pair.now)
    assert [event.sequence for event in pair.to_smsc() if isinstance(event, SubmitReceived)] == [0x7FFFFFFF, 1]
    assert [sequence for sequence, _ in window.drain()] == [2, 3, 0x7FFFFFFF, 1]


def test_refusals_for_now_differ_by_side() -> None:
    pair = Pair(inbound_limit=1)
    pair.smsc.deliver_many([encode_body(DeliverSm())] * 2, "ab", pair.now)
    pair.to_esme()
    assert pair.to_smsc() == [DeliverAnswered("b", RX_T_APPN, 0.0)]
