"""PDU values and octets: round trips, what peers leave out or add, and what must be refused."""

import pytest
from aiosmpplib import protocol as reference
from hypothesis import given
from hypothesis import strategies as st

from smpp_daemon.protocol.codec import HEADER, LAYOUTS, SubmitTemplate, decode, encode, encode_body
from smpp_daemon.protocol.constants import BindMode, CommandId, Tag
from smpp_daemon.protocol.errors import PduDecodeError, PduEncodeError
from smpp_daemon.protocol.pdu import (
    PDU_TYPES,
    BindRequest,
    BindResponse,
    DataSm,
    DeliverSm,
    Pdu,
    SubmitMulti,
    SubmitSm,
    SubmitSmResp,
    command_of,
)
from smpp_daemon.protocol.status import RINVCMDID, RINVCMDLEN, RINVMSGLEN
from smpp_daemon.protocol.tlv import decode_tlvs, find_integer, find_text
from tests.unit.smpp_protocol.strategies import MESSAGE_FIELDS, NUMBERS, PDUS, pdus


@pytest.mark.parametrize("command", list(CommandId), ids=lambda command: command.name)
@given(data=st.data(), sequence=NUMBERS, status=NUMBERS)
def test_every_pdu_survives_the_wire(command: CommandId, data: st.DataObject, sequence: int, status: int) -> None:
    pdu = data.draw(pdus(command))
    assert type(pdu) is PDU_TYPES[command]
    frame = encode(pdu, sequence, status)
    assert decode(frame) == (command, status, sequence, pdu, 0)
    assert encode(decode(frame).pdu, sequence, status) == frame


@given(PDUS, st.data())
def test_a_cut_pdu_is_kept_or_refused_but_never_crashes(pdu: Pdu, data: st.DataObject) -> None:
    whole = encode(pdu, 7)
    cut = data.draw(st.integers(16, len(whole)))
    frame = len(whole[:cut]).to_bytes(4, "big") + whole[4:cut]
    try:
        decoded = decode(frame)
    except PduDecodeError as error:
        assert error.sequence == 7
        assert error.status in (RINVCMDLEN, RINVMSGLEN)
        assert not command_of(pdu) & 0x80000000
    else:
        assert decoded.command == command_of(pdu)


@given(st.sampled_from(CommandId), st.binary(max_size=120))
def test_random_bodies_never_crash(command: CommandId, body: bytes) -> None:
    frame = HEADER.pack(16 + len(body), command, 0, 1) + body
    try:
        decode(frame)
    except PduDecodeError as error:
        assert error.command == command


def test_every_command_has_a_type_and_a_codec() -> None:
    by_hand = {CommandId.SUBMIT_SM, CommandId.SUBMIT_SM_RESP, CommandId.DELIVER_SM, CommandId.DELIVER_SM_RESP}
    assert set(PDU_TYPES) == set(CommandId)
    assert set(LAYOUTS) | by_hand == set(CommandId)


def test_submit_sm_agrees_with_another_codec() -> None:
    theirs = reference.SubmitSm(
        short_message="Hello {}",
        source=reference.PhoneNumber("12345", ton=reference.TON.NATIONAL, npi=reference.NPI.ISDN),
        destination=reference.PhoneNumber("251911000100", ton=reference.TON.INTERNATIONAL, npi=reference.NPI.ISDN),
        log_id="x",
    )
    theirs.sequence_num = 9
    octets = theirs.pdu()
    decoded = decode(octets)
    assert isinstance(decoded.pdu, SubmitSm)
    assert (decoded.pdu.source_addr, decoded.pdu.destination_addr) == ("12345", "251911000100")
    assert (decoded.pdu.dest_addr_ton, decoded.pdu.dest_addr_npi) == (1, 1)
    assert encode(decoded.pdu, 9) == octets


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", ("", ())),
        ("00", ("", ())),
        ("616200", ("ab", ())),
        ("6162", ("ab", ())),
        ("61620004250001ff", ("ab", ((0x0425, b"\xff"),))),
        ("0004250001ff", ("", ((0x0425, b"\xff"),))),
    ],
    ids=["header only", "one NUL", "id", "id without NUL", "id and TLV", "NUL and TLV"],
)
@pytest.mark.parametrize("status", [0, 0x58, 0x0000055F, 0xFFFFFFFF])
def test_problem_24_error_responses_with_and_without_body(body: str, expected: tuple[str, object], status: int) -> None:
    """Answers field problem 24."""
    octets = bytes.fromhex(body)
    frame = HEADER.pack(16 + len(octets), CommandId.SUBMIT_SM_RESP, status, 3) + octets
    decoded = decode(frame)
    assert decoded.status == status
    assert decoded.pdu == SubmitSmResp(*expected)  # type: ignore[arg-type]
    bind = decode(HEADER.pack(16 + len(octets), CommandId.BIND_TRANSCEIVER_RESP, status, 3) + octets)
    assert bind.pdu == BindResponse(BindMode.TRANSCEIVER, *expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tail", "tlvs", "stray"),
    [
        ("00", (), 1),
        ("0000", (), 2),
        ("00042700010200", None, 1),
        ("0427000102", ((Tag.MESSAGE_STATE, b"\2"),), 0),
        ("14ff0003616263", ((0x14FF, b"abc"),), 0),
        ("042700010204240010ab", ((Tag.MESSAGE_STATE, b"\2"),), 5),
        ("000427000102", ((Tag.MESSAGE_STATE, b"\2"),), 1),
    ],
)
def test_problem_25_truncated_unknown_and_stray_octets_keep_the_pdu(
    tail: str, tlvs: tuple[tuple[int, bytes], ...] | None, stray: int
) -> None:
    """Answers field problem 25."""
    body = encode_body(DeliverSm(short_message=b"text")) + bytes.fromhex(tail)
    decoded = decode(HEADER.pack(16 + len(body), CommandId.DELIVER_SM, 0, 1) + body)
    assert isinstance(decoded.pdu, DeliverSm)
    assert decoded.pdu.short_message == b"text"
    assert tlvs is None or decoded.pdu.tlvs == tlvs
    assert decoded.stray >= stray


def test_problem_26_sm_length_beyond_the_pdu() -> None:
    """Answers field problem 26."""
    body = encode_body(SubmitSm(short_message=b"abc"))
    broken = body[:-4] + b"\x04abc"
    with pytest.raises(PduDecodeError, match="sm_length is 4, 3 octets are left") as caught:
        decode(HEADER.pack(16 + len(broken), CommandId.SUBMIT_SM, 0, 77) + broken)
    assert (caught.value.status, caught.value.sequence) == (RINVMSGLEN, 77)


def test_an_unknown_command_says_what_to_answer() -> None:
    with pytest.raises(PduDecodeError) as caught:
        decode(HEADER.pack(16, 0x0777, 0, 5))
    assert (caught.value.status, caught.value.sequence) == (RINVCMDID, 5)
    with pytest.raises(PduDecodeError):
        decode(b"\0\0\0\x10")
    with pytest.raises(PduDecodeError):
        decode(HEADER.pack(17, CommandId.ENQUIRE_LINK, 0, 5))


@pytest.mark.parametrize(
    "pdu",
    [
        SubmitSm(source_addr="x" * 21),
        SubmitSm(source_addr="a\0b"),
        SubmitSm(source_addr="日"),
        SubmitSm(esm_class=256),
        SubmitSm(short_message=b"x" * 256),
        SubmitSm(tlvs=((0x10000, b""),)),
        SubmitSm(tlvs=((1, b"x" * 0x10000),)),
        SubmitSmResp("x" * 65),
        DataSm(esm_class=-1),
        SubmitMulti(destinations=("list",) * 255),
    ],
)
def test_what_does_not_fit_is_not_encoded(pdu: Pdu) -> None:
    with pytest.raises(PduEncodeError):
        encode(pdu, 1)


def test_problem_40_long_passwords_are_never_truncated() -> None:
    """Answers field problem 40."""
    request = BindRequest(BindMode.TRANSMITTER, "u" * 20, "p" * 40)
    assert decode(encode(request, 1)).pdu == request
    assert "ppp" not in repr(request)


def test_content_is_wherever_the_text_travels() -> None:
    payload = ((Tag.MESSAGE_PAYLOAD, b"long"),)
    assert SubmitSm(short_message=b"short").content == b"short"
    assert DeliverSm(tlvs=payload).content == b"long"
    assert DataSm(tlvs=payload).content == b"long"
    assert SubmitSm().content == b""


@given(
    st.builds(SubmitSm, **MESSAGE_FIELDS),
    st.text(alphabet="0123456789", max_size=20),
    st.binary(max_size=255),
)
def test_a_template_writes_what_the_codec_writes(pattern: SubmitSm, destination: str, message: bytes) -> None:
    octets = SubmitTemplate(pattern).body(destination.encode(), message)
    frame = HEADER.pack(16 + len(octets), CommandId.SUBMIT_SM, 0, 1) + octets
    pdu = decode(frame).pdu
    assert isinstance(pdu, SubmitSm)
    assert (pdu.destination_addr, pdu.short_message) == (destination, message)
    assert (pdu.source_addr, pdu.tlvs, pdu.validity_period) == (
        pattern.source_addr,
        pattern.tlvs,
        pattern.validity_period,
    )


@pytest.mark.parametrize(("destination", "message"), [(b"1" * 21, b""), (b"1\x002", b""), (b"1", b"x" * 256)])
def test_a_template_refuses_what_does_not_fit(destination: bytes, message: bytes) -> None:
    with pytest.raises(PduEncodeError):
        SubmitTemplate(SubmitSm()).body(destination, message)


def test_tlv_readers() -> None:
    tlvs, stray = decode_tlvs(bytes.fromhex("001e000461620000" + "0427000102" + "04270000"), 0)
    assert stray == 0
    assert find_text(tlvs, Tag.RECEIPTED_MESSAGE_ID) == "ab"
    assert find_integer(tlvs, Tag.MESSAGE_STATE) == 2
    assert find_integer(tlvs, Tag.SAR_MSG_REF_NUM) is None
