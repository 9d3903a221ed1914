"""Channels that want submit_multi for equal texts."""

from app.domain.messages.events import Lane, Outcome
from smpp_daemon.multi import Many
from smpp_daemon.protocol.events import RequestAnswered
from smpp_daemon.protocol.pdu import SubmitMultiResp, UnsuccessSme
from smpp_daemon.simulator import Rule, Script, Simulator, SimulatorSettings
from tests.smpp.applied import applied
from tests.smpp.daemon_harness import World, bound, eventually, running
from tests.smpp.operators import Operators


async def test_equal_texts_share_a_pdu_and_each_gets_its_own_receipt(world: World) -> None:
    """field problem 42: one id for all recipients of a submit_multi; receipts are told apart by recipient."""
    rules = [Rule("0003", status="RINVDSTADR"), Rule("0005", receipt="UNDELIV")]
    async with Simulator(SimulatorSettings(script=Script(rules=rules))) as operator:
        await world.make_channel(operator.port, submit_multi=4)
        sent = await world.send(10)
        async with running(world.settings):
            await eventually(lambda: len(world.results.results) == 10 and len(world.results.receipts) == 9)
        assert [each.command for each in operator.recent] == ["submit_multi"] * 9
        ids = [each.id for each in operator.recent]
        assert len(set(ids)) < len(ids)
    outcomes = [world.results.of(message)[0].outcome for message in sent]
    assert outcomes == [Outcome.FAILED if n == 3 else Outcome.SENT for n in range(10)]
    statuses = await applied(world)
    expected = {3: "failed", 5: "failed"}
    assert [statuses[message.id] for message in sent] == [expected.get(n, "delivered") for n in range(10)]


async def test_only_equal_single_parts_go_together_and_the_order_is_kept(world: World) -> None:
    async with Simulator() as operator:
        await world.make_channel(operator.port, submit_multi=254, window=50)
        messages = await world.messages(3)
        messages += await world.messages(1, text="Other", to="+25192200")
        messages += await world.messages(2, text="x" * 200, to="+25193300")
        messages += await world.messages(2, to="+25194400")
        repeated = await world.messages(2, to="+2519550000")
        repeated = [repeated[0], type(repeated[0])(repeated[1].id, 1, repeated[0].to, "DEMO", "Hello")]
        await world.publish(world.batch(messages + repeated, Lane.BULK))
        async with running(world.settings):
            await eventually(lambda: len(world.results.results) == 10)
        assert len(world.results.outcomes(Outcome.SENT)) == 10
        seen = [(each.command, each.destination) for each in operator.recent]
        by_command = {to: command for command, to in seen}
        assert [by_command[message.to.strip("+")] for message in messages] == (
            ["submit_multi"] * 3 + ["submit_sm"] * 3 + ["submit_multi"] * 2
        )
        assert [to for command, to in seen if to.startswith("25193300")] == [
            message.to.strip("+") for message in messages[4:6] for _ in range(2)
        ]


async def test_a_submit_multi_that_is_lost_leaves_each_message_unknown(world: World) -> None:
    """field problem 4: as for submit_sm, no answer is an outcome of its own, by deadline and by a lost session."""
    async with Operators() as operators:
        await world.make_channel(operators.port, submit_multi=10, response_timeout_seconds=1, enquire_link_seconds=60)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            await world.send(3)
            await eventually(lambda: account.in_flight == 1)
            await eventually(lambda: len(world.results.outcomes(Outcome.UNKNOWN)) == 3)
            await world.change(config=await world.config() | {"response_timeout_seconds": 60})
            await eventually(lambda: account.config.response_timeout_seconds == 60)
            await world.send(3, to="+25192200")
            await eventually(lambda: account.in_flight == 1)
            transport = operators.all[-1].transport
            assert transport is not None
            transport.abort()
            await eventually(lambda: len(world.results.outcomes(Outcome.UNKNOWN)) == 6)
            await eventually(lambda: not account.in_memory)


def test_every_way_to_answer_a_submit_multi() -> None:
    many = Many({"1": "one", "2": "two"})
    some = SubmitMultiResp("id", (UnsuccessSme(1, 1, "2", 0x0B), UnsuccessSme(1, 1, "9", 0x0B)))
    unsaid = SubmitMultiResp("id", (UnsuccessSme(1, 1, "1", 0),))
    for status, pdu, expected in (
        (0, some, [(0, "id"), (0x0B, "id")]),
        (0, unsaid, [(0xFF, "id"), (0, "id")]),
        (0x58, SubmitMultiResp(), [(0x58, ""), (0x58, "")]),
        (0x03, None, [(0x03, ""), (0x03, "")]),
    ):
        answers = many.answered(RequestAnswered(many, status, pdu, 0.5))
        assert [(each.status, each.message_id) for each in answers] == expected
        assert [each.token for each in answers] == ["one", "two"]
