"""The simulator's JSON log: everything it saw, so that a test can compare message by message."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from smpp_daemon.protocol.codec import encode_body
from smpp_daemon.protocol.constants import Tag
from smpp_daemon.protocol.pdu import CancelSm, SubmitSm
from smpp_daemon.protocol.tlv import find_text
from smpp_daemon.simulator import Message, Rule, Script, Simulator, SimulatorSettings
from smpp_daemon.simulator.journal import (
    Accepted,
    Acknowledged,
    BindRefused,
    Bound,
    Cancelled,
    Dropped,
    Originated,
    OriginatedAcknowledged,
    Refused,
    Unbound,
    open_journal,
    read_records,
)
from smpp_daemon.simulator.script import Binds, Drop, Malformed, Receipts
from smpp_daemon.simulator.spread import Spread
from tests.smpp.simulated_esme import Esme

T = TypeVar("T")

OLD = """\
{"kind":"accepted","id":"1","number":1,"at":1.5,"system_id":"demo","sequence":2,"source_ton":5,"source_npi":0,\
"source":"DEMO","destination_ton":1,"destination_npi":1,"destination":"251911000100","esm_class":0,"data_coding":0,\
"registered_delivery":1,"message":"48656c6c6f","receipt":"DELIVRD","error":"000"}
{"kind":"accepted","id":"2","number":2,"at":1.5,"system_id":"demo","sequence":3,"source_ton":5,"source_npi":0,\
"source":"DEMO","destination_ton":1,"destination_npi":1,"destination":"251911000100","esm_class":0,"data_coding":0,\
"registered_delivery":0,"message":"48656c6c6f","receipt":null,"error":"000"}
{"kind":"accepted","id":"3","number":3,"at":1.5,"system_id":"demo","sequence":4,"source_ton":5,"source_npi":0,\
"source":"DEMO","destination_ton":1,"destination_npi":1,"destination":"251911000100","esm_class":0,"data_coding":0,\
"registered_delivery":1,"message":"48656c6c6f","receipt":"UNDELIV","error":"21b"}
{"kind":"acknowledged","id":"1","at":2.5}
"""


def message(to: str) -> SubmitSm:
    return SubmitSm(source_addr="DEMO", destination_addr=to, registered_delivery=1, short_message=b"Hello")


def of(kind: type[T], path: Path) -> list[T]:
    return [record for record in read_records(path) if isinstance(record, kind)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_accepted_refused_and_unanswered_messages_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    rules = [
        Rule("1", status="RINVDSTADR"),
        Rule("2", answer="never"),
        Rule("3", answer="generic_nack"),
        Rule("4", answer="twice"),
    ]
    settings = SimulatorSettings(journal=path, receipt_delay=None, script=Script(rules=rules))
    async with Simulator(settings) as simulator:
        esme = await Esme.connect(simulator.port)
        for to in "01234":
            esme.submit(message(to), to)
        await esme.until(lambda: len(esme.answers) == 4)
        await esme.close()
    accepted = {record.destination: record.answer for record in of(Accepted, path)}
    assert accepted == {"0": "always", "2": "never", "4": "twice"}
    refused = {record.destination: (record.status, record.answer) for record in of(Refused, path)}
    assert refused == {"1": (11, "always"), "3": (3, "generic_nack")}
    assert {bytes.fromhex(record.message) for record in of(Refused, path)} == {b"Hello"}


async def test_binds_unbinds_and_drops(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    settings = SimulatorSettings(journal=path, password="secret", script=Script(binds=Binds(ghost=60, max_binds=2)))
    async with Simulator(settings) as simulator:
        await Esme.connect(simulator.port, password="wrong")
        leaving = await Esme.connect(simulator.port)
        leaving.session.unbind(leaving.loop.time())
        leaving.flush()
        await leaving.until(lambda: leaving.lost)
        await until(lambda: simulator.statistics.unbound == 1)
        cut = await Esme.connect(simulator.port)
        simulator.drop_connections("demo")
        await cut.until(lambda: cut.lost)
        await until(lambda: simulator.statistics.dropped == 1)
        gone = await Esme.connect(simulator.port)
        await gone.close()
        await until(lambda: simulator.statistics.dropped == 2)
        assert (await Esme.connect(simulator.port)).refused == 5
        simulator.set_script(Script())
        last = await Esme.connect(simulator.port)
        stopping = asyncio.create_task(simulator.stop())
        await last.until(lambda: last.lost)
        await stopping
    assert [(record.session, record.mode) for record in of(Bound, path)] == [
        (session, "transceiver") for session in (2, 3, 4, 6)
    ]
    assert [(record.session, record.status) for record in of(BindRefused, path)] == [(1, 14), (5, 5)]
    assert [(record.session, record.reason) for record in of(Dropped, path)] == [(3, "drop"), (4, "peer")]
    assert [(record.session, record.by) for record in of(Unbound, path)] == [(2, "esme"), (6, "smsc")]


async def test_copies_of_a_receipt_are_acknowledged_separately(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    script = Script(receipts=Receipts(duplicate=1.0, intermediate=1.0))
    async with Simulator(SimulatorSettings(journal=path, first_number=7, script=script)) as simulator:
        esme = await Esme.connect(simulator.port)
        esme.submit(message("1"), "t")
        await esme.until(lambda: len(esme.receipts) == 3)
        await until(lambda: simulator.statistics.receipts_acknowledged == 3)
        assert simulator.statistics.owed == 0
        await esme.close()
    assert [(record.id, record.number, record.copy) for record in of(Acknowledged, path)] == [
        ("7", 7, "intermediate"),
        ("7", 7, "final"),
        ("7", 7, "duplicate"),
    ]


async def test_messages_from_handsets_survive_a_restart_until_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    settings = SimulatorSettings(journal=path)
    async with Simulator(settings) as simulator:
        esme = await Esme.connect(simulator.port)
        simulator.send_message(Message("first", "1", "2"))
        await esme.until(lambda: len(esme.receipts) == 1)
        await until(lambda: simulator.statistics.waiting == 0)
        esme.answer_receipts = False
        parts = simulator.send_message(Message("abcd", "1", "2", part_length=2))
        await esme.until(lambda: len(esme.receipts) == 3)
        await esme.close()
    async with Simulator(settings) as simulator:
        esme = await Esme.connect(simulator.port)
        await esme.until(lambda: len(esme.receipts) == 2)
        # A reference that came round at once would look like the same message again.
        again = simulator.send_message(Message("abcd", "1", "2", part_length=2))
        assert {part.group for part in again} == {parts[0].group + 1}
        await until(lambda: simulator.statistics.waiting == 0)
        await esme.close()
    originated = of(Originated, path)
    assert [(one.text, one.part, one.parts) for one in originated[:3]] == [
        ("first", 1, 1),
        ("abcd", 1, 2),
        ("abcd", 2, 2),
    ]
    assert originated[1:3] == parts
    assert sorted(one.number for one in of(OriginatedAcknowledged, path)) == [one.number for one in originated]


async def test_a_cancelled_message_is_still_cancelled_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with Simulator(SimulatorSettings(journal=path, receipt_delay=60, first_number=1)) as simulator:
        esme = await Esme.connect(simulator.port)
        esme.submit(message("1"), "t")
        await esme.until(lambda: "t" in esme.answers)
        esme.answer_receipts = False
        esme.request(CancelSm(message_id="1", source_addr="DEMO"), "cancel")
        await esme.until(lambda: bool(esme.receipts))
        await esme.close()
    assert [record.number for record in of(Cancelled, path)] == [1]
    async with Simulator(SimulatorSettings(journal=path)) as simulator:
        esme = await Esme.connect(simulator.port)
        await esme.until(lambda: bool(esme.receipts))
        assert b"stat:DELETED" in esme.receipts[0].short_message
        await esme.close()


def test_journals_of_earlier_versions_are_read(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_text(OLD)
    journal, recovered = open_journal(path)
    journal.close()
    assert [(one.id, one.receipt, one.error, one.answer) for one in recovered.owed] == [
        ("3", "UNDELIV", "21b", "always")
    ]
    assert recovered.highest == 3
    assert path.read_text() == OLD


async def test_one_read_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accepted and refused records of one read leave together, before any answer."""
    path = tmp_path / "journal"
    writes: list[int] = []
    write = os.write

    def counted(descriptor: int, data: bytes) -> int:
        writes.append(data.count(b"\n"))
        return write(descriptor, data)

    settings = SimulatorSettings(journal=path, script=Script(rules=[Rule("1", status="RSYSERR")]))
    async with Simulator(settings) as simulator:
        esme = await Esme.connect(simulator.port, window=1000)
        monkeypatch.setattr("smpp_daemon.simulator.journal.os.write", counted)
        bodies = [encode_body(message(str(number % 2))) for number in range(100)]
        esme.session.submit_many(bodies, range(100), esme.loop.time())
        esme.flush()
        await esme.until(lambda: len(esme.answers) == 100)
        assert writes[0] == 100
        await esme.close()


async def test_the_journal_agrees_with_a_client_whatever_goes_wrong(tmp_path: Path) -> None:
    """Message by message: no answer without its record, no record without its submit, every receipt to its message."""
    path = tmp_path / "journal"
    script = Script(
        seed=11,
        statuses={"RSYSERR": 0.05},
        answers={"never": 0.02, "late": 0.02, "twice": 0.05, "generic_nack": 0.02, "unknown_sequence": 0.02},
        late_by=0.3,
        response_delay=Spread(min=0.0, max=0.01),
        queue_full=0.05,
        receipts=Receipts(delay=Spread(min=0, max=0.05), duplicate=0.1, before_response=0.2, held_back=0.1),
        malformed=Malformed(stray_nul=0.1, truncated_tlv=0.1, unknown_tlv=0.1),
        drop=Drop(every=150),
    )
    count, sent = 1000, 0
    answers: dict[str, tuple[int, str]] = {}
    receipts: set[str] = set()
    # What is owed goes on over a restart in the middle.
    async with Simulator(SimulatorSettings(journal=path, script=script)) as simulator:
        while sent < count:
            esme = await Esme.connect(simulator.port, window=50, response=0.2)
            while sent < count and not esme.lost:
                room = range(sent, min(sent + esme.session.room, count))
                bodies = [encode_body(message(f"{number:06}")) for number in room]
                sent += esme.session.submit_many(bodies, [f"{number:06}" for number in room], esme.loop.time())
                esme.flush()
                # No condition: whatever comes next may have freed a slot.
                esme.changed.clear()
                await esme.until(esme.changed.is_set)
            await esme.until(lambda esme=esme: esme.lost or esme.session.room == 50)  # type: ignore[misc]
            await esme.close()
            answers |= {str(token): (one.status, one.message_id) for token, one in esme.answers.items()}
            answers |= {str(one.token): (one.status, one.message_id) for one in esme.late}
            receipts |= {find_text(one.tlvs, Tag.RECEIPTED_MESSAGE_ID) or "" for one in esme.receipts}
    async with Simulator(SimulatorSettings(journal=path)) as simulator:
        esme = await Esme.connect(simulator.port)
        await until(lambda: simulator.statistics.owed == 0)
        receipts |= {find_text(one.tlvs, Tag.RECEIPTED_MESSAGE_ID) or "" for one in esme.receipts}
        await esme.close()

    accepted = {record.destination: record for record in of(Accepted, path)}
    refused = {record.destination: record.status for record in of(Refused, path)}
    assert len(accepted) == len(of(Accepted, path))
    assert not accepted.keys() & refused.keys()
    assert len(answers) > count / 2
    for to, (status, message_id) in answers.items():
        if status:
            assert refused[to] == status
        else:
            assert accepted[to].id == message_id
    assert {record.status for record in of(Refused, path)} == {3, 8, 0x14}
    ids = {record.id for record in accepted.values()}
    assert receipts == ids == {one.id for one in of(Acknowledged, path) if one.copy == "final"}
    assert len(of(Dropped, path)) > count / 200
