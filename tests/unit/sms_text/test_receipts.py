"""Every variant of a delivery receipt seen in the field, and the ids in it."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sms_text.receipts import (
    ParsedReceipt,
    Verdict,
    looks_like_receipt,
    match_keys,
    normalise_id,
    parse_date,
    parse_receipt,
    verdict_of,
)

APPENDIX_B = (
    "id:0123456789 sub:001 dlvrd:001 submit date:2611240911 done date:2611240912 stat:DELIVRD err:000 text:Hello you"
)


def read(text: bytes | str, **tlvs: Any) -> ParsedReceipt:
    receipt = parse_receipt(text, **tlvs)
    assert receipt is not None
    return receipt


def test_variant_01_appendix_b() -> None:
    receipt = read(APPENDIX_B)
    assert receipt.message_ids == ("0123456789",)
    assert receipt.verdict is Verdict.DELIVERED
    assert (receipt.state, receipt.error) == ("DELIVRD", "000")
    assert (receipt.submitted, receipt.done) == ("2611240911", "2611240912")
    assert receipt.text == "Hello you"
    assert receipt.fields["sub"] == receipt.fields["dlvrd"] == "001"


def test_variant_02_capital_text_label_and_no_text_label() -> None:
    assert read(APPENDIX_B.replace("text:", "Text:")).text == "Hello you"
    assert read(APPENDIX_B.replace("text:", "")).text == "Hello you"


def test_variant_03_without_sub_and_dlvrd() -> None:
    """Field problem 29."""
    receipt = read("id:77 submit date:2611240911 done date:2611240912 stat:EXPIRED err:012 text:x")
    assert (receipt.message_ids, receipt.verdict, receipt.error) == (("77",), Verdict.EXPIRED, "012")


def test_variant_04_ends_at_err() -> None:
    receipt = read("id:77 sub:001 dlvrd:000 submit date:2611240911 done date:2611240912 stat:UNDELIV err:0B1")
    assert (receipt.verdict, receipt.error, receipt.text) == (Verdict.FAILED, "0B1", None)


def test_variant_05_ends_at_stat() -> None:
    assert read("id:77 sub:001 dlvrd:001 submit date:2611240911 done date:2611240912 stat:DELIVRD").state == "DELIVRD"


def test_variant_06_only_stat() -> None:
    receipt = read("stat:DELIVRD")
    assert (receipt.message_ids, receipt.verdict) == ((), Verdict.DELIVERED)


def test_variant_07_minimal() -> None:
    receipt = read("id:abc-1 stat:DELIVRD text:Meep")
    assert (receipt.message_ids, receipt.text) == (("abc-1",), "Meep")


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("2611240911", datetime(2026, 11, 24, 9, 11, tzinfo=UTC)),
        ("261124091130", datetime(2026, 11, 24, 9, 11, 30, tzinfo=UTC)),  # variant 8
        ("202611240911", datetime(2026, 11, 24, 9, 11, tzinfo=UTC)),  # variant 9
        ("20261124091130", datetime(2026, 11, 24, 9, 11, 30, tzinfo=UTC)),
        ("180711070003912+", datetime(2018, 7, 11, 7, 0, 3, tzinfo=timezone(timedelta(hours=3)))),  # variant 10
        ("0000000000", None),  # variant 11
        ("2026-11-24 09:11:30", datetime(2026, 11, 24, 9, 11, 30, tzinfo=UTC)),
        ("2699999999", None),
        ("N/A", None),
        ("", None),
    ],
)
def test_variants_08_to_11_dates(date: str, expected: datetime | None) -> None:
    receipt = read(f"id:77 submit date:{date} done date:{date} stat:DELIVRD err:000")
    assert receipt.verdict is Verdict.DELIVERED
    assert receipt.done == (date or None)
    assert parse_date(date) == expected


def test_variant_12_fields_in_any_order() -> None:
    """Field problem 29: operators write receipts in any order, with any fields missing."""
    receipt = read("done date:2611240912 err:000 stat:DELIVRD submit date:2611240911 dlvrd:001 id:77 sub:001 text:x")
    assert (receipt.message_ids, receipt.verdict, receipt.done) == (("77",), Verdict.DELIVERED, "2611240912")


@pytest.mark.parametrize(("sub", "dlvrd"), [("1", "13"), ("0", "000"), ("001", "0/000")])
def test_variant_13_counts_of_any_width(sub: str, dlvrd: str) -> None:
    receipt = read(f"id:77 sub:{sub} Dlvrd:{dlvrd} stat:DELIVRD")
    assert (receipt.fields["sub"], receipt.fields["dlvrd"], receipt.state) == (sub, dlvrd, "DELIVRD")


@pytest.mark.parametrize("error", ["0", "000", "0000", "21b", "-1", "ab1c"])
def test_variant_14_err_is_a_string(error: str) -> None:
    """Field problem 30: err is not always a number."""
    assert read(f"id:77 stat:UNDELIV err:{error} text:x").error == error


@pytest.mark.parametrize(
    ("stat", "verdict"),
    [
        ("DND_REJECTED", Verdict.FAILED),
        ("FAILED", Verdict.FAILED),
        ("BUFFRED", Verdict.SENT),
        ("BUFFERD", Verdict.SENT),
        ("ACKED", Verdict.SENT),
        ("ENROUTE", Verdict.SENT),
        ("ACCEPTD", Verdict.SENT),
        ("DELIVRD", Verdict.DELIVERED),
        ("DELIVERED", Verdict.DELIVERED),
        ("UNDELIVERABLE", Verdict.FAILED),
        ("UNDELIV", Verdict.FAILED),
        ("EXPIRED", Verdict.EXPIRED),
        ("DELETED", Verdict.FAILED),
        ("REJECTD", Verdict.FAILED),
        ("SKIPPED", Verdict.FAILED),
        ("UNKNOWN", Verdict.UNKNOWN),
        ("0", Verdict.SENT),
        ("2", Verdict.DELIVERED),
        ("99", Verdict.UNKNOWN),
        ("whatever", Verdict.UNKNOWN),
        ("delivrd", Verdict.DELIVERED),
    ],
)
def test_variant_15_states_of_any_spelling(stat: str, verdict: Verdict) -> None:
    receipt = read(f"id:77 stat:{stat} err:000")
    assert (receipt.state, receipt.verdict) == (stat, verdict)


@pytest.mark.parametrize(
    "message_id", ["6f9619ff-8b86-d011-b42d-00cf4fc964ff", "12345678901234567890", "a" * 65, "0x1F", "1.2.3", "AB/12+="]
)
def test_variant_16_ids_of_any_shape(message_id: str) -> None:
    assert read(f"id:{message_id} stat:DELIVRD").message_ids == (message_id,)


def test_variant_17_trailing_nul() -> None:
    assert read(APPENDIX_B.encode() + b"\0").text == "Hello you"
    assert read(b"id:77 stat:DELIVRD\0").state == "DELIVRD"


@pytest.mark.parametrize("body", [b"", b"\xe9\xff\x00\x01", b"GW250 MCC=270 MNC=1 BillingMNC=1"])
def test_variant_18_any_body_after_text(body: bytes) -> None:
    receipt = read(b"id:77 stat:DELIVRD err:000 text:" + body)
    assert (receipt.message_ids, receipt.verdict, receipt.error) == (("77",), Verdict.DELIVERED, "000")


def test_variant_19_tlvs_only() -> None:
    """Field problem 30: network_error_code is binary or ASCII, and longer than three digits."""
    receipt = read(b"", receipted_message_id="70BA8A69", message_state=2, network_error_code=b"\x03\x08\x02")
    assert receipt.message_ids == ("70BA8A69",)
    assert (receipt.verdict, receipt.state, receipt.error) == (Verdict.DELIVERED, "DELIVERED", "2050")
    assert receipt.network_error_code == b"\x03\x08\x02"
    assert read("", receipted_message_id="1", network_error_code=b"000").error == "000"
    both = read("id:1 stat:UNDELIV err:21b", network_error_code=b"\x03\x00\x01")
    assert (both.error, both.network_error_code) == ("21b", b"\x03\x00\x01")
    assert read("", receipted_message_id="1").verdict is Verdict.UNKNOWN


def test_variant_20_receipt_text_without_its_flag() -> None:
    assert looks_like_receipt(APPENDIX_B)
    assert not looks_like_receipt("Hi, my order is id:77 stat:DELIVRD")
    assert not looks_like_receipt("id: please send it")
    assert not looks_like_receipt("")


def test_ucs2_receipts_are_read() -> None:
    assert read("id:77 stat:DELIVRD".encode("utf-16-be")).message_ids == ("77",)


def test_user_text_forges_nothing() -> None:
    forged = APPENDIX_B.replace("text:Hello you", "text:id:666 stat:UNDELIV err:999")
    assert read(forged).message_ids == ("0123456789",)
    assert read(forged).verdict is Verdict.DELIVERED
    unlabelled = APPENDIX_B.replace("text:Hello you", "id:666 stat:UNDELIV")
    assert read(unlabelled).message_ids == ("0123456789",)
    assert read(unlabelled).verdict is Verdict.DELIVERED
    assert parse_receipt("Hello id:666 stat:DELIVRD") is None


def test_unknown_labels_are_kept() -> None:
    assert read("id:77 sub:001 cost:0.02 stat:DELIVRD err:000 text:x").fields["cost"] == "0.02"


def test_empty_values_do_not_swallow_the_next_label() -> None:
    receipt = read("id:77 stat:DELIVRD err: text:Hello")
    assert (receipt.error, receipt.text) == (None, "Hello")


def test_the_tlv_state_wins_unless_it_is_unknown() -> None:
    assert verdict_of("UNDELIV", 2) is Verdict.DELIVERED
    assert verdict_of("DELIVRD", 7) is Verdict.DELIVERED
    assert verdict_of(None, 7) is Verdict.UNKNOWN
    assert verdict_of("DELIVRD", 250) is Verdict.DELIVERED
    assert [verdict_of(None, state) for state in range(10)] == [
        Verdict.SENT,
        Verdict.SENT,
        Verdict.DELIVERED,
        Verdict.EXPIRED,
        Verdict.FAILED,
        Verdict.FAILED,
        Verdict.SENT,
        Verdict.UNKNOWN,
        Verdict.FAILED,
        Verdict.FAILED,
    ]


@pytest.mark.parametrize(
    ("text_id", "tlv_id"), [("1891273321", "70BA8A69"), ("0000436949", "6aad5"), ("0416342074", "18d0e03a")]
)
def test_one_receipt_with_one_id_in_two_bases(text_id: str, tlv_id: str) -> None:
    """Field problem 2: hexadecimal in one place, decimal in the other, padded or not."""
    receipt = read(f"id:{text_id} stat:DELIVRD", receipted_message_id=tlv_id)
    assert receipt.message_ids == (tlv_id, text_id)
    assert normalise_id(tlv_id) in match_keys(text_id)
    assert normalise_id(text_id) in match_keys(tlv_id)


def test_normalised_ids() -> None:
    """Field problem 3: one spelling for writing and looking up, whatever the case and the zeros."""
    assert normalise_id("00AbC\0") == "abc"
    assert normalise_id("000") == "0"
    assert normalise_id("") == ""
    assert match_keys("00AbC") == ["abc", "2748"]
    assert match_keys("10") == ["10", "a", "16"]
    assert match_keys("7") == ["7"]
    assert match_keys("x-1") == ["x-1"]
    assert match_keys("") == [""]
    assert match_keys("9" * 5000) == ["9" * 5000]


@given(st.integers(1, 2**160))
def test_an_id_is_found_from_the_other_base(number: int) -> None:
    """Field problem 2."""
    assert f"{number:x}" in match_keys(f"{number:020d}")
    assert str(number) in match_keys(f"{number:X}")


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200)))
def test_no_text_breaks_the_parser(text: bytes | str) -> None:
    parse_receipt(text)
    parse_receipt(text, receipted_message_id="1", message_state=250, network_error_code=b"\xff")
    looks_like_receipt(text)


@given(st.text(max_size=60))
def test_no_date_or_id_breaks_the_parser(text: str) -> None:
    parse_date(text)
    assert match_keys(text)[0] == normalise_id(text)
