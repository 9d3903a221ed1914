"""Mobile-originated messages of the simulated SMSC: on demand, at a rate, in parts."""

from typing import Any

import pytest

from connectors.sms_text import gsm7
from connectors.sms_text.udh import split_user_data
from smpp_daemon.protocol.constants import BindMode, EsmClass, Tag
from smpp_daemon.protocol.events import AlertReceived
from smpp_daemon.protocol.pdu import AlertNotification, DeliverSm
from smpp_daemon.protocol.tlv import find_integer, find_tlv
from smpp_daemon.simulator import Message, Script, Simulator, SimulatorSettings
from smpp_daemon.simulator.script import Traffic
from tests.smpp.simulated_esme import Esme

LONG = "The quick brown fox jumps over the lazy dog [really]. " * 8
LONG_UCS2 = "ሰላም \U0001f600 " * 30


def simulator(traffic: Traffic | None = None, **settings: Any) -> Simulator:
    return Simulator(SimulatorSettings(script=Script(seed=9, traffic=traffic), **settings))


def part_of(message: DeliverSm) -> tuple[tuple[int, int, int], bytes]:
    """(reference, total, number) and the user data behind the header."""
    if message.esm_class & EsmClass.UDHI:
        header, data = split_user_data(message.short_message)
        assert header is not None
        assert header.concatenation is not None
        found = header.concatenation
        return (found.reference, found.total, found.number), data
    numbers = [
        find_integer(message.tlvs, tag) or 0
        for tag in (Tag.SAR_MSG_REF_NUM, Tag.SAR_TOTAL_SEGMENTS, Tag.SAR_SEGMENT_SEQNUM)
    ]
    return (numbers[0], numbers[1], numbers[2]), message.short_message


async def test_a_short_message_on_demand() -> None:
    async with simulator() as operator:
        esme = await Esme.connect(operator.port)
        parts = operator.send_message(Message("Hello", "251911000001", "8080"))
        await esme.until(lambda: bool(esme.receipts))
        got = esme.receipts[0]
        assert (got.source_addr, got.destination_addr, got.esm_class) == ("251911000001", "8080", 0)
        assert (got.short_message, got.data_coding, len(parts)) == (b"Hello", 0, 1)
        await esme.close()


@pytest.mark.parametrize("concatenation", ["udh8", "udh16", "sar"])
@pytest.mark.parametrize("text", [LONG, LONG_UCS2], ids=["gsm7", "ucs2"])
async def test_long_messages_in_parts(concatenation: Any, text: str) -> None:
    async with simulator() as operator:
        esme = await Esme.connect(operator.port)
        sent = operator.send_message(Message(text, "1", "2", concatenation))
        await esme.until(lambda: len(esme.receipts) == len(sent))
        parts = [part_of(message) for message in esme.receipts]
        assert [place for place, _ in parts] == [(sent[0].group, len(sent), n + 1) for n in range(len(sent))]
        pieces = [
            gsm7.decode(data) if esme.receipts[0].data_coding == 0 else str(data, "utf-16-be") for _, data in parts
        ]
        assert "".join(pieces) == text
        assert all(len(message.short_message) <= (160 if text is LONG else 140) for message in esme.receipts)
        await esme.close()


async def test_a_long_message_in_message_payload() -> None:
    async with simulator() as operator:
        esme = await Esme.connect(operator.port)
        operator.send_message(Message(LONG, "1", "2", "payload"))
        await esme.until(lambda: bool(esme.receipts))
        assert esme.receipts[0].short_message == b""
        assert find_tlv(esme.receipts[0].tlvs, Tag.MESSAGE_PAYLOAD) == gsm7.encode(LONG)
        await esme.close()


async def test_parts_in_any_order_and_as_often_as_wanted() -> None:
    async with simulator() as operator:
        esme = await Esme.connect(operator.port)
        operator.send_message(Message("abcdef", "1", "2", part_length=2, order=(3, 1, 3)))
        await esme.until(lambda: len(esme.receipts) == 3)
        assert [part_of(message)[1] for message in esme.receipts] == [b"ef", b"ab", b"ef"]
        await esme.close()


@pytest.mark.parametrize(
    ("data_coding", "text", "octets"),
    [(3, "Ärger", b"\xc4rger"), (8, "Ä", b"\0\xc4"), (1, "A", b"A"), (0, "€", b"\x1be"), (None, "ሰ", b"\x120")],
)
async def test_data_codings(data_coding: int | None, text: str, octets: bytes) -> None:
    async with simulator() as operator:
        esme = await Esme.connect(operator.port)
        operator.send_message(Message(text, "1", "2", data_coding=data_coding))
        await esme.until(lambda: bool(esme.receipts))
        assert esme.receipts[0].short_message == octets
        assert esme.receipts[0].data_coding == (8 if data_coding is None else data_coding)
        await esme.close()


async def test_a_text_that_does_not_fit_is_refused_before_anything_is_sent() -> None:
    async with simulator() as operator:
        with pytest.raises(ValueError, match="0 accounts"):
            operator.send_message(Message("Hello", "1", "2"))
        with pytest.raises(ValueError, match="encode"):
            operator.send_message(Message("ሰላም", "1", "2", data_coding=3), "demo")
        with pytest.raises(ValueError, match="255"):
            operator.send_message(Message("a" * 600, "1", "2", part_length=2), "demo")
        assert operator.statistics.waiting == 0


async def test_messages_wait_for_a_receiver_and_are_repeated_until_acknowledged() -> None:
    async with simulator() as operator:
        operator.send_message(Message("Hello", "1", "2"), "demo")
        deaf = await Esme.connect(operator.port, answer_receipts=False)
        await deaf.until(lambda: bool(deaf.receipts))
        await deaf.close()
        other = await Esme.connect(operator.port, mode=BindMode.RECEIVER)
        await other.until(lambda: bool(other.receipts))
        assert operator.statistics.messages_sent == 2
        await other.close()


async def test_traffic_at_a_rate_with_texts_and_sources_in_turn() -> None:
    traffic = Traffic(rate=2000, count=50, texts=("a", "b"), sources=("1", "2", "3"))
    async with simulator(traffic) as operator:
        esme = await Esme.connect(operator.port)
        await esme.until(lambda: len(esme.receipts) == 50)
        expected = [(b"ab"[n % 2 : n % 2 + 1], "123"[n % 3]) for n in range(50)]
        assert [(one.short_message, one.source_addr) for one in esme.receipts] == expected
        await esme.close()


async def test_traffic_in_parts_out_of_order_and_duplicated() -> None:
    traffic = Traffic(rate=1000, count=10, texts=("abcdefgh",), part_length=2, out_of_order=1.0, duplicate=0.5)
    async with simulator(traffic) as operator:
        esme = await Esme.connect(operator.port)
        groups: dict[int, list[int]] = {}

        def complete() -> bool:
            groups.clear()
            for message in esme.receipts:
                (reference, _, number), _ = part_of(message)
                groups.setdefault(reference, []).append(number)
            return len(groups) == 10 and all(set(numbers) == {1, 2, 3, 4} for numbers in groups.values())

        await esme.until(complete)
        assert all(numbers != sorted(numbers) for numbers in groups.values())
        assert sum(len(numbers) for numbers in groups.values()) > 40
        await esme.close()


async def test_traffic_goes_to_the_account_it_is_for() -> None:
    async with simulator(Traffic(rate=1000, count=5, system_id="demo")) as operator:
        other = await Esme.connect(operator.port, system_id="other")
        esme = await Esme.connect(operator.port)
        await esme.until(lambda: len(esme.receipts) == 5)
        assert other.receipts == []
        for one in (other, esme):
            await one.close()


async def test_alert_notification() -> None:
    async with simulator() as operator:
        alert = AlertNotification(source_addr="251911000001", esme_addr="8080")
        assert not operator.send_alert(alert, "demo")
        esme = await Esme.connect(operator.port)
        assert operator.send_alert(alert, "demo")
        await esme.until(lambda: AlertReceived(alert) in esme.events)
        await esme.close()
