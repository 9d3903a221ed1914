"""A channel's options from the database to the operator and back."""

from typing import Any

import msgspec
import pytest

from app.domain.messages.events import Outcome, Receipt, SmsOptions, encode
from smpp_daemon.simulator import Rule, Script, Simulator, SimulatorSettings
from smpp_daemon.simulator.identifiers import IdFormat
from smpp_daemon.simulator.script import Receipts, Throttle
from tests.smpp.applied import applied
from tests.smpp.daemon_harness import World, bound, eventually, running


def receipts(**options: Any) -> Simulator:
    ids = options.pop("ids", "hex")
    return Simulator(SimulatorSettings(ids=ids, script=Script(receipts=Receipts(**options))))


HEX = IdFormat("hex", 10, upper=True)
DECIMAL = IdFormat("decimal", 12)


@pytest.mark.parametrize(
    ("answer", "id_format", "options"),
    [
        ("hex", "auto", {"form": "text", "text_id": DECIMAL}),
        ("decimal", "auto", {"form": "tlv", "tlv_id": HEX}),
        ("hex", "auto", {"text_id": DECIMAL, "tlv_id": HEX}),
        ("hex", "exact", {"text_id": HEX, "tlv_id": IdFormat("hex", upper=True)}),
        ("hex", "decimal", {"form": "text", "text_id": DECIMAL}),
        ("decimal", "hex", {"form": "text", "text_id": HEX}),
        ("hex", "auto", {"form": "tlv", "data_sm": 1.0}),
        ("hex", "auto", {"duplicate": 1.0, "intermediate": 1.0, "intermediate_after": 1.0}),
    ],
    ids=["decimal text", "hex TLV", "two bases", "case and zeros", "decimal", "hex", "data_sm", "many and pending"],
)
async def test_receipts_find_their_messages_however_the_operator_writes_ids(
    world: World, answer: str, id_format: str, options: dict[str, Any]
) -> None:
    """field problem 2: hexadecimal here, decimal there. field problem 3: case and leading zeros make no difference.

    field problem 1: the receipt is applied before the answer. field problem 31: several receipts, a pending one last.
    field problem 42: receipts in data_sm.
    """
    async with receipts(ids=answer, **options) as operator:
        await world.make_channel(operator.port, message_id_format=id_format)
        sent = await world.send(20)
        expected = 20 if "duplicate" not in options else 80
        async with running(world.settings):
            await eventually(lambda: len(world.results.results) >= 20 and len(world.results.receipts) >= expected)
    assert await applied(world) == {message.id: "delivered" for message in sent}


async def test_one_receipt_for_the_last_part_settles_the_whole_text(world: World) -> None:
    """field problem 33: operators that send one receipt for a text of several parts."""
    async with receipts() as operator:
        await world.make_channel(operator.port, receipts="last_part")
        sent = await world.send(5, text="x" * 400)
        async with running(world.settings) as daemon:
            await eventually(lambda: len(world.results.receipts) >= 5 and len(world.results.results) >= 5)
            account = await bound(daemon, world)
            await eventually(lambda: not account.in_memory)
        assert len(world.results.receipts) == 5
        assert [each.registered_delivery for each in operator.recent] == [0, 0, 1] * 5
    assert await applied(world) == {message.id: "delivered" for message in sent}
    statuses = await world.database.fetch(
        "SELECT DISTINCT status FROM message_parts WHERE channel_id = $1", world.channel_id
    )
    assert [row["status"] for row in statuses] == ["delivered"]


async def test_every_part_has_its_receipt_and_one_lost_part_fails_the_text(world: World) -> None:
    """field problem 33: one row for each part, and the text is what all of them are."""
    rules = [Rule("0001", states={"UNDELIV": 0.5})]
    async with Simulator(SimulatorSettings(script=Script(rules=rules, seed=1))) as operator:
        await world.make_channel(operator.port)
        sent = await world.send(2, text="x" * 1500)
        async with running(world.settings):
            await eventually(lambda: len(world.results.receipts) >= 20 and len(world.results.results) >= 2)
    states = {receipt.provider_status for receipt in world.results.receipts}
    assert states == {"DELIVRD", "UNDELIV"}
    assert await applied(world) == {sent[0].id: "delivered", sent[1].id: "failed"}


async def test_what_a_status_means_is_the_channels_to_say(world: World) -> None:
    """field problem 23: a vendor's codes are accepted and mean what the channel says."""
    rules = [
        Rule("0000", status=0x55F, refusal_body="id"),
        Rule("0001", status=0x22),
        Rule("0002", status="RINVDSTADR"),
        Rule("0003", status="RSYSERR"),
    ]
    classes = {"0x55F": "ok", "0x22": "transient", "RINVDSTADR": "transient", "RSYSERR": "permanent", "RNOSUCH": "ok"}
    async with Simulator(SimulatorSettings(script=Script(rules=rules))) as operator:
        await world.make_channel(operator.port, status_classes=classes)
        messages = await world.send(5)
        async with running(world.settings) as daemon:
            await eventually(lambda: len(world.results.results) >= 5)
            account = await bound(daemon, world)
            assert (account.counters.accepted, account.counters.refused) == (2, 3)
    outcomes = [world.results.of(message)[0].outcome for message in messages]
    assert outcomes == [Outcome.SENT, Outcome.RETRY, Outcome.RETRY, Outcome.FAILED, Outcome.SENT]
    taken = world.results.of(messages[0])[0].parts
    assert taken[0].provider_message_id


async def test_a_vendors_throttle_pauses_the_bind_and_loses_nothing(world: World) -> None:
    """field problem 23: a code of the operator's own that means "slower" is not the message's failure."""
    script = Script(throttle=Throttle(rate=30, burst=5, status=0x400))
    async with Simulator(SimulatorSettings(script=script)) as operator:
        await world.make_channel(operator.port, window=5, status_classes={"0x400": "throttle"})
        await world.send(25)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            await eventually(lambda: len(world.results.results) >= 25, 60)
            assert account.counters.throttled > 0
    assert len(world.results.outcomes(Outcome.SENT)) == 25


async def test_what_a_message_brings_reaches_the_operator(world: World) -> None:
    async with Simulator() as operator:
        await world.make_channel(operator.port, tlvs=[{"tag": 0x1400, "value": "1101"}], service_type="CMT")
        flash = encode(SmsOptions(flash=True))
        data = encode(SmsOptions(b"\x01\x02", bytes.fromhex("0605040b8423f0"), 0xF5))
        messages = await world.messages(1, sms=flash) + await world.messages(1, text="", to="+25192200", sms=data)
        await world.publish(world.batch(messages))
        async with running(world.settings):
            await eventually(lambda: len(world.results.results) >= 2)
        assert [(each.data_coding, each.esm_class, each.message) for each in operator.recent] == [
            (0x10, 0, "48656c6c6f"),
            (0xF5, 0x40, "0605040b8423f00102"),
        ]


async def test_a_message_that_lacks_what_the_channel_needs_fails_alone(world: World) -> None:
    async with Simulator() as operator:
        await world.make_channel(operator.port, metadata_tlvs={"dlt": {"tag": 0x1400, "required": True}})
        has = encode(SmsOptions(metadata_tlvs=((0x1400, b"1\0"),)))
        good, bad = await world.messages(1, sms=has), await world.messages(1, to="+25192200")
        await world.publish(world.batch(bad + good))
        async with running(world.settings):
            await eventually(lambda: len(world.results.results) >= 2)
        assert operator.accepted == 1
    failure = world.results.of(bad[0])[0].failure
    assert failure is not None
    assert (failure.kind, failure.code) == ("message", "not_encodable")
    assert "dlt" in failure.detail
    assert world.results.outcomes(Outcome.SENT) == [good[0].id]


async def test_a_changed_option_counts_for_the_next_message(world: World) -> None:
    async with Simulator() as operator:
        await world.make_channel(operator.port)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            await world.send(1, text="ሰ")
            await eventually(lambda: len(world.results.results) == 1)
            changed = {"ucs2_byte_order": "little", "status_classes": {"0x400": "ok"}, "unflagged_receipts": True}
            await world.change(config=await world.config() | changed)
            await eventually(lambda: account.config.unflagged_receipts)
            await world.send(1, text="ሰ", to="+25192200")
            await eventually(lambda: len(world.results.results) == 2)
        assert [bytes.fromhex(each.message) for each in operator.recent] == [b"\x12\x30", b"\x30\x12"]
        assert operator.statistics.binds == 1


def test_a_receipt_of_the_last_release_is_still_read() -> None:
    """Fields are only ever appended: what an older daemon published is complete without them."""
    old = msgspec.msgpack.encode(["1", "delivered", 5.0, None, None, None, None, None])
    receipt = msgspec.msgpack.decode(old, type=Receipt)
    assert (receipt.second_id, receipt.id_format, receipt.whole) == (None, "auto", False)
