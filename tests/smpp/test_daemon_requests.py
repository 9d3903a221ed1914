"""query_sm, cancel_sm and replace_sm on an account's own binds."""

import asyncio

import pytest

from app.domain.messages.events import Outcome
from smpp_daemon import requests
from smpp_daemon.requests import NotAskedError
from smpp_daemon.simulator import Simulator, SimulatorSettings
from tests.smpp.daemon_harness import World, bound, eventually, running
from tests.smpp.operators import Operators


async def test_a_message_is_asked_for_replaced_and_cancelled(world: World) -> None:
    async with Simulator(SimulatorSettings(receipt_delay=300.0)) as operator:
        await world.make_channel(operator.port, source_ton=1, source_npi=1)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            (message,) = await world.send(1)
            await eventually(lambda: world.results.outcomes(Outcome.SENT))
            identifier = world.results.results[0].parts[0].provider_message_id
            assert identifier is not None
            known = await requests.query(account, identifier, "DEMO")
            assert (known.status, known.name, known.state, known.final_date) == (0, "ROK", "ENROUTE", None)
            assert known.milliseconds is not None
            unknown = await requests.query(account, identifier, "OTHER")
            assert (unknown.status, unknown.name, unknown.state) == (0x0C, "RINVMSGID", None)
            assert (await requests.replace(account, identifier, "DEMO", "Better")).status == 0
            assert operator.statistics.replaced == 1
            assert (await requests.cancel(account, identifier, "DEMO", message.to)).status == 0
            again = await requests.cancel(account, identifier, "DEMO", message.to)
            assert (again.status, again.name) == (0x11, "RCANCELFAIL")
            # Everything else of the account goes on.
            await world.send(1)
            await eventually(lambda: len(world.results.outcomes(Outcome.SENT)) == 2)


async def test_what_cannot_be_written_is_said_in_words(world: World) -> None:
    async with Simulator() as operator:
        await world.make_channel(operator.port)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            with pytest.raises(NotAskedError, match="longer than"):
                await requests.query(account, "x" * 65, "DEMO")
            with pytest.raises(NotAskedError, match="octets"):
                await requests.replace(account, "1", "DEMO", "x" * 300)
            assert account.control.tests == 0


async def test_an_operator_that_does_not_answer_is_not_waited_for(world: World) -> None:
    """field problem 6: every request has a deadline. field problem 9: a lost session settles what waits on it."""
    async with Operators() as operators:
        await world.make_channel(operators.port, response_timeout_seconds=1, enquire_link_seconds=60)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            silent = await requests.query(account, "1", None)
            assert (silent.status, silent.name) == (None, "")
            await world.change(config=await world.config() | {"response_timeout_seconds": 60})
            await eventually(lambda: account.config.response_timeout_seconds == 60)
            waiting = asyncio.create_task(requests.query(account, "1", None))
            await eventually(lambda: account.in_flight == 1)
            transport = operators.all[-1].transport
            assert transport is not None
            transport.abort()
            assert (await waiting).status is None


async def test_without_a_bind_nothing_is_asked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "TURN_SECONDS", 0.05)
    async with Simulator() as operator:
        await world.make_channel(operator.port, bind="receiver")
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            with pytest.raises(NotAskedError, match="No bind"):
                await requests.query(account, "1", None)
