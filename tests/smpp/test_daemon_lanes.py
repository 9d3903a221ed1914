"""Who goes first: two lanes, one rate, and what refusals for speed do to both."""

import asyncio

from app.domain.messages.events import Lane, Outcome
from smpp_daemon.simulator import Rule, Script, Simulator, SimulatorSettings
from tests.smpp.daemon_harness import World, bound, eventually, running

BULK, HIGH = "+25193300", "+25194400"


def order(operator: Simulator) -> list[str]:
    """Recipients as the operator accepted them."""
    return [f"+{message.destination}" for message in operator.recent]


async def test_high_overtakes_what_bulk_has_waiting(world: World) -> None:
    async with Simulator() as operator:
        await world.make_channel(operator.port, rate={"per_second": 100, "burst": 1})
        await world.send(500, Lane.BULK, to=BULK)
        async with running(world.settings):
            await eventually(lambda: operator.accepted >= 20)
            before = operator.accepted
            await world.send(10, Lane.HIGH, to=HIGH)
            await eventually(lambda: sum(to.startswith(HIGH) for to in order(operator)) == 10)
            # A second's worth of bulk at most may pass in front: what was on the wire, and every tenth turn.
            assert sum(to.startswith(BULK) for to in order(operator)[before:]) <= 100


async def test_bulk_of_a_limited_channel_goes_a_few_at_a_time_and_high_at_once(world: World) -> None:
    async with Simulator() as operator:
        await world.make_channel(operator.port, rate={"per_second": 1000, "burst": 100})
        await world.send(2000, Lane.BULK, to=BULK)
        async with running(world.settings):
            await eventually(lambda: operator.accepted >= 500)
            await world.send(1, Lane.HIGH, to=HIGH)
            await eventually(lambda: operator.accepted == 2001)
        # Beyond what the burst let go at once: 10 ms' worth, ten of them, make a packet that the operator takes whole.
        later = list(operator.recent)[200:]
        packets = {message.at for message in later}
        assert len(packets) <= len(later) / 4, (len(packets), len(later))


async def test_bulk_gets_every_tenth_turn_however_much_high_waits(world: World) -> None:
    async with Simulator() as operator:
        await world.make_channel(operator.port, rate={"per_second": 400, "burst": 4})
        await world.send(400, Lane.HIGH, to=HIGH)
        await world.send(100, Lane.BULK, to=BULK)
        async with running(world.settings):
            await eventually(lambda: operator.accepted == 500)
        went = order(operator)
        last_high = max(place for place, to in enumerate(went) if to.startswith(HIGH))
        shares = [sum(to.startswith(BULK) for to in went[at : at + 100]) for at in range(0, last_high - 100, 100)]
        assert all(5 <= share <= 15 for share in shares), shares


async def test_problem_10_every_part_takes_a_token_and_parts_stay_together(world: World) -> None:
    """field problem 10: the rate counts PDUs, and a text waits until all of its parts may go."""
    async with Simulator() as operator:
        await world.make_channel(operator.port, rate={"per_second": 60, "burst": 6}, window=50)
        await world.send(20, text="x" * 400)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            await eventually(lambda: operator.accepted == 60)
            assert account.counters.submitted == 60
        numbers = [bytes.fromhex(part.message)[5] for part in operator.recent]
        assert numbers == [1, 2, 3] * 20
        sequences = [part.sequence for part in operator.recent]
        assert sequences == sorted(sequences)
        # 60 PDUs at 60 a second with 6 at once cannot take less than 54/60 s, whoever measures.
        assert operator.recent[-1].at - operator.recent[0].at > 0.8


async def test_problem_11_throttling_keeps_the_order_and_lowers_the_rate(world: World) -> None:
    """field problem 11: the refused message goes first, nothing overtakes it, and the rate comes down."""
    settings = SimulatorSettings(throttle_above=100)
    async with Simulator(settings) as operator:
        await world.make_channel(operator.port, rate={"per_second": 1000, "burst": 100}, window=20)
        sent = await world.send(150)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            await eventually(lambda: account.counters.throttled > 0)
            assert account.throttle.current_rate < 1000
            await eventually(lambda: len(world.results.outcomes(Outcome.SENT)) == 150, seconds=60)
        assert order(operator) == [message.to for message in sent]
        assert not [result for result in world.results.results if result.outcome is not Outcome.SENT]


async def test_problem_12_a_full_queue_is_a_pause_and_not_a_failure(world: World) -> None:
    """field problem 12: RMSGQFUL takes the road of RTHROTTLED, with a longer pause."""
    script = Script(rules=[Rule("0003", status="RMSGQFUL")])
    async with Simulator(SimulatorSettings(script=script)) as operator:
        await world.make_channel(operator.port, window=1)
        sent = await world.send(6)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            await eventually(lambda: account.counters.throttled > 0)
            assert order(operator) == [message.to for message in sent[:3]]
            operator.set_script(Script())
            await eventually(lambda: operator.accepted == 6)
        assert order(operator) == [message.to for message in sent]


async def test_problem_13_a_throttled_account_stays_throttled_over_a_reconnect(world: World) -> None:
    """field problem 13: the limit belongs to the account; a new session does not start with a full burst."""
    script = Script(rules=[Rule("", status="RTHROTTLED")])
    async with Simulator(SimulatorSettings(script=script)) as operator:
        await world.make_channel(operator.port, rate={"per_second": 1000, "burst": 100})
        await world.send(10)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            await eventually(lambda: account.counters.throttled > 0)
            throttle, paused_until = account.throttle, account.throttle.paused_until
            operator.drop_connections()
            await eventually(lambda: operator.statistics.connections >= 2)
            await bound(daemon, world)
            assert account.throttle is throttle
            assert throttle.paused_until >= paused_until
            assert throttle.current_rate < 1000
            operator.set_script(Script())
            await eventually(lambda: operator.accepted == 10)


async def test_problem_15_the_window_is_filled_from_one_batch_after_the_other(world: World) -> None:
    """field problem 15: a prefetch of one message would send one message for each round trip."""
    async with Simulator(SimulatorSettings(script=Script(response_delay=0.3))) as operator:
        await world.make_channel(operator.port, window=40)
        for _ in range(10):
            await world.send(8)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            await eventually(lambda: account.in_flight == 40)
            await eventually(lambda: operator.accepted == 80)


async def test_problem_17_nothing_spins_while_no_bind_is_up(world: World) -> None:
    """field problem 17: without a bind nothing is consumed, and what was in hand goes back once."""
    async with Simulator() as operator:
        await world.make_channel(operator.port, rate={"per_second": 5, "burst": 1})
        await world.send(100)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            await eventually(lambda: operator.accepted > 0)
            await operator.stop()
            await eventually(lambda: not account.in_memory and not account.in_flight)
            await until_queued(world)
            assert max(await world.delivery_counts()) <= 2


async def until_queued(world: World) -> None:
    """What was handed back is in the queue again."""
    async with asyncio.timeout(20):
        while not await world.queued():
            await asyncio.sleep(0.01)
