"""What `ContactStore` promises of lists: windows in every order, counts, and the walk through an audience."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from app.domain.contacts.stores.contract import (
    SORTS,
    Address,
    AddressType,
    Amendment,
    Contact,
    ContactStatus,
    ContactStore,
    Recipient,
    Window,
)
from tests.integration.contacts.stores.cases import HOUR, NOW, ONE, PHONE, WHATSAPP, Account, read, settled, where

NAMES = ("Ab", "", "ab", "Z", "é", "e", "Ω", "Ж", "አበበ", "\uffee", "🙂", "ab", "", "a b", "a", "Ab", "ab\n", "ab ")
"""By code point: neither a language's order nor that of UTF-16, where 🙂 comes before U+FFEE."""


async def crowd(account: Account) -> list[Contact]:
    """Contacts with names and versions in no order, some of them equal."""
    contacts = [
        account.contact(
            first_name=name,
            last_name=NAMES[-1 - index],
            created_at=NOW + timedelta(seconds=index),
            updated_at=NOW + timedelta(microseconds=index * 7 % 5),
            tags=("odd",) if index % 2 else (),
        )
        for index, name in enumerate(NAMES)
    ]
    assert await account.store.insert(contacts) == frozenset()
    return contacts


def position(sort: str, contact: Contact) -> tuple[Any, UUID]:
    """What the last contact of a page says about where the next one begins."""
    return (None if sort == "created_at" else getattr(contact, sort), contact.id)


def in_order(contacts: Sequence[Contact], sort: str, descending: bool) -> list[Contact]:
    return sorted(contacts, key=lambda each: (getattr(each, sort), each.id), reverse=descending)


@pytest.mark.parametrize("descending", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("sort", SORTS)
async def test_pages_follow_each_other(account: Account, store: ContactStore, sort: str, descending: bool) -> None:
    contacts = await crowd(account)
    expected = in_order(contacts, sort, descending)
    assert await store.page(Window(None, len(contacts), sort, descending)) == expected
    for limit in (1, 4, len(contacts), 200):
        seen: list[Contact] = []
        after = None
        while page := await store.page(Window(None, limit, sort, descending, after)):
            assert len(page) <= limit
            seen += page
            after = position(sort, page[-1])
            assert len(seen) <= len(contacts)
        assert seen == expected


@pytest.mark.parametrize("descending", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("sort", SORTS)
async def test_pages_of_what_matches(account: Account, store: ContactStore, sort: str, descending: bool) -> None:
    odd = in_order([each for each in await crowd(account) if each.tags], sort, descending)
    expression = where("tags", "odd")
    first = await store.page(Window(expression, 5, sort, descending))
    rest = await store.page(Window(expression, 100, sort, descending, position(sort, first[-1])))
    assert first + rest == odd
    assert await store.page(Window(expression, 5, sort, descending, position(sort, odd[-1]))) == []


@pytest.mark.parametrize("sort", SORTS)
async def test_a_page_goes_on_where_the_last_one_seen_was(account: Account, store: ContactStore, sort: str) -> None:
    expected = in_order(await crowd(account), sort, False)
    after = position(sort, expected[4])
    # Even when that one, and the next, are there no more.
    assert len(await store.delete([expected[4].id, expected[5].id])) == 2
    assert await store.page(Window(None, 3, sort, False, after)) == expected[6:9]


async def test_the_newest_come_first_unless_asked_otherwise(account: Account, store: ContactStore) -> None:
    contacts = await crowd(account)
    assert await store.page(Window(None, 2)) == contacts[:-3:-1]
    # A cursor of `created_at` may carry the value; only the id is looked at.
    assert await store.page(Window(None, 2, after=(NOW, contacts[-2].id))) == contacts[-3:-5:-1]


async def test_a_page_has_all_there_is_to_a_contact(account: Account, store: ContactStore) -> None:
    mine = await settled(account)
    there = await store.get(mine.contact_ids)
    assert there[mine.contact_ids[0]].last_inbound_at == NOW
    assert await store.page(Window(None, 10, descending=False)) == [there[each] for each in mine.contact_ids]


async def test_counts(account: Account, store: ContactStore) -> None:
    assert await store.count(None) == 0
    contacts = await crowd(account)
    assert await store.count(None) == len(contacts)
    assert await store.count(where("tags", "odd")) == len(contacts) // 2
    assert await store.count(read({"not": {"field": "tags", "value": "odd"}})) == (len(contacts) + 1) // 2
    assert await store.count(read({"and": []})) == len(contacts)
    assert await store.count(read({"or": []})) == 0


async def test_an_empty_account_has_empty_lists(store: ContactStore) -> None:
    assert await store.page(Window(None, 10)) == []
    assert await store.recipients(None, None, 10) == []
    assert await store.ids(where("tags", "vip"), None, 10) == []


async def test_recipients_are_what_sending_needs(account: Account, store: ContactStore) -> None:
    contact = await account.add(
        Address(PHONE.type, PHONE.value, ("all",)),
        WHATSAPP,
        Address(AddressType.TELEGRAM, "@selam"),
        first_name="Selam",
        last_name="Tesfaye",
        language="am",
        timezone="Africa/Addis_Ababa",
        status=ContactStatus.BLOCKED,
        notes="not needed",
        tags=("vip",),
        attributes={"city": "Adama", "score": 1.5, "likes": ["buna"]},
    )
    bare = await account.add()
    assert await store.recipients(None, None, 10) == [
        Recipient(
            each.id,
            each.first_name,
            each.last_name,
            each.language,
            each.timezone,
            each.status,
            each.addresses,
            each.attributes,
        )
        for each in (contact, bare)
    ]


async def test_a_walk_meets_whoever_was_there_all_the_while_once(account: Account, store: ContactStore) -> None:
    contacts = await crowd(account)
    odd = [each.id for each in contacts if each.tags]
    met: list[UUID] = []
    met += [each.id for each in await store.recipients(where("tags", "odd"), None, 3)]
    assert met == odd[:3]
    assert await store.ids(where("tags", "odd"), None, 3) == met
    # One that was met and one that was not are deleted; another stops matching, one begins to, and one is new.
    assert len(await store.delete([odd[1], odd[4]])) == 2
    assert await store.amend([odd[5]], Amendment(remove_tags=("odd",)), NOW + HOUR) == 1
    assert await store.amend([contacts[0].id, contacts[-2].id], Amendment(add_tags=("odd",)), NOW + HOUR) == 2
    new = await account.add(tags=("odd",))
    expected = [odd[3], odd[6], odd[7], contacts[-2].id, odd[8], new.id]
    while step := await store.recipients(where("tags", "odd"), met[-1], 2):
        met += [each.id for each in step]
    assert met[3:] == expected
    assert await store.ids(where("tags", "odd"), odd[2], 100) == expected
    assert await store.ids(where("tags", "odd"), new.id, 100) == []


async def test_a_group_is_walked(account: Account, store: ContactStore, neighbour: Account) -> None:
    ids = [each.id for each in await crowd(account)]
    members = ids[::3]
    assert await store.amend(members, Amendment(join_groups=(ONE,)), NOW) == len(members)
    assert await store.ids(where("groups", str(ONE)), None, 100) == members
    assert [each.id for each in await store.recipients(where("groups", str(ONE)), members[1], 2)] == members[2:4]
    assert await store.ids(read({"not": {"field": "groups", "value": str(ONE)}}), None, 100) == [
        each for each in ids if each not in members
    ]


HOSTILE = (
    "%",
    "_",
    "\\",
    "/",
    ".",
    ".*",
    "^",
    "$",
    "[a",
    "(",
    "a|b",
    "'",
    '"',
    "\n",
    "{",
    "$where",
    "\\u0041",
    "🙂",
    "a%",
)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
async def test_texts_mean_themselves(account: Account, store: ContactStore, text: str) -> None:
    """Nothing in a text is a pattern, an escape or an operator, wherever it is looked for."""
    fields = {"first_name": f"x{text}y", "tags": (text,), "attributes": {"city": f"{text}y", "likes": [text]}}
    telegram = Address(AddressType.TELEGRAM, f"x{text}y")
    found = await account.add(telegram, **fields)
    decoy = "B" if text != "a|b" else "a"
    await account.add(
        Address(AddressType.TELEGRAM, f"x{decoy}y"),
        first_name=f"x{decoy}y",
        tags=(decoy,),
        attributes={"city": f"{decoy}y", "likes": [decoy]},
    )
    for field, op, value in (
        ("first_name", "contains", text),
        ("first_name", "startswith", f"x{text}"),
        ("first_name", "eq", f"x{text}y"),
        ("first_name", "in", [f"x{text}y"]),
        ("telegram", "contains", text),
        ("telegram", "startswith", f"x{text}"),
        ("telegram", "eq", f"x{text}y"),
        ("tags", "contains", text),
        ("tags", "in", [text, "other"]),
        ("attributes.city", "startswith", text),
        ("attributes.city", "contains", f"{text}y"),
        ("attributes.city", "in", [f"{text}y"]),
        ("attributes.likes", "contains", text),
        ("attributes.likes", "in", ["other", text]),
    ):
        assert await store.ids(where(field, value, op), None, 10) == [found.id], (field, op)


@pytest.mark.parametrize("field", ["first_name", "telegram", "tags", "attributes.city", "attributes.score", "id"])
async def test_the_largest_sets(account: Account, store: ContactStore, field: str) -> None:
    contact = await account.add(
        Address(AddressType.TELEGRAM, "@7"), first_name="@7", tags=("@7",), attributes={"city": "@7", "score": 7}
    )
    other = await account.add(
        Address(AddressType.TELEGRAM, "x"), first_name="x", tags=("x",), attributes={"city": "x", "score": 0.5}
    )
    values: list[Any] = [f"@{number}" for number in range(500)]
    if field == "attributes.score":
        values = list(range(500))
    elif field == "id":
        values = [str(UUID(int=number)) for number in range(499)] + [str(contact.id)]
    assert await store.ids(where(field, values, "in"), None, 10) == [contact.id]
    assert await store.ids(where(field, values, "nin"), None, 10) == [other.id]


async def test_the_largest_filter(account: Account, store: ContactStore) -> None:
    contact = await account.add(PHONE, first_name="Selam", tags=("vip",))
    leaf = [
        {"field": "phone", "op": "startswith", "value": "+2519"},
        {"field": "tags", "op": "in", "value": ["vip", "new"]},
        {"field": "groups", "op": "nin", "value": [str(ONE)]},
        {"field": "attributes.score", "op": "ne", "value": 1},
        {"field": "last_inbound_at", "op": "exists", "value": False},
    ]
    deepest: Any = leaf[0]
    for _ in range(4):
        deepest = {"not": {"and": [deepest]}}
    for document in ({"and": leaf * 20}, {"or": leaf * 20}, deepest):
        assert await store.ids(read(document), None, 10) == [contact.id]
        assert await store.count(read(document)) == 1
    for document in ({"and": [{"not": {"and": leaf * 20}}]}, {"not": {"or": leaf * 20}}):
        assert await store.count(read(document)) == 0
