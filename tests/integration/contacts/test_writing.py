"""Writing many contacts at once: whoever they meet, whatever happens meanwhile, each draft ends as one thing."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.drafts import Draft, Fate, Written
from app.domain.contacts.stores.contract import AddressKey, AddressType, Amendment, Contact, ContactStatus, Replacement
from app.domain.contacts.stores.postgres import PostgresContactStore
from app.domain.contacts.writing import ContactWriter, OnMatch
from app.lib.clock import utc_now
from app.lib.db import Database
from app.lib.ids import new_id
from tests.integration.contacts.conftest import Keeper


def phone(number: int) -> AddressKey:
    return AddressKey(AddressType.PHONE, f"+2519{number:08}")


def email(name: str) -> AddressKey:
    return AddressKey(AddressType.EMAIL, f"{name}@example.com")


class Writing:
    """Writes drafts, each call in a unit of work of its own."""

    def __init__(self, database: Database, account_id: UUID) -> None:
        self.database = database
        self.account_id = account_id

    async def __call__(
        self, drafts: Sequence[Draft], on_match: OnMatch = "update", announce: bool = True
    ) -> list[Written]:
        async with self.database.unit_of_work(self.account_id) as session:
            return await self.writer(session).upsert(drafts, on_match, announce)

    def writer(self, session: AsyncSession, store: PostgresContactStore | None = None) -> ContactWriter:
        return ContactWriter(
            store or PostgresContactStore(session, self.account_id),
            session,
            self.account_id,
            clock=utc_now,
            new_id=new_id,
        )

    async def contacts(self, *written: Written) -> list[Contact]:
        async with self.database.reading(self.account_id) as session:
            found = await PostgresContactStore(session, self.account_id).get(
                [each.contact_id for each in written if each.contact_id is not None]
            )
        return [found[each.contact_id] for each in written if each.contact_id is not None]

    async def count(self) -> int:
        async with self.database.reading(self.account_id) as session:
            return await PostgresContactStore(session, self.account_id).count(None)

    async def events(self) -> list[tuple[str, list[str]]]:
        statement = text("SELECT type, data -> 'fields' FROM events WHERE account_id = :id ORDER BY position, id")
        async with self.database.reading() as session:
            return [tuple(row) for row in await session.execute(statement, {"id": self.account_id})]


@pytest.fixture
def write(database: Database, keeper: Keeper) -> Writing:
    return Writing(database, keeper.account_id)


def fates(written: Sequence[Written]) -> list[Fate]:
    return [each.fate for each in written]


async def test_drafts_create_and_add(write: Writing, keeper: Keeper) -> None:
    group = UUID((await keeper.make("/contact-groups", name="g"))["id"])
    first = Draft(
        first_name="A", addresses=(phone(1), email("a")), tags=("x",), attributes={"city": "Gondar", "age": 7}
    )
    (created,) = await write([first])
    assert created.fate is Fate.CREATED
    second = Draft(
        last_name="B",
        status=ContactStatus.BLOCKED,
        addresses=(email("b"), phone(1)),
        tags=("w", "x"),
        attributes={"age": None, "pet": "cat"},
        groups=(group,),
    )
    (updated,) = await write([second])
    assert updated == Written(Fate.UPDATED, created.contact_id)
    (contact,) = await write.contacts(updated)
    assert (contact.first_name, contact.last_name, contact.status) == ("A", "B", "blocked")
    assert [each.key for each in contact.addresses] == [phone(1), email("a"), email("b")]
    assert (contact.tags, contact.attributes) == (("w", "x"), {"city": "Gondar", "pet": "cat"})
    assert contact.groups == (group,) and contact.updated_at > contact.created_at
    assert fates(await write([second])) == [Fate.UNCHANGED]
    assert await write.contacts(updated) == [contact]
    assert await write([Draft(first_name="Z", addresses=(email("b"),))], "skip") == [
        Written(Fate.SKIPPED, created.contact_id)
    ]
    assert await write.contacts(updated) == [contact]
    assert await write.events() == [
        ("contact.created", ["first_name", "status", "addresses", "tags", "attributes"]),
        ("contact.updated", ["last_name", "status", "addresses", "tags", "attributes", "groups"]),
    ]
    assert {each["key"] for each in (await keeper.show("/contact-attributes"))["items"]} == {"city", "age", "pet"}


async def test_drafts_of_one_call_meet_each_other_in_order(write: Writing) -> None:
    drafts = [
        Draft(first_name="A", addresses=(phone(1),), tags=("a",)),
        Draft(first_name="B", addresses=(phone(1), phone(2)), tags=("b",)),
        Draft(last_name="C", addresses=(phone(2),)),
        Draft(first_name="D"),
        Draft(first_name="D"),
    ]
    written = await write(drafts)
    assert fates(written) == [Fate.CREATED, Fate.UPDATED, Fate.UPDATED, Fate.CREATED, Fate.CREATED]
    assert len({each.contact_id for each in written}) == 3
    first, *_ = await write.contacts(written[0])
    assert (first.first_name, first.last_name, first.tags) == ("B", "C", ("a", "b"))
    assert [each.key for each in first.addresses] == [phone(1), phone(2)]
    assert [kind for kind, _ in await write.events()] == ["contact.created"] * 3, "one event for one contact"


async def test_only_the_first_of_equals_is_taken_when_skipping(write: Writing) -> None:
    drafts = [Draft(first_name=name, addresses=(phone(1),)) for name in "AB"]
    written = await write(drafts, "skip")
    assert fates(written) == [Fate.CREATED, Fate.SKIPPED]
    assert written[0].contact_id == written[1].contact_id
    assert [each.first_name for each in await write.contacts(written[0])] == ["A"]


async def test_addresses_of_several_contacts_are_taken(write: Writing) -> None:
    one, two = await write([Draft(addresses=(phone(1),)), Draft(addresses=(phone(2),))])
    assert one.contact_id != two.contact_id
    written = await write(
        [
            Draft(first_name="X", addresses=(phone(1), phone(2))),
            Draft(addresses=(phone(3),)),
            Draft(addresses=(phone(3), phone(1))),
        ]
    )
    assert fates(written) == [Fate.TAKEN, Fate.CREATED, Fate.TAKEN]
    assert {each.first_name for each in await write.contacts(one, two)} == {""}


async def test_nobody_becomes_too_much(write: Writing) -> None:
    many = tuple(phone(number) for number in range(51))
    full, fitting, more, tags, attributes = await write(
        [
            Draft(addresses=many),
            Draft(addresses=many[:50]),
            Draft(addresses=many[49:]),
            Draft(addresses=many[:1], tags=tuple(f"t{number:03}" for number in range(101))),
            Draft(attributes={f"a{number}": 1 for number in range(101)}),
        ]
    )
    assert (full, fitting.fate) == (Written(Fate.FULL, None), Fate.CREATED)
    assert more == tags == Written(Fate.FULL, fitting.contact_id)
    assert attributes == Written(Fate.FULL, None)
    assert [len(each.addresses) for each in await write.contacts(fitting)] == [50]


async def test_groups_that_are_gone_are_passed_over(write: Writing, keeper: Keeper, stranger: Keeper) -> None:
    mine = UUID((await keeper.make("/contact-groups", name="g"))["id"])
    gone = UUID((await keeper.make("/contact-groups", name="h"))["id"])
    theirs = UUID((await stranger.make("/contact-groups", name="g"))["id"])
    await keeper.call("DELETE", f"/contact-groups/{gone}")
    (made,) = await write([Draft(groups=(gone, mine, theirs, uuid4()))])
    (contact,) = await write.contacts(made)
    assert contact.groups == (mine,)


async def test_new_addresses_know_who_has_opted_out(write: Writing, keeper: Keeper) -> None:
    for address, topic in ((phone(1), "all"), (phone(2), "marketing")):
        opted = {"channel_class": "sms", "address": address.value, "topic": topic}
        assert (await keeper.call("POST", "/opt-outs", opted)).status_code == 201
    written = await write([Draft(addresses=(phone(1), phone(3))), Draft(addresses=(phone(3), phone(2)))])
    (contact, _) = await write.contacts(*written)
    assert {each.key: each.opted_out for each in contact.addresses} == {
        phone(1): ("all",),
        phone(2): ("marketing",),
        phone(3): (),
    }


async def test_without_announcing_there_are_no_events(write: Writing) -> None:
    await write([Draft(addresses=(phone(1),))], announce=False)
    await write([Draft(addresses=(phone(1),), tags=("x",))], announce=False)
    assert await write.events() == []


async def test_a_thousand_drafts_take_a_handful_of_statements(write: Writing, keeper: Keeper) -> None:
    group = UUID((await keeper.make("/contact-groups", name="g"))["id"])

    def drafts(tag: str) -> list[Draft]:
        return [
            Draft(
                first_name=f"N{number}",
                addresses=(phone(number), email(f"a{number}")),
                tags=(tag,),
                attributes={"number": number, "city": "Gondar"},
                groups=(group,),
            )
            for number in range(1_000)
        ]

    statements: list[str] = []

    def seen(_: Any, __: Any, statement: str, *more: Any) -> None:
        statements.append(statement)

    event.listen(write.database.engine.sync_engine, "before_cursor_execute", seen)
    try:
        created = await write(drafts("a"))
        first = len(statements)
        updated = await write(drafts("b"))
    finally:
        event.remove(write.database.engine.sync_engine, "before_cursor_execute", seen)
    assert set(fates(created)) == {Fate.CREATED} and set(fates(updated)) == {Fate.UPDATED}
    assert [each.contact_id for each in created] == [each.contact_id for each in updated]
    assert max(first, len(statements) - first) <= 40, statements
    assert await write.count() == 1_000
    assert (await keeper.show(f"/contact-groups/{group}"))["size"] == 1_000
    (last,) = await write.contacts(updated[-1])
    assert (last.tags, last.attributes) == (("a", "b"), {"number": 999, "city": "Gondar"})
    assert Counter(kind for kind, _ in await write.events()) == {"contact.created": 1_000, "contact.updated": 1_000}


async def test_those_who_write_the_same_at_once_lose_nothing(write: Writing, settings: Any) -> None:
    """Each writer adds its tag to the same contacts, which some of them create, in an order of its own."""
    database = Database(settings.database.url, process="test-writers", pool_size=6)
    writers = [Writing(database, write.account_id) for _ in range(6)]
    try:
        orders = [[(number * 7 + 11 * writer) % 40 for number in range(40)] for writer in range(len(writers))]
        tagged = [
            [Draft(addresses=(phone(number),), tags=(f"w{writer}",)) for number in order]
            for writer, order in enumerate(orders)
        ]
        results = await asyncio.gather(*(each(drafts) for each, drafts in zip(writers, tagged, strict=True)))
    finally:
        await database.close()
    assert await write.count() == 40
    met = [
        {number: each.contact_id for number, each in zip(order, result, strict=True)}
        for order, result in zip(orders, results, strict=True)
    ]
    assert all(each == met[0] for each in met) and len(set(met[0].values())) == 40
    found = Counter(fate for result in results for fate in fates(result))
    assert found == {Fate.CREATED: 40, Fate.UPDATED: 200}
    expected = tuple(f"w{writer}" for writer in range(6))
    assert {each.tags for each in await write.contacts(*results[0])} == {expected}


class Meddler(PostgresContactStore):
    """Somebody else changes every contact between its being read and its being written, so many times."""

    times = 0

    async def replace(self, changes: Sequence[Replacement]) -> Any:
        if self.times:
            self.times -= 1
            at = datetime.now(UTC)
            await super().amend([change.before.id for change in changes], Amendment(add_tags=(f"m{self.times}",)), at)
        return await super().replace(changes)


@pytest.mark.parametrize(("times", "fate"), [(2, Fate.UPDATED), (100, Fate.BUSY)], ids=["twice", "always"])
async def test_what_others_change_meanwhile_is_read_again(write: Writing, times: int, fate: Fate) -> None:
    (made,) = await write([Draft(addresses=(phone(1),))])
    async with write.database.unit_of_work(write.account_id) as session:
        store = Meddler(session, write.account_id)
        store.times = times
        drafts = [Draft(addresses=(phone(1),), first_name="A"), Draft(addresses=(phone(2),))]
        written = await write.writer(session, store).upsert(drafts, "update")
    assert fates(written) == [fate, Fate.CREATED]
    (contact,) = await write.contacts(made)
    if fate is Fate.BUSY:
        assert written[0].contact_id is None and contact.first_name == ""
    else:
        assert (contact.first_name, contact.tags) == ("A", ("m0", "m1"))
