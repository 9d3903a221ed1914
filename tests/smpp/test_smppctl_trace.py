"""trace: the PDUs of one number, or of one account, while they pass."""

import asyncio
import json
from typing import Any

from app.domain.messages.events import Outcome
from smpp_daemon.account import OperatorAccount
from smpp_daemon.protocol.codec import encode
from smpp_daemon.protocol.constants import BindMode, CommandId
from smpp_daemon.protocol.pdu import BindRequest, DeliverSm, SubmitSm, SubmitSmResp
from smpp_daemon.simulator import Rule, Script, Simulator, SimulatorSettings
from smpp_daemon.trace import MAX_WAITING, Tap, Watch, plain_number
from tests.smpp.daemon_harness import World, bound, eventually, running
from tests.smpp.smppctl_process import begin, smppctl


async def started(account: OperatorAccount) -> None:
    await eventually(lambda: account.tap.watches)


async def test_the_pdus_of_one_number_are_shown_in_both_directions_and_no_others(world: World) -> None:
    path = world.settings.smppd.admin_socket
    rules = [Rule("0002", status=0x55F)]
    async with Simulator(SimulatorSettings(script=Script(rules=rules))) as operator:
        await world.make_channel(operator.port)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            assert account.keepers[0].connection is not None
            assert account.keepers[0].connection.tap is None
            process = await begin("trace", "00251911000001", "--limit", "4", "--json", socket=path)
            await started(account)
            await world.send(4)
            out, err = await asyncio.wait_for(process.communicate(), 30)
            assert (process.returncode, err) == (0, b"")
            pdus: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
            assert [(pdu["direction"], pdu["command"]) for pdu in pdus] == [
                ("out", "submit_sm"),
                ("in", "submit_sm_resp"),
                ("in", "deliver_sm"),
                ("out", "deliver_sm_resp"),
            ]
            submit, answer, receipt, _ = pdus
            assert (submit["fields"]["destination_addr"], submit["text"]) == ("251911000001", "Hello")
            assert bytes.fromhex(submit["hex"])[4:8] == b"\0\0\0\4"
            assert answer["latency_ms"] >= 0
            assert answer["sequence"] == submit["sequence"]
            assert receipt["text"].startswith(f"id:{answer['fields']['message_id']}")
            await eventually(lambda: not account.tap.watches)
            assert account.keepers[0].connection.tap is None
            code, _, words = await smppctl("trace", "+251911000009", "--seconds", "0.2", socket=path)
            assert (code, words) == (1, "Nothing passed.\n")


async def test_an_account_s_trace_shows_binds_without_the_password_and_unknown_statuses(world: World) -> None:
    path = world.settings.smppd.admin_socket
    rules = [Rule("0000", status=0x55F)]
    async with Simulator(SimulatorSettings(script=Script(rules=rules))) as operator:
        await world.make_channel(operator.port, password="open sesame")
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            process = await begin("trace", "--account", "operator", "--limit", "6", socket=path)
            await started(account)
            account.binds.rebind()
            await eventually(lambda: operator.statistics.binds == 2)
            await world.send(1)
            out, _ = await asyncio.wait_for(process.communicate(), 30)
            shown = out.decode()
            for words in ("unbind_resp", "bind_transceiver ", "password=***", "system_id=tester", "0x0000055F"):
                assert words in shown
            assert "sesame" not in shown
            assert b"open sesame".hex(" ") not in shown
            assert max(map(len, shown.splitlines())) < 200
            await eventually(lambda: world.results.outcomes(Outcome.FAILED))


def test_numbers_are_compared_without_their_prefixes() -> None:
    assert plain_number("+251 911-000001") == plain_number("00251911000001") == "251911000001"
    assert plain_number("DEMO") == "DEMO"
    assert plain_number("0") == "0"


def _tap(*watches: Watch) -> Tap:
    tap = Tap("channel", lambda: "operator", lambda: 1_700_000_000.5)
    tap.watches += watches
    return tap


async def test_a_tap_that_begins_in_the_middle_of_a_pdu_reads_on() -> None:
    watch = Watch("4711")
    request = encode(DeliverSm(source_addr="4711", short_message=b"hi"), 7)
    link = _tap(watch).link(0, "host:1", 65536, request[:20])
    link.received(request[20:] + request[:5])
    link.received(request[5:])
    assert (await watch.next()).text == "hi"
    assert (await watch.next()).sequence == 7
    link.received(b"HTTP/1.1 400 Bad Request\r\n")
    link.received(request)
    link.sent(encode(SubmitSm(destination_addr="4711"), 1))
    told = await watch.next()
    assert (told.direction, told.command, told.at) == ("out", "submit_sm", "2023-11-14T22:13:20.500Z")


async def test_a_slow_reader_loses_pdus_and_is_told_how_many() -> None:
    watch = Watch("4711")
    link = _tap(watch).link(0, "host:1", 65536)
    for sequence in range(1, MAX_WAITING + 11):
        link.sent(encode(SubmitSm(destination_addr="4711"), sequence))
    for _ in range(MAX_WAITING):
        assert (await watch.next()).dropped == 0
    link.received(encode(SubmitSmResp("1"), 1))
    assert (await watch.next()).dropped == 10


async def test_what_cannot_be_read_is_shown_but_never_a_password() -> None:
    everything = Watch(None)
    link = _tap(everything).link(0, "host:1", 65536)
    whole = encode(BindRequest(BindMode.RECEIVER, "tester", "sesame"), 1)
    cut = (whole[:-8]).replace(whole[:4], (len(whole) - 8).to_bytes(4, "big"))
    link.sent(cut)
    told = await everything.next()
    assert (told.command, "unreadable" in told.fields) == ("bind_receiver", True)
    assert b"sesame".hex() not in told.hex
    link.sent(whole)
    assert b"sesame".hex() not in (await everything.next()).hex
    link.received(b"\0\0\0\x10\x80\0\0\0\0\0\0\3\0\0\0\1")
    nack = await everything.next()
    assert (nack.command, nack.status_name, nack.latency_ms) == ("generic_nack", "RINVCMDID", 0)
    link.sent(b"\0\0\0\x10\0\0\x0a\0\0\0\0\0\0\0\0\1")
    assert (await everything.next()).command == f"0x{0xA00:08x}"
    link.sent(CommandId.ENQUIRE_LINK.to_bytes(8, "big").replace(b"\0\0\0\0", b"\0\0\0\x10", 1) + bytes(8))
    link.sent(encode(SubmitSm(destination_addr="1"), 9))
    assert (await everything.next()).command == "submit_sm"
