"""What the operator's answers make of a message: none at all, late ones, odd ones."""

import pytest

from app.domain.messages.events import Outcome
from smpp_daemon.protocol.codec import encode
from smpp_daemon.protocol.constants import EsmClass
from smpp_daemon.protocol.pdu import DeliverSm
from smpp_daemon.simulator import Rule, Script, Simulator, SimulatorSettings
from smpp_daemon.simulator.script import AnswerKind, RefusalBody
from tests.smpp.daemon_harness import World, bound, eventually, running
from tests.smpp.operators import Operators, part


@pytest.mark.parametrize(
    ("policy", "outcome"), [("hold", Outcome.UNKNOWN), ("fail", Outcome.FAILED), ("resend", Outcome.RETRY)]
)
async def test_a_message_that_is_never_answered_is_what_the_channel_says(
    world: World, policy: str, outcome: Outcome
) -> None:
    """field problem 4: no answer is an outcome of its own, and nothing is sent again unless the channel wants it."""
    script = Script(rules=[Rule("0000", answer="never", receipt="none")])
    async with Simulator(SimulatorSettings(script=script)) as operator:
        await world.make_channel(operator.port, on_unknown=policy, response_timeout_seconds=1)
        silent, answered = await world.send(2)
        async with running(world.settings) as daemon:
            await eventually(lambda: len(world.results.results) == 2)
            account = await bound(daemon, world)
            await eventually(lambda: not account.in_memory)
            assert account.counters.unknown == 1
    assert [result.outcome for result in world.results.of(silent)] == [outcome]
    assert [result.outcome for result in world.results.of(answered)] == [Outcome.SENT]
    assert operator.accepted == 2, "taken once each"


async def test_a_late_answer_settles_what_was_unknown(world: World) -> None:
    """field problem 4: the number of a request is remembered after its deadline, for the answer still brings the id."""
    script = Script(rules=[Rule("0000", answer="late")], late_by=2.0)
    async with Simulator(SimulatorSettings(script=script)) as operator:
        await world.make_channel(operator.port, response_timeout_seconds=1)
        (message,) = await world.send(1)
        async with running(world.settings):
            await eventually(lambda: len(world.results.of(message)) == 2)
    unknown, sent = world.results.of(message)
    assert (unknown.outcome, sent.outcome) == (Outcome.UNKNOWN, Outcome.SENT)
    assert sent.parts[0].provider_message_id == operator.recent[0].id


@pytest.mark.parametrize("body", ["none", "nul", "id"])
async def test_refusals_are_read_with_and_without_a_body(world: World, body: RefusalBody) -> None:
    """field problem 24: a header only, one NUL, or an id as if it had been accepted."""
    script = Script(rules=[Rule("0000", status="RINVDSTADR", refusal_body=body)])
    async with Simulator(SimulatorSettings(script=script)) as operator:
        await world.make_channel(operator.port)
        refused, accepted = await world.send(2)
        async with running(world.settings) as daemon:
            await eventually(lambda: len(world.results.results) == 2)
            account = await bound(daemon, world)
            assert account.keepers[0].connection is not None
            assert account.keepers[0].connection.session.link.violations == 0
    assert world.results.of(refused)[0].outcome is Outcome.FAILED
    assert world.results.of(refused)[0].parts[0].provider_message_id is None
    assert world.results.of(accepted)[0].outcome is Outcome.SENT


@pytest.mark.parametrize(
    ("answer", "outcome"), [("header_only", Outcome.SENT), ("generic_nack", Outcome.FAILED), ("twice", Outcome.SENT)]
)
async def test_odd_answers_belong_to_the_message_with_their_number(
    world: World, answer: AnswerKind, outcome: Outcome
) -> None:
    """field problem 24: an acceptance without an id. field problem 42: generic_nack in place of the answer."""
    script = Script(rules=[Rule("0000", answer=answer, receipt="none")])
    async with Simulator(SimulatorSettings(script=script)) as operator:
        await world.make_channel(operator.port)
        odd, usual = await world.send(2)
        async with running(world.settings) as daemon:
            await eventually(lambda: len(world.results.results) == 2)
            account = await bound(daemon, world)
            await eventually(lambda: not account.in_memory)
    assert [result.outcome for result in world.results.of(odd)] == [outcome]
    assert [result.outcome for result in world.results.of(usual)] == [Outcome.SENT]


async def test_requests_that_share_a_sequence_number_are_all_answered(world: World) -> None:
    """field problem 41: some operators number all parts of a message alike, or everything 0."""
    async with Operators() as operators:
        await world.make_channel(operators.port)
        async with running(world.settings) as daemon:
            await bound(daemon, world)
            operator = operators.all[0]
            assert operator.transport is not None
            pdus = [part(number, 3, text=b"%d" % number) for number in (1, 2, 3)]
            receipt = DeliverSm(esm_class=EsmClass.DELIVERY_RECEIPT, short_message=b"id:1 stat:DELIVRD")
            operator.transport.write(b"".join(encode(pdu, 7) for pdu in pdus) + encode(receipt, 0) + encode(receipt, 0))
            await eventually(lambda: len(operator.unexpected) == 5)
            assert sorted(operator.unexpected) == [0, 0, 7, 7, 7]
            await eventually(lambda: len(world.results.inbound) == 3 and len(world.results.receipts) == 2)
