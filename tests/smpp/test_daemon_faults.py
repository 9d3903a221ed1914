"""What is never lost and never sent twice, whatever goes away in between."""

import asyncio
from pathlib import Path

import aio_pika
import msgspec
import pytest

from app.domain.messages.events import Lane, Outcome, encode
from app.domain.messages.handover import Handover
from app.lib.broker import dispatch_queue
from app.lib.db import Database
from app.lib.ids import new_id
from app.settings import Settings
from smpp_daemon.bind_health import BindState
from smpp_daemon.daemon import Daemon
from smpp_daemon.simulator import Rule, Script, Simulator, SimulatorSettings
from tests.smpp.daemon_harness import QUICK, World, bound, daemon_settings, eventually, running

SILENT = SimulatorSettings(script=Script(rules=[Rule("", answer="never")]), receipt_delay=None)


async def test_an_operator_that_is_down_gets_everything_once_it_is_up(world: World) -> None:
    async with Simulator() as probe:
        port = probe.port
    await world.make_channel(port)
    messages = await world.send(50)
    async with running(world.settings) as daemon:
        await eventually(lambda: daemon.accounts and daemon.accounts[0].keepers[0].last_error)
        status, health = await world.channel()
        assert status == "connecting" or health["detail"].startswith("cannot connect")
        assert await world.queued() == 1
        async with Simulator(SimulatorSettings(port=port)) as operator:
            await eventually(lambda: len(world.results.results) >= 50)
            assert sorted(world.results.outcomes(Outcome.SENT)) == sorted(message.id for message in messages)
            assert operator.accepted == 50


async def test_a_refused_bind_is_an_error_in_words_until_the_password_is_right(world: World) -> None:
    async with Simulator(SimulatorSettings(system_id="tester", password="correct")) as operator:
        await world.make_channel(operator.port, password="wrong")
        await world.send(10)
        async with running(world.settings) as daemon:
            await eventually(lambda: daemon.accounts and daemon.accounts[0].state == "error")
            async with asyncio.timeout(10):
                while (await world.channel())[0] != "error":
                    await asyncio.sleep(0.01)
            _, health = await world.channel()
            assert "password is wrong" in health["detail"]
            assert await world.queued() == 1
            await world.change(password="correct")
            await eventually(lambda: len(world.results.outcomes(Outcome.SENT)) >= 10)
            async with asyncio.timeout(10):
                while (await world.channel())[0] != "active":
                    await asyncio.sleep(0.01)
        assert operator.accepted == 10


async def test_the_same_batch_twice_is_sent_once(world: World) -> None:
    async with Simulator() as operator:
        await world.make_channel(operator.port, rate={"per_second": 200, "burst": 10})
        batch = world.batch(await world.messages(100))
        other = world.batch(list(batch.messages))
        async with running(world.settings) as daemon:
            await world.publish(batch, batch, other)
            await eventually(lambda: len(world.results.results) >= 100)
            await world.publish(batch)
            late = await world.send(1, Lane.HIGH, to="+25199900")
            await eventually(lambda: world.results.of(late[0]))
            account = await bound(daemon, world)
            await eventually(lambda: not account.in_memory)
        assert operator.accepted == 101
        assert {result.outcome for result in world.results.results} == {Outcome.SENT}
        assert await world.queued() == 0


@pytest.mark.parametrize(
    ("policy", "outcome"), [("hold", Outcome.UNKNOWN), ("fail", Outcome.UNKNOWN), ("resend", Outcome.RETRY)]
)
async def test_what_another_process_claimed_and_never_reported_is_unknown(
    world: World, daemon_config: Settings, policy: str, outcome: Outcome
) -> None:
    """The daemon was killed between the claim and the answer."""
    database = Database(daemon_config.database.url, process="test", pool_size=1)
    async with Simulator() as operator:
        await world.make_channel(operator.port, on_unknown=policy)
        messages = await world.messages(20)
        await Handover(database).claim(world.account_id, world.channel_id, messages[:5])
        await database.close()
        await world.publish(world.batch(messages))
        async with running(world.settings):
            await eventually(lambda: len(world.results.results) >= 20)
        assert sorted(world.results.outcomes(outcome)) == sorted(message.id for message in messages[:5])
        assert operator.accepted == 15


@pytest.mark.parametrize(
    ("policy", "outcome"), [("hold", Outcome.UNKNOWN), ("fail", Outcome.FAILED), ("resend", Outcome.RETRY)]
)
async def test_a_connection_lost_after_the_write_is_unknown(world: World, policy: str, outcome: Outcome) -> None:
    async with Simulator(SILENT) as operator:
        await world.make_channel(operator.port, window=10, on_unknown=policy)
        messages = await world.send(25)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            # Written is not yet received: what the operator has not read is lost with the connection.
            await eventually(lambda: account.in_flight == 10 and operator.accepted == 10)
            operator.drop_connections()
            await eventually(lambda: len(world.results.outcomes(outcome)) >= 10)
            assert world.results.outcomes(outcome)[:10] == [message.id for message in messages[:10]]
            # The next ten go to the next session; nothing of the first ten is written again.
            await eventually(lambda: operator.accepted == 20)
        assert len({each.destination for each in operator.recent}) == operator.accepted


async def test_an_answer_after_its_deadline_settles_the_unknown(world: World) -> None:
    script = Script(rules=[Rule("0000", response_delay=1.6)])
    async with Simulator(SimulatorSettings(script=script, receipt_delay=None)) as operator:
        await world.make_channel(operator.port, response_timeout_seconds=1)
        messages = await world.send(2)
        async with running(world.settings):
            await eventually(lambda: len(world.results.of(messages[0])) == 2)
        unknown, sent = world.results.of(messages[0])
        assert (unknown.outcome, sent.outcome) == (Outcome.UNKNOWN, Outcome.SENT)
        assert sent.parts[0].provider_message_id
        assert operator.accepted == 2


async def test_without_a_session_nothing_is_consumed_and_nothing_spins(world: World) -> None:
    """field problem 17: no requeue loop while unbound; consuming stops and everything goes back once."""
    async with Simulator(SimulatorSettings(receipt_delay=None)) as operator:
        port = operator.port
        await world.make_channel(port, rate={"per_second": 5, "burst": 1})
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            messages = await world.send(40)
            await eventually(lambda: world.results.results)
            await operator.stop()
            async with asyncio.timeout(10):
                while await world.queued() != 1:
                    await asyncio.sleep(0.01)
            assert account.in_memory == 0
            done = len(world.results.results)
            # Everything that was not sent has no claim any more.
            assert await world.claims() == done
            await world.change(rate={"per_second": 1000})
            async with Simulator(SimulatorSettings(port=port, receipt_delay=None)) as again:
                await eventually(lambda: len(world.results.results) >= 40)
                assert sorted(r.message_id for r in world.results.results) == sorted(m.id for m in messages)
                assert operator.accepted + again.accepted == 40


async def test_stopping_drains_and_hands_back(world: World) -> None:
    script = Script(response_delay=0.3)
    async with Simulator(SimulatorSettings(script=script, receipt_delay=None)) as operator:
        await world.make_channel(operator.port, window=5)
        messages = await world.send(100)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            await eventually(lambda: account.in_flight == 5 and world.results.results)
        first = operator.accepted
        assert 5 < first < 100
        assert not world.results.outcomes(Outcome.UNKNOWN)
        assert await world.queued() == 1
        assert await world.claims() == first
        assert operator.statistics.sessions == 0
        async with running(world.settings):
            await eventually(lambda: len({r.message_id for r in world.results.results}) == 100, 60)
            await eventually(lambda: operator.accepted == 100, 60)
        assert len({each.destination for each in operator.recent}) == 100
        # The results consumer does not run here, so what the first daemon sent looks claimed to the second one:
        # its "unknown" comes after the "sent" and changes nothing.
        for message in messages:
            assert world.results.of(message)[0].outcome is Outcome.SENT


async def test_stopping_with_a_silent_operator_marks_what_was_written_unknown_and_nothing_else(world: World) -> None:
    """What was written and never answered until the deadline is `unknown`; the rest was never claimed for good."""
    async with Simulator(SILENT) as operator:
        await world.make_channel(operator.port, window=5, response_timeout_seconds=60)
        messages = await world.send(30)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            await eventually(lambda: account.in_flight == 5)
        assert world.results.outcomes(Outcome.UNKNOWN) == [message.id for message in messages[:5]]
        assert len(world.results.results) == 5
        assert await world.queued() == 1
        assert await world.claims() == 5
        # It said good-bye before it went.
        assert (operator.statistics.sessions, operator.accepted) == (0, 5)
        await world.send(1, to="+25192200")
    async with Simulator(SimulatorSettings(receipt_delay=None)) as again:
        await change_port(world, again.port)
        async with running(world.settings):
            await eventually(lambda: len(world.results.outcomes(Outcome.SENT)) == 26, 30)
        assert again.accepted == 26
        destinations = {each.destination for each in [*operator.recent, *again.recent]}
        assert len(destinations) == 31


async def change_port(world: World, port: int) -> None:
    hosts = [{"host": "127.0.0.1", "port": port}]
    await world.change(config=await world.config() | {"hosts": hosts})


async def test_stopping_while_no_bind_was_ever_up_takes_nothing(world: World) -> None:
    async with Simulator() as probe:
        port = probe.port
    await world.make_channel(port)
    await world.send(10)
    async with running(world.settings) as daemon:
        await eventually(lambda: daemon.accounts and daemon.accounts[0].keepers[0].last_error)
    assert await world.queued() == 1
    assert await world.claims() == 0
    assert not world.results.results


async def test_only_one_of_two_daemons_binds_and_the_other_takes_over(
    world: World, environment: dict[str, str], daemon_database_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "second"
    folder.mkdir()
    second = daemon_settings(environment, daemon_database_url, folder)
    async with Simulator() as operator:
        await world.make_channel(operator.port)
        async with running(world.settings) as one:
            await bound(one, world)
            async with running(second) as two:
                await world.change(name="renamed")
                await world.send(10)
                await eventually(lambda: len(world.results.results) >= 10)
                assert not two.accounts
                assert operator.statistics.sessions == 1
                await one.stop()
                await bound(two, world)
                await world.send(10, to="+25193300")
                await eventually(lambda: len(world.results.results) >= 20)
        assert operator.accepted == 20


async def test_a_lost_lease_pauses_sending_until_it_is_back(world: World) -> None:
    async with Simulator() as operator:
        await world.make_channel(operator.port)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            ended = await world.database.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND pid <> $1",
                world.database.get_server_pid(),
            )
            assert ended
            await world.send(10)
            await eventually(lambda: len(world.results.results) >= 10)
            assert account in daemon.accounts
            assert account.keepers[0].reconnects == 0
        assert operator.statistics.binds == 1


async def test_a_broken_amqp_connection_neither_loses_nor_repeats(world: World) -> None:
    script = Script(response_delay=0.2)
    async with Simulator(SimulatorSettings(script=script, receipt_delay=None)) as operator:
        await world.make_channel(operator.port, window=5)
        messages = await world.send(60)
        async with running(world.settings) as daemon:
            await eventually(lambda: world.results.results)
            await _break_amqp(daemon)
            await eventually(lambda: len(world.results.results) >= 60, 60)
            account = await bound(daemon, world)
            await eventually(lambda: not account.in_memory)
        assert sorted(world.results.outcomes(Outcome.SENT)) == sorted(message.id for message in messages)
        assert operator.accepted == 60
        assert await world.queued() == 0


async def _break_amqp(daemon: Daemon) -> None:
    """Both connections end as if RabbitMQ had closed them."""
    for connection in (daemon._link._connection, daemon._publisher._connection):
        assert connection is not None
        await connection.close()


async def test_an_unreadable_batch_goes_to_the_dead_and_blocks_nobody(world: World) -> None:
    async with Simulator() as operator:
        await world.make_channel(operator.port)
        amqp = await aio_pika.connect(world.settings.broker.url)
        async with amqp, amqp.channel() as channel:
            await channel.default_exchange.publish(
                aio_pika.Message(b"not a batch"), routing_key=dispatch_queue(world.channel_id, "bulk")
            )
            foreign = world.batch(await world.messages(1))
            stranger = aio_pika.Message(encode(msgspec.structs.replace(foreign, channel_id=new_id())))
            await channel.default_exchange.publish(stranger, routing_key=dispatch_queue(world.channel_id, "bulk"))
        await world.send(3)
        async with running(world.settings):
            await eventually(lambda: len(world.results.results) >= 3)
        assert operator.accepted == 3
        assert await world.queued() == 0


async def test_changes_apply_in_place_or_rebind_only_what_must_be(world: World) -> None:
    async with Simulator() as operator, Simulator() as elsewhere:
        await world.make_channel(operator.port)
        async with running(world.settings, QUICK) as daemon:
            account = await bound(daemon, world)
            config = await world.config()
            await world.change(config=config | {"window": 7}, rate={"per_second": 33, "burst": 4})
            await eventually(lambda: account.throttle.rate == 33)
            assert account.keepers[0].health().window["size"] == 7
            assert operator.statistics.binds == 1
            await world.change(config=config | {"hosts": [{"host": "127.0.0.1", "port": elsewhere.port}]})
            await eventually(lambda: elsewhere.statistics.sessions == 1 and operator.statistics.sessions == 0)
            await world.send(5)
            await eventually(lambda: len(world.results.results) >= 5)
            await world.change(status="paused")
            await eventually(lambda: not daemon.accounts)
            assert elsewhere.statistics.sessions == 0
            await world.change(status="connecting")
            await bound(daemon, world)
        assert elsewhere.accepted == 5


async def test_binds_spread_over_hosts_and_fail_over(world: World) -> None:
    async with Simulator() as one, Simulator() as two:
        hosts = [{"host": "127.0.0.1", "port": one.port}, {"host": "127.0.0.1", "port": two.port}]
        await world.make_channel(one.port, hosts=hosts, binds=2)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world, 2)
            assert (one.statistics.sessions, two.statistics.sessions) == (1, 1)
            await one.stop()
            await eventually(lambda: two.statistics.sessions == 2)
            await eventually(lambda: all(keeper.state is BindState.BOUND for keeper in account.keepers))
