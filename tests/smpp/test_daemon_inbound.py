"""What operators send: receipts in every form, replies, long replies."""

import asyncio
from typing import cast

from app.domain.messages.events import ReceiptStatus
from app.lib.ids import new_id
from smpp_daemon.inbound import ANSWER_SECONDS, PARTS_SECONDS, Reassembly, Repetitions, read_receipt, read_text
from smpp_daemon.protocol.constants import EsmClass, Tag
from smpp_daemon.protocol.events import BindRequested, DeliverAnswered
from smpp_daemon.protocol.pdu import DataSm, DeliverSm
from smpp_daemon.protocol.session import SmscConfig, SmscSession
from tests.smpp.daemon_harness import World, bound, eventually, running


def part(number: int, total: int = 3, text: bytes = b"x", reference: int = 7, source: str = "251911") -> DeliverSm:
    header = bytes((5, 0, 3, reference, total, number))
    return DeliverSm(
        source_addr_ton=1,
        source_addr=source,
        destination_addr="8080",
        esm_class=EsmClass.UDHI,
        short_message=header + text,
    )


def test_receipts_are_known_by_flag_by_name_and_by_text() -> None:
    text = b"id:0123 sub:001 dlvrd:001 submit date:2611241000 done date:2611241001 stat:UNDELIV err:21b text:Hi"
    flagged = read_receipt(DeliverSm(esm_class=EsmClass.DELIVERY_RECEIPT, source_addr="2519", short_message=text), 5.0)
    assert flagged is not None
    assert (flagged.provider_message_id, flagged.status, flagged.provider_code) == ("0123", ReceiptStatus.FAILED, "21b")
    assert (flagged.recipient, flagged.at, flagged.provider_status) == ("2519", 5.0, "UNDELIV")
    assert read_receipt(DeliverSm(short_message=text), 5.0) is not None
    tlvs = ((Tag.RECEIPTED_MESSAGE_ID, b"70BA8A69\0"), (Tag.MESSAGE_STATE, b"\2"))
    for bare in (DeliverSm(tlvs=tlvs), DataSm(esm_class=EsmClass.DELIVERY_RECEIPT, tlvs=tlvs)):
        receipt = read_receipt(bare, 5.0)
        assert receipt is not None
        assert (receipt.provider_message_id, receipt.status) == ("70BA8A69", ReceiptStatus.DELIVERED)
    empty = read_receipt(DeliverSm(esm_class=EsmClass.DELIVERY_RECEIPT, short_message=b"???"), 5.0)
    assert empty is not None
    assert (empty.provider_message_id, empty.status, empty.raw) == ("", ReceiptStatus.UNKNOWN, "???")
    assert read_receipt(DeliverSm(short_message=b"my id: is 5"), 5.0) is None


def test_texts_are_read_by_their_coding() -> None:
    text = read_text(DeliverSm(source_addr_ton=1, source_addr="2519", destination_addr="8080", short_message=b"\0 hi"))
    assert (text.sender, text.to, text.text, text.encoding, text.total) == ("+2519", "8080", "@ hi", "gsm7", 1)
    amharic = read_text(DeliverSm(data_coding=8, short_message="ሰላም".encode("utf-16-be")))
    assert (amharic.text, amharic.encoding) == ("ሰላም", "ucs2")
    sar = ((Tag.SAR_MSG_REF_NUM, b"\0\5"), (Tag.SAR_TOTAL_SEGMENTS, b"\2"), (Tag.SAR_SEGMENT_SEQNUM, b"\1"))
    first = read_text(DeliverSm(short_message=b"a", tlvs=sar))
    assert (first.reference, first.total, first.number) == (5, 2, 1)


def test_parts_come_in_any_order_and_two_handsets_do_not_mix() -> None:
    gathered: Reassembly[int] = Reassembly()
    assert gathered.add(read_text(part(3, text=b"c")), 1, 0.0) == []
    assert gathered.add(read_text(part(1, text=b"A", source="251922")), 2, 0.0) == []
    assert gathered.add(read_text(part(1, text=b"a")), 3, 0.0) == []
    assert gathered.add(read_text(part(1, text=b"a")), 4, 0.0) == []
    (whole,) = gathered.add(read_text(part(2, text=b"b")), 5, 0.0)
    assert (whole.text.text, whole.text.sender, whole.answers) == ("abc", "+251911", [1, 3, 4, 5])
    assert gathered.overdue_answers(ANSWER_SECONDS / 2) == []
    assert gathered.overdue_answers(ANSWER_SECONDS) == [2]
    assert gathered.due(PARTS_SECONDS - 1) == []
    (partial,) = gathered.due(PARTS_SECONDS)
    assert (partial.text.text, partial.answers) == ("A", [])


def test_only_what_was_not_answered_counts_as_a_repetition() -> None:
    repetitions = Repetitions(new_id)
    first = repetitions.key("digest")
    assert repetitions.key("digest") != first
    repetitions.not_answered(first)
    assert repetitions.key("digest") == first
    assert repetitions.key("digest") != first


class Operator(asyncio.Protocol):
    """The least of an SMSC: accepts a bind, sends what it is told to."""

    def __init__(self) -> None:
        self.session = SmscSession(SmscConfig(name="operator"), 0.0)
        self.answers: list[object] = []
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for event in self.session.receive(data, 0.0):
            if isinstance(event, BindRequested):
                self.session.answer_bind(event.sequence, 0, 0.0)
            elif isinstance(event, DeliverAnswered):
                self.answers.append(event.token)
        self.flush()

    def deliver(self, pdu: DeliverSm, token: object) -> None:
        self.session.deliver(pdu, token, 0.0)
        self.flush()

    def flush(self) -> None:
        assert self.transport is not None
        self.transport.write(self.session.take_output())


async def test_replies_are_published_before_they_are_answered(world: World) -> None:
    operators: list[Operator] = []

    def connect() -> Operator:
        operators.append(Operator())
        return operators[-1]

    server = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", 0)
    await world.make_channel(server.sockets[0].getsockname()[1])
    async with server, running(world.settings) as daemon:
        await bound(daemon, world)
        operator = operators[0]
        reply = DeliverSm(source_addr_ton=1, source_addr="251911", destination_addr="8080", short_message=b"OK")
        for token in ("first", "second"):
            operator.deliver(reply, token)
        for number in (2, 1):
            operator.deliver(part(number, 2, text=b"%d" % number), f"part {number}")
        await eventually(lambda: len(operator.answers) == 4)
        assert sorted(message.text for message in world.results.inbound) == ["12", "OK", "OK"]
        assert len({message.dedupe_key for message in world.results.inbound}) == 3
        # An operator that waits for an answer before it sends the next part is answered.
        operator.deliver(part(1, 2, reference=9), "lonely")
        await eventually(lambda: "lonely" in operator.answers)
        assert len(world.results.inbound) == 3
    assert sorted(message.text for message in world.results.inbound) == ["12", "OK", "OK", "x"]
