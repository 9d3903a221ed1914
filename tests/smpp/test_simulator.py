"""The simulated SMSC over real TCP."""

import asyncio
from pathlib import Path

import pytest

from connectors.sms_text.receipts import Verdict, parse_receipt
from smpp_daemon.protocol.constants import BindMode, EsmClass, Tag
from smpp_daemon.protocol.pdu import DeliverSm, SubmitSm
from smpp_daemon.protocol.status import RINVDSTADR, RINVPASWD, RINVSYSID, RMSGQFUL, ROK, RTHROTTLED
from smpp_daemon.protocol.tlv import find_integer, find_text
from smpp_daemon.simulator import Rule, Script, Simulator, SimulatorSettings, read_script
from smpp_daemon.simulator.journal import Accepted, Acknowledged, open_journal, read_records
from tests.smpp.simulated_esme import Esme


def message(to: str = "251911000100", text: bytes = b"Hello", registered_delivery: int = 1) -> SubmitSm:
    return SubmitSm(
        source_addr="DEMO",
        source_addr_ton=5,
        dest_addr_ton=1,
        dest_addr_npi=1,
        destination_addr=to,
        registered_delivery=registered_delivery,
        short_message=text,
    )


def receipt_id(receipt: DeliverSm) -> str:
    found = find_text(receipt.tlvs, Tag.RECEIPTED_MESSAGE_ID)
    assert found is not None
    return found


async def nothing_owed(simulator: Simulator) -> None:
    """The simulator reads the last acknowledgement some turns of the loop after the client wrote it."""
    async with asyncio.timeout(10):
        while simulator.statistics.owed:
            await asyncio.sleep(0.001)


async def test_a_message_is_accepted_and_its_receipt_sent() -> None:
    async with Simulator(SimulatorSettings(receipt_delay=0.05)) as simulator:
        esme = await Esme.connect(simulator.port)
        esme.submit(message(), "t")
        await esme.until(lambda: len(esme.receipts) == 1)
        answer, receipt = esme.answers["t"], esme.receipts[0]
        assert answer.status == ROK
        assert (receipt.source_addr, receipt.destination_addr) == ("251911000100", "DEMO")
        assert (receipt.source_addr_ton, receipt.dest_addr_ton) == (1, 5)
        assert receipt.esm_class == EsmClass.DELIVERY_RECEIPT
        assert find_integer(receipt.tlvs, Tag.MESSAGE_STATE) == 2
        parsed = parse_receipt(receipt.short_message, receipted_message_id=receipt_id(receipt))
        assert parsed is not None
        assert parsed.message_ids == (answer.message_id,)
        assert (parsed.verdict, parsed.error, parsed.text) == (Verdict.DELIVERED, "000", "Hello")
        assert simulator.accepted == 1
        assert bytes.fromhex(simulator.recent[0].message) == b"Hello"
        await esme.close()


async def test_ids_in_hexadecimal_and_decimal() -> None:
    for ids, expected in (("hex", ["ff", "100"]), ("decimal", ["255", "256"])):
        settings = SimulatorSettings(ids="hex" if ids == "hex" else "decimal", first_number=255)
        async with Simulator(settings) as simulator:
            esme = await Esme.connect(simulator.port)
            await esme.submit_all([message(), message()])
            assert [esme.answers[token].message_id for token in range(2)] == expected
            await esme.close()


async def test_every_part_gets_its_own_id_and_receipt() -> None:
    async with Simulator() as simulator:
        esme = await Esme.connect(simulator.port, window=7)
        await esme.submit_all([message(text=b"\5\0\3\1\3%c" % part) for part in (1, 2, 3)] + [message()] * 497)
        await esme.until(lambda: len(esme.receipts) == 500)
        assert {receipt_id(receipt) for receipt in esme.receipts} == {
            answer.message_id for answer in esme.answers.values()
        }
        await esme.close()


@pytest.mark.parametrize(
    ("registered_delivery", "to", "states"),
    [(0, "1", []), (1, "1", [2]), (2, "1", []), (2, "02", [5]), (3, "02", []), (3, "1", [2]), (1, "06", [])],
)
async def test_registered_delivery_is_honoured(registered_delivery: int, to: str, states: list[int]) -> None:
    script = Script(rules=[Rule("02", receipt="UNDELIV", error="21b"), Rule("06", receipt="none")])
    async with Simulator(SimulatorSettings(script=script)) as simulator:
        esme = await Esme.connect(simulator.port)
        esme.submit(message(to, registered_delivery=registered_delivery), "t")
        esme.submit(message("99"), "last")
        await esme.until(lambda: len(esme.receipts) == len(states) + 1)
        assert [find_integer(receipt.tlvs, Tag.MESSAGE_STATE) for receipt in esme.receipts] == [*states, 2]
        await esme.close()


async def test_no_receipts_at_all() -> None:
    async with Simulator(SimulatorSettings(receipt_delay=None)) as simulator:
        esme = await Esme.connect(simulator.port)
        await esme.submit_all([message()] * 20)
        assert simulator.statistics.owed == 0
        await esme.close()


async def test_credentials_and_refused_binds() -> None:
    async with Simulator(SimulatorSettings(system_id="demo", password="secret")) as simulator:
        assert (await Esme.connect(simulator.port, system_id="other")).refused == RINVSYSID
        assert (await Esme.connect(simulator.port, password="wrong")).refused == RINVPASWD
        assert (await Esme.connect(simulator.port)).bound is not None
        assert (simulator.statistics.binds, simulator.statistics.binds_refused) == (1, 2)
    async with Simulator(SimulatorSettings(refuse_binds=0x0D)) as simulator:
        assert (await Esme.connect(simulator.port)).refused == 0x0D
    async with Simulator(SimulatorSettings(script=Script(bind_status="RALYBND"))) as simulator:
        assert (await Esme.connect(simulator.port)).refused == 5


async def test_a_script_decides_by_suffix_and_the_longest_wins() -> None:
    rules = [
        Rule("1", status="RINVDSTADR"),
        Rule("01", status=0x55F),
        Rule("07", answer="never"),
        Rule("05", response_delay=0.3),
    ]
    async with Simulator(SimulatorSettings(script=Script(rules=rules), receipt_delay=None)) as simulator:
        esme = await Esme.connect(simulator.port, response=0.2)
        for to in ("11", "101", "107", "105", "100"):
            esme.submit(message(to), to)
        await esme.until(lambda: len(esme.late) == 1)
        assert {to: answer.status for to, answer in esme.answers.items()} == {"11": RINVDSTADR, "101": 0x55F, "100": 0}
        assert sorted(map(str, esme.expired)) == ["105", "107"]
        assert esme.late[0].token == "105"
        assert esme.late[0].message_id
        await esme.close()


async def test_throttling_above_a_rate() -> None:
    async with Simulator(SimulatorSettings(throttle_above=50, receipt_delay=None)) as simulator:
        esme = await Esme.connect(simulator.port)
        await esme.submit_all([message()] * 100)
        statuses = [answer.status for answer in esme.answers.values()]
        assert set(statuses) == {ROK, RTHROTTLED}
        assert 5 <= statuses.count(ROK) < 60
        await esme.close()


async def test_the_queue_of_owed_receipts_is_bounded() -> None:
    async with Simulator(SimulatorSettings(pending_limit=10, receipt_delay=60)) as simulator:
        esme = await Esme.connect(simulator.port)
        await esme.submit_all([message()] * 30)
        statuses = [answer.status for answer in esme.answers.values()]
        assert (statuses.count(ROK), statuses.count(RMSGQFUL)) == (10, 20)
        await esme.close()


async def test_receipts_wait_for_a_receiver_and_go_to_any_of_the_same_system_id() -> None:
    async with Simulator() as simulator:
        sender = await Esme.connect(simulator.port, mode=BindMode.TRANSMITTER)
        stranger = await Esme.connect(simulator.port, system_id="other")
        await sender.submit_all([message()] * 30)
        receiver = await Esme.connect(simulator.port, mode=BindMode.RECEIVER)
        await receiver.until(lambda: len(receiver.receipts) == 30)
        assert sender.receipts == stranger.receipts == []
        for esme in (sender, stranger, receiver):
            await esme.close()


async def test_unacknowledged_receipts_go_to_another_session() -> None:
    async with Simulator(SimulatorSettings(receipt_window=5)) as simulator:
        deaf = await Esme.connect(simulator.port, answer_receipts=False)
        await deaf.submit_all([message()] * 20)
        await deaf.until(lambda: len(deaf.receipts) == 5)
        assert simulator.statistics.owed == 20
        await deaf.close()
        other = await Esme.connect(simulator.port)
        await other.until(lambda: len(other.receipts) == 20)
        await nothing_owed(simulator)
        await other.close()


async def test_sessions_of_one_account_share_the_receipts() -> None:
    async with Simulator(SimulatorSettings(receipt_window=5)) as simulator:
        first, second = await Esme.connect(simulator.port), await Esme.connect(simulator.port)
        await first.submit_all([message()] * 200)
        await first.until(lambda: len(first.receipts) + len(second.receipts) == 200)
        assert len(second.receipts) > 20
        for esme in (first, second):
            await esme.close()


async def test_stopping_unbinds_every_session() -> None:
    simulator = Simulator()
    await simulator.start()
    esmes = [await Esme.connect(simulator.port) for _ in range(5)]
    await simulator.stop()
    for esme in esmes:
        await esme.until(lambda esme=esme: esme.unbound and esme.lost)  # type: ignore[misc]


async def test_garbage_and_silence_end_a_connection() -> None:
    async with Simulator() as simulator:
        reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 5)
        assert answer.hex() == "00000010800000000000000200000000"
        writer.close()
        await writer.wait_closed()


async def test_dropped_connections_are_cut() -> None:
    async with Simulator() as simulator:
        esme = await Esme.connect(simulator.port)
        assert simulator.drop_connections() == 1
        await esme.until(lambda: esme.lost)
        assert not esme.unbound


async def test_the_journal_carries_owed_receipts_over_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    settings = SimulatorSettings(journal=path, receipt_window=5, first_number=1)
    async with Simulator(settings) as simulator:
        deaf = await Esme.connect(simulator.port, answer_receipts=False)
        await deaf.submit_all([message(f"2519{number:08d}") for number in range(20)])
        await deaf.until(lambda: len(deaf.receipts) == 5)
        await deaf.close()
    with path.open("ab") as file:
        file.write(b'{"kind":"accepted","id":"torn')
    async with Simulator(settings) as simulator:
        assert simulator.statistics.owed == 20
        esme = await Esme.connect(simulator.port)
        await esme.until(lambda: len(esme.receipts) == 20)
        esme.submit(message(), "new")
        await esme.until(lambda: len(esme.receipts) == 21)
        assert esme.answers["new"].message_id == "15"
        await nothing_owed(simulator)
        await esme.close()
    records = list(read_records(path))
    accepted = [record for record in records if isinstance(record, Accepted)]
    acknowledged = [record for record in records if isinstance(record, Acknowledged)]
    assert [record.number for record in accepted] == list(range(1, 22))
    assert sorted(record.id for record in acknowledged) == sorted(record.id for record in accepted)
    async with Simulator(settings) as simulator:
        assert simulator.statistics.owed == 0


def test_a_broken_journal_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"kind":"acknowledged","id":"1","at":1.0}\nnonsense\n')
    with pytest.raises(ValueError, match="line 2"):
        open_journal(path)


def test_scripts_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "script.yaml"
    path.write_text("rules:\n  - {suffix: '01', status: RINVDSTADR}\n")
    assert read_script(path).rules == [Rule("01", status="RINVDSTADR")]
    for wrong in ("rulez: []\n", "rules: [{status: ROK}]\n", "rules: [{suffix: '1', receipt: MAYBE}]\n", "a: [\n"):
        path.write_text(wrong)
        with pytest.raises(ValueError, match=r"script\.yaml"):
            read_script(path)
    with pytest.raises(ValueError, match="command_status"):
        Simulator(SimulatorSettings(script=Script(rules=[Rule("1", status="NOPE")])))
