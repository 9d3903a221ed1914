"""What operators send: receipts in every form, replies, long replies."""

import asyncio
from typing import Any

import msgspec
import pytest

from app.domain.messages.events import Inbound, Receipt, ReceiptStatus
from app.lib.broker import Publisher
from app.lib.ids import new_id
from connectors.smpp.config import SmppConfig
from connectors.sms_text import gsm7
from smpp_daemon import inbox as inbox_module
from smpp_daemon.inbound import InboundReader, Repetitions, Text
from smpp_daemon.inbox import Inbox
from smpp_daemon.pace import Counters
from smpp_daemon.protocol.constants import EsmClass, Tag
from smpp_daemon.protocol.events import (
    Bound,
    DeliverReceived,
    Event,
    Unanswered,
)
from smpp_daemon.protocol.pdu import AlertNotification, DataSm, DeliverSm
from smpp_daemon.protocol.session import EsmeConfig
from smpp_daemon.protocol.status import RX_T_APPN
from smpp_daemon.reporter import Confirmed, Reporter
from smpp_daemon.transport import Connection
from tests.smpp.daemon_harness import World, bound, eventually, running
from tests.smpp.operators import Operators, part

TEXT = b"id:0123 sub:001 dlvrd:001 submit date:2611241000 done date:2611241001 stat:UNDELIV err:21b text:Hi"


def reader(**options: Any) -> InboundReader:
    hosts = {"hosts": [{"host": "operator.example", "port": 2775}]}
    return InboundReader(msgspec.convert(hosts | options, SmppConfig))


def read_receipt(pdu: DeliverSm | DataSm, **options: Any) -> Receipt | None:
    return reader(**options).receipt(pdu, 5.0)


def read_text(pdu: DeliverSm | DataSm, **options: Any) -> Text:
    assert reader(**options).receipt(pdu, 5.0) is None
    return reader(**options).text(pdu)


def flagged(text: bytes, *tlvs: tuple[int, bytes], kind: int = EsmClass.DELIVERY_RECEIPT, **more: Any) -> DeliverSm:
    return DeliverSm(esm_class=kind, source_addr="2519", short_message=text, tlvs=tlvs, **more)


# -- receipts -----------------------------------------------------------------------------------------------------


def test_a_receipt_is_known_by_its_flag_and_kept_as_it_is_written() -> None:
    """field problem 30: err stays the text it is."""
    receipt = read_receipt(flagged(TEXT))
    assert receipt is not None
    assert (receipt.provider_message_id, receipt.status, receipt.provider_code) == ("0123", ReceiptStatus.FAILED, "21b")
    assert (receipt.recipient, receipt.at, receipt.provider_status) == ("2519", 5.0, "UNDELIV")
    assert receipt.raw == TEXT.decode()


def test_a_network_error_code_is_kept_in_any_form() -> None:
    """field problem 30: network_error_code is binary here and digits there."""
    named = (Tag.RECEIPTED_MESSAGE_ID, b"7\0")
    for value, code in ((b"\x03\x08\x02", "2050"), (b"000", "000"), (b"\x03", "03")):
        receipt = read_receipt(flagged(b"", named, (Tag.NETWORK_ERROR_CODE, value)))
        assert receipt is not None
        assert receipt.provider_code == code


@pytest.mark.parametrize("kind", [EsmClass.DELIVERY_RECEIPT, 0])
def test_a_receipt_without_a_text_is_read_from_its_parameters(kind: int) -> None:
    """field problem 42: receipts in data_sm, which has no text, are receipts as well."""
    tlvs = ((Tag.RECEIPTED_MESSAGE_ID, b"70BA8A69\0"), (Tag.MESSAGE_STATE, b"\2"))
    for pdu in (DeliverSm(esm_class=kind, tlvs=tlvs), DataSm(esm_class=kind, tlvs=tlvs)):
        receipt = read_receipt(pdu)
        assert receipt is not None
        assert (receipt.provider_message_id, receipt.status) == ("70BA8A69", ReceiptStatus.DELIVERED)


def test_both_ids_of_a_receipt_are_kept() -> None:
    """field problem 2: one receipt carries the id in two bases."""
    receipt = read_receipt(flagged(b"id:1891273321 stat:DELIVRD err:000", (Tag.RECEIPTED_MESSAGE_ID, b"70BA8A69\0")))
    assert receipt is not None
    assert (receipt.provider_message_id, receipt.second_id) == ("70BA8A69", "1891273321")


def test_an_unusable_receipt_is_kept_for_an_operator_to_see() -> None:
    """field problem 29: what cannot be read is acknowledged and kept with its text."""
    receipt = read_receipt(flagged(b"???\0"))
    assert receipt is not None
    assert (receipt.provider_message_id, receipt.status, receipt.raw) == ("", ReceiptStatus.UNKNOWN, "???")


def test_an_intermediate_notification_is_a_receipt_that_decides_nothing() -> None:
    receipt = read_receipt(flagged(b"id:5 stat:ENROUTE", kind=EsmClass.INTERMEDIATE_NOTIFICATION))
    assert receipt is not None
    assert receipt.status is ReceiptStatus.SENT


def test_an_unflagged_text_is_a_message_unless_the_channel_says_otherwise() -> None:
    """field problem 29: some operators send receipts with esm_class 0, and anybody can type such a text."""
    assert read_text(DeliverSm(short_message=TEXT)).text == TEXT.decode()
    assert read_receipt(DeliverSm(short_message=TEXT), unflagged_receipts=True) is not None
    assert read_receipt(DeliverSm(short_message=b"my id: is 5"), unflagged_receipts=True) is None
    # An acknowledgement of the handset's user is a message.
    manual = DeliverSm(esm_class=0x10, short_message=TEXT)
    assert read_receipt(manual, unflagged_receipts=True) is None


def test_an_operators_own_words_are_understood() -> None:
    """field problem 29: labels and states of a channel's operator."""
    own = {
        "receipt_labels": {"msgid": "id", "status": "stat", "reason": "err"},
        "receipt_states": {"DND_REJECTED": "failed", "ACCEPTED": "delivered"},
    }
    receipt = read_receipt(flagged(b"msgid:77 reason:9 status:DND_REJECTED"), **own)
    assert receipt is not None
    assert (receipt.provider_message_id, receipt.status, receipt.provider_code) == ("77", ReceiptStatus.FAILED, "9")
    accepted = read_receipt(flagged(b"id:77 stat:ACCEPTED"), **own)
    assert accepted is not None
    assert accepted.status is ReceiptStatus.DELIVERED


def test_what_the_channel_says_about_receipts_travels_with_them() -> None:
    receipt = read_receipt(flagged(TEXT), message_id_format="hex", receipts="last_part")
    assert receipt is not None
    assert (receipt.id_format, receipt.whole) == ("hex", True)


# -- messages -----------------------------------------------------------------------------------------------------


def test_texts_are_read_by_their_coding() -> None:
    text = read_text(DeliverSm(source_addr_ton=1, source_addr="2519", destination_addr="8080", short_message=b"\0 hi"))
    assert (text.sender, text.to, text.text, text.encoding, text.total) == ("+2519", "8080", "@ hi", "gsm7", 1)
    amharic = read_text(DeliverSm(data_coding=8, short_message="ሰላም".encode("utf-16-be")))
    assert (amharic.text, amharic.encoding) == ("ሰላም", "ucs2")
    payload = read_text(DataSm(source_addr="2519", tlvs=((Tag.MESSAGE_PAYLOAD, b"hi"),)))
    assert (payload.text, payload.sender) == ("hi", "2519")


@pytest.mark.parametrize(
    ("options", "coding", "octets", "text", "encoding"),
    [
        ({"default_alphabet": "latin1"}, 0, b"@ \xa3", "@ £", "gsm7"),
        ({"default_alphabet": "latin1"}, 0, b"\xea", "ê", "ucs2"),
        ({"default_alphabet": "ascii"}, 0, b"@ $", "@ $", "gsm7"),
        ({"default_alphabet": "ucs2"}, 0, b"\x12\x30", "ሰ", "ucs2"),
        ({"ucs2_byte_order": "little"}, 8, b"\x30\x12", "ሰ", "ucs2"),
        ({"gsm7_packed": True}, 0, bytes.fromhex("e8329bfd4697d9ec37"), "hellohello", "gsm7"),
        ({}, 3, b"\xe9t\xe9", "été", "gsm7"),
        ({}, 8, b"\x12\x30\x00", "ሰ", "ucs2"),
        ({}, 4, b"\x00\x01\xff", "0001ff", "binary"),
        ({}, 0xF5, b"\xca\xfe", "cafe", "binary"),
    ],
)
def test_texts_are_read_in_the_operators_alphabet(
    options: dict[str, Any], coding: int, octets: bytes, text: str, encoding: str
) -> None:
    """field problem 35: what data_coding 0 means holds in both directions. field problem 36: odd octets, byte order."""
    read = read_text(DeliverSm(data_coding=coding, short_message=octets), **options)
    assert (read.text, read.encoding) == (text, encoding)


def test_national_tables_named_in_the_header_are_used() -> None:
    header = bytes.fromhex("03240101")
    read = read_text(DeliverSm(esm_class=EsmClass.UDHI, short_message=header + bytes((gsm7.ESCAPE, 0x67))))
    assert (read.text, read.encoding) == ("ğ", "gsm7")


def test_ports_in_the_header_are_no_part_of_the_text() -> None:
    header = bytes.fromhex("0605040b8423f0")
    read = read_text(DeliverSm(esm_class=EsmClass.UDHI, short_message=header + b"hi"))
    assert (read.text, read.total) == ("hi", 1)
    joined = bytes.fromhex("0b05040b8423f000034d0201")
    parted = read_text(DeliverSm(esm_class=EsmClass.UDHI, short_message=joined + b"hi"))
    assert (parted.reference & 0xFFFF, parted.total, parted.number) == (0x4D, 2, 1)


def test_parts_are_known_by_their_header_and_by_sar_parameters() -> None:
    """field problem 34: the width of a reference is part of it, 0 is one, and 16 bits are 16 bits."""
    sar = ((Tag.SAR_MSG_REF_NUM, b"\0\5"), (Tag.SAR_TOTAL_SEGMENTS, b"\2"), (Tag.SAR_SEGMENT_SEQNUM, b"\1"))
    first = read_text(DeliverSm(short_message=b"a", tlvs=sar))
    assert (first.reference, first.total, first.number) == (5, 2, 1)
    narrow = read_text(part(2, 3, reference=5))
    wide = read_text(DeliverSm(esm_class=EsmClass.UDHI, short_message=bytes.fromhex("06080400050302") + b"x"))
    assert {narrow.reference & 0xFFFF, wide.reference & 0xFFFF} == {5}
    assert len({first.reference, narrow.reference, wide.reference}) == 3
    assert read_text(part(1, 2, reference=0)).total == 2
    for number, total in ((0, 2), (3, 2), (1, 0)):
        assert read_text(part(number, total)).total == 1


def test_only_what_was_not_answered_counts_as_a_repetition() -> None:
    repetitions = Repetitions(new_id)
    first = repetitions.key("digest")
    assert repetitions.key("digest") != first
    repetitions.not_answered(first)
    assert repetitions.key("digest") == first
    assert repetitions.key("digest") != first


# -- published, then answered -------------------------------------------------------------------------------------


async def test_replies_are_published_before_they_are_answered(world: World) -> None:
    """field problem 38: deliver_sm is answered after RabbitMQ confirmed it, each part of a long one by itself."""
    async with Operators() as operators:
        await world.make_channel(operators.port)
        async with running(world.settings) as daemon:
            await bound(daemon, world)
            operator = operators.all[0]
            reply = DeliverSm(source_addr_ton=1, source_addr="251911", destination_addr="8080", short_message=b"OK")
            for token in ("first", "second"):
                operator.deliver(reply, token)
            operator.deliver(part(2, 2, text=b"lonely"), "part 2")
            await eventually(lambda: len(operator.answers) == 3)
            assert operator.statuses == [0, 0, 0]
            await eventually(lambda: len(world.results.inbound) == 3)
            assert sorted(message.text for message in world.results.inbound) == ["OK", "OK", "lonely"]
            assert len({message.dedupe_key for message in world.results.inbound}) == 3
            (lonely,) = [message for message in world.results.inbound if message.total > 1]
            assert (lonely.reference & 0xFFFF, lonely.total, lonely.number) == (7, 2, 2)


async def test_receipts_come_on_any_bind_and_in_data_sm(world: World) -> None:
    """field problem 32: a receipt belongs to the account, whichever of its binds it comes on."""
    async with Operators() as operators:
        await world.make_channel(operators.port, binds=2)
        async with running(world.settings) as daemon:
            await bound(daemon, world, 2)
            for number, operator in enumerate(operators.all[:2]):
                tlvs = ((Tag.RECEIPTED_MESSAGE_ID, b"id-%d\0" % number), (Tag.MESSAGE_STATE, b"\2"))
                operator.deliver(DataSm(esm_class=EsmClass.DELIVERY_RECEIPT, tlvs=tlvs), "data_sm")
                operator.deliver(flagged(b"id:text-%d stat:DELIVRD" % number), "deliver_sm")
            await eventually(lambda: all(len(each.answers) == 2 for each in operators.all[:2]))
            await eventually(lambda: len(world.results.receipts) == 4)
            assert {receipt.provider_message_id for receipt in world.results.receipts} == {
                "id-0",
                "id-1",
                "text-0",
                "text-1",
            }


async def test_an_alert_is_counted_and_sending_goes_on(world: World) -> None:
    async with Operators() as operators:
        await world.make_channel(operators.port)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            operator = operators.all[0]
            operator.session.notify(AlertNotification(1, 1, "251911", 0, 0, "8080"))
            operator.flush()
            operator.deliver(flagged(b"id:1 stat:DELIVRD"), "after")
            await eventually(lambda: operator.answers == ["after"])
            assert account.keepers[0].connection is not None
            assert account.keepers[0].connection.session.link.violations == 0


class Owner:
    """An account that has an inbox and nothing else; what the inbox reports stays unpublished."""

    def __init__(self, publisher: Publisher) -> None:
        loop = asyncio.get_running_loop()
        self.reporter = Reporter(publisher, new_id(), new_id(), new_id, self.confirmed)
        config = msgspec.convert({"hosts": [{"host": "operator.example", "port": 2775}]}, SmppConfig)
        self.inbox = Inbox(config, self.reporter, Counters(), loop, lambda: 5.0, new_id)
        self.bound = False
        self.reported: list[Inbound] = []

    async def confirmed(self, confirmed: Confirmed) -> None:
        raise AssertionError("nothing is published")

    def received(self, connection: Connection, events: list[Event]) -> None:
        for event in events:
            self.bound = self.bound or isinstance(event, Bound)
            if isinstance(event, DeliverReceived):
                self.inbox.received(connection, event)

    def writable(self, connection: Connection) -> None:
        pass

    def lost(self, connection: Connection, unanswered: list[Unanswered], reason: str) -> None:
        pass


async def test_what_rabbitmq_does_not_confirm_in_time_is_refused_for_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """field problem 37: no deliver_sm waits for ever, and the repetition of one that was refused is known as one.

    field problem 38: nothing is answered with ROK before RabbitMQ has it.
    """
    loop = asyncio.get_running_loop()
    publisher = Publisher("amqp://nobody.invalid", name="test")
    owner = Owner(publisher)
    published: list[tuple[Inbound, Any]] = []
    monkeypatch.setattr(owner.reporter, "inbound", lambda message, owed: published.append((message, owed)))
    config = EsmeConfig("test", "tester", "secret")
    async with Operators() as operators:
        _, connection = await loop.create_connection(
            lambda: Connection(config, owner, loop), "127.0.0.1", operators.port
        )
        await eventually(lambda: owner.bound)
        operator = operators.all[0]
        reply = DeliverSm(source_addr="251911", destination_addr="8080", short_message=b"OK")
        operator.deliver(reply, "patient")
        await eventually(lambda: len(published) == 1)
        owner.inbox.tick()
        assert operator.answers == []
        monkeypatch.setattr(inbox_module, "ANSWER_SECONDS", -1.0)
        operator.deliver(reply, "impatient")
        await eventually(lambda: len(published) == 2)
        # Answers leave in the order in which they were promised: the first one still has time.
        owner.inbox.tick()
        owner.inbox.answer(published[0][1])
        owner.inbox.tick()
        await eventually(lambda: len(operator.answers) == 2)
        assert list(zip(operator.answers, operator.statuses, strict=True)) == [("patient", 0), ("impatient", RX_T_APPN)]
        # RabbitMQ confirms it after all: it is answered already.
        owner.inbox.answer(published[1][1])
        operator.deliver(reply, "again")
        await eventually(lambda: len(published) == 3)
        assert published[2][0].dedupe_key == published[1][0].dedupe_key
        assert published[2][0].dedupe_key != published[0][0].dedupe_key
        connection.abort("the end")
        await eventually(lambda: not connection.connected)
    await publisher.close()
