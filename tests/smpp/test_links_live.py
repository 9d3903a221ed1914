"""A channel's settings change while it runs: what must be bound again is, one bind at a time, and nothing else is."""

import asyncio
from typing import Any

from app.domain.messages.events import Outcome
from app.domain.messages.events import Receipt as ReceiptEvent
from smpp_daemon.bind_health import BindState
from smpp_daemon.protocol.status import RINVPASWD, ROK
from smpp_daemon.retry import Delays
from smpp_daemon.simulator import Script, Simulator, SimulatorSettings
from tests.smpp.daemon_harness import QUICK, World, bound, eventually, running
from tests.smpp.smsc import Smsc


async def change(world: World, **config: Any) -> None:
    await world.change(config=await world.config() | config)


async def test_more_and_fewer_binds_leave_the_others_alone(world: World) -> None:
    async with Simulator() as operator:
        await world.make_channel(operator.port, binds=2)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world, 2)
            kept = [keeper.connection for keeper in account.keepers]
            await change(world, binds=3)
            await bound(daemon, world, 3)
            assert [keeper.connection for keeper in account.keepers][:2] == kept
            assert (operator.statistics.binds, operator.statistics.sessions) == (3, 3)
            await change(world, binds=2)
            await eventually(lambda: len(account.keepers) == 2)
            assert [keeper.connection for keeper in account.keepers] == kept
            await eventually(lambda: operator.statistics.sessions == 2)
            assert (operator.statistics.binds, operator.statistics.violations) == (3, 0)
            await world.send(20)
            await eventually(lambda: len(world.results.outcomes(Outcome.SENT)) == 20)


async def test_window_rate_timers_and_text_change_without_the_operator_noticing(world: World) -> None:
    async with Simulator() as operator:
        await world.make_channel(operator.port, binds=2)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world, 2)
            kept = [keeper.connection for keeper in account.keepers]
            await change(world, window=7, dest_ton=2, dest_npi=8, enquire_link_seconds=9, response_timeout_seconds=4)
            await world.change(rate={"per_second": 50, "burst": 5})
            await eventually(lambda: account.throttle.rate == 50)
            for connection in kept:
                assert connection is not None
                link = connection.session.link
                assert (link.window.limit, link.window.response_timeout) == (7, 4.0)
                assert link.timers.settings.enquire_link_interval == 9.0
            await world.send(1)
            await eventually(lambda: operator.accepted == 1)
            assert (operator.recent[-1].destination_ton, operator.recent[-1].destination_npi) == (2, 8)
            another = {"host": "127.0.0.1", "port": 1}
            hosts = [*(await world.config())["hosts"], another]
            # A host more: the binds whose own host is still the one they are on stay there.
            await change(world, hosts=hosts, binds=1)
            await eventually(lambda: len(account.keepers) == 1)
            assert account.keepers[0].connection is kept[0]
            assert operator.statistics.binds == 2


async def test_a_new_login_is_taken_one_bind_after_the_other_while_messages_go_on(world: World) -> None:
    script = Script(response_delay=0.01)
    async with Simulator(SimulatorSettings(script=script, receipt_delay=None)) as operator:
        await world.make_channel(operator.port, binds=3, window=5)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world, 3)
            messages = await world.send(1500)
            await eventually(lambda: operator.accepted > 50)
            # The objects themselves: the id of one that is gone may be another's.
            before = [keeper.connection for keeper in account.keepers]
            fewest = 3
            await world.change(password="changed")

            def changed() -> bool:
                nonlocal fewest
                fewest = min(fewest, sum(keeper.state is BindState.BOUND for keeper in account.keepers))
                return not any(keeper.connection is old for keeper in account.keepers for old in before)

            await eventually(changed)
            await bound(daemon, world, 3)
            assert fewest >= 2
            assert operator.statistics.binds == 6
            await eventually(lambda: len(world.results.results) >= 1500, 60)
        # Every request was answered on the session it was written to: nothing is unknown, nothing went twice.
        assert sorted(world.results.outcomes(Outcome.SENT)) == sorted(message.id for message in messages)
        assert operator.accepted == 1500


async def test_a_wish_to_connect_ends_the_wait_and_a_deleted_channel_unbinds(world: World) -> None:
    async with Smsc(verdict=lambda _: RINVPASWD) as smsc:
        await world.make_channel(smsc.port)
        async with running(world.settings, Delays()) as daemon:
            await eventually(lambda: daemon.accounts and daemon.accounts[0].state == "error")
            account = daemon.accounts[0]
            async with asyncio.timeout(10):
                while (await world.channel())[0] != "error":
                    await asyncio.sleep(0.01)
            _, health = await world.channel()
            assert "retry in" in health["detail"]
            assert health["binds"][0]["tries"] == 1
            smsc.verdict = lambda _: ROK
            # Another name is no reason to try again; the owner's wish is.
            await world.change(name="renamed")
            await eventually(lambda: account.record.name == "renamed")
            assert account.state == "error"
            await world.change(status="connecting")
            await bound(daemon, world)
            assert len(smsc.binds) == 2
            await world.database.execute(
                "UPDATE channels SET deleted_at = now(), updated_at = clock_timestamp() WHERE id = $1", world.channel_id
            )
            await world.database.execute("SELECT pg_notify('turumba_channel_changed', $1)", str(world.channel_id))
            await eventually(lambda: not daemon.accounts and not smsc.peers)


async def test_a_pair_sends_on_one_bind_and_gets_its_receipts_on_the_other(world: World) -> None:
    """field problem 32: receipts belong to the account, not to the bind that sent the message."""
    async with Simulator() as operator:
        await world.make_channel(operator.port, bind="pair")
        async with running(world.settings) as daemon:
            account = await bound(daemon, world, 2)
            assert [keeper.health().mode for keeper in account.keepers] == ["transmitter", "receiver"]
            messages = await world.send(10)
            await eventually(lambda: len(world.results.receipts) >= 10)
            assert sorted(world.results.outcomes(Outcome.SENT)) == sorted(message.id for message in messages)
            receipts: list[ReceiptEvent] = world.results.receipts
            given = {part.provider_message_id for result in world.results.results for part in result.parts}
            assert {receipt.provider_message_id for receipt in receipts} == given
            assert account.health()["detail"] == "2 of 2 binds are up."


async def test_a_pair_is_not_active_while_only_its_receiver_is_bound(world: World) -> None:
    verdict_by_mode = {"TRANSMITTER": 0x0D}
    async with Smsc(verdict=lambda request: verdict_by_mode.get(request.mode.name, 0)) as smsc:
        await world.make_channel(smsc.port, bind="pair")
        async with running(world.settings) as daemon:
            account = await bound(daemon, world, 1)
            assert account.state == "connecting"
            assert "RBINDFAIL" in str(account.health()["detail"])
            verdict_by_mode.clear()
            await bound(daemon, world, 2)
            assert account.state == "active"


async def test_what_an_operator_said_about_speed_outlives_the_connection(world: World) -> None:
    """field problem 13: the rate belongs to the account; a new connection neither forgets nor keeps it for ever."""
    async with Simulator(SimulatorSettings(throttle_above=20, receipt_delay=None)) as operator:
        await world.make_channel(operator.port, rate={"per_second": 400, "burst": 40})
        async with running(world.settings, QUICK) as daemon:
            account = await bound(daemon, world)
            throttle = account.throttle
            await world.send(60)
            await eventually(lambda: account.counters.throttled > 0)
            slowed = throttle.current_rate
            assert slowed < 400
            operator.drop_connections()
            await eventually(lambda: account.keepers[0].reconnects == 1)
            await bound(daemon, world)
            assert account.throttle is throttle
            assert throttle.current_rate < 400
