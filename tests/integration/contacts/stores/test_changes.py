"""What `ContactStore` promises of changing many at once: amendments, groups, activity and opt-outs."""

from datetime import timedelta
from itertools import permutations
from typing import Any

import msgspec
import pytest

from app.domain.contacts.stores.contract import (
    Activity,
    Address,
    Amendment,
    Contact,
    ContactStatus,
    ContactStore,
    Replacement,
    Window,
)
from app.lib.ids import new_id
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
    THIRD_PHONE,
    TWO,
    WHATSAPP,
    Account,
    changed,
    settled,
    where,
)

LATER = NOW + HOUR


async def everybody(store: ContactStore) -> list[Contact]:
    """In the order they were added."""
    return await store.page(Window(None, 100, descending=False))


async def test_an_amendment_changes_those_that_differ(
    account: Account, store: ContactStore, neighbour: Account
) -> None:
    blank = await account.add(PHONE)
    partly = await account.add(tags=("old", "vip"), attributes={"city": "Adama", "gone": 1, "kept": [1]})
    done = await account.add(status=ContactStatus.BLOCKED, tags=("vip", "ሰ"), attributes={"city": "Jimma"})
    untouched = await account.add(tags=("old",))
    amendment = Amendment(
        add_tags=("ሰ", "vip"), remove_tags=("old",), attributes={"city": "Jimma", "gone": None}, status=done.status
    )
    ids = [blank.id, partly.id, done.id, new_id(), *neighbour.contact_ids]
    assert await store.amend(ids, amendment, LATER) == 2
    shall = {"status": ContactStatus.BLOCKED, "tags": ("vip", "ሰ"), "updated_at": LATER}
    after = [
        changed(blank, **shall, attributes={"city": "Jimma"}),
        changed(partly, **shall, attributes={"city": "Jimma", "kept": [1]}),
        done,
        untouched,
    ]
    assert await everybody(store) == after
    assert await store.amend(ids, amendment, LATER + HOUR) == 0
    assert await everybody(store) == after


@pytest.mark.parametrize(
    ("amendment", "fields"),
    [
        (Amendment(add_tags=("a", "m", "Z")), {"tags": ("Z", "a", "b", "c", "m")}),
        (Amendment(remove_tags=("b", "nope")), {"tags": ("c",)}),
        (Amendment(remove_tags=("b", "c")), {"tags": ()}),
        (Amendment(status=ContactStatus.ARCHIVED), {"status": ContactStatus.ARCHIVED}),
        (Amendment(attributes={"one": True}), {"attributes": {"one": True, "two": ["b"], "$x.y": "z"}}),
        (Amendment(attributes={"one": "1"}), {"attributes": {"one": "1", "two": ["b"], "$x.y": "z"}}),
        (Amendment(attributes={"one": 0.5}), {"attributes": {"one": 0.5, "two": ["b"], "$x.y": "z"}}),
        (Amendment(attributes={"two": ["a", "b"]}), {"attributes": {"one": 1, "two": ["a", "b"], "$x.y": "z"}}),
        (Amendment(attributes={"two": []}), {"attributes": {"one": 1, "two": [], "$x.y": "z"}}),
        (Amendment(attributes={"one": None, "none": None}), {"attributes": {"two": ["b"], "$x.y": "z"}}),
        (Amendment(attributes={"new": False}), {"attributes": {"one": 1, "two": ["b"], "$x.y": "z", "new": False}}),
    ],
    ids=repr,
)
async def test_each_amendment(
    account: Account, store: ContactStore, amendment: Amendment, fields: dict[str, Any]
) -> None:
    before = await account.add(tags=("b", "c"), attributes={"one": 1, "two": ["b"], "$x.y": "z"})
    assert await store.amend([before.id], amendment, LATER) == 1
    assert await account.one(before.id) == changed(before, **fields, updated_at=LATER)


@pytest.mark.parametrize(
    "amendment",
    [
        Amendment(),
        Amendment(add_tags=("b",), remove_tags=("x",), attributes={"one": 1, "x": None}, status=ContactStatus.ACTIVE),
        Amendment(attributes={"two": ["b"]}),
        Amendment(leave_groups=(ONE, TWO)),
    ],
    ids=repr,
)
async def test_what_changes_nothing_is_not_counted(account: Account, store: ContactStore, amendment: Amendment) -> None:
    before = await account.add(tags=("b",), attributes={"one": 1, "two": ["b"]})
    assert await store.amend([before.id], amendment, LATER) == 0
    assert await store.amend([], amendment, LATER) == 0
    assert await account.one(before.id) == before


async def test_versions_only_go_up(account: Account, store: ContactStore) -> None:
    ahead = await account.add(updated_at=LATER)
    for tag, now in (("a", LATER), ("b", NOW), ("c", LATER)):
        before = await account.one(ahead.id)
        assert await store.amend([ahead.id], Amendment(add_tags=(tag,)), now) == 1
        after = await account.one(ahead.id)
        assert before.updated_at < after.updated_at <= before.updated_at + timedelta(milliseconds=1)
    # The version that was read tells whether it is still the same.
    assert await store.replace([Replacement(ahead, changed(ahead, first_name="Late"))]) != {}
    there = await account.one(ahead.id)
    assert await store.replace([Replacement(there, changed(there, first_name="In time"))]) == {}


async def test_groups_are_joined_and_left(account: Account, store: ContactStore, neighbour: Account) -> None:
    first, second = await account.add(PHONE), await account.add(EMAIL)
    # Those who are not there, or are somebody else's, join nothing.
    ids = [first.id, second.id, new_id(), *neighbour.contact_ids]
    assert await store.amend(ids[2:], Amendment(join_groups=(ONE,)), LATER) == 0
    assert await store.group_sizes([ONE]) == {ONE: 0}
    assert await store.amend(ids[:1], Amendment(join_groups=(TWO,)), LATER) == 1
    assert await store.amend(ids, Amendment(join_groups=(ONE, TWO)), LATER) == 2
    assert await store.amend(ids, Amendment(join_groups=(ONE, TWO)), LATER) == 0
    assert await everybody(store) == [msgspec.structs.replace(each, groups=(ONE, TWO)) for each in (first, second)]
    unknown = new_id()
    assert await store.group_sizes([ONE, TWO, unknown]) == {ONE: 2, TWO: 2, unknown: 0}
    assert await store.group_sizes([]) == {}
    assert await store.amend([first.id], Amendment(leave_groups=(TWO, unknown)), LATER) == 1
    assert await store.amend([first.id], Amendment(leave_groups=(TWO,)), LATER) == 0
    # Leaving one and joining another is one change.
    assert await store.amend([second.id], Amendment(leave_groups=(ONE,), join_groups=(unknown,)), LATER) == 1
    assert await store.group_sizes([ONE, TWO, unknown]) == {ONE: 1, TWO: 1, unknown: 1}
    assert [each.groups for each in await everybody(store)] == [(ONE,), tuple(sorted((TWO, unknown)))]
    assert await store.ids(where("groups", str(ONE)), None, 10) == [first.id]


async def test_a_change_of_groups_leaves_the_version_as_it_is(account: Account, store: ContactStore) -> None:
    tagged, plain = await account.add(tags=("vip",)), await account.add()
    assert await store.amend([tagged.id, plain.id], Amendment(add_tags=("vip",), join_groups=(ONE,)), LATER) == 2
    assert await everybody(store) == [
        msgspec.structs.replace(tagged, groups=(ONE,)),
        msgspec.structs.replace(plain, groups=(ONE,), tags=("vip",), updated_at=LATER),
    ]


async def test_a_group_is_dropped_in_steps(account: Account, store: ContactStore) -> None:
    members = [await account.add() for _ in range(5)]
    ids = [member.id for member in members]
    assert await store.amend(ids, Amendment(join_groups=(ONE, TWO)), LATER) == 5
    assert [await store.drop_group(ONE, 2) for _ in range(4)] == [2, 2, 1, 0]
    assert await store.group_sizes([ONE, TWO]) == {ONE: 0, TWO: 5}
    assert await everybody(store) == [msgspec.structs.replace(member, groups=(TWO,)) for member in members]
    assert await store.drop_group(TWO, 100) == 5


async def test_the_latest_activity_wins_in_any_order(account: Account, store: ContactStore) -> None:
    moments = [
        (NOW - HOUR, None),
        (None, NOW - 2 * HOUR),
        (NOW, NOW - 3 * HOUR),
        (NOW - timedelta(microseconds=1), NOW - HOUR),
    ]
    at_once = []
    for turn, order in enumerate(permutations(moments)):
        contact = await account.add()
        activities = [Activity(contact.id, SMS, PHONE, inbound, outbound) for inbound, outbound in order]
        if turn % 2:
            at_once += activities
        else:
            for activity in activities:
                await store.record_activity([activity])
    await store.record_activity(at_once)
    everyone = await everybody(store)
    assert {(each.last_inbound_at, each.last_outbound_at) for each in everyone} == {(NOW, NOW - HOUR)}
    assert {each.updated_at for each in everyone} == {NOW}
    ids = [each.id for each in everyone]
    assert sorted(await store.activity(ids), key=lambda each: each.contact_id) == [
        Activity(contact_id, SMS, PHONE, NOW, NOW - HOUR) for contact_id in ids
    ]


async def test_activity_is_known_for_each_address_and_channel(
    account: Account, store: ContactStore, neighbour: Account
) -> None:
    first, second = await account.add(PHONE, WHATSAPP), await account.add(OTHER_PHONE)
    there = [
        Activity(first.id, SMS, PHONE, NOW - HOUR, None),
        Activity(first.id, CHAT, PHONE, NOW - 3 * HOUR, NOW - HOUR),
        Activity(first.id, CHAT, WHATSAPP, None, NOW),
    ]
    others = [Activity(contact_id, SMS, PHONE, LATER, LATER) for contact_id in (new_id(), *neighbour.contact_ids)]
    await store.record_activity([*there, *others])
    await store.record_activity(others)
    await store.record_activity([])
    ids = [first.id, second.id, *(each.contact_id for each in others)]
    assert sorted(await store.activity(ids), key=repr) == sorted(there, key=repr)
    assert await store.activity([second.id]) == []
    assert await store.activity([]) == []
    assert await everybody(store) == [
        msgspec.structs.replace(first, last_inbound_at=NOW - HOUR, last_outbound_at=NOW),
        second,
    ]
    assert await store.ids(where("last_inbound_at", "now-1h"), None, 10) == [first.id]
    # What is asked of is the latest: neither this one of another channel, nor nothing at all.
    assert await store.ids(where("last_inbound_at", "now-3h"), None, 10) == []
    assert await store.ids(where("last_inbound_at", "now-2h", "lt"), None, 10) == []


async def test_opt_outs_are_written_to_addresses(account: Account, store: ContactStore, neighbour: Account) -> None:
    first = await account.add(PHONE, EMAIL, first_name="Selam", tags=("vip",), attributes={"city": "Adama"})
    second = await account.add(Address(OTHER_PHONE.type, OTHER_PHONE.value, ("all",)))
    third = await account.add(WHATSAPP)
    states = {
        PHONE: ("marketing", "service"),
        EMAIL: ("all",),
        OTHER_PHONE: ("all",),
        THIRD_PHONE: ("all",),
        WHATSAPP: (),
    }
    assert await store.set_opted_out(states) == [first.id]
    after = await account.one(first.id)
    assert after == changed(
        first,
        addresses=(
            Address(PHONE.type, PHONE.value, ("marketing", "service")),
            Address(EMAIL.type, EMAIL.value, ("all",)),
        ),
        updated_at=after.updated_at,
    )
    assert after.updated_at > first.updated_at
    assert await everybody(store) == [after, second, third]
    assert await store.set_opted_out(states) == []
    assert await everybody(store) == [after, second, third]
    assert await store.set_opted_out({}) == []
    assert await store.owners(ALL_ADDRESSES) == {
        PHONE: first.id,
        EMAIL: first.id,
        OTHER_PHONE: second.id,
        WHATSAPP: third.id,
    }
    for topic, ids in (("sms", [second.id]), ("sms:marketing", [first.id]), ("email", [first.id]), ("whatsapp", [])):
        assert await store.ids(where("opted_out", topic), None, 10) == ids, topic
    # And in again.
    assert set(await store.set_opted_out({PHONE: ("service",), OTHER_PHONE: ()})) == {first.id, second.id}
    again = await account.one(first.id)
    assert again.opted_out == ("email", "sms:service")
    assert again.updated_at > after.updated_at
    assert await store.ids(where("opted_out", True, "exists"), None, 10) == [first.id]


async def test_an_opt_out_goes_above_the_version_that_is_there(account: Account, store: ContactStore) -> None:
    # A host whose clock is ahead has written it.
    ahead = await account.add(PHONE, updated_at=NOW.replace(year=NOW.year + 50))
    assert await store.set_opted_out({PHONE: ("all",)}) == [ahead.id]
    there = await account.one(ahead.id)
    assert there.updated_at > ahead.updated_at
    assert await store.replace([Replacement(ahead, changed(ahead, updated_at=there.updated_at + HOUR))]) != {}


async def test_what_a_contact_has_is_not_lost_by_changes_of_another_kind(account: Account, store: ContactStore) -> None:
    mine = await settled(account)
    contact_id = mine.contact_ids[0]
    before = await account.one(contact_id)
    assert before.groups == (ONE, TWO)
    assert await store.set_opted_out({PHONE: (), EMAIL: ("all",)}) == [contact_id]
    assert await store.amend([contact_id], Amendment(add_tags=("x",)), before.updated_at + HOUR) == 1
    there = await account.one(contact_id)
    assert there == msgspec.structs.replace(
        before, tags=("new", "vip", "x"), addresses=there.addresses, updated_at=there.updated_at
    )
    assert there.opted_out == ("email",)
