"""submit_sm → a message, or the status that refuses it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from app.domain.messages.events import Lane, SmsOptions
from app.domain.smpp_accounts.gateway import PLAIN, Submission
from app.domain.smpp_accounts.schemas import BindSettings
from smpp_daemon.protocol.constants import Tag
from smpp_daemon.protocol.pdu import DataSm, SubmitSm
from smpp_daemon.protocol.status import RINVDSTADR, RINVMSGLEN, RINVSRCADR
from smpp_daemon.server import refusals
from smpp_daemon.server.reading import read_submission
from smpp_daemon.server.refusals import RefusedError
from tests.smpp.server.harness import submit

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SETTINGS = BindSettings()


def read(pdu: SubmitSm | DataSm, takes_data: bool = True, settings: BindSettings = SETTINGS) -> Submission:
    return read_submission(pdu, settings, takes_data, NOW)


def refusal(pdu: SubmitSm | DataSm, takes_data: bool = True, settings: BindSettings = SETTINGS) -> int:
    with pytest.raises(RefusedError) as raised:
        read(pdu, takes_data, settings)
    return raised.value.status


def test_plain_text_stays_text() -> None:
    made = read(submit(data_coding=3, short_message="Grüße".encode("latin-1")))
    assert (made.text, made.encoding, made.segments, made.options) == ("Grüße", "gsm7", 1, PLAIN)
    assert (made.to, made.sender, made.lane, made.validity_seconds) == ("+251911000100", "DEMO", Lane.HIGH, None)


@pytest.mark.parametrize(
    ("coding", "octets", "text", "encoding"),
    [
        (0, b"\x00\x1b\x65", "@€", "gsm7"),
        (1, b"Hi", "Hi", "gsm7"),
        (3, b"\xe9\0", "é", "gsm7"),
        (8, "ሰላም".encode("utf-16-be"), "ሰላም", "ucs2"),
        (6, "Привет".encode("iso8859_5"), "Привет", "ucs2"),
    ],
)
def test_texts_are_decoded_by_their_data_coding(coding: int, octets: bytes, text: str, encoding: str) -> None:
    """Field problem 35: data_coding says what the octets are, and 0 what the account says."""
    made = read(submit(data_coding=coding, short_message=octets))
    assert (made.text, made.encoding) == (text, encoding)


def test_data_coding_0_is_what_the_account_says() -> None:
    """Field problem 35."""
    latin = BindSettings(default_alphabet="latin1")
    assert read(submit(short_message=b"\xe9@"), settings=latin).text == "é@"
    assert read(submit(short_message=b"\x05\x00")).text == "é@"


def test_message_payload_carries_long_texts() -> None:
    made = read(submit(short_message=b"", tlvs=((Tag.MESSAGE_PAYLOAD, b"x" * 400),)))
    assert (made.text, made.segments, made.options) == ("x" * 400, 3, PLAIN)
    assert refusal(submit(short_message=b"", tlvs=((Tag.MESSAGE_PAYLOAD, b"x" * 2000),))) == RINVMSGLEN


def test_parts_with_a_header_pass_through_and_keep_their_text() -> None:
    """Field problem 33: every part is a message of its own, with an id and a receipt of its own."""
    header = bytes((5, 0, 3, 7, 2, 1))
    made = read(submit(esm_class=0x40, short_message=header + b"first"))
    assert made.options == SmsOptions(data=b"first", udh=header, data_coding=0)
    assert (made.text, made.segments) == ("first", 1)


def test_sar_parts_become_parts_with_a_header() -> None:
    tlvs = ((Tag.SAR_MSG_REF_NUM, b"\x12\x34"), (Tag.SAR_TOTAL_SEGMENTS, b"\2"), (Tag.SAR_SEGMENT_SEQNUM, b"\2"))
    made = read(submit(short_message=b"x" * 153, tlvs=tlvs))
    assert made.options == SmsOptions(data=b"x" * 153, udh=bytes((5, 0, 3, 0x34, 2, 2)), data_coding=0)
    assert refusal(submit(short_message=b"x" * 154, tlvs=tlvs)) == RINVMSGLEN
    alone = tuple((tag, b"\0\1" if tag == Tag.SAR_MSG_REF_NUM else b"\1") for tag, _ in tlvs)
    assert read(submit(tlvs=alone)).options == PLAIN


def test_parts_in_an_alphabet_only_the_account_knows_are_written_in_one_everybody_knows() -> None:
    latin = BindSettings(default_alphabet="latin1")
    header = bytes((5, 0, 3, 7, 2, 1))
    made = read(submit(esm_class=0x40, short_message=header + b"\xe9"), settings=latin)
    assert (made.options.data, made.options.data_coding) == (b"\x05", 0)
    made = read(submit(esm_class=0x40, short_message=header + b"\xff"), settings=latin)
    assert (made.options.data, made.options.data_coding) == (b"\xff", 3)


def test_binary_data_pass_through_where_they_can() -> None:
    pdu = submit(data_coding=4, short_message=b"\0\1\2")
    made = read(pdu)
    assert (made.options, made.text, made.encoding) == (SmsOptions(data=b"\0\1\2", data_coding=4), "", "binary")
    assert refusal(pdu, takes_data=False) == refusals.RINVDCS
    assert refusal(submit(data_coding=4, short_message=b"x" * 141)) == RINVMSGLEN


@pytest.mark.parametrize(
    "fields",
    [
        {"data_coding": 0x10},
        {"data_coding": 0xF0},
        {"data_coding": 0x18, "short_message": b"\0H"},
        {"tlvs": ((Tag.DEST_ADDR_SUBUNIT, b"\1"),)},
    ],
)
def test_flash_is_recognised(fields: dict[str, Any]) -> None:
    made = read(submit(**fields))
    assert made.options == SmsOptions(flash=True)


def test_options_go_along() -> None:
    tlvs = ((0x1400, b"1234\0"), (Tag.USER_MESSAGE_REFERENCE, b"\0\1"), (Tag.QOS_TIME_TO_LIVE, b"\0\0\0\x3c"))
    made = read(submit(priority_flag=2, protocol_id=0x41, service_type="OTP", tlvs=tlvs))
    assert made.options == SmsOptions(priority=2, protocol_id=0x41, service_type="OTP", tlvs=tlvs[:2])
    assert (made.lane, made.validity_seconds) == (Lane.HIGH, 60)
    assert read(submit(), settings=BindSettings(lane="bulk")).lane is Lane.BULK
    assert read(submit(priority_flag=3), settings=BindSettings(lane="bulk")).lane is Lane.HIGH


@pytest.mark.parametrize(
    ("written", "seconds"), [("000001000000000R", 86_400), ("261125130000000+", 3600), ("991231235959000+", 604_800)]
)
def test_validity_in_either_form(written: str, seconds: int) -> None:
    assert read(submit(validity_period=written)).validity_seconds == seconds


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"destination_addr": ""}, RINVDSTADR),
        ({"destination_addr": "12"}, RINVDSTADR),
        ({"destination_addr": "not a number"}, RINVDSTADR),
        ({"dest_addr_ton": 5, "destination_addr": "251911000100"}, RINVDSTADR),
        ({"dest_addr_ton": 2, "destination_addr": "0911000100"}, RINVDSTADR),
        ({"source_addr": "x" * 21}, RINVSRCADR),
        ({"source_addr": "\xe9"}, RINVSRCADR),
        ({"source_addr_ton": 1, "source_addr": "abc"}, RINVSRCADR),
        ({"short_message": b""}, RINVMSGLEN),
        ({"schedule_delivery_time": "000001000000000R"}, refusals.RINVSCHED),
        ({"validity_period": "nonsense"}, refusals.RINVEXPIRY),
        ({"validity_period": "261125110000000+"}, refusals.RINVEXPIRY),
        ({"validity_period": "261399999999000+"}, refusals.RINVEXPIRY),
        ({"priority_flag": 4}, refusals.RINVPRTFLG),
        ({"replace_if_present_flag": 1}, refusals.RINVREPFLAG),
        ({"sm_default_msg_id": 1}, refusals.RINVDFTMSGID),
        ({"esm_class": 0x08}, refusals.RINVESMCLASS),
        ({"esm_class": 0x40, "short_message": b"\xffx"}, refusals.RINVESMCLASS),
        ({"data_coding": 0x20}, refusals.RINVDCS),
        ({"data_coding": 0x80}, refusals.RINVDCS),
        ({"service_type": "\xe9"}, refusals.RINVSERTYP),
        ({"tlvs": tuple((0x1400 + n, b"x") for n in range(17))}, refusals.ROPTPARNOTALLWD),
        ({"tlvs": ((0x1400, b"x" * 141),)}, refusals.RINVPARLEN),
    ],
)
def test_each_mistake_has_its_status(fields: dict[str, Any], status: int) -> None:
    assert refusal(submit(**fields)) == status


@pytest.mark.parametrize(
    ("ton", "address", "country", "expected"),
    [
        (1, "251911000100", None, "+251911000100"),
        (1, "+251911000100", None, "+251911000100"),
        (0, "+251911000100", None, "+251911000100"),
        (0, "00251911000100", None, "+251911000100"),
        (0, "251911000100", "ET", "+251911000100"),
        (0, "0911000100", "ET", "+251911000100"),
        (2, "0911000100", "ET", "+251911000100"),
        (2, "911000100", "ET", "+251911000100"),
    ],
)
def test_recipients_in_every_form(ton: int, address: str, country: str | None, expected: str) -> None:
    settings = BindSettings(default_country=country)
    assert read(submit(to=address, dest_addr_ton=ton), settings=settings).to == expected


@pytest.mark.parametrize(
    ("ton", "address", "expected"),
    [(5, "DEMO", "DEMO"), (1, "251911000100", "+251911000100"), (3, "8080", "8080"), (0, "", None)],
)
def test_senders_in_every_form(ton: int, address: str, expected: str | None) -> None:
    assert read(submit(source_addr_ton=ton, source_addr=address)).sender == expected


def test_data_sm_is_read_like_submit_sm() -> None:
    pdu = DataSm(
        dest_addr_ton=1,
        destination_addr="251911000100",
        registered_delivery=1,
        tlvs=((Tag.MESSAGE_PAYLOAD, b"Hello"), (Tag.QOS_TIME_TO_LIVE, b"\0\0\0\x0a")),
    )
    made = read(pdu)
    assert (made.text, made.validity_seconds, made.registered_delivery, made.options) == ("Hello", 10, 1, PLAIN)
