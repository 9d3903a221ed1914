"""Daemons share the channels, give some up to one that joins, and take over what a dead one leaves."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.messages.events import Outcome
from app.lib.db import Database
from app.lib.tasks import end_tasks
from app.settings import Settings
from smpp_daemon.daemon import Daemon
from smpp_daemon.lease import MEMBERS, Leases
from smpp_daemon.sharing import Balance, Peers, Sharing, share
from smpp_daemon.simulator import Script, Simulator, SimulatorSettings
from tests.database_door import DatabaseDoor
from tests.smpp.daemon_harness import QUICK, World, bound, daemon_settings, eventually, running
from tests.smpp.fleet import daemons_there_are, fleet, serving
from tests.smpp.test_daemon_process import smppd

SWIFT = Sharing(survey=0.1, settle=0.3, between=0.05, keep_off=5.0)


@pytest.fixture
def second_settings(environment: dict[str, str], daemon_database_url: str, tmp_path: Path) -> Settings:
    folder = tmp_path / "second"
    folder.mkdir()
    return daemon_settings(environment, daemon_database_url, folder)


@pytest.fixture
async def worlds(daemon_config: Settings) -> AsyncIterator[list[World]]:
    async with fleet(daemon_config, 5) as worlds:
        yield worlds


def test_a_share_is_an_equal_part_rounded_up() -> None:
    assert [share(5, daemons) for daemons in (1, 2, 3, 5, 9)] == [5, 3, 2, 1, 1]
    assert share(0, 3) == 0


@given(st.lists(st.integers(0, 40), min_size=2, max_size=6))
def test_daemons_settle_on_nearly_equal_numbers_and_then_rest(counts: list[int]) -> None:
    """Each follows its own rules only; whatever they begin with, they end with differences of one and move no more."""
    names = range(1, len(counts) + 1)
    held = dict(zip(names, counts, strict=True))
    balances = {name: Balance(SWIFT) for name in names}
    now, moves, total = 1.0, 0, sum(counts)
    for _ in range(20 * (total + len(counts))):
        now += 1.0
        for name in names:
            peers = Peers(name, {other: count for other, count in held.items() if other != name}, frozenset(), 0.0)
            if balances[name].has_too_many(held[name], peers, now):
                balances[name].giving(UUID(int=moves), now)
                held[name] -= 1
                taker = min((each for each in names if each != name), key=lambda each: held[each])
                assert held[taker] < share(total, len(counts))
                held[taker] += 1
                moves += 1
    assert max(held.values()) - min(held.values()) <= 1
    assert moves <= total


def test_what_was_given_up_is_left_to_the_others_for_a_while() -> None:
    balance, channel, alone = Balance(SWIFT), UUID(int=1), Peers()
    other = Peers(1, {2: 0}, frozenset(), since=10.0)
    assert not balance.has_too_many(2, other, 10.1)
    assert balance.has_too_many(2, other, 10.4)
    balance.giving(channel, 10.4)
    assert not balance.has_too_many(3, other, 10.41)
    assert not balance.may_take(channel, other, 11.0)
    # Nothing more is given before somebody serves it, or would have by now.
    assert balance.waits(lambda _: False, 11.0)
    assert not balance.waits(lambda taken: taken == channel, 11.0)
    assert not balance.waits(lambda _: False, 16.0)
    assert balance.may_take(channel, other, 16.0)
    balance.giving(channel, 17.0)
    # The other one died: nobody else will take it.
    assert balance.may_take(channel, alone, 17.1)


def test_the_locks_say_who_is_there_and_who_serves_what() -> None:
    locks = [(7, True, 1), (7, False, 100), (8, True, 1), (8, False, 200), (8, False, -300), (9, False, 400)]
    peers = Peers.of(locks, 7, 5.0)
    assert peers.others == {8: 2}
    # Process 9 holds a lock without being a daemon, or is one that is leaving: what it has is taken all the same.
    assert peers.taken == {200, -300, 400}


async def what_is_there(worlds: list[World], *daemons: Daemon) -> str:
    """Everything that decides who serves what, for a failure that is rare."""
    channels = await worlds[0].database.fetch(
        "SELECT id, status, health ->> 'detail' AS detail FROM channels WHERE deleted_at IS NULL AND type = 'smpp'"
    )
    locks = await worlds[0].database.fetch(
        "SELECT pid, classid, objid, objsubid, mode, granted FROM pg_locks WHERE locktype = 'advisory'"
    )
    accounts = [[(str(each.id), each.state, [k.state for k in each.keepers]) for each in d.accounts] for d in daemons]
    return "\n".join(map(str, (*map(dict, channels), *map(dict, locks), *accounts)))


async def test_a_daemon_that_joins_is_given_its_share_gracefully_and_nothing_moves_afterwards(
    worlds: list[World], daemon_config: Settings, second_settings: Settings
) -> None:
    script = Script(response_delay=0.02)
    async with Simulator(SimulatorSettings(script=script, receipt_delay=None)) as operator:
        for world in worlds:
            await world.make_channel(operator.port, window=5, rate={"per_second": 40, "burst": 4})
        one, two = (
            Daemon(daemon_config, delays=QUICK, sharing=SWIFT),
            Daemon(second_settings, delays=QUICK, sharing=SWIFT),
        )
        await one.start()
        try:
            await eventually(lambda: len(serving(one, worlds)) == 5)
            sent = [await world.send(150, to=f"+2519{number}00") for number, world in enumerate(worlds)]
            await two.start()
            try:
                try:
                    await eventually(lambda: (len(serving(one, worlds)), len(serving(two, worlds))) == (3, 2), 90)
                except TimeoutError:
                    pytest.fail(await what_is_there(worlds, one, two))
                shared = serving(one, worlds), serving(two, worlds)
                assert not set(shared[0]) & set(shared[1])
                binds = operator.statistics.binds
                for world, messages in zip(worlds, sent, strict=True):
                    await _sent(world, 150)
                    assert {result.message_id for result in world.results.results} == {each.id for each in messages}
                assert (serving(one, worlds), serving(two, worlds)) == shared
                assert (operator.statistics.binds, operator.statistics.sessions) == (binds, 5)
                assert binds == 7
            finally:
                await two.stop()
            # The first one takes back what the second one gave up when it ended.
            await eventually(lambda: len(serving(one, worlds)) == 5, 90)
        finally:
            await one.stop()
        assert operator.accepted == 750


async def test_lost_lock_connections_move_no_channel(
    worlds: list[World], daemon_config: Settings, second_settings: Settings
) -> None:
    """PostgreSQL restarts: each daemon takes back what it serves before anybody takes more."""
    async with Simulator() as operator:
        for world in worlds[:4]:
            await world.make_channel(operator.port)
        one, two = (
            Daemon(daemon_config, delays=QUICK, sharing=SWIFT),
            Daemon(second_settings, delays=QUICK, sharing=SWIFT),
        )
        await asyncio.gather(one.start(), two.start())
        try:
            await eventually(lambda: (len(serving(one, worlds)), len(serving(two, worlds))) == (2, 2), 90)
            shared, binds = (serving(one, worlds), serving(two, worlds)), operator.statistics.binds
            sessions = {daemon._leases.peers.own for daemon in (one, two)}
            await worlds[0].database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'turumba-smppd-session' AND datname = current_database()"
            )
            await eventually(lambda: sessions.isdisjoint({daemon._leases.peers.own for daemon in (one, two)}))
            await daemons_there_are(worlds[0], 2)
            await eventually(lambda: all(len(daemon._leases) == 2 for daemon in (one, two)))
            assert (serving(one, worlds), serving(two, worlds)) == shared
            await worlds[0].send(5)
            await eventually(lambda: len(worlds[0].results.outcomes(Outcome.SENT)) == 5)
            assert operator.statistics.binds == binds
        finally:
            await asyncio.gather(one.stop(), two.stop())


async def test_a_survey_between_the_farewell_of_postgresql_and_the_end_of_its_connection_ends_nothing(
    daemon_config: Settings,
) -> None:
    """PostgreSQL says goodbye to an idle connection, and the connection ends only later: nothing begins then."""
    surveyed = asyncio.Event()
    async with DatabaseDoor(daemon_config.database.url, linger=1.0) as door:
        database = Database(door.url, process="slow")
        direct = await asyncpg.connect(daemon_config.database.url)
        leases = Leases(database, ready=surveyed.set, lost=lambda: None, sharing=SWIFT)
        running = asyncio.create_task(leases.run())
        try:
            async with asyncio.timeout(30):
                await surveyed.wait()
            assert await leases.acquire(UUID(int=7))
            surveyed.clear()
            first = leases.peers.own
            await direct.fetchval("SELECT pg_terminate_backend($1)", first)
            async with asyncio.timeout(30):
                await surveyed.wait()
            assert not running.done()
            assert leases.peers.own != first
            assert not leases.holds(UUID(int=7))
        finally:
            await end_tasks(running)
            await leases.close()
            await database.close()
            await direct.close()


async def test_a_lease_asked_for_while_the_connection_is_being_set_up(daemon_config: Settings) -> None:
    """It is not given, and the set-up goes on undisturbed."""
    ready = asyncio.Event()
    database = Database(daemon_config.database.url, process="early")
    blocker = await asyncpg.connect(daemon_config.database.url)
    leases = Leases(database, ready=ready.set, lost=lambda: None, sharing=SWIFT)
    await blocker.fetchval("SELECT pg_advisory_lock($1, $2)", *MEMBERS)
    running = asyncio.create_task(leases.run())
    try:
        async with asyncio.timeout(30):
            while not (
                waiting := await blocker.fetchval(
                    "SELECT pid FROM pg_locks JOIN pg_database d ON d.oid = database "
                    "WHERE NOT granted AND d.datname = current_database() AND classid = $1 AND objid = $2",
                    *MEMBERS,
                )
            ):
                await asyncio.sleep(0.01)
        assert not await leases.acquire(UUID(int=7))
        assert not leases.connected
        await blocker.fetchval("SELECT pg_advisory_unlock($1, $2)", *MEMBERS)
        async with asyncio.timeout(30):
            await ready.wait()
        assert leases.peers.own == waiting
        assert await leases.acquire(UUID(int=7))
    finally:
        await end_tasks(running)
        await leases.close()
        await database.close()
        await blocker.close()


async def test_two_channels_may_use_the_same_login(worlds: list[World], daemon_config: Settings) -> None:
    async with Simulator(SimulatorSettings(receipt_delay=None)) as operator:
        for world in worlds[:2]:
            await world.make_channel(operator.port)
        async with running(daemon_config) as daemon:
            for world in worlds[:2]:
                await bound(daemon, world)
            sent = [await world.send(20, to=f"+2519{number}00") for number, world in enumerate(worlds[:2])]
            for world, messages in zip(worlds, sent, strict=False):
                await _sent(world, 20)
                assert {result.message_id for result in world.results.results} == {each.id for each in messages}
        assert operator.accepted == 40


async def test_a_survivor_binds_everything_within_ten_seconds_of_a_kill(
    worlds: list[World], environment: dict[str, str], daemon_database_url: str, tmp_path: Path
) -> None:
    """Two processes, kill -9 in the middle of sending: what was not sent is, and nothing twice."""

    def variables(name: str) -> dict[str, str]:
        return environment | {
            "TURUMBA_DATABASE_URL": daemon_database_url,
            "TURUMBA_ENCRYPTION_KEYS": worlds[0].settings.encryption_keys,
            "TURUMBA_SMPPD_ADMIN_SOCKET": str(tmp_path / f"{name}.sock"),
        }

    script = Script(response_delay=0.02)
    async with Simulator(SimulatorSettings(script=script, receipt_delay=None)) as operator:
        for world in worlds:
            await world.make_channel(operator.port, window=5)
        async with smppd(variables("one")) as one:
            await eventually(lambda: operator.statistics.sessions == 5, 30)
            async with smppd(variables("two")) as two:
                await daemons_there_are(worlds[0], 2)
                messages = [await world.send(300, to=f"+2519{number}00") for number, world in enumerate(worlds)]
                await eventually(lambda: operator.accepted > 100, 30)
                one.kill()
                await one.wait()
                await eventually(lambda: operator.statistics.sessions < 5, 5)
                await eventually(lambda: operator.statistics.sessions == 5, 10)
                for world, some in zip(worlds, messages, strict=True):
                    await _reported(world, {message.id for message in some})
                assert two.returncode is None
        destinations = [each.destination for each in operator.recent]
        assert len(destinations) == len(set(destinations)) == operator.accepted
        sent = {identity for world in worlds for identity in world.results.outcomes(Outcome.SENT)}
        unknown = {identity for world in worlds for identity in world.results.outcomes(Outcome.UNKNOWN)}
        on_the_wire = set(destinations)
        for message in (each for some in messages for each in some):
            if message.to.strip("+") in on_the_wire:
                assert message.id in sent | unknown
            else:
                assert message.id in unknown


async def _sent(world: World, count: int) -> None:
    await eventually(lambda: len(world.results.outcomes(Outcome.SENT)) == count, 60)


async def _reported(world: World, messages: set[bytes]) -> None:
    await eventually(lambda: {result.message_id for result in world.results.results} == messages, 60)
