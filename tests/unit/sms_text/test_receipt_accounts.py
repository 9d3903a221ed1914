"""Receipts of operators with words of their own, id formats, and the short cut for the standard's layout."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sms_text.receipts import (
    ParsedReceipt,
    Verdict,
    looks_like_receipt,
    match_keys,
    normalise_id,
    parse_receipt,
    verdict_of,
)

VALUES = st.one_of(
    st.text("0123456789abcDEF-", max_size=12), st.sampled_from(["", "text", "err", "sub:1", "id", "a b"])
)
DIGITS = st.text("0123456789", min_size=1, max_size=14)
WORDS = st.text("0123456789abcDELIVRDtx", min_size=1, max_size=12)
FIELDS = st.one_of(
    st.tuples(WORDS, DIGITS, DIGITS, DIGITS, DIGITS, WORDS, WORDS),
    st.tuples(VALUES, VALUES, VALUES, VALUES, VALUES, VALUES, VALUES),
)
TEXTS = st.one_of(st.text(max_size=20), st.sampled_from(["id:666 stat:UNDELIV", " x\n", "\0", "text:"]))
LABELS = {"MsgID": "id", "message status": "stat", "reason": "err", "finished": "done date"}


def read(text: bytes | str, **more: object) -> ParsedReceipt:
    receipt = parse_receipt(text, **more)  # type: ignore[arg-type]
    assert receipt is not None
    return receipt


@given(FIELDS, st.sampled_from(["text:", "Text:", "TEXT:", ""]), TEXTS)
def test_the_short_cut_reads_what_the_field_by_field_reading_reads(
    fields: tuple[str, ...], label: str, text: str
) -> None:
    message_id, sub, dlvrd, submitted, done, stat, err = fields
    written = (
        f"id:{message_id} sub:{sub} dlvrd:{dlvrd} submit date:{submitted} done date:{done} "
        f"stat:{stat} err:{err} {label}{text}"
    )
    # A blank in front is skipped, and is not what the standard has: such a receipt takes the long way.
    assert parse_receipt(written) == parse_receipt(" " + written)
    assert looks_like_receipt(written) == looks_like_receipt(" " + written)


@pytest.mark.parametrize(
    "text",
    [
        "MsgID:77 message status:DELIVRD reason:000 finished:2611240912 text:Hello",
        "message status: DELIVRD, MSGID: 77, Reason:000, finished: 2611240912, text:Hello",
    ],
)
def test_an_operators_own_labels(text: str) -> None:
    """Field problem 29: labels that no other operator uses."""
    receipt = read(text, labels=LABELS)
    assert (receipt.message_ids, receipt.verdict, receipt.error) == (("77",), Verdict.DELIVERED, "000")
    assert (receipt.done, receipt.text) == ("2611240912", "Hello")
    standard = "id:5 sub:001 dlvrd:001 submit date:1 done date:2 stat:EXPIRED err:000 text:x"
    assert parse_receipt(standard, labels=LABELS) == parse_receipt(standard)
    assert looks_like_receipt("msgid:77 message status:DELIVRD", labels=LABELS)
    assert not looks_like_receipt("msgid:77 message status:DELIVRD")


def test_labels_can_change_places() -> None:
    """Field problem 29."""
    receipt = read("id:000 msg:77 stat:DELIVRD", labels={"id": "err", "msg": "id"})
    assert (receipt.message_ids, receipt.error) == (("77",), "000")
    assert parse_receipt("id:77", labels={"id": "err"}) is None
    assert not looks_like_receipt("id:77 stat:DELIVRD", labels={"id": "err"})


def test_labels_with_special_characters_are_taken_literally() -> None:
    assert read("m.(id:77 stat:DELIVRD", labels={"m.(id": "id"}).message_ids == ("77",)
    assert parse_receipt("mx(id:77 hello", labels={"m.(id": "id"}) is None


def test_an_operators_own_states() -> None:
    """Field problem 29: what a stat means is the operator's to say."""
    states = {"ACCEPTD": Verdict.DELIVERED, "accepted": Verdict.DELIVERED, "Yo!": Verdict.SENT, "0": Verdict.DELIVERED}
    assert verdict_of("ACCEPTD", None) is Verdict.SENT
    assert verdict_of("acceptd", None, states) is Verdict.DELIVERED
    assert verdict_of(None, 6, states) is Verdict.DELIVERED
    assert verdict_of("0", None, states) is Verdict.DELIVERED
    assert verdict_of("EXPIRED", 3, states) is Verdict.EXPIRED
    assert verdict_of("UNDELIV", 5, {"UNDELIV": Verdict.EXPIRED}) is Verdict.EXPIRED
    assert verdict_of(None, 77, {"77": Verdict.FAILED}) is Verdict.FAILED
    assert read("id:77 stat:Yo! err:000", states=states).verdict is Verdict.SENT
    assert read("", receipted_message_id="1", message_state=6, states=states).verdict is Verdict.DELIVERED


@pytest.mark.parametrize(
    ("answered", "received", "id_format", "found"),
    [
        ("0A1B", "a1b", "exact", True),
        ("0A1B", "2587", "exact", False),
        ("2587", "0A1B", "hex", True),
        ("2587", "0000000A1B", "hex", True),
        ("0A1B", "0000002587", "decimal", True),
        ("0A1B", "a1b", "decimal", True),
        ("0A1B", "2587", "auto", True),
        ("2587", "A1B", "auto", True),
        ("10", "16", "hex", False),
        ("16", "10", "decimal", False),
        ("10", "16", "decimal", True),
        ("16", "10", "hex", True),
        ("6f9619ff-8b86", "6F9619FF-8B86", "hex", True),
        ("6f9619ff-8b86", "6F9619FF-8B86", "decimal", True),
    ],
)
def test_an_accounts_message_id_format(answered: str, received: str, id_format: str, found: bool) -> None:
    """Field problem 2: which base receipts are in can be known. Field problem 3: one normaliser on both sides."""
    assert (normalise_id(answered) in match_keys(received, id_format)) is found


def test_the_likeliest_reading_comes_first() -> None:
    """Field problem 2: only the first reading is believed without looking at the recipient."""
    assert match_keys("10", "hex") == ["16", "10"]
    assert match_keys("10", "decimal") == ["a", "10"]
    assert match_keys("10", "exact") == ["10"]
    assert match_keys("10") == ["10", "a", "16"]
    assert match_keys("7", "hex") == ["7"]
    assert match_keys("", "hex") == [""]


@given(st.text(max_size=140), st.sampled_from(["auto", "exact", "hex", "decimal"]))
def test_every_format_keeps_the_id_itself(text: str, id_format: str) -> None:
    keys = match_keys(text, id_format)
    assert normalise_id(text) in keys
    assert len(keys) == len(set(keys)) <= 3


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200)), st.dictionaries(st.text(max_size=5), st.just("id")))
def test_no_text_and_no_label_breaks_the_parser(text: bytes | str, labels: dict[str, str]) -> None:
    parse_receipt(text, labels=labels, states={"DELIVRD": Verdict.FAILED})
    looks_like_receipt(text, labels=labels)
