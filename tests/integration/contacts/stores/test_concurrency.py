"""Two who change the same contacts at once: one of them wins, nothing is lost, and neither gets an error.

The first holds its unit of work open until the second either is done or waits for it: on PostgreSQL they meet for
certain, in both orders; on MongoDB, where each call is done when it returns, the second comes after. The rest runs both
at once and asks for what must be true in any order.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import pytest
from sqlalchemy import text

from app.domain.contacts.stores.contract import (
    Activity,
    Address,
    AddressKey,
    AddressType,
    Amendment,
    Contact,
    ContactStatus,
    ContactStore,
    Refusal,
    Replacement,
    Window,
)
from app.lib.db import Database
from tests.integration.contacts.stores.cases import (
    ALL_ADDRESSES,
    CHAT,
    EMAIL,
    HOUR,
    NOW,
    ONE,
    OTHER_PHONE,
    PHONE,
    SMS,
    TWO,
    WHATSAPP,
    Account,
    Opened,
    changed,
)

DEADLINE = 30.0
ROUNDS = 4
T = TypeVar("T")
U = TypeVar("U")
Call = Callable[[ContactStore], Coroutine[Any, Any, Any]]


@pytest.fixture
def meet(opened: Opened, bare: Database, account: Account) -> Callable[..., Awaitable[tuple[Any, Any]]]:
    """Make the first call, start the second one, and commit the first when the second can do nothing but wait."""

    async def waits() -> bool:
        async with bare.reading() as session:
            blocked = await session.execute(
                text(
                    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
                    " AND wait_event_type = 'Lock')"
                )
            )
            return bool(blocked.scalar_one())

    async def both(first: Call, second: Call) -> tuple[Any, Any]:
        async with opened.database.unit_of_work(account.id) as session:
            one = await first(opened.stores.of(session, account.id))
            task = asyncio.create_task(second(account.store))
            deadline = time.monotonic() + DEADLINE
            while not task.done() and not await waits():
                assert time.monotonic() < deadline, "neither done nor waiting"
                await asyncio.sleep(0.005)
        return one, await task

    return both


Meet = Callable[[Call, Call], Awaitable[tuple[Any, Any]]]


async def consistent(store: ContactStore) -> list[Contact]:
    """Everybody, once it is certain that addresses are theirs whose they say they are."""
    everybody = await store.page(Window(None, 200, descending=False))
    claimed = [(address.key, contact.id) for contact in everybody for address in contact.addresses]
    keys = {*ALL_ADDRESSES, *(key for key, _ in claimed)}
    assert await store.owners(keys) == dict(claimed)
    assert len(dict(claimed)) == len(claimed)
    return everybody


async def test_one_address_is_inserted_twice_at_once(account: Account, store: ContactStore, meet: Meet) -> None:
    one, two = account.contact(PHONE, EMAIL), account.contact(WHATSAPP, PHONE)
    refused = await meet(lambda store: store.insert([one]), lambda store: store.insert([two]))
    assert refused == (frozenset(), {two.id})
    assert await consistent(store) == [one]


async def test_one_contact_is_inserted_twice_at_once(account: Account, store: ContactStore, meet: Meet) -> None:
    contact = account.contact(PHONE)
    assert await meet(lambda store: store.insert([contact]), lambda store: store.insert([contact])) == (
        frozenset(),
        frozenset(),
    )
    assert await consistent(store) == [contact]


async def test_one_version_is_replaced_twice_at_once(account: Account, store: ContactStore, meet: Meet) -> None:
    before = await account.add(PHONE)
    one, two = (changed(before, first_name=name, addresses=(Address(*EMAIL),)) for name in ("One", "Two"))
    assert await meet(
        lambda store: store.replace([Replacement(before, one)]),
        lambda store: store.replace([Replacement(before, changed(two, updated_at=NOW + HOUR))]),
    ) == ({}, {before.id: Refusal.CHANGED})
    assert await consistent(store) == [one]


async def test_one_address_is_given_to_two_at_once(account: Account, store: ContactStore, meet: Meet) -> None:
    one, two = await account.add(PHONE), await account.add(OTHER_PHONE)
    wishes = [changed(each, addresses=(*each.addresses, Address(*EMAIL))) for each in (one, two)]
    assert await meet(
        lambda store: store.replace([Replacement(one, wishes[0])]),
        lambda store: store.replace([Replacement(two, wishes[1])]),
    ) == ({}, {two.id: Refusal.TAKEN})
    assert await consistent(store) == [wishes[0], two]
    new = account.contact(WHATSAPP)
    assert await meet(
        lambda store: store.replace([Replacement(two, changed(two, addresses=(Address(*WHATSAPP),)))]),
        lambda store: store.insert([new]),
    ) == ({}, {new.id})
    assert [each.addresses for each in await consistent(store)] == [wishes[0].addresses, (Address(*WHATSAPP),)]


async def test_an_address_is_taken_while_it_is_given_up(account: Account, store: ContactStore, meet: Meet) -> None:
    before, new = await account.add(PHONE), account.contact(PHONE)
    bare = changed(before, addresses=())
    _, refused = await meet(lambda store: store.replace([Replacement(before, bare)]), lambda store: store.insert([new]))
    assert await consistent(store) == ([bare] if refused else [bare, new])
    gone, heir = await account.add(EMAIL), account.contact(EMAIL)
    _, refused = await meet(lambda store: store.delete([gone.id]), lambda store: store.insert([heir]))
    assert heir.id in [each.id for each in await consistent(store)] or refused == {heir.id}


CHANGES: dict[str, Callable[[Contact], Call]] = {
    "amend": lambda contact: (
        lambda store: store.amend(
            [contact.id], Amendment(add_tags=("x",), attributes={"y": 1}, status=ContactStatus.BLOCKED), NOW + HOUR
        )
    ),
    "join": lambda contact: lambda store: store.amend([contact.id], Amendment(join_groups=(ONE, TWO)), NOW + HOUR),
    "activity": lambda contact: lambda store: store.record_activity([Activity(contact.id, SMS, PHONE, NOW, NOW)]),
    "opt out": lambda contact: lambda store: store.set_opted_out({PHONE: ("all",)}),
    "replace": lambda contact: (
        lambda store: store.replace(
            [Replacement(contact, changed(contact, first_name="New", addresses=(Address(*PHONE), Address(*EMAIL))))]
        )
    ),
    "insert": lambda contact: lambda store: store.insert([contact]),
    "delete": lambda contact: lambda store: store.delete([contact.id]),
}


@pytest.mark.parametrize("deleted_first", [True, False], ids=["deleted first", "deleted after"])
@pytest.mark.parametrize("change", CHANGES)
async def test_nothing_is_left_of_what_is_deleted_meanwhile(
    account: Account, store: ContactStore, meet: Meet, change: str, deleted_first: bool
) -> None:
    contact = await account.add(PHONE)
    calls = (CHANGES["delete"](contact), CHANGES[change](contact))
    await meet(*(calls if deleted_first else reversed(calls)))
    if change == "insert" and await store.count(None):
        # It was added again after it had been deleted.
        assert await consistent(store) == [contact]
        return
    assert await consistent(store) == []
    assert await store.activity([contact.id]) == []
    assert await store.group_sizes([ONE, TWO]) == {ONE: 0, TWO: 0}


@pytest.mark.parametrize("second", ["amend", "join", "activity", "opt out", "replace"])
@pytest.mark.parametrize("first", ["amend", "join", "activity", "opt out", "replace"])
async def test_what_two_change_at_once_is_not_lost(
    account: Account, store: ContactStore, meet: Meet, first: str, second: str
) -> None:
    """Whoever replaces what somebody else has changed is refused; all else is there in the end."""
    contact = await account.add(PHONE)
    _, answer = await meet(CHANGES[first](contact), CHANGES[second](contact))
    made = {first, second}
    if second == "replace" and first in ("amend", "opt out", "replace"):
        assert answer == {contact.id: Refusal.CHANGED}
        made = {first}
    [there] = await consistent(store)
    assert (there.tags, there.attributes, there.status) == (
        (("x",), {"y": 1}, ContactStatus.BLOCKED) if "amend" in made else ((), {}, ContactStatus.ACTIVE)
    )
    assert there.groups == ((ONE, TWO) if "join" in made else ())
    assert there.last_inbound_at == (NOW if "activity" in made else None)
    assert there.opted_out == (("sms",) if "opt out" in made else ())
    assert [address.type for address in there.addresses] == (
        [AddressType.PHONE, AddressType.EMAIL] if "replace" in made else [AddressType.PHONE]
    )
    assert (there.updated_at > NOW) == bool(made & {"amend", "opt out", "replace"})


async def gathered(one: Awaitable[T], two: Awaitable[U]) -> tuple[T, U]:
    """What both answer, when neither waits for the other to begin."""
    first, second = await asyncio.gather(one, two)
    return first, second


async def test_addresses_in_opposite_orders(account: Account, store: ContactStore) -> None:
    """Each call has the other's addresses in the opposite order: whoever locked them as they come would deadlock."""
    for turn in range(ROUNDS):
        keys = [AddressKey(AddressType.TELEGRAM, f"@{turn}_{number:03}") for number in range(100)]
        ones = [account.contact(key) for key in keys]
        twos = [account.contact(key) for key in reversed(keys)]
        refused = await gathered(store.insert(ones), store.insert(twos))
        assert sum(map(len, refused)) == len(keys)
        owners = await store.owners(keys)
        assert sorted(owners.values()) == sorted({each.id for each in ones + twos} - refused[0] - refused[1])
        assert len(await store.get([each.id for each in ones + twos])) == len(keys)


async def test_changes_in_opposite_orders(account: Account, store: ContactStore) -> None:
    keys = [AddressKey(AddressType.TELEGRAM, f"@{number:03}") for number in range(40)]
    contacts = [account.contact(key) for key in keys]
    assert await store.insert(contacts) == frozenset()
    ids = [contact.id for contact in contacts]
    for turn in range(ROUNDS):
        counts = await gathered(
            store.amend(ids, Amendment(add_tags=(f"a{turn}",), join_groups=(ONE,)), NOW + HOUR),
            store.amend(ids[::-1], Amendment(add_tags=(f"b{turn}",), join_groups=(TWO,)), NOW + HOUR),
        )
        assert counts == (len(ids), len(ids))
        moment = NOW + turn * HOUR
        activities = [Activity(each.id, CHAT, each.addresses[0].key, moment, None) for each in contacts]
        await gathered(store.record_activity(activities), store.record_activity(activities[::-1]))
        topics = ("all",) if turn % 2 else ("marketing",)
        changed_ids = await gathered(
            store.set_opted_out(dict.fromkeys(keys, topics)), store.set_opted_out(dict.fromkeys(keys[::-1], topics))
        )
        assert sorted(changed_ids[0] + changed_ids[1]) == ids
        there = await store.get(ids)
        assert {each.tags for each in there.values()} == {
            tuple(f"{letter}{number}" for letter in "ab" for number in range(turn + 1))
        }
        assert {each.last_inbound_at for each in there.values()} == {moment}
        wishes = [Replacement(each, changed(each, first_name=f"{turn}")) for each in there.values()]
        refused = await gathered(store.replace(wishes), store.replace(wishes[::-1]))
        assert sorted([*refused[0], *refused[1]]) == ids
    assert await store.group_sizes([ONE, TWO]) == {ONE: len(ids), TWO: len(ids)}
    dropped = await gathered(store.drop_group(ONE, 1000), store.drop_group(ONE, 1000))
    assert sum(dropped) == len(ids)
    deleted = await gathered(store.delete(ids), store.delete(ids[::-1]))
    # Both may have seen one that was there.
    assert sorted({*deleted[0], *deleted[1]}) == ids
    assert await consistent(store) == []


async def test_two_purge_at_once(account: Account, store: ContactStore) -> None:
    contacts = [account.contact(AddressKey(AddressType.TELEGRAM, f"@{number}")) for number in range(40)]
    assert await store.insert(contacts) == frozenset()

    async def all_of_it() -> int:
        removed = 0
        while number := await store.purge(7):
            removed += number
        return removed

    assert sum(await gathered(all_of_it(), all_of_it())) == len(contacts)
    assert await store.owners([contact.addresses[0].key for contact in contacts]) == {}
