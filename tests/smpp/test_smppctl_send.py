"""send: a test message past queue and database, with everything that limits ordinary ones."""

import json

import pytest

from app.domain.messages.events import Outcome
from smpp_daemon.simulator import Rule, Script, Simulator, SimulatorSettings
from smpp_daemon.simulator.script import Receipts
from smpp_daemon.verbs import testing
from tests.smpp.daemon_harness import World, bound, eventually, running
from tests.smpp.smppctl_process import done, smppctl


async def test_a_test_message_is_answered_and_its_receipt_goes_no_further(world: World) -> None:
    path = world.settings.smppd.admin_socket
    async with Simulator() as operator:
        await world.make_channel(operator.port, default_from="DEMO")
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            said = await done("send", "operator", "+251911000009", "Test äöü", "--receipt", "20", socket=path)
            assert "TEST MESSAGE" in said
            assert "ROK" not in said.splitlines()[0]
            assert "receipt: DELIVRD" in said
            (accepted,) = operator.recent
            assert (accepted.source, accepted.destination) == ("DEMO", "251911000009")
            await eventually(lambda: not operator.statistics.owed)
            code, out, _ = await smppctl(
                "send", "operator", "+251911000009", "x" * 400, "--from", "4711", "--json", socket=path
            )
            result = json.loads(out)
            assert (code, [part["status_name"] for part in result["parts"]]) == (0, ["ROK"] * 3)
            await eventually(lambda: not operator.statistics.owed)
            # Only messages of the pipeline are results, receipts and attempts.
            await world.send(1)
            await eventually(lambda: world.results.receipts)
            assert len(world.results.receipts) == len(world.results.outcomes(Outcome.SENT)) == await world.claims() == 1
            assert account.counters.submitted == 5


async def test_refusals_and_silence_are_told_in_words(world: World) -> None:
    path = world.settings.smppd.admin_socket
    rules = [Rule("1", status="RINVSRCADR"), Rule("2", answer="never")]
    async with Simulator(SimulatorSettings(script=Script(rules=rules))) as operator:
        await world.make_channel(operator.port, response_timeout_seconds=1)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            code, out, _ = await smppctl("send", "operator", "+2511", "hello", socket=path)
            assert (code, "RINVSRCADR The sender address is not allowed" in out) == (1, True)
            code, out, _ = await smppctl("send", "operator", "+2512", "hello", socket=path)
            assert (code, "never answered" in out) == (1, True)
            assert account.counters.unknown == 0
            code, _, err = await smppctl("send", "operator", "nobody", "hello", socket=path)
            assert (code, "Wrong arguments" in err) == (1, True)
            await done("drain", "operator", socket=path)
            code, _, err = await smppctl("send", "operator", "+2513", "hello", socket=path)
            assert (code, "drained" in err) == (1, True)


async def test_a_saturated_account_makes_room_and_its_rate_still_counts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = world.settings.smppd.admin_socket
    async with Simulator(SimulatorSettings(script=Script(response_delay=0.05))) as operator:
        await world.make_channel(operator.port, window=2, rate={"per_second": 100, "burst": 10})
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            await world.send(150)
            await eventually(lambda: account.in_flight == 2)
            code, out, _ = await smppctl("send", "operator", "+251922", "hello", socket=path)
            assert (code, "message_id" in out) == (0, True)
            assert len(world.results.outcomes(Outcome.SENT)) < 150
            await eventually(lambda: len(world.results.outcomes(Outcome.SENT)) == 150, 40)
            assert operator.accepted == 151
            monkeypatch.setattr(testing, "TURN_SECONDS", 0.2)
            await done("set", "rate", "operator", "0.05", socket=path)
            account.throttle.take(10, 1e9)
            code, _, err = await smppctl("send", "operator", "+251922", "y" * 1500, socket=path)
            assert (code, "Not sent" in err) == (1, True)
            assert operator.accepted == 151


async def test_a_receipt_that_comes_before_the_answer_is_still_the_test_message_s(world: World) -> None:
    """field problem 1, field problem 32: it may be the first, on another bind; others of that number go on."""
    path = world.settings.smppd.admin_socket
    script = Script(response_delay=0.2, receipts=Receipts(before_response=1.0))
    async with Simulator(SimulatorSettings(script=script)) as operator:
        await world.make_channel(operator.port, binds=3)
        async with running(world.settings) as daemon:
            await bound(daemon, world, 3)
            (message,) = await world.send(1)
            said = await done("send", "operator", message.to, "hello", "--receipt", "20", socket=path)
            assert "receipt: DELIVRD" in said
            await eventually(lambda: world.results.receipts and not operator.statistics.owed)
            (part,) = world.results.results[0].parts
            assert [each.provider_message_id for each in world.results.receipts] == [part.provider_message_id]
