"""Receipts without a message: kept, listed, looked up again, forgotten."""

import asyncio
import json
import os
import sys
from typing import Any

from sqlalchemy import text

from app.domain.messages.events import Receipt, ReceiptStatus
from app.domain.messages.orphans import (
    Orphan,
    Position,
    Replayed,
    count_orphans,
    forget_orphans,
    list_orphans,
    replay_orphans,
)
from app.lib.ids import new_id
from scheduler.jobs.upkeep import declare_orphans
from tests.integration.messages.bench import Bench, carry, receipt, sent


async def orphan(bench: Bench, *receipts: Receipt) -> None:
    """Receipts that found nothing, and their five minutes are over."""
    for each in receipts:
        await bench.apply(receipts=[each])
    async with bench.database.unit_of_work() as session:
        await session.execute(
            text("UPDATE parked_receipts SET parked_at = parked_at - interval '6 minutes' WHERE channel_id = :c"),
            {"c": bench.channel_id},
        )
    await declare_orphans(bench.database)


async def listed(bench: Bench, **more: Any) -> list[Orphan]:
    async with bench.database.reading() as session:
        return await list_orphans(session, channel_id=bench.channel_id, **more)


async def test_a_receipt_is_an_orphan_after_five_minutes_and_never_dropped(bench: Bench) -> None:
    """field problem 1: what never matches is kept for somebody to see. field problem 29: with the text it came with."""
    odd = Receipt("", ReceiptStatus.UNKNOWN, 1_700_000_000.0, "2519", raw="??? not a receipt")
    await bench.apply(receipts=[odd])
    assert (await listed(bench), [each.state for each in await listed(bench, parked_too=True)]) == ([], ["parked"])
    await orphan(bench)
    (kept,) = await listed(bench)
    assert (kept.state, kept.account_id, kept.channel_id) == ("orphan", bench.account_id, bench.channel_id)
    assert (kept.provider_message_id, kept.status, kept.recipient, kept.raw) == (
        "",
        "unknown",
        "2519",
        "??? not a receipt",
    )
    assert kept.received_at == 1_700_000_000.0
    async with bench.database.reading() as session:
        assert await count_orphans(session, bench.channel_id) == 1


async def test_the_list_goes_on_where_it_ended(bench: Bench) -> None:
    await orphan(bench, *(receipt(f"lost-{n}") for n in range(5)))
    seen: list[str] = []
    after = None
    while page := await listed(bench, most=2, after=after):
        seen += [each.provider_message_id for each in page]
        after = Position(page[-1].parked_at, page[-1].id)
    assert seen == [f"lost-{n}" for n in (4, 3, 2, 1, 0)]
    async with bench.database.reading() as session:
        assert await list_orphans(session, channel_id=bench.channel_id, account_id=new_id()) == []
        assert len(await list_orphans(session, account_id=bench.account_id)) == 5


async def test_an_orphan_is_matched_by_a_late_answer(bench: Bench) -> None:
    await orphan(bench, receipt("late"))
    message = await bench.message()
    await bench.apply(results=[sent(message, "late")])
    assert (await bench.status(message), await listed(bench)) == ("delivered", [])


async def test_replaying_settles_what_can_be_found_now_and_keeps_the_rest(bench: Bench) -> None:
    message = await bench.message()
    await orphan(bench, receipt("found"), receipt("lost"))
    async with bench.database.unit_of_work() as session:
        # As after a repair by hand: the part is there, and no answer will come that looks for receipts.
        await session.execute(
            text(
                "INSERT INTO message_parts (channel_id, match_key, message_id, account_id, number, total,"
                " provider_message_id, recipient_tail) VALUES (:c, 'found', :m, :a, 1, 1, 'found', '1000100')"
            ),
            {"c": bench.channel_id, "m": message, "a": bench.account_id},
        )
    ids = [each.id for each in await listed(bench)]
    async with bench.database.unit_of_work() as session:
        assert await replay_orphans(session, [*ids, new_id()], new_id) == Replayed(1, 1)
    assert [each.provider_message_id for each in await listed(bench)] == ["lost"]
    assert (await carry(bench), await bench.status(message)) == (1, "delivered")


async def test_forgotten_is_forgotten(bench: Bench) -> None:
    await orphan(bench, receipt("one"), receipt("two"))
    one = next(each for each in await listed(bench) if each.provider_message_id == "one")
    async with bench.database.unit_of_work() as session:
        assert await forget_orphans(session, [one.id, new_id()]) == 1
    assert [each.provider_message_id for each in await listed(bench)] == ["two"]


async def turumba(environment: dict[str, str], *arguments: str) -> str:
    """`turumba orphans ...` as a person runs it; what it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from app.cli import main; main()",
        "orphans",
        *arguments,
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def test_a_person_lists_replays_and_forgets_them(bench: Bench, environment: dict[str, str]) -> None:
    await orphan(bench, *(receipt(f"lost-{n}") for n in range(3)))
    channel = ("--channel", str(bench.channel_id))
    lines = (await turumba(environment, "list", *channel)).splitlines()
    assert [line.split()[4] for line in lines] == ["lost-2", "lost-1", "lost-0"]
    (newest,) = (await turumba(environment, "list", *channel, "--most", "1", "--json")).splitlines()
    shown = json.loads(newest)
    assert (shown["provider_message_id"], shown["state"]) == ("lost-2", "orphan")
    message = await bench.message()
    async with bench.database.unit_of_work() as session:
        await session.execute(
            text(
                "INSERT INTO message_parts (channel_id, match_key, message_id, account_id, number, total,"
                " provider_message_id, recipient_tail) VALUES (:c, 'lost-1', :m, :a, 1, 1, 'lost-1', '1000100')"
            ),
            {"c": bench.channel_id, "m": message, "a": bench.account_id},
        )
    assert await turumba(environment, "replay", *channel) == "1 found their message, 2 did not.\n"
    assert (await carry(bench), await bench.status(message)) == (1, "delivered")
    assert await turumba(environment, "forget", shown["id"]) == "1 receipts are forgotten.\n"
    assert [each.provider_message_id for each in await listed(bench)] == ["lost-0"]
    assert await turumba(environment, "forget", *channel) == "1 receipts are forgotten.\n"
    assert await listed(bench) == []
