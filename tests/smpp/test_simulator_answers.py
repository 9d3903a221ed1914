"""How the simulated SMSC answers: late, twice, wrongly, not at all, and when it refuses."""

from typing import Any

import pytest

from smpp_daemon.protocol.events import (
    LateAnswer,
    RequestAnswered,
    SubmitAnswered,
    SubmitExpired,
    UnexpectedResponse,
)
from smpp_daemon.protocol.pdu import (
    CancelSm,
    DataSm,
    DataSmResp,
    QuerySm,
    QuerySmResp,
    ReplaceSm,
    SmeAddress,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSm,
    UnsuccessSme,
)
from smpp_daemon.protocol.status import RINVCMDID, RINVDSTADR, RMSGQFUL, ROK, RSYSERR, RTHROTTLED, parse_status
from smpp_daemon.simulator import Rule, Script, Simulator, SimulatorSettings
from smpp_daemon.simulator.identifiers import IdFormat
from smpp_daemon.simulator.script import AnswerKind, Malformed, Receipts, RefusalBody, Throttle
from smpp_daemon.simulator.spread import Spread
from tests.smpp.simulated_esme import Esme

ENROUTE, DELETED = 1, 4


def message(to: str = "251911000100", registered_delivery: int = 0) -> SubmitSm:
    return SubmitSm(
        source_addr="DEMO", destination_addr=to, registered_delivery=registered_delivery, short_message=b"Hello"
    )


def simulator(script: Script, **settings: Any) -> Simulator:
    return Simulator(SimulatorSettings(script=script, **settings))


async def answered(esme: Esme, token: object) -> RequestAnswered:
    def find() -> list[RequestAnswered]:
        return [event for event in esme.events if isinstance(event, RequestAnswered) and event.token == token]

    await esme.until(lambda: bool(find()))
    return find()[0]


async def statuses(script: Script, count: int = 100, **settings: Any) -> list[int]:
    async with simulator(script, **settings) as operator:
        esme = await Esme.connect(operator.port)
        await esme.submit_all([message(registered_delivery=1)] * count)
        await esme.close()
        assert operator.statistics.refused == sum(answer.status != ROK for answer in esme.answers.values())
        return [esme.answers[token].status for token in range(count)]


async def test_a_burst_passes_and_the_rest_is_throttled() -> None:
    found = await statuses(Script(throttle=Throttle(rate=0.001, burst=7)))
    assert found == [ROK] * 7 + [RTHROTTLED] * 93


async def test_throttling_may_use_another_status() -> None:
    found = await statuses(Script(throttle=Throttle(rate=0.001, burst=1, status="RSUBMITFAIL")), 3)
    assert found == [ROK, 0x45, 0x45]


async def test_the_queue_is_full_above_so_many_messages_that_are_owed() -> None:
    found = await statuses(Script(queue_full_above=12), receipt_delay=60)
    assert found == [ROK] * 12 + [RMSGQFUL] * 88


async def test_answers_not_given_yet_fill_the_queue_too() -> None:
    script = Script(queue_full_above=5, response_delay=0.05)
    async with simulator(script, receipt_delay=None) as operator:
        esme = await Esme.connect(operator.port)
        await esme.submit_all([message()] * 20)
        assert [esme.answers[token].status for token in range(20)] == [ROK] * 5 + [RMSGQFUL] * 15
        await esme.close()


async def test_random_statuses_come_in_their_shares_and_the_seed_repeats_them() -> None:
    script = Script(seed=5, statuses={"RSYSERR": 0.3, 0x45: 0.2}, queue_full=0.1)
    found = await statuses(script, 400)
    assert found == await statuses(script, 400)
    assert found != await statuses(Script(seed=6, statuses={"RSYSERR": 0.3, 0x45: 0.2}, queue_full=0.1), 400)
    assert set(found) == {ROK, RSYSERR, 0x45, RMSGQFUL}
    assert 70 < found.count(RSYSERR) < 150


async def test_a_rule_has_statuses_of_its_own() -> None:
    rules = [Rule("1", statuses={"RSYSERR": 1.0}), Rule("2", status="RINVDSTADR"), Rule("3")]
    async with simulator(Script(rules=rules, statuses={"RX_T_APPN": 1.0})) as operator:
        esme = await Esme.connect(operator.port)
        for to in ("1", "2", "3"):
            esme.submit(message(to), to)
        await esme.until(lambda: len(esme.answers) == 3)
        assert {to: answer.status for to, answer in esme.answers.items()} == {"1": RSYSERR, "2": RINVDSTADR, "3": 0x64}
        await esme.close()


async def test_the_delay_of_answers_is_drawn_for_each() -> None:
    """Answers overtake each other: their order is that of the delays, not that of the submits."""
    script = Script(seed=1, response_delay=Spread(min=0.0, max=0.2))
    async with simulator(script, receipt_delay=None) as operator:
        esme = await Esme.connect(operator.port)
        for token in range(50):
            esme.submit(message(), token)
        await esme.until(lambda: len(esme.answers) == 50)
        order = list(esme.answers)
        assert set(order) == set(range(50))
        assert order != list(range(50))
        await esme.close()


async def one_answer(kind: AnswerKind, refusal: RefusalBody = "none", status: str = "ROK") -> Esme:
    script = Script(rules=[Rule("", status=status, answer=kind)], late_by=1.0, refusal_body=refusal)
    expires = kind in ("never", "late", "unknown_sequence")
    async with simulator(script, receipt_delay=None, first_number=0x10) as operator:
        esme = await Esme.connect(operator.port, response=0.05 if expires else 10)
        esme.submit(message(), "t")
        await esme.until(lambda: bool(esme.answers or esme.expired))
        if kind in ("late", "twice", "unknown_sequence"):
            await esme.until(lambda: any(isinstance(event, LateAnswer | UnexpectedResponse) for event in esme.events))
        await esme.close()
        assert operator.statistics.accepted == (status == "ROK" and kind != "generic_nack")
    return esme


async def test_an_answer_that_never_comes() -> None:
    esme = await one_answer("never")
    assert esme.expired == ["t"]
    assert not any(isinstance(event, SubmitAnswered | LateAnswer | UnexpectedResponse) for event in esme.events)


async def test_an_answer_that_comes_late() -> None:
    esme = await one_answer("late")
    assert esme.expired == ["t"]
    assert [(late.token, late.message_id) for late in esme.late] == [("t", "10")]


async def test_an_answer_that_comes_twice() -> None:
    esme = await one_answer("twice")
    second = esme.events[-1]
    assert isinstance(second, UnexpectedResponse)
    assert (esme.answers["t"].message_id, second.message_id) == ("10", "10")


async def test_an_answer_to_a_number_nobody_used() -> None:
    esme = await one_answer("unknown_sequence")
    assert {type(event) for event in esme.events[1:]} == {UnexpectedResponse, SubmitExpired}


async def test_generic_nack_instead_of_an_answer() -> None:
    esme = await one_answer("generic_nack")
    assert (esme.answers["t"].status, esme.answers["t"].message_id) == (RINVCMDID, "")


async def test_an_answer_without_a_body() -> None:
    esme = await one_answer("header_only")
    assert (esme.answers["t"].status, esme.answers["t"].message_id) == (ROK, "")
    assert len(esme.reads[-1]) == 16


@pytest.mark.parametrize(("refusal", "body"), [("none", b""), ("nul", b"\0"), ("id", b"10\0")])
async def test_refusals_with_and_without_a_body(refusal: RefusalBody, body: bytes) -> None:
    esme = await one_answer("always", refusal, "RINVDSTADR")
    assert esme.answers["t"].status == RINVDSTADR
    assert esme.reads[-1][16:] == body


async def test_kinds_of_answers_by_probability() -> None:
    script = Script(seed=3, answers={"never": 0.2, "twice": 0.2, "generic_nack": 0.2, "unknown_sequence": 0.1})
    async with simulator(script, receipt_delay=None) as operator:
        esme = await Esme.connect(operator.port, response=1.0, window=500)
        for token in range(300):
            esme.submit(message(), token)
        await esme.until(lambda: len(esme.answers) + len(esme.expired) == 300)
        assert 50 < len(esme.expired) < 140
        assert operator.statistics.unanswered == len(esme.expired)
        refused = [answer for answer in esme.answers.values() if answer.status == RINVCMDID]
        assert 30 < len(refused) < 90
        assert operator.accepted == 300 - len(refused)
        await esme.close()


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (IdFormat("hex", width=8), "0000abcd"),
        (IdFormat("hex", upper=True), "ABCD"),
        (IdFormat("decimal"), "43981"),
        (IdFormat("decimal", width=20), "00000000000000043981"),
        (IdFormat("hex", prefix="gw1-"), "gw1-abcd"),
        (IdFormat("hex", width=64), "abcd".zfill(64)),
        (IdFormat("uuid"), "00000000-0000-8000-8000-00000000abcd"),
    ],
)
async def test_ids_in_every_notation(ids: IdFormat, expected: str) -> None:
    async with simulator(Script(ids=ids), first_number=0xABCD) as operator:
        esme = await Esme.connect(operator.port)
        esme.submit(message(registered_delivery=1), "t")
        await esme.until(lambda: bool(esme.receipts))
        assert esme.answers["t"].message_id == expected
        assert esme.receipts[0].short_message.startswith(f"id:{expected} ".encode())
        await esme.close()


@pytest.mark.parametrize("kind", ["stray_nul", "truncated_tlv", "unknown_tlv"])
async def test_wrong_octets_behind_a_body(kind: str) -> None:
    script = Script(malformed=Malformed(**{kind: 1.0}))
    async with simulator(script, first_number=1) as operator:
        esme = await Esme.connect(operator.port)
        esme.submit(message(registered_delivery=1), "t")
        await esme.until(lambda: bool(esme.receipts))
        assert esme.answers["t"].message_id == "1"
        stray = esme.session.link.stray_octets
        assert stray == {"stray_nul": 2, "truncated_tlv": 8, "unknown_tlv": 0}[kind]
        assert ((0x1499, b"\xca\xfe") in esme.receipts[0].tlvs) == (kind == "unknown_tlv")
        await esme.close()


async def test_a_wrong_sm_length_is_corrected_when_the_message_comes_again() -> None:
    script = Script(seed=2, malformed=Malformed(sm_length=0.5))
    async with simulator(script, retry_seconds=0.01) as operator:
        esme = await Esme.connect(operator.port)
        await esme.submit_all([message(registered_delivery=1)] * 30)
        await esme.until(lambda: len(esme.receipts) == 30)
        assert esme.session.link.violations == operator.statistics.receipts_refused > 0
        await esme.close()


async def test_another_script_takes_effect_while_sessions_stay_bound() -> None:
    async with Simulator(SimulatorSettings(receipt_delay=None)) as operator:
        esme = await Esme.connect(operator.port)
        esme.submit(message(), "before")
        await esme.until(lambda: "before" in esme.answers)
        operator.set_script(Script(rules=[Rule("", status="RSYSERR")]))
        esme.submit(message(), "with")
        await esme.until(lambda: "with" in esme.answers)
        operator.set_script(Script())
        esme.submit(message(), "after")
        await esme.until(lambda: "after" in esme.answers)
        assert [answer.status for answer in esme.answers.values()] == [ROK, RSYSERR, ROK]
        await esme.close()


async def test_data_sm_is_taken_like_submit_sm() -> None:
    async with simulator(Script(rules=[Rule("9", status="RINVDSTADR")]), first_number=0x77) as operator:
        esme = await Esme.connect(operator.port)
        good = DataSm(source_addr="DEMO", destination_addr="1", registered_delivery=1, tlvs=((0x0424, b"Hello"),))
        esme.request(good, "good")
        esme.request(DataSm(destination_addr="9"), "bad")
        assert (await answered(esme, "good")).pdu == DataSmResp("77")
        assert (await answered(esme, "bad")).status == RINVDSTADR
        await esme.until(lambda: bool(esme.receipts))
        assert esme.receipts[0].short_message.startswith(b"id:77 ")
        assert (operator.recent[0].command, bytes.fromhex(operator.recent[0].message)) == ("data_sm", b"Hello")
        await esme.close()


async def test_submit_multi_lists_who_is_refused() -> None:
    async with simulator(Script(rules=[Rule("9", status="RINVDSTADR")]), first_number=0x77) as operator:
        esme = await Esme.connect(operator.port)
        addresses = (SmeAddress(1, 1, "1"), SmeAddress(1, 1, "19"), SmeAddress(1, 1, "2"), "friends")
        esme.request(SubmitMulti(destinations=addresses, registered_delivery=1, short_message=b"x"), "t")
        answer = await answered(esme, "t")
        refused = (UnsuccessSme(1, 1, "19", RINVDSTADR), UnsuccessSme(0, 0, "friends", parse_status("RINVDLNAME")))
        assert (answer.status, answer.pdu) == (ROK, SubmitMultiResp("77", refused))
        await esme.until(lambda: len(esme.receipts) == 2)
        assert [receipt.source_addr for receipt in esme.receipts] == ["1", "2"]
        esme.request(SubmitMulti(destinations=(SmeAddress(1, 1, "9"),), short_message=b"x"), "none")
        assert (await answered(esme, "none")).status == RINVDSTADR
        await esme.close()


async def test_a_message_that_is_owed_a_receipt_can_be_queried_replaced_and_cancelled() -> None:
    async with simulator(Script(), receipt_delay=60, first_number=1) as operator:
        esme = await Esme.connect(operator.port)
        esme.submit(message(registered_delivery=1), "t")
        await esme.until(lambda: "t" in esme.answers)

        esme.request(QuerySm("1", source_addr="DEMO"), "query")
        esme.request(QuerySm("1", source_addr="OTHER"), "foreign")
        found = await answered(esme, "query")
        assert found.pdu == QuerySmResp("1", "", ENROUTE, 0)
        assert (await answered(esme, "foreign")).status == parse_status("RINVMSGID")

        esme.request(ReplaceSm("1", source_addr="DEMO", registered_delivery=1, short_message=b"Bye"), "replace")
        esme.request(ReplaceSm("2", source_addr="DEMO", short_message=b"Bye"), "no_replace")
        assert (await answered(esme, "replace")).status == ROK
        assert (await answered(esme, "no_replace")).status == parse_status("RREPLACEFAIL")

        esme.request(CancelSm(message_id="1", source_addr="DEMO"), "cancel")
        assert (await answered(esme, "cancel")).status == ROK
        await esme.until(lambda: bool(esme.receipts))
        assert b"stat:DELETED" in esme.receipts[0].short_message
        assert esme.receipts[0].short_message.endswith(b"text:Bye")
        esme.request(CancelSm(message_id="1", source_addr="DEMO"), "again")
        assert (await answered(esme, "again")).status == parse_status("RCANCELFAIL")
        assert (operator.statistics.cancelled, operator.statistics.replaced) == (1, 1)
        await esme.close()


async def test_cancelling_without_an_id_takes_every_message_between_two_addresses() -> None:
    async with simulator(Script(), receipt_delay=60) as operator:
        esme = await Esme.connect(operator.port)
        await esme.submit_all([message("1", 1), message("2", 1), message("1", 1)])
        esme.request(CancelSm(source_addr="DEMO", destination_addr="1"), "cancel")
        assert (await answered(esme, "cancel")).status == ROK
        await esme.until(lambda: len(esme.receipts) == 2)
        assert {receipt.source_addr for receipt in esme.receipts} == {"1"}
        await esme.close()


async def test_a_message_whose_receipt_is_taken_can_still_be_queried() -> None:
    async with simulator(Script(receipts=Receipts(states={"UNDELIV": 1.0})), first_number=1) as operator:
        esme = await Esme.connect(operator.port)
        esme.submit(message(registered_delivery=1), "t")
        await esme.until(lambda: bool(esme.receipts))
        # The answer to the receipt is read before the query that is written behind it.
        esme.request(QuerySm("1", source_addr="DEMO"), "query")
        found = (await answered(esme, "query")).pdu
        assert isinstance(found, QuerySmResp)
        assert (found.message_state, found.final_date[-1]) == (5, "+")
        await esme.close()
