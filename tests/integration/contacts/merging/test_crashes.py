"""A store that does not wait for the commit, and a process that dies between any two of its calls."""

from collections.abc import AsyncIterator
from typing import Any, cast
from uuid import UUID

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.merging.aliases import current_ids
from app.domain.contacts.merging.records import MergeState
from app.domain.contacts.merging.repository import MergeRepository, unfinished_merges
from app.domain.contacts.merging.schemas import ContactMergeOut
from app.domain.contacts.merging.undoing import merge_out
from app.domain.contacts.merging.units import ContactMerging
from app.domain.contacts.stores.contract import AddressKey, AddressType, Contact, ContactStore, ContactStores
from app.domain.contacts.stores.postgres import PostgresContactStores
from app.lib.clock import utc_now
from app.lib.db import Database
from app.lib.ids import new_id
from deploy.local.errors import LocalError
from tests.integration.contacts.jobs import Office
from tests.integration.contacts.stores.cases import Account, committed
from tests.integration.contacts.stores.mongo import mongo_stores

WRITES = frozenset({"insert", "replace", "amend", "delete", "record_activity"})
MOST_CALLS = 20


class Died(Exception):
    """The process has ended here."""


class _Dying:
    def __init__(self, store: ContactStore, stores: "DyingStores") -> None:
        self._store, self._stores = store, stores

    def __getattr__(self, method: str) -> Any:
        called = getattr(self._store, method)
        if method not in WRITES:
            return called

        async def call(*arguments: Any) -> Any:
            self._stores.calls += 1
            dies = self._stores.calls == self._stores.dies_at
            if dies and not self._stores.afterwards:
                raise Died
            answer = await called(*arguments)
            if dies:
                raise Died
            return answer

        return call


class DyingStores:
    """Stores whose calls are done when they return; the process dies before or after the call `dies_at`."""

    transactional = False

    def __init__(self, stores: ContactStores) -> None:
        self.under = stores
        self.database: Database | None = None
        self.calls, self.dies_at, self.afterwards = 0, 0, False

    def of(self, session: AsyncSession | None, account_id: UUID) -> ContactStore:
        assert self.database is not None
        return cast(ContactStore, _Dying(committed(self.database, self.under, account_id), self))

    def die(self, at: int, *, afterwards: bool = False) -> None:
        self.calls, self.dies_at, self.afterwards = 0, at, afterwards


@pytest.fixture(params=["postgres", "mongo"], scope="module")
async def dying(request: pytest.FixtureRequest) -> AsyncIterator[DyingStores]:
    under: ContactStores = PostgresContactStores()
    if request.param == "mongo":
        try:
            under = await mongo_stores()
        except LocalError as error:
            pytest.skip(str(error))
    yield DyingStores(under)
    await under.close()


class Scene:
    """Two contacts that are one person."""

    def __init__(self, office: Office, stores: DyingStores) -> None:
        stores.database = office.database
        self.account_id, self.database, self.stores = office.account_id, office.database, stores
        self.store = stores.of(None, office.account_id)
        self.merging = ContactMerging(
            office.database, cast(ContactStores, stores), office.account_id, clock=utc_now, new_id=new_id
        )

    async def people(self, number: int) -> tuple[Contact, Contact]:
        self.stores.die(0)
        account = Account(self.account_id, self.store)
        phones = [AddressKey(AddressType.PHONE, f"+2519{number:04}0000{at}") for at in range(3)]
        kept = await account.add(phones[0], first_name="A", notes="One.", tags=("a",))
        other = await account.add(*phones[1:], last_name="B", notes="Two.", tags=("b",))
        return kept, other

    async def merge(self, kept: UUID, other: UUID) -> None:
        await self.merging.merge(kept, [other], None, _no_answer)

    async def undo(self, merge_id: UUID) -> ContactMergeOut:
        return await self.merging.undo(merge_id, _no_answer)

    async def merges_of(self, kept: UUID) -> list[ContactMergeOut]:
        async with self.database.unit_of_work(self.account_id) as session:
            found = await MergeRepository(session, self.account_id).of_contact(kept)
            return [merge_out(each) for each in found]

    async def finish_as_the_scheduler(self) -> None:
        async with self.database.unit_of_work() as session:
            left = [each for account, each in await unfinished_merges(session, age=0) if account == self.account_id]
        for merge_id in left:
            await self.merging.finish(merge_id)

    async def check_merged(self, kept: Contact, other: Contact) -> UUID:
        """That they are one, whatever it took; the merge."""
        there = await self.store.get([kept.id, other.id])
        assert there.keys() == {kept.id}
        one = there[kept.id]
        assert [each.key for each in one.addresses] == [each.key for each in (*kept.addresses, *other.addresses)]
        assert (one.first_name, one.last_name, one.notes, one.tags) == ("A", "B", "One.\n\nTwo.", ("a", "b"))
        async with self.database.unit_of_work(self.account_id) as session:
            assert await current_ids(session, self.account_id, [other.id]) == {other.id: kept.id}
        (merge,) = await self.merges_of(kept.id)
        assert merge.state is MergeState.DONE
        assert merge.contacts is not None
        assert len(merge.contacts[0].addresses) == 2
        return merge.id

    async def check_apart(self, kept: Contact, other: Contact) -> None:
        """That they are what they were."""
        there = await self.store.get([kept.id, other.id])
        for before in (kept, other):
            after = there[before.id]
            assert msgspec.structs.replace(after, updated_at=before.updated_at) == before
        async with self.database.unit_of_work(self.account_id) as session:
            assert await current_ids(session, self.account_id, [other.id]) == {}


async def _no_answer(_: AsyncSession, __: Any) -> None:
    """There is no key to store it under."""


@pytest.fixture
def scene(office: Office, dying: DyingStores) -> Scene:
    return Scene(office, dying)


@pytest.mark.parametrize("afterwards", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("by", ["repeat", "scheduler"])
async def test_a_merge_that_died_is_finished(scene: Scene, by: str, afterwards: bool) -> None:
    for at in range(1, MOST_CALLS):
        kept, other = await scene.people(at)
        scene.stores.die(at, afterwards=afterwards)
        try:
            await scene.merge(kept.id, other.id)
        except Died:
            scene.stores.die(0)
            if by == "repeat":
                await scene.merge(kept.id, other.id)
            else:
                await scene.finish_as_the_scheduler()
            await scene.check_merged(kept, other)
            continue
        # It did not get so far as to die.
        await scene.check_merged(kept, other)
        assert at > 3
        return
    pytest.fail("it never ends")


@pytest.mark.parametrize("afterwards", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("by", ["repeat", "scheduler"])
async def test_undoing_that_died_is_finished(scene: Scene, by: str, afterwards: bool) -> None:
    for at in range(1, MOST_CALLS):
        kept, other = await scene.people(at)
        await scene.merge(kept.id, other.id)
        merge_id = await scene.check_merged(kept, other)
        scene.stores.die(at, afterwards=afterwards)
        try:
            await scene.undo(merge_id)
        except Died:
            scene.stores.die(0)
            if by == "repeat":
                assert (await scene.undo(merge_id)).state is MergeState.UNDONE
            else:
                await scene.finish_as_the_scheduler()
            (merge,) = await scene.merges_of(kept.id)
            assert merge.state is MergeState.UNDONE
            await scene.check_apart(kept, other)
            continue
        await scene.check_apart(kept, other)
        assert at > 2
        return
    pytest.fail("it never ends")


async def test_the_kept_one_is_deleted_while_nobody_is_about_it(scene: Scene) -> None:
    for at in range(1, 4):
        kept, other = await scene.people(100 + at)
        scene.stores.die(at, afterwards=True)
        with pytest.raises(Died):
            await scene.merge(kept.id, other.id)
        scene.stores.die(0)
        await scene.store.delete([kept.id])
        await scene.finish_as_the_scheduler()
        back = (await scene.store.get([other.id]))[other.id]
        assert [each.key for each in back.addresses] == [each.key for each in other.addresses]
        assert await scene.merges_of(kept.id) == []


async def test_an_address_that_was_taken_while_nobody_had_it(scene: Scene) -> None:
    kept, other = await scene.people(200)
    scene.stores.die(1, afterwards=True)
    with pytest.raises(Died):
        await scene.merge(kept.id, other.id)
    scene.stores.die(0)
    third = await Account(scene.account_id, scene.store).add(other.addresses[0].key)
    await scene.finish_as_the_scheduler()
    one = (await scene.store.get([kept.id]))[kept.id]
    assert [each.key for each in one.addresses] == [kept.addresses[0].key, other.addresses[1].key]
    assert (await scene.store.get([third.id]))[third.id].addresses == third.addresses
