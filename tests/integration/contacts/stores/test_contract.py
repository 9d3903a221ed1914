"""What `ContactStore` promises of single contacts: reading, adding, replacing, deleting."""

import pytest

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
    Opened,
    changed,
    settled,
    where,
)


def everything(account: Account) -> Contact:
    """A contact with a value in every field that is written."""
    return account.contact(
        *(Address(WHATSAPP.type, WHATSAPP.value, ("all",)), PHONE, EMAIL),
        Address(AddressType.TELEGRAM, "@selam", ("marketing", "service")),
        Address(AddressType.MESSENGER, "1234567890"),
        first_name="ሰላም 🙂 o'Brien \\ \"%_",
        last_name="Ω\n\t{}",
        language="am",
        timezone="Africa/Addis_Ababa",
        status=ContactStatus.ARCHIVED,
        notes="line one\nline two " + "ረ" * 5000,
        tags=("$a.b", "Zebra", "apple", "ሰ"),
        attributes={
            "born": "1990-05-01",
            "city": "",
            "likes": ["buna", "ሽሮ"],
            "member": False,
            "nothing": [],
            "ratio": -0.1,
            "score": 2**53,
            "seen": "2026-11-24T10:00:00Z",
            "tiny": 1e-9,
        },
        updated_at=NOW + HOUR,
    )


async def test_a_contact_is_read_as_it_was_written(account: Account, neighbour: Account) -> None:
    contact = await account.add()
    full = everything(account)
    assert await account.store.insert([full]) == frozenset()
    assert await account.store.get([full.id, contact.id, new_id(), *neighbour.contact_ids]) == {
        full.id: full,
        contact.id: contact,
    }
    assert await account.store.get([]) == {}


async def test_an_insert_writes_neither_groups_nor_activity(account: Account) -> None:
    contact = await account.add(PHONE, groups=(ONE,), last_inbound_at=NOW, last_outbound_at=NOW)
    there = await account.one(contact.id)
    assert (there.groups, there.last_inbound_at, there.last_outbound_at) == ((), None, None)
    assert await account.store.group_sizes([ONE]) == {ONE: 0}
    assert await account.store.activity([contact.id]) == []


async def test_addresses_have_one_owner_each(account: Account, neighbour: Account) -> None:
    first = await account.add(PHONE, EMAIL)
    # The same number as an address of another type is another address.
    second = await account.add(WHATSAPP)
    assert await account.store.owners(ALL_ADDRESSES) == {PHONE: first.id, EMAIL: first.id, WHATSAPP: second.id}
    assert await account.store.owners([THIRD_PHONE]) == {}
    assert await account.store.owners([]) == {}


async def test_inserting_again_changes_nothing(account: Account, store: ContactStore) -> None:
    contact = everything(account)
    assert await store.insert([contact]) == frozenset()
    assert await store.insert([contact]) == frozenset()
    assert await store.insert([changed(contact, first_name="Other", addresses=(), tags=())]) == frozenset()
    assert await store.get([contact.id]) == {contact.id: contact}
    assert await store.count(None) == 1


async def test_inserting_again_what_lost_its_address_since_changes_nothing(
    account: Account, store: ContactStore
) -> None:
    first = await account.add(PHONE, EMAIL)
    without = changed(first, addresses=(Address(*EMAIL),))
    assert await store.replace([Replacement(first, without)]) == {}
    second = await account.add(PHONE)
    assert await store.insert([first]) == frozenset()
    assert await store.get([first.id, second.id]) == {first.id: without, second.id: second}
    assert await store.owners([PHONE, EMAIL]) == {PHONE: second.id, EMAIL: first.id}


async def test_a_taken_address_refuses_the_whole_contact(account: Account, store: ContactStore) -> None:
    owner = await account.add(PHONE)
    refused, stored = account.contact(EMAIL, PHONE, WHATSAPP), account.contact(OTHER_PHONE)
    assert await store.insert([refused, stored]) == {refused.id}
    assert await store.get([owner.id, refused.id, stored.id]) == {owner.id: owner, stored.id: stored}
    assert await store.owners(ALL_ADDRESSES) == {PHONE: owner.id, OTHER_PHONE: stored.id}


async def test_of_two_with_one_address_in_a_call_the_first_is_stored(account: Account, store: ContactStore) -> None:
    first, second = account.contact(PHONE), account.contact(EMAIL, PHONE)
    # Later in the call although its id is smaller: the order of the call counts.
    early, late = account.contact(WHATSAPP), account.contact(OTHER_PHONE, WHATSAPP)
    assert await store.insert([first, second, late, early]) == {second.id, early.id}
    assert await store.owners(ALL_ADDRESSES) == {PHONE: first.id, OTHER_PHONE: late.id, WHATSAPP: late.id}
    assert await store.get([second.id, early.id]) == {}


async def test_what_a_refused_one_wanted_is_free_for_the_next(account: Account, store: ContactStore) -> None:
    owner = await account.add(PHONE)
    refused, stored = account.contact(EMAIL, PHONE), account.contact(EMAIL)
    assert await store.insert([refused, stored]) == {refused.id}
    assert await store.owners([PHONE, EMAIL]) == {PHONE: owner.id, EMAIL: stored.id}


async def test_inserting_nothing(store: ContactStore) -> None:
    assert await store.insert([]) == frozenset()
    assert await store.replace([]) == {}


async def test_a_replacement_writes_every_field(account: Account, store: ContactStore) -> None:
    before = await account.add(PHONE, OTHER_PHONE, first_name="Old", tags=("old",), attributes={"gone": 1})
    after = changed(everything(account), id=before.id)
    assert await store.replace([Replacement(before, after)]) == {}
    assert await account.one(before.id) == after
    assert await store.owners(ALL_ADDRESSES) == dict.fromkeys((WHATSAPP, PHONE, EMAIL), before.id)
    # The address it gave up is free.
    await account.add(OTHER_PHONE)
    assert await store.count(where("tags", "apple")) == 1
    assert await store.count(where("opted_out", "telegram:service")) == 1
    # And back, to nearly nothing.
    bare = Contact(id=before.id, account_id=account.id, created_at=NOW, updated_at=NOW + 3 * HOUR)
    assert await store.replace([Replacement(after, bare)]) == {}
    assert await account.one(before.id) == bare
    assert set(await store.owners(ALL_ADDRESSES)) == {OTHER_PHONE}
    assert await store.count(where("opted_out", True, "exists")) == 0


async def test_the_order_of_addresses_is_kept(account: Account, store: ContactStore) -> None:
    before = await account.add(PHONE, EMAIL, WHATSAPP)
    after = changed(before, addresses=tuple(Address(*key) for key in (WHATSAPP, PHONE, EMAIL)))
    assert await store.replace([Replacement(before, after)]) == {}
    assert await account.one(before.id) == after


async def test_a_replacement_writes_neither_groups_nor_activity(account: Account, store: ContactStore) -> None:
    before = await account.add(PHONE)
    assert await store.amend([before.id], Amendment(join_groups=(ONE,)), NOW) == 1
    await store.record_activity([Activity(before.id, SMS, PHONE, NOW, None)])
    after = changed(before, first_name="New", groups=(TWO,), last_outbound_at=NOW)
    assert await store.replace([Replacement(before, after)]) == {}
    assert await account.one(before.id) == changed(
        before, first_name="New", groups=(ONE,), last_inbound_at=NOW, last_outbound_at=None
    )


async def test_what_has_changed_since_is_refused(account: Account, store: ContactStore, neighbour: Account) -> None:
    read = await account.add(PHONE, first_name="Read")
    now = changed(read, first_name="Now")
    gone, fine = await account.add(EMAIL), await account.add(WHATSAPP)
    assert await store.replace([Replacement(read, now)]) == {}
    assert await store.delete([gone.id]) == [gone.id]
    never = account.contact(THIRD_PHONE)
    strange = (await neighbour.store.get(neighbour.contact_ids))[neighbour.contact_ids[0]]
    # A tick is enough.
    assert await store.replace(
        [
            Replacement(read, changed(read, addresses=(Address(*OTHER_PHONE),), updated_at=NOW + HOUR)),
            Replacement(gone, changed(gone, first_name="Late")),
            Replacement(never, changed(never, first_name="Never")),
            Replacement(strange, changed(strange, first_name="Mine", addresses=(), account_id=account.id)),
            Replacement(fine, changed(fine, first_name="Fine")),
        ]
    ) == dict.fromkeys((read.id, gone.id, never.id, strange.id), Refusal.CHANGED)
    assert await store.page(Window(None, 10, descending=False)) == [now, changed(fine, first_name="Fine")]
    assert await store.owners(ALL_ADDRESSES) == {PHONE: read.id, WHATSAPP: fine.id}


async def test_an_address_of_another_is_refused_whole(account: Account, store: ContactStore) -> None:
    owner, wants, fine = await account.add(PHONE), await account.add(EMAIL), await account.add(WHATSAPP)
    greedy = changed(wants, first_name="Greedy", addresses=(Address(*OTHER_PHONE), Address(*PHONE)))
    modest = changed(fine, first_name="Modest", addresses=())
    assert await store.replace([Replacement(wants, greedy), Replacement(fine, modest)]) == {wants.id: Refusal.TAKEN}
    assert await store.page(Window(None, 10, descending=False)) == [owner, wants, modest]
    assert await store.owners(ALL_ADDRESSES) == {PHONE: owner.id, EMAIL: wants.id}


async def test_of_two_that_want_one_free_address_one_gets_it(account: Account, store: ContactStore) -> None:
    one, two = await account.add(PHONE), await account.add(EMAIL)
    wishes = [Replacement(each, changed(each, addresses=(Address(*WHATSAPP),))) for each in (one, two)]
    refused = await store.replace(wishes)
    assert list(refused.values()) == [Refusal.TAKEN]
    for before, after in wishes:
        assert await account.one(before.id) == (before if before.id in refused else after)
    owners = {key: owner for key, owner in ((PHONE, one.id), (EMAIL, two.id)) if owner in refused}
    assert await store.owners(ALL_ADDRESSES) == {WHATSAPP: ({one.id, two.id} - set(refused)).pop(), **owners}


@pytest.mark.parametrize("handed", [(PHONE, EMAIL), (PHONE, None), (None, EMAIL)], ids=["swap", "on", "back"])
async def test_an_address_that_changes_hands_has_one_owner(
    account: Account, store: ContactStore, handed: tuple[AddressKey | None, AddressKey | None]
) -> None:
    """Whether a call may hand an address on is the store's affair; but nothing is half done, and nothing is lost."""
    one, two = await account.add(PHONE), await account.add(EMAIL)
    wishes = [
        Replacement(two, changed(two, addresses=tuple(Address(*key) for key in handed[:1] if key))),
        Replacement(one, changed(one, addresses=tuple(Address(*key) for key in handed[1:] if key))),
    ]
    refused = await store.replace(wishes)
    assert set(refused.values()) <= {Refusal.TAKEN}
    there = await store.get([one.id, two.id])
    assert there == {before.id: before if before.id in refused else after for before, after in wishes}
    owned = [(address.key, contact.id) for contact in there.values() for address in contact.addresses]
    assert await store.owners(ALL_ADDRESSES) == dict(owned)
    assert len(dict(owned)) == len(owned)


async def test_nothing_is_left_of_what_was_deleted(account: Account, store: ContactStore, neighbour: Account) -> None:
    mine = await settled(account)
    kept = await account.add(AddressKey(AddressType.TELEGRAM, "@kept"))
    gone = await store.delete([*mine.contact_ids, new_id(), *neighbour.contact_ids])
    assert sorted(gone) == sorted(mine.contact_ids)
    assert await store.delete(mine.contact_ids) == []
    assert await store.delete([]) == []
    assert await store.get([*mine.contact_ids, kept.id]) == {kept.id: kept}
    assert await store.activity(mine.contact_ids) == []
    assert await store.owners(ALL_ADDRESSES) == {}
    assert await store.group_sizes([ONE, TWO]) == {ONE: 0, TWO: 0}
    assert await store.drop_group(ONE, 10) == 0
    # Even if the same one came back.
    back = account.contact(PHONE, id=mine.contact_ids[0])
    assert await store.insert([back]) == frozenset()
    assert await store.get([back.id]) == {back.id: back}


async def test_a_purge_ends_with_nothing(account: Account, store: ContactStore) -> None:
    mine = await settled(account)
    more = [account.contact(AddressKey(AddressType.TELEGRAM, f"@{number}")) for number in range(5)]
    assert await store.insert(more) == frozenset()
    rounds, removed = 0, 0
    while purged := await store.purge(3):
        rounds, removed = rounds + 1, removed + purged
        assert rounds <= 7
    assert removed == 7
    assert await store.count(None) == 0
    assert await store.group_sizes([ONE, TWO]) == {ONE: 0, TWO: 0}
    assert await store.activity(mine.contact_ids) == []
    assert await store.owners([*ALL_ADDRESSES, *(address.key for each in more for address in each.addresses)]) == {}
    assert await store.insert(more) == frozenset()


async def test_the_largest_calls(opened: Opened, account: Account, store: ContactStore) -> None:
    number = opened.largest
    contacts = [
        account.contact(AddressKey(AddressType.PHONE, f"+2519{each:08}"), first_name=f"{each}")
        for each in range(number)
    ]
    ids = [contact.id for contact in contacts]
    keys = [contact.addresses[0].key for contact in contacts]
    assert await store.insert(contacts) == frozenset()
    assert await store.get(ids) == {contact.id: contact for contact in contacts}
    assert await store.owners(keys) == dict(zip(keys, ids, strict=True))
    assert await store.amend(ids, Amendment(add_tags=("x",), join_groups=(ONE,)), NOW + HOUR) == number
    assert await store.group_sizes([ONE]) == {ONE: number}
    await store.record_activity([Activity(each.id, CHAT, each.addresses[0].key, NOW) for each in contacts])
    assert await store.count(where("last_inbound_at", "now-1h", "gte")) == number
    assert len(await store.set_opted_out(dict.fromkeys(keys, ("all",)))) == number
    there = await store.get(ids)
    assert (
        await store.replace(
            [Replacement(each, changed(each, first_name="Same", addresses=())) for each in there.values()]
        )
        == {}
    )
    assert await store.owners(keys) == {}
    assert await store.ids(where("first_name", "Same"), None, number) == ids
    assert sorted(await store.delete(ids)) == ids
    assert await store.group_sizes([ONE]) == {ONE: 0}
