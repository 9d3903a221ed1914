"""What only the store in PostgreSQL can show: transactions that meet, and whatever a column of JSON may hold."""

import asyncio
import json
import sys
import unicodedata
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.evaluation import matches
from app.domain.contacts.fields import CONTACT_FIELDS, fold
from app.domain.contacts.stores.contract import (
    Activity,
    Address,
    AddressKey,
    AddressType,
    Amendment,
    Contact,
    ContactStore,
    Refusal,
    Replacement,
    Window,
)
from app.domain.contacts.stores.postgres import PostgresContactStores
from app.lib.db import Database
from app.lib.filters import All, AnyOf, Condition, Expression, Kind, Not, Operator
from app.lib.ids import new_id
from tests.integration.contacts.stores.cases import EMAIL, NOW, ONE, OTHER_PHONE, PHONE, SMS, Account, Opened, changed

STORES = PostgresContactStores()
EMAIL_IN_CAPITALS = AddressKey(AddressType.EMAIL, "SELAM@example.com")


@pytest.fixture
def account(bare: Database) -> Account:
    return Opened(STORES, bare).account()


def store_in(session: AsyncSession, account: Account) -> ContactStore:
    return STORES.of(session, account.id)


def phone(number: int) -> AddressKey:
    return AddressKey(AddressType.PHONE, f"+2519{number:08}")


async def waits(database: Database) -> None:
    """Until somebody waits for a lock of somebody else; the deadline is the failure."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(10), database.reading() as session:
        while not (await session.execute(query)).scalar_one():
            await session.rollback()
            await asyncio.sleep(0.01)


async def test_of_two_transactions_that_add_an_address_one_is_refused(bare: Database, account: Account) -> None:
    first, second = account.contact(PHONE, EMAIL), account.contact(EMAIL, OTHER_PHONE)
    async with bare.unit_of_work() as session:
        assert await store_in(session, account).insert([first]) == frozenset()
        later = asyncio.create_task(account.store.insert([second]))
        await waits(bare)
    assert await later == {second.id}
    assert await account.store.owners([PHONE, EMAIL, OTHER_PHONE]) == {PHONE: first.id, EMAIL: first.id}


async def test_an_address_that_was_not_committed_is_free(bare: Database, account: Account) -> None:
    first, second = account.contact(PHONE), account.contact(PHONE)
    async with bare.reading() as session:
        assert await store_in(session, account).insert([first]) == frozenset()
        later = asyncio.create_task(account.store.insert([second]))
        await waits(bare)
    assert await later == frozenset()
    assert await account.store.owners([PHONE]) == {PHONE: second.id}


async def test_a_step_that_two_repeat_at_once_refuses_nothing(bare: Database, account: Account) -> None:
    contacts = [account.contact(PHONE), account.contact()]
    async with bare.unit_of_work() as session:
        assert await store_in(session, account).insert(contacts) == frozenset()
        again = asyncio.create_task(account.store.insert(contacts))
        await waits(bare)
    assert await again == frozenset()
    assert await account.store.count(None) == 2


async def test_many_that_add_the_same_addresses_in_any_order_end(account: Account) -> None:
    """Every address has one owner then, and nobody waited for somebody who waited for them."""

    def batch(step: int) -> list[Contact]:
        order = [n * step % 41 for n in range(41)]
        return [account.contact(phone(n), phone(1000 + n)) for n in order]

    batches = [batch(step) for step in (1, 3, 7, 40)]
    refused = await asyncio.gather(*(account.store.insert(each) for each in batches))
    stored = {contact.id for each in batches for contact in each} - frozenset().union(*refused)
    owners = await account.store.owners([phone(n) for n in range(2000)])
    assert set(owners.values()) == stored
    assert await account.store.count(None) == len(stored) == 41
    assert len(owners) == 82


async def test_of_two_writers_with_one_version_the_second_is_refused(bare: Database, account: Account) -> None:
    contact = await account.add(PHONE)
    async with bare.unit_of_work() as session:
        mine = Replacement(contact, changed(contact, first_name="Selam"))
        assert await store_in(session, account).replace([mine]) == {}
        theirs = changed(contact, first_name="Hana", addresses=(Address(*OTHER_PHONE),))
        later = asyncio.create_task(account.store.replace([Replacement(contact, theirs)]))
        await waits(bare)
    assert await later == {contact.id: Refusal.CHANGED}
    assert await account.one(contact.id) == mine.after
    assert await account.store.owners([PHONE, OTHER_PHONE]) == {PHONE: contact.id}


async def test_writers_of_the_same_contacts_in_any_order_end(account: Account) -> None:
    contacts = [await account.add(phone(n)) for n in range(20)]
    ids = [contact.id for contact in contacts]
    changes = [Replacement(each, changed(each, last_name="Tesfaye")) for each in contacts]
    amendment = Amendment(add_tags=("vip",), join_groups=(ONE,))
    await asyncio.gather(
        account.store.replace(changes),
        account.store.replace(changes[::-1]),
        account.store.amend(ids, amendment, NOW),
        account.store.amend(ids[::-1], amendment, NOW),
        account.store.record_activity([Activity(each, SMS, phone(n), NOW) for n, each in enumerate(ids)][::-1]),
        account.store.set_opted_out({phone(n): ("all",) for n in range(19, -1, -1)}),
    )
    for contact in (await account.store.get(ids)).values():
        assert contact.tags == ("vip",)
        assert contact.groups == (ONE,)
        assert contact.last_inbound_at == NOW
        assert contact.opted_out == ("sms",)


async def test_nothing_is_remembered_of_a_contact_that_is_being_deleted(bare: Database, account: Account) -> None:
    contact = await account.add(PHONE)
    async with bare.unit_of_work() as session:
        assert await store_in(session, account).delete([contact.id]) == [contact.id]
        activity = asyncio.create_task(account.store.record_activity([Activity(contact.id, SMS, PHONE, NOW)]))
        joining = asyncio.create_task(account.store.amend([contact.id], Amendment(join_groups=(ONE,)), NOW))
        await waits(bare)
    await activity
    assert await joining == 0
    assert await account.store.activity([contact.id]) == []
    assert await account.store.group_sizes([ONE]) == {ONE: 0}


async def test_what_is_being_remembered_goes_with_the_contact(bare: Database, account: Account) -> None:
    contact = await account.add(PHONE)
    async with bare.unit_of_work() as session:
        await store_in(session, account).record_activity([Activity(contact.id, SMS, PHONE, NOW)])
        later = asyncio.create_task(account.store.delete([contact.id]))
        await waits(bare)
    assert await later == [contact.id]
    assert await account.store.activity([contact.id]) == []


async def test_an_opt_out_finds_who_has_the_address_by_then(bare: Database, account: Account) -> None:
    first = await account.add(PHONE)
    second = await account.add(EMAIL)
    async with bare.unit_of_work() as session:
        store = store_in(session, account)
        assert await store.replace([Replacement(first, changed(first, addresses=()))]) == {}
        moved = changed(second, addresses=(Address(*EMAIL), Address(*PHONE)))
        assert await store.replace([Replacement(second, moved)]) == {}
        later = asyncio.create_task(account.store.set_opted_out({PHONE: ("all",)}))
        await waits(bare)
    assert await later == [second.id]
    assert (await account.one(second.id)).opted_out == ("sms",)


async def test_letters_fold_as_they_do_in_python(bare: Database) -> None:
    """Those that the interpreter knows: the Unicode of PostgreSQL is newer."""
    everything = [c for c in map(chr, range(1, sys.maxunicode + 1)) if unicodedata.category(c) not in ("Cn", "Cs")]
    query = text(
        "SELECT array_agg(lower(c COLLATE pg_c_utf8) ORDER BY n)"
        " FROM unnest(CAST(:all AS text[])) WITH ORDINALITY AS t (c, n)"
    )
    async with bare.reading() as session:
        folded = (await session.execute(query, {"all": everything})).scalar_one()
    wrong = [(hex(ord(c)), theirs, fold(c)) for c, theirs in zip(everything, folded, strict=True) if theirs != fold(c)]
    assert wrong == []


ODD: list[Any] = [
    *(None, {}, {"buna": 1}, [], [[]], [None], [1, "buna"], "", "buna", "%", "_", "\\", "\U0001f600"),
    *(0, -1.5, 2**53, True, False, "2026-11-24"),
    "x" * 100_000,
]
# Beyond what a number of another language can be.
HUGE = ["1e400", "-1e400", "1e-400", "123456789012345678901234567890.5"]

EQUAL = ["buna", "", "%", "\\", '"', 0, 2**53, 0.1, True, "2026-11-24"]
ORDERED = ["buna", "", 0, -1.5, 2.0**53, "2026"]
SETS = [["buna", ""], [0, 1], [*(f"v{n}" for n in range(499)), "buna"], [*range(20)], ["2026-11-24"] * 9]
LIKE = ["BUNA", "", "%", "_", "\\", "\\\\", "\U0001f600", "'"]
WANTED: list[tuple[Operator, Any]] = [
    *((op, value) for op in (Operator.EQ, Operator.NE) for value in EQUAL),
    *((op, value) for op in (Operator.GT, Operator.GTE, Operator.LT, Operator.LTE) for value in ORDERED),
    *((op, value) for op in (Operator.IN, Operator.NIN) for value in SETS),
    *((op, value) for op in (Operator.CONTAINS, Operator.STARTSWITH) for value in LIKE),
    *((Operator.EXISTS, value) for value in (True, False)),
]


async def test_no_stored_attribute_breaks_a_filter(bare: Database, account: Account) -> None:
    """Whatever was stored before a definition changed: everything matches a filter or its opposite."""
    documents = [json.dumps({"k": value}) for value in ODD] + [f'{{"k": {number}}}' for number in HUGE] + ["{}"]
    contacts = [account.contact() for _ in documents]
    assert await account.store.insert(contacts) == frozenset()
    update = text("UPDATE contacts SET attributes = CAST(:it AS jsonb) WHERE id = :id AND account_id = :account_id")
    async with bare.unit_of_work() as session:
        for contact, document in zip(contacts, documents, strict=True):
            await session.execute(update, {"id": contact.id, "it": document, "account_id": account.id})
    async with bare.reading() as session:
        store = store_in(session, account)
        for op, value in WANTED:
            condition = Condition("attributes.k", op, value)
            found = await store.ids(condition, None, 100)
            others = await store.ids(Not(condition), None, 100)
            assert sorted(found + others) == [contact.id for contact in contacts], condition


def every_condition() -> list[Condition]:
    """Each operator of each field, with values that would mean something to a pattern."""
    samples: dict[Kind, Any] = {
        Kind.UUID: ONE,
        Kind.IDS: ONE,
        Kind.DATETIME: NOW,
        Kind.CHOICE: "active",
    }
    conditions = []
    for field, described in CONTACT_FIELDS.items():
        for op in sorted(described.kind.operators):
            value = samples.get(described.kind, "50%_\\")
            if op in (Operator.IN, Operator.NIN):
                value = [value] * 500
            conditions.append(Condition(field, op, True if op is Operator.EXISTS else value))
    return conditions


@pytest.mark.parametrize("role", ["bare", "guarded"])
async def test_every_condition_at_once(role: str, bare: Database, guarded: Database) -> None:
    """A hundred conditions with five hundred values each are one statement, on pages and on counts."""
    account = Opened(STORES, guarded if role == "guarded" else bare).account()
    contact = await account.add(PHONE, first_name="50%_\\ off", tags=("vip",))
    await account.add(OTHER_PHONE, first_name="501\\")
    conditions = every_condition()
    whole: list[Expression] = [AnyOf(tuple(conditions)), All(tuple(conditions)), Not(AnyOf(tuple(conditions)))]
    whole.append(All((Not(All(tuple(conditions))), Not(Not(AnyOf(tuple(conditions)))))))
    for expression in whole:
        page = await account.store.page(Window(expression, 10))
        assert len(page) == await account.store.count(expression) == len(await account.store.ids(expression, None, 10))
        everybody = await account.store.page(Window(None, 10))
        assert [each.id for each in page] == [each.id for each in everybody if matches(expression, each)]
    percent = Condition("first_name", Operator.CONTAINS, "0%_\\")
    assert await account.store.ids(percent, None, 10) == [contact.id]


@pytest.mark.parametrize("field", ["groups", "phone", "last_inbound_at"])
async def test_a_hundred_joins_are_planned_in_time(field: str, account: Account) -> None:
    """The planner would try their orders for minutes; see `MAX_JOINS`."""
    contact = await account.add(PHONE)
    sample: Any = {"groups": ONE, "phone": PHONE.value, "last_inbound_at": NOW}[field]
    same = All((Condition(field, Operator.EQ, sample),) * 100)
    other = All((Condition(field, Operator.NE, sample),) * 100)
    assert await account.store.ids(AnyOf((same, other)), None, 10) == [contact.id]
    assert await account.store.count(same) + await account.store.count(other) == 1


@pytest.mark.parametrize("op", [Operator.EQ, Operator.IN, Operator.CONTAINS, Operator.STARTSWITH])
async def test_addresses_mean_the_same_wherever_they_stand(op: Operator, account: Account) -> None:
    """By the table of addresses where that can be a join, by the contact's own row where it cannot."""
    contacts = [await account.add(PHONE, EMAIL), await account.add(OTHER_PHONE), await account.add(EMAIL_IN_CAPITALS)]
    for kind, value in (PHONE, OTHER_PHONE, EMAIL, EMAIL_IN_CAPITALS, (AddressType.EMAIL, PHONE.value)):
        condition = Condition(kind.value, op, [value] * 2 if op is Operator.IN else value)
        expected = [contact.id for contact in contacts if matches(condition, contact)]
        for same in (condition, AnyOf((condition,)), All((condition,) * 9), Not(Not(condition))):
            assert await account.store.ids(same, None, 10) == expected
            assert await account.store.count(same) == len(expected)


PREFIXES = ["+2519", "+25191100010", "+2519110001009", "9", "+", "", "X", "\U0010ffff", "+25191100010%"]


@pytest.mark.parametrize("prefix", PREFIXES, ids=[ascii(prefix) for prefix in PREFIXES])
async def test_the_beginning_of_a_number(prefix: str, account: Account) -> None:
    contacts = [await account.add(PHONE), await account.add(OTHER_PHONE), await account.add(EMAIL)]
    condition = Condition("phone", Operator.STARTSWITH, prefix)
    expected = [contact.id for contact in contacts if matches(condition, contact)]
    assert await account.store.ids(condition, None, 10) == expected
    assert await account.store.count(Not(condition)) == 3 - len(expected)


RARE = [
    Condition("attributes.customer_number", Operator.EQ, "C1"),
    Condition("attributes.customer_number", Operator.IN, ["C0", "C1"]),
    Condition("tags", Operator.EQ, "rare"),
    Condition("tags", Operator.IN, ["rare", "rarer"]),
    All((Condition("status", Operator.EQ, "active"), All((Condition("tags", Operator.CONTAINS, "rare"),)))),
]


@pytest.mark.parametrize("condition", RARE, ids=["attribute", "attributes", "tag", "tags", "nested"])
async def test_what_is_rare_is_looked_up_for_the_api(guarded: Database, condition: Expression) -> None:
    """And what it finds is what matches, in this account and no other."""
    mine, theirs = Opened(STORES, guarded).account(), Opened(STORES, guarded).account()
    for account in (mine, theirs):
        await account.add(PHONE, tags=("rare",), attributes={"customer_number": "C1"})
        await account.add(OTHER_PHONE, tags=("vip",), attributes={"customer_number": ["C1"]})
        await account.add(EMAIL, attributes={"customer_number": "C2"})
    for account in (mine, theirs):
        everybody = await account.store.page(Window(None, 10))
        expected = [each for each in everybody if matches(condition, each)]
        assert await account.store.page(Window(condition, 10)) == expected
        assert await account.store.count(condition) == len(expected) > 0


LOOK_UP = text("SELECT few_contacts(:account_id, NULL, CAST(:tags AS text[]), 1)")


async def test_a_look_up_keeps_to_the_accounts_that_are_named(bare: Database, guarded: Database) -> None:
    account = Opened(STORES, bare).account()
    first = await account.add(tags=("a", "b"))
    await account.add(tags=("b",))

    async def found(database: Database, named: UUID, tag: str) -> Any:
        async with database.reading(named) as session:
            return (await session.execute(LOOK_UP, {"account_id": account.id, "tags": [tag]})).scalar_one()

    assert await found(guarded, account.id, "a") == [first.id]
    assert await found(guarded, account.id, "b") is None
    assert await found(guarded, account.id, "c") == []
    assert await found(guarded, new_id(), "a") is None
    assert await found(guarded, new_id(), "c") is None
    assert await found(bare, account.id, "a") is None
