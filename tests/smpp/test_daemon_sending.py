"""Messages from RabbitMQ to an operator, and what comes back."""

from uuid import UUID

from app.domain.messages.events import Lane, Outcome, ReceiptStatus
from smpp_daemon.protocol.constants import EsmClass
from smpp_daemon.simulator import Rule, Script, Simulator, SimulatorSettings
from tests.smpp.daemon_harness import World, bound, eventually, running


async def test_messages_are_sent_and_receipts_come_back(world: World) -> None:
    async with Simulator() as operator:
        await world.make_channel(operator.port)
        sent = await world.send(700, Lane.BULK) + await world.send(3, Lane.HIGH, to="+25192200")
        async with running(world.settings) as daemon:
            await eventually(lambda: len(world.results.receipts) >= 703)
            assert sorted(world.results.outcomes(Outcome.SENT)) == sorted(message.id for message in sent)
            by_id = {r.parts[0].provider_message_id for r in world.results.results}
            assert {receipt.provider_message_id for receipt in world.results.receipts} == by_id
            assert {receipt.status for receipt in world.results.receipts} == {ReceiptStatus.DELIVERED}
            assert {receipt.recipient for receipt in world.results.receipts} == {m.to.strip("+") for m in sent}
            account = await bound(daemon, world)
            await eventually(lambda: not account.in_memory and not operator.statistics.owed)
            status, health = await world.channel()
            assert status == "active"
            assert [bind["state"] for bind in health["binds"]] == ["bound"]
        assert operator.accepted == 703
        assert await world.queued() == 0


async def test_long_texts_go_in_parts_on_one_bind(world: World) -> None:
    async with Simulator() as operator:
        await world.make_channel(operator.port, binds=2, window=2)
        await world.send(20, text="x" * 400)
        async with running(world.settings):
            await eventually(lambda: len(world.results.results) >= 20)
        assert all(len(result.parts) == 3 for result in world.results.results)
        parts = list(operator.recent)
        assert len(parts) == 60
        assert all(part.esm_class == EsmClass.UDHI for part in parts)
        references = {bytes.fromhex(part.message)[3] for part in parts}
        assert len(references) == 20


async def test_refusals_say_what_is_wrong(world: World) -> None:
    rules = [
        Rule("0001", status="RINVDSTADR"),
        Rule("0002", status="RSYSERR"),
        Rule("0003", status=0x55F),
    ]
    async with Simulator(SimulatorSettings(script=Script(rules=rules))) as operator:
        await world.make_channel(operator.port)
        messages = await world.send(4)
        async with running(world.settings):
            await eventually(lambda: len(world.results.results) >= 4)
    results = [world.results.of(message)[0] for message in messages]
    assert [result.outcome for result in results] == [Outcome.SENT, Outcome.FAILED, Outcome.RETRY, Outcome.FAILED]
    failures = [result.failure for result in results[1:]]
    assert [failure and (failure.kind, failure.code, failure.provider_code) for failure in failures] == [
        ("recipient", "smpp_rinvdstadr", "0x0000000B"),
        ("transient", "smpp_rsyserr", "0x00000008"),
        ("message", "smpp_0x0000055f", "0x0000055F"),
    ]


async def test_throttled_messages_go_first_and_in_order(world: World) -> None:
    """Fact 7 of the reference: the bind pauses, and the refused message keeps its place."""
    async with Simulator(SimulatorSettings(throttle_above=40)) as operator:
        await world.make_channel(operator.port, window=10)
        messages = await world.send(30)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            await eventually(lambda: len(world.results.results) >= 30, 60)
            assert account.counters.throttled > 0
        assert world.results.outcomes(Outcome.SENT) == [message.id for message in messages]
        accepted = [each.destination for each in operator.recent]
        # A window's refusals come back together: within one window the order may differ, beyond it never.
        wanted = [message.to.strip("+") for message in messages]
        assert all(abs(accepted.index(to) - place) <= 10 for place, to in enumerate(wanted))


async def test_validity_and_encoding_reach_the_wire(world: World) -> None:
    async with Simulator() as operator:
        await world.make_channel(operator.port)
        await world.send(1, text="ሰላም", validity_seconds=3600)
        expired = await world.messages(1, validity_seconds=60)
        await world.database.execute(
            "UPDATE messages SET created_at = now() - interval '2 minutes' WHERE id = $1",
            UUID(bytes=expired[0].id),
        )
        await world.publish(world.batch(expired))
        async with running(world.settings):
            await eventually(lambda: len(world.results.results) >= 2)
        assert [each.data_coding for each in operator.recent] == [8]
        assert bytes.fromhex(operator.recent[0].message).decode("utf-16-be") == "ሰላም"
        assert world.results.outcomes(Outcome.EXPIRED) == [expired[0].id]


async def test_a_rate_is_kept(world: World) -> None:
    async with Simulator() as operator:
        await world.make_channel(operator.port, rate={"per_second": 50, "burst": 5})
        await world.send(60)
        async with running(world.settings):
            await eventually(lambda: len(world.results.results) >= 60)
        times = [each.at for each in operator.recent]
        # 5 at once, then 50 a second: the last of 60 cannot leave before 1.1 s.
        assert times[-1] - times[0] >= 1.0
