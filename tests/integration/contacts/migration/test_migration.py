"""Contacts copied from PostgreSQL to MongoDB and back."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest

from app.domain.contacts import migration
from app.domain.contacts.migration import Door, Position, Verdict
from app.domain.contacts.stores.contract import (
    AddressKey,
    AddressType,
    Amendment,
    Contact,
    ContactStore,
    ContactStores,
    Replacement,
)
from app.domain.contacts.stores.postgres import PostgresContactStores
from app.lib.clock import utc_now
from app.lib.db import Database
from app.lib.errors import Unavailable
from app.lib.ids import new_id
from tests.conftest import Registered
from tests.integration.contacts.stores.cases import (
    EMAIL,
    NOW,
    ONE,
    OTHER_PHONE,
    PHONE,
    THIRD_PHONE,
    TWO,
    Account,
    changed,
    committed,
    settled,
)
from tests.integration.contacts.stores.mongo import ServedContactStores, mongo_stores

Turumba = Callable[..., Awaitable[subprocess.CompletedProcess[str]]]


def door(database: Database, stores: ContactStores) -> Door:
    @asynccontextmanager
    async def opened(account_id: UUID) -> AsyncIterator[ContactStore]:
        async with database.unit_of_work(account_id) as session:
            yield stores.of(session, account_id)

    return opened


@pytest.fixture(scope="module")
async def mongo() -> AsyncIterator[ServedContactStores]:
    stores = await mongo_stores()
    yield stores
    await stores.close()


@pytest.fixture(scope="module")
def here(database: Database) -> Door:
    return door(database, PostgresContactStores())


@pytest.fixture(scope="module")
def there(database: Database, mongo: ServedContactStores) -> Door:
    return door(database, mongo)


class Pair:
    """An account in both stores."""

    def __init__(self, database: Database, mongo: ServedContactStores, account_id: UUID) -> None:
        self.id = account_id
        self.here = Account(account_id, committed(database, PostgresContactStores(), account_id))
        self.there = Account(account_id, committed(database, mongo, account_id))


@pytest.fixture
def pair(database: Database, mongo: ServedContactStores) -> Pair:
    return Pair(database, mongo, new_id())


async def copied(source: Door, target: Door, *accounts: UUID, start: Position | None = None) -> Position:
    return await migration.copy(source, target, sorted(accounts), start or Position(), lambda _: None, utc_now)


async def compared(source: Door, target: Door, *accounts: UUID) -> Verdict:
    return await migration.compare(source, target, accounts, whole=True, passed=lambda _: None)


async def filled(account: Account, number: int) -> list[Contact]:
    made = [
        account.contact(AddressKey(AddressType.PHONE, f"+2519{each:08}"), first_name=f"{each}", tags=("x",))
        for each in range(number)
    ]
    assert await account.store.insert(made) == frozenset()
    return made


async def test_everything_arrives_and_comes_back(pair: Pair, here: Door, there: Door) -> None:
    account = await settled(pair.here)
    assert not await migration.occupied(there, [pair.id])
    end = await copied(here, there, pair.id)
    assert (end.read, end.written) == (2, 2)
    assert await migration.occupied(there, [pair.id])
    assert await pair.there.snapshot(account.contact_ids) == await pair.here.snapshot(account.contact_ids)
    assert await compared(here, there, pair.id) == Verdict(2, 2)
    # Again, nothing is written.
    assert (await copied(here, there, pair.id)).written == 0

    before = await pair.here.snapshot(account.contact_ids)
    assert len(await pair.here.store.delete(account.contact_ids)) == 2
    assert (await copied(there, here, pair.id)).written == 2
    assert await pair.here.snapshot(account.contact_ids) == before


async def test_what_changed_since_is_brought_along(pair: Pair, here: Door, there: Door) -> None:
    first, second, third = [await pair.here.add(each) for each in (PHONE, OTHER_PHONE, THIRD_PHONE)]
    await pair.here.store.amend([first.id, second.id], Amendment(join_groups=(ONE,)), NOW)
    await copied(here, there, pair.id)

    fourth = await pair.here.add(EMAIL)
    await pair.here.store.replace([Replacement(first, changed(first, first_name="New", tags=("vip",)))])
    await pair.here.store.amend([first.id], Amendment(leave_groups=(ONE,), join_groups=(TWO,)), NOW)
    await pair.here.store.delete([third.id])
    verdict = await compared(here, there, pair.id)
    assert (verdict.source, verdict.target, verdict.missing, verdict.extra, verdict.different) == (3, 3, 1, 1, 1)
    found = {each.what: each.contact_id for each in verdict.shown}
    assert found == {"missing": fourth.id, "extra": third.id, "different": first.id}

    end = await copied(here, there, pair.id)
    assert (end.read, end.written) == (3, 2)
    assert await migration.remove_extra(here, there, [pair.id]) == 1
    assert await compared(here, there, pair.id) == Verdict(3, 3)


async def test_addresses_that_changed_hands(pair: Pair, here: Door, there: Door) -> None:
    # The first in the order of ids has what the last had, and the last what the first had.
    first, *_, last = await filled(pair.here, 5)
    await copied(here, there, pair.id)
    for contact, addresses in ((first, ()), (last, first.addresses)):
        there_now = await pair.here.one(contact.id)
        assert await pair.here.store.replace([Replacement(there_now, changed(there_now, addresses=addresses))]) == {}
    there_now = await pair.here.one(first.id)
    moved = Replacement(there_now, changed(there_now, addresses=last.addresses))
    assert await pair.here.store.replace([moved]) == {}
    await copied(here, there, pair.id)
    assert await compared(here, there, pair.id) == Verdict(5, 5)


async def test_an_address_of_a_contact_of_other_origin(pair: Pair, here: Door, there: Door) -> None:
    foreign = await pair.there.add(PHONE)
    contact = await pair.here.add(PHONE)
    await copied(here, there, pair.id)
    verdict = await compared(here, there, pair.id)
    assert (verdict.missing, verdict.extra) == (1, 1)
    # Nothing of the target's own is taken away unless that is asked for.
    assert await pair.there.one(foreign.id) == foreign
    assert await migration.remove_extra(here, there, [pair.id]) == 1
    await copied(here, there, pair.id)
    assert await pair.there.one(contact.id) == contact


async def test_it_goes_on_where_it_was(
    pair: Pair, here: Door, there: Door, monkeypatch: pytest.MonkeyPatch, database: Database, mongo: ServedContactStores
) -> None:
    monkeypatch.setattr(migration, "BATCH", 10)
    monkeypatch.setattr(migration, "IDS", 7)
    other = Pair(database, mongo, new_id())
    accounts = sorted([pair.id, other.id])
    await filled(pair.here, 35)
    await filled(other.here, 25)
    kept = [Position()]
    calls = 0

    def breaking(account_id: UUID) -> AbstractAsyncContextManager[ContactStore]:
        nonlocal calls
        calls += 1
        if calls % 3 == 0:
            raise Unavailable("Away.")
        return there(account_id)

    interruptions = 0
    while True:
        try:
            end = await migration.copy(here, breaking, accounts, kept[-1], kept.append, utc_now)
            break
        except Unavailable:
            interruptions += 1
    assert interruptions >= 2
    assert (end.read, end.written) == (60, 60)
    assert await compared(here, there, *accounts) == Verdict(60, 60)


@pytest.fixture
def turumba(environment: dict[str, str], mongo: ServedContactStores, tmp_path: Path) -> Turumba:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).with_name("turumba")), "contacts", *arguments],
            env={**os.environ, **environment, "TURUMBA_CONTACTS_URL": mongo.url},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    async def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(run, *arguments)

    return call


async def test_the_command(
    registered: Registered, turumba: Turumba, database: Database, mongo: ServedContactStores, tmp_path: Path
) -> None:
    pair = Pair(database, mongo, UUID(registered["account"]["id"]))
    contacts = await filled(pair.here, 3)
    copying = ("migrate", "--from", "postgresql", "--to", "contacts", "--json", "--compare")
    first = await turumba(*copying)
    assert first.returncode == 0, first.stderr
    last = json.loads(first.stdout.splitlines()[-1])
    assert last["step"] == "done" and last["verdict"]["source"] == last["verdict"]["target"] >= 3
    assert await pair.there.store.get([each.id for each in contacts]) == {each.id: each for each in contacts}

    refused = await turumba(*copying)
    assert refused.returncode == 1 and "has contacts already" in refused.stderr

    extra = await pair.there.add(EMAIL)
    unlike = await turumba(*copying[:-2], "--resume")
    assert unlike.returncode == 1 and f"{extra.id}  extra" in unlike.stdout
    # The file of the copying that came to no good end is still there, and is of these two databases.
    wrong_way = await turumba("migrate", "--from", "contacts", "--to", "postgresql", "--resume")
    assert wrong_way.returncode == 1 and "another copying" in wrong_way.stderr
    assert "PASSWORD" not in (tmp_path / "turumba-contacts-migration.json").read_text()
    mirrored = await turumba(*copying, "--resume", "--mirror")
    assert mirrored.returncode == 0, mirrored.stdout + mirrored.stderr
    assert json.loads(mirrored.stdout.splitlines()[-1])["removed"] == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--from", "contacts", "--to", "contacts"), "the same database"),
        (("--from", "postgresql", "--to", "mysql://host/d"), "begins with"),
        (("--from", "postgresql", "--to", "contacts", "--mirror"), "goes with --resume"),
        (("--from", "postgresql", "--to", "mongodb://user:pass/word@host/"), "cannot be used"),
    ],
    ids=["same", "unknown", "mirror", "bad url"],
)
async def test_what_the_command_refuses(turumba: Turumba, arguments: tuple[str, ...], words: str) -> None:
    result = await turumba("migrate", *arguments)
    assert result.returncode == 1 and words in result.stderr
    assert "Traceback" not in result.stderr


async def test_making_ready(turumba: Turumba) -> None:
    assert (await turumba("prepare")).stdout == "Contacts can be stored.\n"
    sharded = await turumba("prepare", "--shard")
    assert sharded.returncode == 1 and "no sharded cluster" in sharded.stderr
