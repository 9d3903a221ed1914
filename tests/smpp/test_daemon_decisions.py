"""The decisions that need no socket: who goes first, what is acknowledged, what an address looks like."""

from uuid import UUID

import msgspec
import pytest

from app.domain.messages.events import DispatchBatch, DispatchMessage, Lane, Outcome
from app.lib.ids import new_id
from connectors.smpp.config import SmppConfig, SmppHost
from connectors.smpp.options import LongMessage, OnUnknown
from smpp_daemon.addresses import source_address, written_address
from smpp_daemon.backlog import NOT_ANSWERED, Backlog, Batch, Item
from smpp_daemon.claims import set_size, worth_claiming
from smpp_daemon.outcomes import conclude
from smpp_daemon.pool import choose
from smpp_daemon.protocol.codec import decode_body
from smpp_daemon.protocol.constants import CommandId, Tag
from smpp_daemon.protocol.pdu import SubmitSm
from smpp_daemon.protocol.tlv import find_integer
from smpp_daemon.submission import SubmissionEncoder, UnsendableError

CONFIG = SmppConfig(hosts=(SmppHost(host="operator.example", port=2775),))


def messages(count: int) -> list[DispatchMessage]:
    return [DispatchMessage(new_id().bytes, 1, "+251911000100", "DEMO", "Hello") for _ in range(count)]


def event(some: list[DispatchMessage], lane: Lane = Lane.BULK) -> DispatchBatch:
    return DispatchBatch(new_id(), UUID(int=1), UUID(int=2), lane, some)


@pytest.mark.parametrize(
    ("sender", "ton", "expected"),
    [
        (None, 5, (0, 0, "")),
        ("DEMO", 1, (5, 0, "DEMO")),
        ("+251911000100", 5, (1, 1, "251911000100")),
        ("2519110001", 5, (1, 1, "2519110001")),
        ("8080", 5, (3, 0, "8080")),
        ("8080", 6, (6, 0, "8080")),
        ("+8080", 5, (1, 1, "8080")),
    ],
)
def test_senders_get_the_type_of_number_they_have(sender: str | None, ton: int, expected: tuple[int, int, str]) -> None:
    assert source_address(sender, msgspec.structs.replace(CONFIG, source_ton=ton)) == expected


def test_international_senders_are_written_with_a_plus() -> None:
    assert [written_address(1, "2519"), written_address(0, "2519"), written_address(5, "Bank")] == [
        "+2519",
        "2519",
        "Bank",
    ]


def test_each_lane_is_taken_by_itself_and_high_comes_first() -> None:
    backlog: Backlog[str] = Backlog()
    backlog.add(event(messages(30), Lane.BULK), "bulk", 0.0)
    backlog.add(event(messages(30), Lane.HIGH), "high", 0.0)
    taken = [item.batch.lane for item in backlog.take(20, 5)]
    assert taken == [Lane.HIGH] * 20 + [Lane.BULK] * 5
    assert [backlog.waiting(lane) for lane in (Lane.HIGH, Lane.BULK)] == [10, 25]
    assert [item.batch.lane for item in backlog.take(20, 0)] == [Lane.HIGH] * 10


def test_a_delivery_is_acknowledged_when_all_of_it_is_done_and_a_repeated_one_with_it() -> None:
    backlog: Backlog[str] = Backlog()
    batch = event(messages(3))
    assert backlog.add(batch, "one", 0.0)
    items = backlog.take(0, 3)
    assert backlog.done(items[:2]) == []
    assert backlog.add(batch, "again", 1.0)
    assert backlog.take(0, 3) == []
    assert backlog.done(items[2:]) == ["one", "again"]
    assert backlog.done(items) == []
    assert not backlog.add(batch, "late", 2.0)
    assert len(backlog) == 0


def test_what_is_given_back_remembers_what_was_done() -> None:
    backlog: Backlog[str] = Backlog()
    batch = event(messages(5))
    backlog.add(batch, "one", 0.0)
    items = backlog.take(0, 3)
    backlog.done(items[:2])
    assert backlog.give_back() == [], "a message is still claimed"
    backlog.put_back(items[2:])
    assert backlog.give_back() == ["one"]
    assert len(backlog) == 0
    assert backlog.add(batch, "two", 1.0)
    rest = backlog.take(0, 9)
    assert [item.message.id for item in rest] == [message.id for message in batch.messages[2:]]
    assert backlog.done(rest) == ["two"]


def test_a_lost_channel_leaves_nothing_to_acknowledge() -> None:
    backlog: Backlog[str] = Backlog()
    batch = event(messages(1))
    backlog.add(batch, "lost", 0.0)
    backlog.forget_deliveries()
    assert backlog.stale_deliveries(1.0) == []
    backlog.add(batch, "new", 5.0)
    assert backlog.stale_deliveries(5.0) == []
    assert backlog.stale_deliveries(6.0) == ["new"]
    assert backlog.done(backlog.take(0, 1)) == []


@pytest.mark.parametrize(
    ("answers", "policy", "outcome", "ids"),
    [
        ([(0, "a"), (0, "b")], OnUnknown.HOLD, Outcome.SENT, ["a", "b"]),
        ([(0, "a"), (0x0B, "")], OnUnknown.HOLD, Outcome.FAILED, ["a", None]),
        ([(0x08, ""), (0x08, "")], OnUnknown.HOLD, Outcome.RETRY, []),
        ([(0, "a"), (0x08, "")], OnUnknown.HOLD, Outcome.FAILED, ["a", None]),
        ([(0, "a"), (NOT_ANSWERED, "")], OnUnknown.HOLD, Outcome.UNKNOWN, ["a", None]),
        ([(NOT_ANSWERED, ""), (0x0B, "")], OnUnknown.HOLD, Outcome.FAILED, [None, None]),
        ([(NOT_ANSWERED, "")], OnUnknown.FAIL, Outcome.FAILED, [None]),
        ([(NOT_ANSWERED, "")], OnUnknown.RESEND, Outcome.RETRY, [None]),
        ([(0, "a"), None], OnUnknown.HOLD, Outcome.FAILED, ["a"]),
    ],
)
def test_parts_decide_about_the_message(
    answers: list[tuple[int, str] | None], policy: OnUnknown, outcome: Outcome, ids: list[str | None]
) -> None:
    item = Item(messages(1)[0], Batch(new_id(), Lane.BULK, 0.0))
    item.prepare([b""] * len(answers))
    item.answers = answers
    result = conclude(item, policy, 1.0)
    assert result.outcome is outcome
    assert [part.provider_message_id for part in result.parts] == ids


def test_a_late_refusal_is_final() -> None:
    item = Item(messages(1)[0], Batch(new_id(), Lane.BULK, 0.0))
    item.prepare([b""])
    item.answers = [(0x08, "")]
    assert conclude(item, OnUnknown.HOLD, 1.0, late=True).outcome is Outcome.FAILED


class Room:
    def __init__(self, room: int) -> None:
        self.room = room


def test_the_bind_with_the_most_room_is_chosen() -> None:
    one, two, full = Room(3), Room(5), Room(0)
    assert choose([one, two, full]) is two
    assert choose([one, two, full], 6) is None
    assert choose([full]) is None


def test_claims_are_small_for_slow_channels() -> None:
    assert [set_size(1.0, 1, 0), set_size(100.0, 50, 0), set_size(2000.0, 500, 0), set_size(1e5, 1000, 0)] == [
        1,
        25,
        500,
        500,
    ]


def test_claims_are_small_for_links_that_answer_slowly() -> None:
    assert [set_size(1e5, 10, 0), set_size(1e5, 10, 100), set_size(1e5, 10, 10_000)] == [10, 50, 500]


def test_claims_wait_for_half_a_set_unless_all_that_wait_fit() -> None:
    assert [worth_claiming(250, room, 10_000) for room in (0, 1, 124, 125, 250, 700)] == [0, 0, 0, 125, 250, 250]
    assert [worth_claiming(250, room, 3) for room in (2, 3, 250)] == [0, 3, 3]
    assert [worth_claiming(1, room, 5) for room in (-1, 0, 1)] == [0, 0, 1]
    assert worth_claiming(250, 250, 0) == 0


def submitted(config: SmppConfig, text: str, validity: int | None = None) -> list[SubmitSm]:
    encoder = SubmissionEncoder(config, lambda: 1_000_000.0, first_reference=254)
    identifier = int(1_000_000.0 * 1000 - 60_000).to_bytes(6, "big") + bytes(10)
    made = encoder.bodies(DispatchMessage(identifier, 1, "+251911000100", "DEMO", text, validity))
    decoded = [decode_body(CommandId.SUBMIT_SM, 1, body)[0] for body in made]
    return [pdu for pdu in decoded if isinstance(pdu, SubmitSm)]


@pytest.mark.parametrize("style", list(LongMessage))
def test_long_texts_in_every_style(style: LongMessage) -> None:
    pdus = submitted(msgspec.structs.replace(CONFIG, long_message=style), "x" * 300)
    if style is LongMessage.PAYLOAD:
        assert [(len(pdu.short_message), len(pdu.content)) for pdu in pdus] == [(0, 300)]
    elif style is LongMessage.SAR:
        assert [find_integer(pdu.tlvs, Tag.SAR_SEGMENT_SEQNUM) for pdu in pdus] == [1, 2]
        assert {find_integer(pdu.tlvs, Tag.SAR_MSG_REF_NUM) for pdu in pdus} == {255}
    else:
        assert [pdu.esm_class for pdu in pdus] == [0x40, 0x40]
        assert sum(len(pdu.short_message) - pdu.short_message[0] - 1 for pdu in pdus) == 300
    assert all(pdu.registered_delivery == 1 and pdu.destination_addr == "251911000100" for pdu in pdus)


def test_a_validity_period_counts_from_the_acceptance() -> None:
    (pdu,) = submitted(CONFIG, "Hello", 3660)
    assert pdu.validity_period == "000000010000000R"


def test_a_text_that_no_pdu_can_carry_is_refused() -> None:
    with pytest.raises(UnsendableError, match="segments"):
        submitted(CONFIG, "x" * 60_000)
