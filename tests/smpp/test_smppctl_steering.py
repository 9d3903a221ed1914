"""pause, resume, drain, rebind and set: what an operator of ours does to a running account."""

from contextlib import AsyncExitStack
from pathlib import Path

from app.domain.messages.events import Outcome
from smpp_daemon.bind_health import BindState
from smpp_daemon.control import Hold
from smpp_daemon.daemon import Daemon
from smpp_daemon.simulator import Script, Simulator, SimulatorSettings
from tests.smpp.daemon_harness import QUICK, World, bound, daemon_settings, eventually, running
from tests.smpp.fleet import fleet, serving
from tests.smpp.smppctl_process import answer, done, smppctl
from tests.smpp.test_leases import SWIFT


async def test_a_pause_keeps_messages_in_rabbitmq_and_binds_up(world: World) -> None:
    path = world.settings.smppd.admin_socket
    async with Simulator() as operator:
        await world.make_channel(operator.port)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            said = await done("pause", str(world.channel_id)[:13], socket=path)
            assert "Nothing is sent now" in said
            await world.send(30)
            await eventually(lambda: not account.in_memory)
            assert operator.accepted == 0
            status = (await answer("show", "operator", socket=path))["status"]
            assert (status["hold"], status["binds"][0]["state"]) == ("paused", "bound")
            assert "smppctl resume" in status["detail"]
            stored, health = await world.channel()
            assert (stored, "operator paused sending" in health["detail"]) == ("active", True)
            await eventually(lambda: account.control.hold and not account.in_memory)
            assert await world.queued() == 1
            assert operator.accepted == 0
            assert "sends again" in await done("resume", "operator", socket=path)
            await eventually(lambda: len(world.results.outcomes(Outcome.SENT)) == 30)
            assert operator.accepted == 30


async def test_one_bind_is_paused_and_the_other_sends(world: World) -> None:
    path = world.settings.smppd.admin_socket
    async with Simulator() as operator:
        await world.make_channel(operator.port, binds=2)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world, 2)
            shown = await answer("pause", "tester", "--bind", "1", socket=path)
            assert shown["status"]["paused_binds"] == [1]
            await world.send(40)
            await eventually(lambda: len(world.results.outcomes(Outcome.SENT)) == 40)
            # Two sessions would have used the same numbers.
            assert len({accepted.sequence for accepted in operator.recent}) == 40
            assert [keeper.state for keeper in account.keepers] == [BindState.BOUND] * 2
            assert "paused" in (await smppctl("status", socket=path))[1]
            assert "Bind 1 sends again" in await done("resume", "tester", "--bind", "1", socket=path)
            code, _, err = await smppctl("pause", "tester", "--bind", "7", socket=path)
            assert (code, err) == (1, "operator has no bind 7; there are: 0, 1.\n")


async def test_drain_waits_for_answers_hands_back_the_rest_and_stays_unbound(world: World) -> None:
    path = world.settings.smppd.admin_socket
    async with Simulator(SimulatorSettings(script=Script(response_delay=0.3))) as operator:
        await world.make_channel(operator.port, window=5)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            await world.send(60)
            await eventually(lambda: account.in_flight == 5)
            said = await done("drain", "operator", socket=path)
            assert "Everything was answered" in said
            sent = len(world.results.outcomes(Outcome.SENT))
            assert (operator.accepted, account.in_memory, account.counters.unknown) == (sent, 0, 0)
            assert 0 < sent < 60
            assert [keeper.state for keeper in account.keepers] == [BindState.STOPPED]
            assert operator.statistics.sessions == 0
            # A change by the owner waits for the end of the drain.
            await world.change(config=await world.config() | {"window": 50})
            await eventually(lambda: account.config.window == 50)
            assert [keeper.state for keeper in account.keepers] == [BindState.STOPPED]
            code, _, err = await smppctl("pause", "operator", socket=path)
            assert (code, "drained" in err) == (1, True)
            code, _, err = await smppctl("rebind", "operator", socket=path)
            assert (code, "smppctl resume" in err) == (1, True)
            await done("resume", "operator", socket=path)
            await bound(daemon, world)
            await eventually(lambda: len(world.results.outcomes(Outcome.SENT)) == 60)
            assert operator.accepted == 60
            assert account.keepers[0].health().window["size"] == 50


async def test_rebind_ends_one_session_after_its_answers_and_begins_another(world: World) -> None:
    path = world.settings.smppd.admin_socket
    async with Simulator(SimulatorSettings(script=Script(response_delay=0.05))) as operator:
        await world.make_channel(operator.port, binds=2)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world, 2)
            first, second = (keeper.connection for keeper in account.keepers)
            await world.send(100)
            assert "Bind 0 is bound again" in await done("rebind", "operator", "--bind", "0", socket=path)
            await eventually(lambda: account.keepers[0].connection not in (first, None) and account.keepers[0].state)
            await bound(daemon, world, 2)
            assert account.keepers[1].connection is second
            await done("rebind", "operator", socket=path)
            await eventually(lambda: account.keepers[1].connection is not second)
            await bound(daemon, world, 2)
            await eventually(lambda: len(world.results.outcomes(Outcome.SENT)) == 100)
            assert (operator.accepted, account.counters.unknown) == (100, 0)


async def test_rate_and_window_are_set_until_the_channel_changes(world: World) -> None:
    path = world.settings.smppd.admin_socket
    async with Simulator() as operator:
        await world.make_channel(operator.port, rate={"per_second": 100, "burst": 10})
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            connection = account.keepers[0].connection
            assert connection is not None
            shown = await answer("set", "rate", "operator", "7/3", socket=path)
            assert shown["status"]["overrides"] == {"rate": 7, "burst": 3}
            assert (account.throttle.rate, account.throttle.burst) == (7, 3)
            shown = await answer("set", "window", "operator", "4", socket=path)
            assert shown["status"]["overrides"] == {"rate": 7, "burst": 3, "window": 4}
            assert connection.session.link.window.limit == 4
            assert "set by hand: rate 7, burst 3, window 4" in await done("status", socket=path)
            await done("set", "reset", "operator", socket=path)
            assert (account.throttle.rate, connection.session.link.window.limit) == (100, 50)
            await done("set", "rate", "operator", "9", socket=path)
            await world.change(rate={"per_second": 20, "burst": 5})
            await eventually(lambda: account.throttle.rate == 20)
            assert account.control.overrides == {}
            assert account.keepers[0].connection is connection
            code, _, err = await smppctl("set", "rate", "operator", "fast", socket=path)
            assert (code, "50/10" in err) == (2, True)


async def test_a_paused_account_is_not_given_to_a_daemon_where_it_would_go_on(
    environment: dict[str, str], daemon_database_url: str, tmp_path: Path
) -> None:
    settings, others = (
        daemon_settings(
            environment, daemon_database_url, tmp_path, TURUMBA_SMPPD_ADMIN_SOCKET=str(tmp_path / f"{name}.sock")
        )
        for name in "ab"
    )
    async with Simulator() as operator, fleet(settings, 2) as worlds, AsyncExitStack() as ending:
        for world in worlds:
            await world.make_channel(operator.port)
        one, other = (Daemon(each, delays=QUICK, sharing=SWIFT) for each in (settings, others))
        await one.start()
        ending.push_async_callback(one.stop)
        await eventually(lambda: serving(one, worlds) == [0, 1])
        # The one that would be given up: both have the same, and it is the first.
        await done("pause", str(worlds[0].channel_id), socket=settings.smppd.admin_socket)
        await other.start()
        ending.push_async_callback(other.stop)
        await eventually(lambda: serving(other, worlds) == [1])
        assert serving(one, worlds) == [0]
        assert one.accounts[0].control.hold is Hold.PAUSED
