"""Every option of a channel, and every option of a message, as it stands in submit_sm."""

from typing import Any

import msgspec
import pytest

from app.domain.messages.events import DispatchMessage, SmsOptions, encode
from connectors.smpp.config import SmppConfig
from connectors.sms_text.encoding import decode_user_data
from connectors.sms_text.gsm7 import unpack_text
from connectors.sms_text.udh import split_user_data
from smpp_daemon.protocol.codec import decode_body
from smpp_daemon.protocol.constants import CommandId, Tag
from smpp_daemon.protocol.pdu import SubmitSm
from smpp_daemon.protocol.tlv import find_tlv
from smpp_daemon.submission import SubmissionEncoder, UnsendableError

HOSTS = [{"host": "operator.example", "port": 2775}]
NOW = 1_700_000_000.0
"""2023-11-14T22:13:20Z."""

DLT = {"dlt_entity": {"tag": 0x1400, "required": True}, "dlt_template": {"tag": 0x1401}}


def encoder(**options: Any) -> SubmissionEncoder:
    config = msgspec.convert({"hosts": HOSTS} | options, SmppConfig)
    return SubmissionEncoder(config, lambda: NOW, first_reference=254)


def message(
    text: str = "Hello",
    *,
    to: str = "+251911000100",
    sender: str | None = "DEMO",
    age: float = 0.0,
    validity: int | None = None,
    sms: SmsOptions | None = None,
) -> DispatchMessage:
    identifier = int((NOW - age) * 1000).to_bytes(6, "big") + bytes(10)
    return DispatchMessage(identifier, 1, to, sender, text, validity, None if sms is None else encode(sms))


def pdus(made: list[bytes]) -> list[SubmitSm]:
    found = [decode_body(CommandId.SUBMIT_SM, 1, body)[0] for body in made]
    return [pdu for pdu in found if isinstance(pdu, SubmitSm)]


def one(each: DispatchMessage | None = None, **options: Any) -> SubmitSm:
    (pdu,) = pdus(encoder(**options).bodies(each or message()))
    return pdu


def test_a_plain_text_is_what_every_operator_understands() -> None:
    assert one() == SubmitSm(
        source_addr_ton=5,
        source_addr="DEMO",
        dest_addr_ton=1,
        dest_addr_npi=1,
        destination_addr="251911000100",
        registered_delivery=1,
        short_message=b"Hello",
    )


@pytest.mark.parametrize(
    ("alphabet", "text", "coding", "octets"),
    [
        ("gsm7", "@ £", 0, b"\x00 \x01"),
        ("latin1", "@ £", 0, b"@ \xa3"),
        ("latin1", "€", 8, "€".encode("utf-16-be")),
        ("ascii", "@ $", 0, b"@ $"),
        ("ascii", "£", 8, "£".encode("utf-16-be")),
        ("ucs2", "Hi", 8, "Hi".encode("utf-16-be")),
        ("gsm7", "ሰላም", 8, "ሰላም".encode("utf-16-be")),
    ],
)
def test_the_default_alphabet_is_the_operators(alphabet: str, text: str, coding: int, octets: bytes) -> None:
    """field problem 35: what data_coding 0 means is said for each channel."""
    pdu = one(message(text), default_alphabet=alphabet)
    assert (pdu.data_coding, pdu.short_message) == (coding, octets)


def test_data_coding_is_what_the_operator_wants_for_each_alphabet() -> None:
    named: dict[str, Any] = {"data_coding_gsm7": 1, "data_coding_ucs2": 0x18}
    assert one(**named).data_coding == 1
    assert one(message("ሰላም"), **named).data_coding == 0x18
    latin = one(message("@"), default_alphabet="latin1", data_coding_gsm7=3)
    assert (latin.data_coding, latin.short_message) == (3, b"@")


def test_packed_septets_and_their_header() -> None:
    """field problem 36: packed text is padded to a septet boundary behind its header."""
    pdu = one(message("hellohello"), gsm7_packed=True)
    assert pdu.short_message == bytes.fromhex("e8329bfd4697d9ec37")
    parts = pdus(encoder(gsm7_packed=True).bodies(message("x" * 161)))
    assert [len(part.short_message) for part in parts] == [140, 14]
    for part in parts:
        header, data = split_user_data(part.short_message)
        assert header is not None
        assert set(decode_user_data(data, header, "gsm7_packed")) == {"x"}


def test_a_packed_text_of_seven_left_bits_ends_in_no_at_sign() -> None:
    pdu = one(message("1234567"), gsm7_packed=True)
    assert unpack_text(pdu.short_message) == b"1234567"


def test_little_endian_text_for_operators_that_want_it() -> None:
    """field problem 36: little-endian UCS-2 only where the channel says so."""
    assert one(message("ሰ"), ucs2_byte_order="little").short_message == "ሰ".encode("utf-16-le")


def test_surrogate_pairs_are_never_split() -> None:
    """field problem 36: the pair that would straddle two segments goes to the second one whole."""
    parts = pdus(encoder().bodies(message("x" * 66 + "😀" + "y" * 10)))
    texts = [part.short_message[6:].decode("utf-16-be") for part in parts]
    assert texts == ["x" * 66, "😀" + "y" * 10]


def test_a_national_language_saves_segments_behind_a_header() -> None:
    text = "ğış" * 10
    pdu = one(message(text), national_language="turkish")
    assert (pdu.esm_class, pdu.data_coding) == (0x40, 0)
    header, data = split_user_data(pdu.short_message)
    assert header is not None
    assert decode_user_data(data, header, "gsm7") == text


def test_typographic_characters_are_replaced_where_the_channel_asks_for_it() -> None:
    assert one(message("It’s")).data_coding == 8
    replaced = one(message("It’s"), substitute_characters=True)
    assert (replaced.data_coding, replaced.short_message) == (0, b"It's")


@pytest.mark.parametrize(
    ("flash", "text", "coding", "subunit"),
    [
        ("data_coding", "Hi", 0x10, None),
        ("data_coding", "ሰ", 0x18, None),
        ("message_class", "Hi", 0xF0, None),
        ("message_class", "ሰ", 0x18, None),
        ("subunit", "Hi", 0x00, b"\x01"),
        ("subunit", "ሰ", 0x08, b"\x01"),
    ],
)
def test_a_flash_message_is_marked_as_the_operator_understands_it(
    flash: str, text: str, coding: int, subunit: bytes | None
) -> None:
    pdu = one(message(text, sms=SmsOptions(flash=True)), flash=flash)
    assert (pdu.data_coding, find_tlv(pdu.tlvs, Tag.DEST_ADDR_SUBUNIT)) == (coding, subunit)
    assert find_tlv(one(message(text), flash=flash).tlvs, Tag.DEST_ADDR_SUBUNIT) is None


def test_what_every_submit_sm_carries() -> None:
    pdu = one(service_type="WAP", protocol_id=0x41, priority=2)
    assert (pdu.service_type, pdu.protocol_id, pdu.priority_flag) == ("WAP", 0x41, 2)
    own = one(
        message(sms=SmsOptions(service_type="CMT", protocol_id=0, priority=0)),
        service_type="WAP",
        protocol_id=0x41,
        priority=2,
    )
    assert (own.service_type, own.protocol_id, own.priority_flag) == ("CMT", 0, 0)


@pytest.mark.parametrize(
    ("receipts", "asked"),
    [("all", [1, 1, 1]), ("failures", [2, 2, 2]), ("last_part", [0, 0, 1]), ("none", [0, 0, 0])],
)
def test_receipts_are_asked_for_as_the_channel_says(receipts: str, asked: list[int]) -> None:
    """field problem 33: a receipt for each part, or one for the last part alone."""
    parts = pdus(encoder(receipts=receipts).bodies(message("x" * 400)))
    assert [part.registered_delivery for part in parts] == asked
    assert one(receipts=receipts).registered_delivery == asked[-1]


@pytest.mark.parametrize(("validity", "written"), [("relative", "000000005900000R"), ("absolute", "231114231220000+")])
def test_a_validity_period_is_written_in_either_form(validity: str, written: str) -> None:
    assert one(message(age=60, validity=3600), validity=validity).validity_period == written


def test_the_channels_own_validity_begins_with_the_hand_over() -> None:
    old = message(age=86_400)
    assert one(old, default_validity_seconds=7200).validity_period == "000000020000000R"
    assert one(old, default_validity_seconds=7200, validity="absolute").validity_period == "231115001320000+"
    assert one(message(validity=60), default_validity_seconds=7200).validity_period == "000000000100000R"


def test_parameters_of_the_channel_and_of_the_message() -> None:
    channel = [
        {"tag": 0x1400, "value": "1101"},
        {"tag": 0x1403, "value": "ab", "kind": "text"},
        {"tag": 0x1404, "value": "00ff", "kind": "hex"},
        {"tag": 0x1405, "value": "300", "kind": "integer_2"},
    ]
    assert one(tlvs=channel).tlvs == (
        (0x1400, b"1101\0"),
        (0x1403, b"ab"),
        (0x1404, b"\x00\xff"),
        (0x1405, b"\x01\x2c"),
    )
    own = SmsOptions(tlvs=((0x1400, b"own\0"),), metadata_tlvs=((0x1400, b"meta\0"), (0x1401, b"t\0")))
    assert one(message(sms=own), tlvs=channel[:2]).tlvs == ((0x1403, b"ab"), (0x1400, b"own\0"), (0x1401, b"t\0"))


def test_parameters_travel_with_every_part_and_with_message_payload() -> None:
    options = SmsOptions(tlvs=((0x1401, b"t\0"),))
    for style, count in (("udh", 2), ("sar", 2), ("payload", 1)):
        parts = pdus(encoder(long_message=style).bodies(message("x" * 200, sms=options)))
        assert [find_tlv(part.tlvs, 0x1401) for part in parts] == [b"t\0"] * count


def test_a_message_without_a_parameter_the_channel_needs_is_not_sent() -> None:
    with pytest.raises(UnsendableError, match="needs the metadata dlt_entity"):
        one(metadata_tlvs=DLT)
    with pytest.raises(UnsendableError, match="dlt_entity"):
        one(message(sms=SmsOptions(metadata_tlvs=((0x1401, b"t\0"),))), metadata_tlvs=DLT)
    brought = SmsOptions(tlvs=((0x1400, b"e\0"),))
    assert find_tlv(one(message(sms=brought), metadata_tlvs=DLT).tlvs, 0x1400) == b"e\0"


def test_binary_data_goes_out_as_it_is() -> None:
    plain = one(message("", sms=SmsOptions(b"\x00\x01\xff")))
    assert (plain.esm_class, plain.data_coding, plain.short_message) == (0, 4, b"\x00\x01\xff")
    ports = SmsOptions(b"\xde\xad", bytes.fromhex("0605040b8423f0"), 0xF5)
    addressed = one(message("", sms=ports))
    assert (addressed.esm_class, addressed.data_coding) == (0x40, 0xF5)
    assert addressed.short_message == bytes.fromhex("0605040b8423f0dead")
    assert one(message("", sms=SmsOptions(b"\x01", flash=True))).data_coding == 0x14


RULES = [
    {"side": "source", "prefix": "8", "longest": 4, "ton": 3, "npi": 0},
    {"side": "source", "prefix": "BANK", "ton": 5, "npi": 9},
    {"side": "destination", "prefix": "2519", "replace": "09", "ton": 2, "npi": 1},
    {"side": "destination", "prefix": "", "npi": 8},
]


@pytest.mark.parametrize(
    ("sender", "to", "source", "destination"),
    [
        ("8080", "+251911000100", (3, 0, "8080"), (2, 1, "0911000100")),
        ("80801", "+254700000001", (1, 1, "80801"), (1, 8, "254700000001")),
        ("BANKS", "+251811000100", (5, 9, "BANKS"), (1, 8, "251811000100")),
        ("SHOP", "+251911000100", (5, 0, "SHOP"), (2, 1, "0911000100")),
    ],
)
def test_the_first_rule_that_fits_an_address_counts(
    sender: str, to: str, source: tuple[int, int, str], destination: tuple[int, int, str]
) -> None:
    pdu = one(message(sender=sender, to=to), address_rules=RULES, source_ton=1, source_npi=1)
    assert (pdu.source_addr_ton, pdu.source_addr_npi, pdu.source_addr) == source
    assert (pdu.dest_addr_ton, pdu.dest_addr_npi, pdu.destination_addr) == destination


@pytest.mark.parametrize(
    "unsendable",
    [
        message("x" * 60_000),
        message(sender="Grüße und mehr als zwanzig"),
        message(sender="日本"),
        message(to="+" + "1" * 21),
    ],
    ids=["too many segments", "sender too long", "sender not Latin-1", "recipient too long"],
)
def test_what_no_pdu_can_carry_is_refused_in_words(unsendable: DispatchMessage) -> None:
    with pytest.raises(UnsendableError, match=r"\w"):
        one(unsendable)


def test_unreadable_options_fail_the_message_alone() -> None:
    broken = msgspec.structs.replace(message(), sms=b"\xc1")
    with pytest.raises(UnsendableError):
        one(broken)


def test_references_of_long_texts_count_up_and_come_round() -> None:
    """field problem 33: parts of two texts to one handset never share a reference that is near."""
    some = encoder()
    references = [pdus(some.bodies(message("x" * 200)))[0].short_message[3] for _ in range(3)]
    some.bodies(message("short"))
    references.append(pdus(some.bodies(message("x" * 200)))[0].short_message[3])
    assert references == [255, 0, 1, 2]


def test_no_text_mixes_a_header_with_sar_parameters() -> None:
    for style in ("udh", "udh16", "sar", "payload"):
        for part in pdus(encoder(long_message=style, national_language="turkish").bodies(message("ğ" * 200))):
            headed = bool(part.esm_class & 0x40)
            assert not (headed and find_tlv(part.tlvs, Tag.SAR_MSG_REF_NUM))
            assert bool(part.short_message) is (find_tlv(part.tlvs, Tag.MESSAGE_PAYLOAD) is None)


def test_templates_do_not_grow_for_ever() -> None:
    some = encoder(validity="absolute")
    for seconds in range(1, 2500):
        assert len(some.bodies(message(validity=seconds))) == 1
    assert len(some._templates) <= 1000
