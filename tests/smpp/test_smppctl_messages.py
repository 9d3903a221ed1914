"""query, cancel and orphans: single messages, and receipts that match none."""

from uuid import UUID

import msgspec

from app.domain.messages.events import Outcome, Receipt, ReceiptStatus
from app.lib.ids import new_id
from smpp_daemon.simulator import Script, Simulator, SimulatorSettings
from smpp_daemon.simulator.script import Receipts
from tests.smpp.daemon_harness import World, bound, eventually, running
from tests.smpp.smppctl_process import answer, done, smppctl


async def test_a_message_is_asked_about_and_cancelled(world: World) -> None:
    path = world.settings.smppd.admin_socket
    async with Simulator(SimulatorSettings(script=Script(receipts=Receipts(delay=60.0)))) as operator:
        await world.make_channel(operator.port, default_from="DEMO")
        async with running(world.settings) as daemon:
            await bound(daemon, world)
            (message,) = await world.send(1)
            await eventually(lambda: world.results.outcomes(Outcome.SENT))
            (part,) = world.results.results[0].parts
            assert part.provider_message_id is not None
            said = await answer("query", "operator", part.provider_message_id, socket=path)
            assert (said["status"], said["state"]) == (0, "ENROUTE")
            assert "ROK" in await done("cancel", "operator", part.provider_message_id, message.to, socket=path)
            code, out, _ = await smppctl("query", "operator", "nonsense", socket=path)
            assert (code, "RINVMSGID" in out or "RQUERYFAIL" in out) == (1, True)
            await operator.stop()


async def test_orphans_are_listed_and_replayed(world: World) -> None:
    path = world.settings.smppd.admin_socket
    async with Simulator() as operator:
        await world.make_channel(operator.port)
        async with running(world.settings) as daemon:
            await bound(daemon, world)
            assert await done("orphans", "list", socket=path) == "No orphans.\n"
            orphan = await _keep(world, "4711", "251911000001")
            other = await _keep(world, "4712", "251911000002")
            shown = await answer("orphans", "list", "operator", socket=path)
            assert [each["message_id"] for each in shown] == ["4712", "4711"]
            assert "id:4711" in await done("orphans", "list", socket=path)
            assert (await answer("show", "operator", socket=path))["orphans"] == 2
            said = await done("orphans", "replay", "operator", "--id", str(orphan), socket=path)
            assert said == "operator: 0 found their message, 1 did not.\n"
            assert (await answer("orphans", "replay", "operator", socket=path))["unmatched"] == 2
            code, _, err = await smppctl("orphans", "replay", "operator", "--id", str(new_id()), socket=path)
            assert (code, "has no orphan" in err) == (1, True)
            await world.database.execute("DELETE FROM parked_receipts WHERE id = ANY($1::uuid[])", [orphan, other])


async def _keep(world: World, provider_message_id: str, recipient: str) -> UUID:
    """A receipt that waited long enough to be an orphan."""
    receipt = Receipt(
        provider_message_id,
        ReceiptStatus.DELIVERED,
        1_700_000_000.0,
        recipient,
        "DELIVRD",
        "000",
        None,
        f"id:{provider_message_id} stat:DELIVRD err:000",
    )
    orphan = new_id()
    await world.database.execute(
        "INSERT INTO parked_receipts (id, account_id, channel_id, match_keys, receipt, state)"
        " VALUES ($1, $2, $3, $4, $5, 'orphan')",
        orphan,
        world.account_id,
        world.channel_id,
        [provider_message_id],
        msgspec.msgpack.encode(receipt),
    )
    return orphan
