"""Long messages from contacts: parts in any order, twice, late, over restarts, and never to the end."""

import itertools
import time
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from app.domain.messages.events import Inbound
from app.domain.messages.people import NO_PEOPLE
from app.lib.ids import new_id
from scheduler.jobs.inbound import InboundParts
from tests.integration.messages.bench import Bench

EIGHT_BIT, SIXTEEN_BIT = 8 << 16, 16 << 16


def part(
    number: int,
    total: int = 3,
    said: str | None = None,
    *,
    reference: int = EIGHT_BIT + 7,
    sender: str = "+251911000100",
    to: str = "8080",
    encoding: str = "gsm7",
    key: str | None = None,
) -> Inbound:
    identifier = new_id()
    return Inbound(
        identifier.bytes,
        key or f"key-{identifier.hex}",
        sender,
        to,
        f"<{number}>" if said is None else said,
        time.time(),
        encoding,
        reference=reference,
        total=total,
        number=number,
    )


async def stored(bench: Bench) -> list[Any]:
    async with bench.database.reading() as session:
        rows = await session.execute(
            text(
                "SELECT id, sender, recipient, body, encoding, segments, status, metadata FROM messages"
                " WHERE channel_id = :c AND direction = 'inbound' ORDER BY id"
            ),
            {"c": bench.channel_id},
        )
        return list(rows)


async def bodies(bench: Bench) -> list[str]:
    return [row.body for row in await stored(bench)]


async def age(bench: Bench, column: str, seconds: float) -> None:
    async with bench.database.unit_of_work() as session:
        await session.execute(
            text(
                f"UPDATE inbound_parts SET {column} = {column} - make_interval(secs => :s)"
                f" WHERE channel_id = :c AND {column} IS NOT NULL"
            ),
            {"c": bench.channel_id, "s": seconds},
        )


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))), ids=lambda order: "".join(map(str, order)))
async def test_parts_come_in_any_order_each_from_another_daemon(bench: Bench, order: tuple[int, ...]) -> None:
    """field problem 34: parts in any order, over binds, daemons and restarts: nothing is kept but in the database."""
    for number in order:
        assert await stored(bench) == []
        await bench.apply(inbound=[part(number)])
    (message,) = await stored(bench)
    assert (message.body, message.sender, message.recipient) == ("<1><2><3>", "+251911000100", "8080")
    assert (message.segments, message.encoding, message.status, message.metadata) == (3, "gsm7", "received", {})


async def test_ten_parts_in_one_batch_keep_their_order(bench: Bench) -> None:
    """field problem 34: part 10 comes after part 9, not after part 1."""
    await bench.apply(inbound=[part(number, 12) for number in range(12, 0, -1)])
    assert await bodies(bench) == ["".join(f"<{number}>" for number in range(1, 13))]


async def test_what_does_not_belong_together_does_not_mix(bench: Bench) -> None:
    """field problem 34: sender, recipient, reference, its width and the total all tell texts apart; reference 0 too."""
    others: list[dict[str, Any]] = [
        {},
        {"sender": "+251922000100"},
        {"to": "9090"},
        {"reference": EIGHT_BIT + 8},
        {"reference": SIXTEEN_BIT + 7},
        {"reference": 7},
        {"reference": EIGHT_BIT},
    ]
    await bench.apply(inbound=[part(1, 2, f"{n}a", **other) for n, other in enumerate(others)])
    assert await stored(bench) == []
    await bench.apply(inbound=[part(2, 2, f"{n}b", **other) for n, other in enumerate(others)])
    assert sorted(await bodies(bench)) == [f"{n}a{n}b" for n in range(len(others))]


async def test_a_part_that_comes_twice_makes_no_second_message(bench: Bench) -> None:
    """field problem 34: duplicate parts are dropped, before the text is complete and after."""
    await bench.apply(inbound=[part(1, 2), part(1, 2)])
    await bench.apply(inbound=[part(1, 2), part(2, 2)])
    await bench.apply(inbound=[part(2, 2), part(1, 2)])
    assert await bodies(bench) == ["<1><2>"]
    await age(bench, "received_at", 1000)
    await InboundParts(NO_PEOPLE).deliver_overdue_parts(bench.database)
    assert await bodies(bench) == ["<1><2>"]


async def test_a_redelivered_part_is_known_by_its_key(bench: Bench) -> None:
    await bench.apply(inbound=[part(1, 2, key="same")])
    await bench.apply(inbound=[part(1, 2, "another text under the same key", key="same"), part(2, 2)])
    assert await bodies(bench) == ["<1><2>"]


async def test_a_reference_that_is_used_again_begins_another_message(bench: Bench) -> None:
    await bench.apply(inbound=[part(1, 3, "old1"), part(3, 3, "old3")])
    await bench.apply(inbound=[part(1, 3, "new1")])
    (old,) = await stored(bench)
    assert (old.body, old.segments) == ("old1old3", 2)
    assert old.metadata == {"incomplete": True, "parts": 3, "missing_parts": [2]}
    await bench.apply(inbound=[part(2, 3, "new2"), part(3, 3, "new3")])
    assert await bodies(bench) == ["old1old3", "new1new2new3"]
    # A third one, after the second was complete.
    await bench.apply(inbound=[part(number, 3, f"last{number}") for number in (2, 1, 3)])
    assert await bodies(bench) == ["old1old3", "new1new2new3", "last1last2last3"]


async def test_what_came_is_delivered_when_the_rest_does_not_come(bench: Bench) -> None:
    """field problem 34: after its time a message is delivered without the parts that never came."""
    await bench.apply(inbound=[part(1), part(3), part(1, 2, reference=EIGHT_BIT + 9)])
    await InboundParts(NO_PEOPLE).deliver_overdue_parts(bench.database)
    assert await stored(bench) == []
    await age(bench, "received_at", 170)
    await InboundParts(NO_PEOPLE).deliver_overdue_parts(bench.database)
    assert await stored(bench) == []
    await age(bench, "received_at", 20)
    for _ in range(2):
        await InboundParts(NO_PEOPLE).deliver_overdue_parts(bench.database)
    messages = {row.body: row.metadata for row in await stored(bench)}
    assert messages == {
        "<1><3>": {"incomplete": True, "parts": 3, "missing_parts": [2]},
        "<1>": {"incomplete": True, "parts": 2, "missing_parts": [2]},
    }


async def test_a_part_that_comes_too_late_is_not_lost(bench: Bench) -> None:
    await bench.apply(inbound=[part(1, 2)])
    await age(bench, "received_at", 200)
    await InboundParts(NO_PEOPLE).deliver_overdue_parts(bench.database)
    await bench.apply(inbound=[part(2, 2)])
    assert await bodies(bench) == ["<1>"]
    await age(bench, "received_at", 200)
    await InboundParts(NO_PEOPLE).deliver_overdue_parts(bench.database)
    assert await bodies(bench) == ["<1>", "<2>"]


async def test_parts_of_made_messages_are_forgotten_after_a_while(bench: Bench) -> None:
    await bench.apply(inbound=[part(1, 2), part(2, 2), part(1, 2, reference=EIGHT_BIT + 9)])

    async def kept() -> int:
        async with bench.database.reading() as session:
            rows = await session.execute(
                text("SELECT count(*) FROM inbound_parts WHERE channel_id = :c"), {"c": bench.channel_id}
            )
            return int(rows.scalar_one())

    await InboundParts(NO_PEOPLE).deliver_overdue_parts(bench.database)
    assert await kept() == 3
    await age(bench, "delivered_at", 200)
    await InboundParts(NO_PEOPLE).deliver_overdue_parts(bench.database)
    assert await kept() == 1


async def test_encodings_of_parts_are_joined(bench: Bench) -> None:
    await bench.apply(inbound=[part(1, 2, "abc"), part(2, 2, "ሰላም", encoding="ucs2")])
    binary: dict[str, Any] = {"reference": EIGHT_BIT + 9, "encoding": "binary"}
    await bench.apply(inbound=[part(1, 2, "00ff", **binary), part(2, 2, "cafe", **binary)])
    assert [(row.body, row.encoding) for row in await stored(bench)] == [("abcሰላም", "ucs2"), ("00ffcafe", "binary")]


async def test_the_same_parts_on_another_channel_are_another_message(bench: Bench) -> None:
    other = Bench(bench.database, str(bench.account_id), str(new_id()))
    await bench.apply(inbound=[part(1, 2)])
    await other.apply(inbound=[part(2, 2)])
    assert (await stored(bench), await stored(other)) == ([], [])


async def test_a_long_message_is_shown_like_any_other(
    client: httpx.AsyncClient, registered: dict[str, Any], bench: Bench
) -> None:
    await bench.apply(inbound=[part(2, 2, "with a NUL\0"), part(1, 2, "Hello ")])
    page = (await client.get("/v1/messages?direction=inbound", headers=registered["headers"])).json()
    (message,) = page["items"]
    assert (message["text"], message["segments"], message["from"]) == ("Hello with a NUL", 2, "+251911000100")
