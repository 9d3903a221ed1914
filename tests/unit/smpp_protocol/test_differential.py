"""Our codec beside those of smpp34 and aiosmpplib: the same octets for the same fields, and back.

Where they differ on purpose a test says so and why.
"""

import smpp34
from aiosmpplib import protocol as aio
from aiosmpplib.state import COMMAND_RESPONSE_MAP, OptionalParam, SmppCommand, SmppCommandStatus
from hypothesis import given
from hypothesis import strategies as st

from smpp_daemon.protocol.codec import HEADER, decode, encode
from smpp_daemon.protocol.constants import RESPONSE_BIT, BindMode, CommandId, Tag
from smpp_daemon.protocol.errors import PduDecodeError, PduEncodeError
from smpp_daemon.protocol.pdu import (
    BindRequest,
    BindResponse,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    Pdu,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
    command_of,
)
from smpp_daemon.protocol.status import STATUSES
from tests.unit.smpp_protocol.fuzzing import Generator
from tests.unit.smpp_protocol.strategies import MESSAGE_FIELDS, NUMBERS, PDUS

ASCII = st.characters(min_codepoint=1, max_codepoint=127)


def ascii_texts(limit: int) -> st.SearchStrategy[str]:
    return st.text(alphabet=ASCII, max_size=limit)


# -- smpp34: submit_sm and deliver_sm, the header of everything else ------------------------------------------------

SMPP34_FIELDS = {
    **MESSAGE_FIELDS,
    # smpp34 writes UTF-8 where SMPP says ASCII, and reads it back with replacement characters.
    "service_type": ascii_texts(5),
    "source_addr": ascii_texts(20),
    "destination_addr": ascii_texts(20),
    "schedule_delivery_time": ascii_texts(16),
    "validity_period": ascii_texts(16),
    # It refuses to write 255 octets, which some operators take; both read them.
    "short_message": st.binary(max_size=254),
}
MESSAGES = st.one_of(st.builds(SubmitSm, **SMPP34_FIELDS), st.builds(DeliverSm, **SMPP34_FIELDS))
FIELDS = tuple(name for name in MESSAGE_FIELDS if name != "tlvs")


def theirs_of(pdu: SubmitSm | DeliverSm, sequence: int) -> smpp34.SubmitSm | smpp34.DeliverSm:
    kind = smpp34.SubmitSm if isinstance(pdu, SubmitSm) else smpp34.DeliverSm
    fields = {name: getattr(pdu, name) for name in FIELDS}
    return kind(**fields, tlvs=[smpp34.Tlv(*tlv) for tlv in pdu.tlvs], sequence_number=sequence)


def as_smpp34_reads(value: object) -> object:
    """It reads texts as UTF-8 and replaces what is none; we keep every octet, as Latin-1."""
    return value.encode("latin-1").decode("utf-8", "replace") if isinstance(value, str) else value


def same_fields(ours: SubmitSm | DeliverSm, theirs: smpp34.SubmitSm | smpp34.DeliverSm) -> bool:
    return all(as_smpp34_reads(getattr(ours, name)) == getattr(theirs, name) for name in FIELDS)


def same_tlvs(ours: SubmitSm | DeliverSm, theirs: smpp34.SubmitSm | smpp34.DeliverSm) -> bool:
    return ours.tlvs == tuple((tlv.tag, tlv.value) for tlv in theirs.tlvs)


@given(MESSAGES, NUMBERS)
def test_messages_are_written_and_read_as_smpp34_does(pdu: SubmitSm | DeliverSm, sequence: int) -> None:
    octets = encode(pdu, sequence)
    assert theirs_of(pdu, sequence).encode() == octets
    theirs = smpp34.decode(octets)
    assert isinstance(theirs, smpp34.SubmitSm | smpp34.DeliverSm)
    assert theirs.command_id == command_of(pdu)
    assert theirs.sequence_number == sequence
    assert same_fields(pdu, theirs)
    assert same_tlvs(pdu, theirs)


@given(PDUS, NUMBERS, NUMBERS)
def test_headers_are_read_as_smpp34_does(pdu: Pdu, sequence: int, status: int) -> None:
    octets = encode(pdu, sequence, status)
    theirs = smpp34.decode(octets)
    assert (theirs.command_id, theirs.sequence_number) == (command_of(pdu), sequence)
    if isinstance(theirs, smpp34.RawPdu):
        assert (theirs.command_length, theirs.command_status) == (len(octets), status)
        assert theirs.body == octets[16:]


def test_what_smpp34_refuses_of_mutated_messages_we_refuse_too() -> None:
    """And what both read, both read alike, but for one thing: behind a stray NUL it gives up, and we look for TLVs."""
    generator = Generator(34)
    read = refused = 0
    while read + refused < 20_000:
        frame = generator.frame()
        length, command, _, _ = HEADER.unpack_from(frame)
        if length != len(frame) or command not in (CommandId.SUBMIT_SM, CommandId.DELIVER_SM):
            continue
        try:
            decoded = decode(frame)
        except PduDecodeError:
            decoded = None
        try:
            theirs = smpp34.decode(frame)
        except smpp34.SmppError:
            theirs = None
        assert (decoded is None) == (theirs is None), frame.hex()
        if decoded is None:
            refused += 1
            continue
        read += 1
        ours = decoded.pdu
        assert isinstance(ours, SubmitSm | DeliverSm)
        assert isinstance(theirs, smpp34.SubmitSm | smpp34.DeliverSm)
        assert same_fields(ours, theirs), frame.hex()
        assert decoded.stray == 1 or same_tlvs(ours, theirs), frame.hex()
    assert min(read, refused) > 1000


def test_deviation_smpp34_writes_texts_longer_than_smpp_allows() -> None:
    """We refuse: operators answer such a PDU with anything from RINVSRCADR to a closed connection."""
    assert smpp34.SubmitSm("1" * 21, "2", b"x").encode()
    for wrong in (SubmitSm(source_addr="1" * 21), SubmitSm(source_addr="a\0b")):
        try:
            encode(wrong, 1)
        except PduEncodeError:
            continue
        raise AssertionError(wrong)


def test_names_of_tags_agree_with_smpp34() -> None:
    theirs = {name.removeprefix("TLV_"): getattr(smpp34, name) for name in dir(smpp34) if name.startswith("TLV_")}
    assert len(theirs) > 40
    assert {name: int(Tag[name]) for name in theirs} == theirs


# -- aiosmpplib: the PDUs of an ESME --------------------------------------------------------------------------------


def parsed(octets: bytes) -> aio.SmppMessage:
    header = aio.SmppMessage.parse_header(octets)
    message: aio.SmppMessage = aio.MESSAGE_TYPE_MAP[header.smpp_command].from_pdu(octets, header, "latin_1")
    return message


PRINTABLE = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=12)
SEQUENCES = st.integers(1, 0x7FFFFFFF)
TONS, NPIS = st.sampled_from(aio.TON), st.sampled_from(aio.NPI)


@given(
    st.sampled_from([aio.SubmitSm, aio.DeliverSm]),
    SEQUENCES,
    st.tuples(PRINTABLE, TONS, NPIS),
    st.tuples(PRINTABLE, TONS, NPIS),
    st.text(alphabet=st.characters(min_codepoint=1, max_codepoint=255), min_size=1, max_size=300),
    st.tuples(*[st.integers(0, 255)] * 5),
)
def test_messages_are_written_and_read_as_aiosmpplib_does(
    kind: type[aio.SubmitSm],
    sequence: int,
    source: tuple[str, aio.TON, aio.NPI],
    destination: tuple[str, aio.TON, aio.NPI],
    text: str,
    octets: tuple[int, ...],
) -> None:
    """Known: it cuts a UDH off the text when it reads, so its reading is compared without the UDH indicator."""
    esm_class, protocol_id, priority_flag, registered_delivery, sm_default_msg_id = octets
    theirs = kind(
        short_message=text,
        source=aio.PhoneNumber(*source),
        destination=aio.PhoneNumber(*destination),
        service_type="abc",
        esm_class=esm_class & ~0x40,
        protocol_id=protocol_id,
        priority_flag=priority_flag,
        registered_delivery=registered_delivery,
        sm_default_msg_id=sm_default_msg_id,
        encoding="latin_1",
        optional_params=[OptionalParam(Tag.USER_MESSAGE_REFERENCE, 7), OptionalParam(Tag.RECEIPTED_MESSAGE_ID, "ab")],
        log_id="x",
    )
    theirs.sequence_num = sequence
    written = theirs.pdu()
    ours = decode(written)
    assert (ours.command, ours.sequence, ours.stray) == (theirs.smpp_command, sequence, 0)
    assert isinstance(ours.pdu, SubmitSm | DeliverSm)
    assert encode(ours.pdu, sequence) == written
    assert (ours.pdu.source_addr, ours.pdu.source_addr_ton, ours.pdu.source_addr_npi) == source
    assert (ours.pdu.destination_addr, ours.pdu.dest_addr_ton, ours.pdu.dest_addr_npi) == destination
    assert ours.pdu.content.decode("latin-1") == text
    assert ours.pdu.data_coding == 3
    again = parsed(written)
    assert isinstance(again, kind)
    assert again.short_message + again.message_payload == text
    assert [again.esm_class, again.protocol_id, again.priority_flag] == [
        ours.pdu.esm_class,
        ours.pdu.protocol_id,
        ours.pdu.priority_flag,
    ]
    assert again.registered_delivery == ours.pdu.registered_delivery


BINDS = {
    BindMode.TRANSCEIVER: (aio.BindTransceiver, aio.BindTransceiverResp),
    BindMode.TRANSMITTER: (aio.BindTransmitter, aio.BindTransmitterResp),
    BindMode.RECEIVER: (aio.BindReceiver, aio.BindReceiverResp),
}


@given(st.sampled_from(BindMode), SEQUENCES, PRINTABLE, PRINTABLE.map(lambda text: text[:8]), TONS, NPIS)
def test_binds_are_written_and_read_as_aiosmpplib_does(
    mode: BindMode, sequence: int, system_id: str, password: str, ton: aio.TON, npi: aio.NPI
) -> None:
    request, response = BINDS[mode]
    theirs = request(
        system_id=system_id, password=password, system_type="t", addr_ton=ton, addr_npi=npi, address_range="1*"
    )
    theirs.sequence_num = sequence
    ours = BindRequest(mode, system_id, password, "t", 0x34, ton, npi, "1*")
    assert encode(ours, sequence) == theirs.pdu()
    assert parsed(theirs.pdu()) == theirs
    assert decode(theirs.pdu()).pdu == ours
    answer = response(sequence_num=sequence, system_id=system_id, sc_interface_version=0x34)
    ours_answer = BindResponse(mode, system_id, ((Tag.SC_INTERFACE_VERSION, b"\x34"),))
    assert encode(ours_answer, sequence) == answer.pdu()
    assert parsed(encode(ours_answer, sequence)) == answer


@given(SEQUENCES, st.sampled_from(SmppCommandStatus), PRINTABLE)
def test_the_short_pdus_are_written_and_read_as_aiosmpplib_does(
    sequence: int, status: SmppCommandStatus, message_id: str
) -> None:
    pairs: list[tuple[Pdu, aio.SmppMessage]] = [
        (SubmitSmResp(message_id), aio.SubmitSmResp(sequence, status, message_id=message_id, log_id="x")),
        (DeliverSmResp(), aio.DeliverSmResp(sequence, status, message_id="", log_id="x")),
        (EnquireLink(), aio.EnquireLink(sequence)),
        (EnquireLinkResp(), aio.EnquireLinkResp(sequence, status)),
        (Unbind(), aio.Unbind(sequence)),
        (UnbindResp(), aio.UnbindResp(sequence, status)),
        (GenericNack(), aio.GenericNack(sequence, status, log_id="x")),
    ]
    for ours, theirs in pairs:
        octets = theirs.pdu()
        number = int(theirs.command_status)
        assert encode(ours, sequence, number) == octets
        assert decode(octets)[:4] == (theirs.smpp_command, number, sequence, ours)
        read = parsed(octets)
        assert type(read) is type(theirs)
        assert (read.sequence_num, read.command_status) == (sequence, theirs.command_status)


def test_deviation_aiosmpplib_cannot_read_what_operators_send() -> None:
    """It raises for a status it has no name for, and takes the end of an id for its NUL. We keep both."""
    vendor = HEADER.pack(18, CommandId.SUBMIT_SM_RESP, 0x55F, 1) + b"1\0"
    without_nul = HEADER.pack(18, CommandId.SUBMIT_SM_RESP, 0, 1) + b"12"
    assert decode(vendor).status == 0x55F
    assert decode(without_nul).pdu == SubmitSmResp("12")
    try:
        parsed(vendor)
    except ValueError:
        pass
    else:
        raise AssertionError("aiosmpplib has learnt this status")
    read = parsed(without_nul)
    assert isinstance(read, aio.SubmitSmResp)
    assert read.message_id == "1"


def test_numbers_of_commands_and_statuses_agree_with_aiosmpplib() -> None:
    assert {command.name: int(command) for command in SmppCommand} == {
        command.name: int(CommandId[command.name]) for command in SmppCommand
    }
    assert all(int(answer) == int(request) | RESPONSE_BIT for request, answer in COMMAND_RESPONSE_MAP.items())
    named = {int(status): status.name.removeprefix("ESME_") for status in SmppCommandStatus}
    differing = {code: (name, STATUSES[code].name) for code, name in named.items() if STATUSES[code].name != name}
    assert differing == {}
