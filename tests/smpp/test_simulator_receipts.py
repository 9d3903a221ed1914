"""Receipts of the simulated SMSC in every order and every form that operators are known for."""

from typing import Any

import pytest

from connectors.sms_text.receipts import Verdict, parse_receipt
from smpp_daemon.protocol.constants import BindMode, EsmClass, Tag
from smpp_daemon.protocol.events import DeliverReceived, SubmitAnswered
from smpp_daemon.protocol.pdu import DeliverSm, SubmitSm
from smpp_daemon.protocol.tlv import find_integer, find_text, find_tlv
from smpp_daemon.simulator import Rule, Script, Simulator, SimulatorSettings
from smpp_daemon.simulator.identifiers import IdFormat
from smpp_daemon.simulator.receipt_text import VARIANTS
from smpp_daemon.simulator.script import Receipts
from smpp_daemon.simulator.spread import Spread
from tests.smpp.simulated_esme import Esme

MESSAGE = SubmitSm(
    source_addr="DEMO", destination_addr="251911000100", registered_delivery=1, short_message=b"Hello there"
)


def simulator(receipts: Receipts, **settings: Any) -> Simulator:
    return Simulator(SimulatorSettings(script=Script(seed=1, receipts=receipts), **settings))


def ids(receipts: list[DeliverSm]) -> list[str]:
    return [find_text(receipt.tlvs, Tag.RECEIPTED_MESSAGE_ID) or "" for receipt in receipts]


def states(receipts: list[DeliverSm]) -> list[int | None]:
    return [find_integer(receipt.tlvs, Tag.MESSAGE_STATE) for receipt in receipts]


async def first_receipt(receipts: Receipts) -> DeliverSm:
    async with simulator(receipts, first_number=0xABCD) as operator:
        esme = await Esme.connect(operator.port)
        esme.submit(MESSAGE, "t")
        await esme.until(lambda: bool(esme.receipts))
        await esme.close()
        return esme.receipts[0]


async def test_a_receipt_is_on_the_wire_before_its_response() -> None:
    async with simulator(Receipts(before_response=1.0)) as operator:
        esme = await Esme.connect(operator.port)
        await esme.submit_all([MESSAGE] * 20)
        kinds = [event for event in esme.events if isinstance(event, DeliverReceived | SubmitAnswered)]
        seen: set[str] = set()
        for event in kinds:
            if isinstance(event, DeliverReceived):
                seen.update(ids([event.pdu]))  # type: ignore[list-item]
            else:
                assert event.message_id in seen
        assert len(seen) == 20
        await esme.close()


async def test_a_response_does_not_wait_for_a_receipt_that_nobody_could_take() -> None:
    async with simulator(Receipts(before_response=1.0)) as operator:
        sender = await Esme.connect(operator.port, mode=BindMode.TRANSMITTER)
        await sender.submit_all([MESSAGE] * 3)
        receiver = await Esme.connect(operator.port, mode=BindMode.RECEIVER)
        await receiver.until(lambda: len(receiver.receipts) == 3)
        for esme in (sender, receiver):
            await esme.close()


async def test_duplicated_receipts() -> None:
    async with simulator(Receipts(duplicate=1.0)) as operator:
        esme = await Esme.connect(operator.port)
        await esme.submit_all([MESSAGE] * 10)
        await esme.until(lambda: len(esme.receipts) == 20)
        found = ids(esme.receipts)
        assert all(found.count(one) == 2 for one in found)
        await esme.close()


async def test_receipts_that_are_held_back_are_overtaken() -> None:
    async with simulator(Receipts(held_back=0.3, held_back_by=0.2)) as operator:
        esme = await Esme.connect(operator.port)
        await esme.submit_all([MESSAGE] * 30)
        await esme.until(lambda: len(esme.receipts) == 30)
        answered = [esme.answers[token].message_id for token in range(30)]
        assert ids(esme.receipts) != answered
        assert sorted(ids(esme.receipts)) == sorted(answered)
        await esme.close()


async def test_receipts_with_delays_of_their_own_come_in_another_order() -> None:
    async with simulator(Receipts(delay=Spread(percentiles={0: 0, 50: 0.05, 100: 0.3}))) as operator:
        esme = await Esme.connect(operator.port)
        await esme.submit_all([MESSAGE] * 30)
        await esme.until(lambda: len(esme.receipts) == 30)
        assert ids(esme.receipts) != [esme.answers[token].message_id for token in range(30)]
        await esme.close()


async def test_an_intermediate_receipt_comes_first() -> None:
    async with simulator(Receipts(intermediate=1.0)) as operator:
        esme = await Esme.connect(operator.port)
        esme.submit(MESSAGE, "t")
        await esme.until(lambda: len(esme.receipts) == 2)
        assert states(esme.receipts) == [1, 2]
        assert [one.esm_class for one in esme.receipts] == [
            EsmClass.INTERMEDIATE_NOTIFICATION,
            EsmClass.DELIVERY_RECEIPT,
        ]
        assert b"stat:ENROUTE" in esme.receipts[0].short_message
        await esme.close()


async def test_an_intermediate_receipt_comes_after_the_final_one() -> None:
    async with simulator(Receipts(intermediate_after=1.0)) as operator:
        esme = await Esme.connect(operator.port)
        esme.submit(MESSAGE, "t")
        await esme.until(lambda: len(esme.receipts) == 2)
        assert states(esme.receipts) == [2, 1]
        await esme.close()


async def test_receipts_come_on_another_bind_of_the_account() -> None:
    async with simulator(Receipts(other_bind=1.0), receipt_window=5) as operator:
        first, second = await Esme.connect(operator.port), await Esme.connect(operator.port)
        await first.submit_all([MESSAGE] * 30)
        await second.until(lambda: len(second.receipts) == 30)
        assert first.receipts == []
        await second.close()
        # The only bind that is left gets its own.
        first.answers.clear()
        await first.submit_all([MESSAGE] * 3)
        await first.until(lambda: len(first.receipts) == 3)
        await first.close()


async def test_receipts_as_data_sm() -> None:
    async with simulator(Receipts(data_sm=1.0)) as operator:
        esme = await Esme.connect(operator.port)
        await esme.submit_all([MESSAGE] * 5)
        await esme.until(lambda: len(esme.data) == 5)
        assert esme.receipts == []
        data = esme.data[0]
        assert (data.esm_class, data.source_addr) == (EsmClass.DELIVERY_RECEIPT, "251911000100")
        assert data.content.startswith(b"id:")
        assert find_text(data.tlvs, Tag.RECEIPTED_MESSAGE_ID) == esme.answers[0].message_id
        await esme.close()
        assert operator.statistics.receipts_sent == 5


async def test_only_text_and_only_tlvs() -> None:
    text = await first_receipt(Receipts(form="text"))
    assert (text.tlvs, text.short_message[:8]) == ((), b"id:abcd ")
    tlvs = await first_receipt(Receipts(form="tlv", network_error_code="030802"))
    assert tlvs.short_message == b""
    assert (ids([tlvs]), states([tlvs])) == (["abcd"], [2])
    assert find_tlv(tlvs.tlvs, Tag.NETWORK_ERROR_CODE) == b"\x03\x08\x02"


async def test_text_and_tlv_write_the_id_differently() -> None:
    receipt = await first_receipt(
        Receipts(text_id=IdFormat("decimal", width=10), tlv_id=IdFormat("hex", width=8, upper=True))
    )
    assert receipt.short_message.startswith(b"id:0000043981 ")
    assert ids([receipt]) == ["0000ABCD"]


async def test_the_text_travels_in_message_payload_with_a_nul() -> None:
    receipt = await first_receipt(Receipts(payload=True, trailing_nul=True))
    assert receipt.short_message == b""
    payload = find_tlv(receipt.tlvs, Tag.MESSAGE_PAYLOAD)
    assert payload is not None
    assert (payload[:8], payload[-6:]) == (b"id:abcd ", b"there\0")


async def test_receipts_that_are_not_marked_as_such() -> None:
    assert (await first_receipt(Receipts(esm_class=0))).esm_class == 0


async def test_the_text_may_be_any_template() -> None:
    receipt = await first_receipt(
        Receipts(
            text="{done:%Y} {id} is {stat}/{err}: {text}", spelling={"DELIVRD": "ACKED"}, errors={"DELIVRD": "21b"}
        )
    )
    assert receipt.short_message[4:] == b" abcd is ACKED/21b: Hello there"
    assert receipt.short_message[:2] == b"20"


@pytest.mark.parametrize("name", VARIANTS)
async def test_variants_of_the_text_are_receipts_to_whoever_reads_them(name: str) -> None:
    receipt = await first_receipt(Receipts(text=name))
    parsed = parse_receipt(receipt.short_message, receipted_message_id=ids([receipt])[0])
    assert parsed is not None
    assert (parsed.message_ids, parsed.verdict) == (("abcd",), Verdict.DELIVERED)


async def test_final_states_by_probability() -> None:
    async with simulator(
        Receipts(states={"UNDELIV": 0.3, "EXPIRED": 0.2, "none": 0.1}, errors={"UNDELIV": "11"})
    ) as operator:
        esme = await Esme.connect(operator.port)
        await esme.submit_all([MESSAGE] * 300)
        expected = sum(one.receipt is not None for one in operator.recent)
        assert 250 < expected < 290
        await esme.until(lambda: len(esme.receipts) == expected)
        found = states(esme.receipts)
        assert set(found) == {2, 3, 5}
        assert 60 < found.count(5) < 120
        undelivered = [one.short_message for one in esme.receipts if b"UNDELIV" in one.short_message]
        assert all(b" err:11 " in text for text in undelivered)
        await esme.close()


async def test_a_rule_gives_its_messages_a_state_and_a_delay() -> None:
    rules = [Rule("1", states={"REJECTD": 1.0}, receipt_delay=0.0), Rule("2", receipt="EXPIRED", receipt_delay=0.05)]
    script = Script(rules=rules, receipts=Receipts(delay=60.0))
    async with Simulator(SimulatorSettings(script=script)) as operator:
        esme = await Esme.connect(operator.port)
        for to in ("2", "1", "3"):
            esme.submit(SubmitSm(destination_addr=to, registered_delivery=1), to)
        await esme.until(lambda: len(esme.receipts) == 2)
        assert [(one.source_addr, state) for one, state in zip(esme.receipts, states(esme.receipts), strict=True)] == [
            ("1", 8),
            ("2", 3),
        ]
        assert operator.statistics.owed >= 1
        await esme.close()
