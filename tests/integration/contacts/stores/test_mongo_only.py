"""What is MongoDB's alone: its indexes, its connection, and what a server does that goes away."""

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from uuid import UUID

import pytest

from app.domain.contacts.stores.contract import Amendment, ContactStore, Refusal, Replacement, Window
from app.domain.contacts.stores.mongo import MongoContactStore, MongoContactStores
from app.domain.contacts.stores.mongo_database import MongoDatabase, NotSharded
from app.domain.contacts.stores.mongo_documents import INDEXES
from app.domain.contacts.stores.opening import open_contact_stores
from app.domain.contacts.stores.postgres import PostgresContactStores
from app.lib.clock import utc_now
from app.lib.errors import Unavailable
from app.lib.ids import new_id
from deploy.local.installation import default_root
from deploy.local.mongo import Mongo
from tests.integration.contacts.stores.cases import EMAIL, NOW, ONE, OTHER_PHONE, PHONE, Account, changed, where
from tests.integration.contacts.stores.mongo import ServedContactStores, database_url, mongo_stores


@pytest.fixture(scope="module")
async def stores() -> AsyncIterator[ServedContactStores]:
    stores = await mongo_stores()
    yield stores
    await stores.close()


@pytest.fixture
def account(stores: ServedContactStores) -> Account:
    account_id = new_id()
    return Account(account_id, MongoContactStore(stores.database, account_id, utc_now))


async def test_the_indexes(stores: ServedContactStores, account: Account) -> None:
    await account.add(PHONE)
    await stores.database.prepare()
    found = await stores.database.collection.index_information()
    assert found.keys() == {"_id_", *(index.document["name"] for index in INDEXES)}
    # An account's contacts are together, on one shard.
    assert all(index["key"][0][0] == "account_id" for name, index in found.items() if name != "_id_")
    assert [name for name, index in found.items() if index.get("unique")] == ["account_id_address"]


async def test_a_contact_is_one_document(stores: ServedContactStores, account: Account) -> None:
    contact = await account.add(PHONE, first_name="Selam", attributes={"score": 7, "share": 0.5, "member": True})
    await account.store.amend([contact.id], Amendment(join_groups=(ONE,)), NOW)
    stored = await stores.database.collection.find_one({"_id": contact.id})
    assert stored is not None
    assert stored["addresses"] == [{"key": "phone:+251911000100", "opted_out": []}]
    assert stored["groups"] == [ONE] and "last_inbound_at" not in stored
    assert [type(stored["attributes"][key]) for key in ("score", "share", "member")] == [int, float, bool]
    assert stored["updated_at"] == 1_795_696_215_123_456


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC),
    ],
    ids=str,
)
async def test_moments_are_exact(account: Account, moment: datetime) -> None:
    contact = await account.add(created_at=moment, updated_at=moment)
    assert await account.one(contact.id) == contact
    assert await account.store.ids(where("updated_at", moment.isoformat()), None, 10) == [contact.id]
    page = await account.store.page(Window(None, 10, "updated_at", False, (moment, UUID(int=0))))
    assert page == [contact]


async def test_an_id_of_another_account_is_not_written_over(stores: ServedContactStores, account: Account) -> None:
    theirs = await account.add(PHONE, first_name="Theirs")
    mine = Account(new_id(), MongoContactStore(stores.database, new_id(), utc_now))
    same = mine.contact(EMAIL, id=theirs.id, first_name="Mine")
    assert await mine.store.insert([same]) == {theirs.id}
    assert await mine.store.replace([Replacement(theirs, same)]) == {theirs.id: Refusal.CHANGED}
    assert await account.one(theirs.id) == theirs


@pytest.mark.parametrize("value", ["$first_name", "$$NOW", "$$REMOVE", "a.b", "{}", ""])
async def test_a_value_is_no_expression(account: Account, value: str) -> None:
    contact = await account.add(first_name="Selam", tags=("x",))
    amendment = Amendment(add_tags=(value,), attributes={"city": value, "likes": [value, "z"]})
    assert await account.store.amend([contact.id], amendment, NOW) == 1
    there = await account.one(contact.id)
    assert there.tags == tuple(sorted({"x", value}))
    assert there.attributes == {"city": value, "likes": [value, "z"]}
    assert await account.store.amend([contact.id], amendment, NOW) == 0


async def test_addresses_that_go_round_stay(account: Account) -> None:
    first, second = await account.add(PHONE), await account.add(OTHER_PHONE)
    swapped = [
        Replacement(first, changed(first, addresses=second.addresses)),
        Replacement(second, changed(second, addresses=first.addresses)),
    ]
    refused = await account.store.replace(swapped)
    # Nobody's address is lost; whether the swap is done is for the store to say.
    assert refused in ({}, {first.id: Refusal.TAKEN, second.id: Refusal.TAKEN})
    assert len(await account.store.owners([PHONE, OTHER_PHONE])) == 2


async def test_two_databases_in_one_process(stores: ServedContactStores, account: Account) -> None:
    other = MongoDatabase(database_url(stores.url))
    try:
        elsewhere = Account(account.id, MongoContactStore(other, account.id, utc_now))
        here, there = await account.add(PHONE), await elsewhere.add(PHONE)
        assert [each.id for each in await account.store.page(Window(None, 10))] == [here.id]
        assert [each.id for each in await elsewhere.store.page(Window(None, 10))] == [there.id]
        assert await elsewhere.store.get([here.id]) == {}
    finally:
        await other.client.drop_database(other.name)
        await other.close()


async def test_a_single_server_is_not_sharded(stores: ServedContactStores) -> None:
    with pytest.raises(NotSharded):
        await stores.database.shard()


async def test_what_the_url_may_say() -> None:
    database = MongoDatabase("mongodb://127.0.0.1:1/?w=0&journal=false&timeoutMS=1500&readPreference=secondary")
    try:
        assert database.name == "turumba"
        options = database.client.options
        assert options.write_concern.document == {"w": "majority", "j": True}
        assert options.read_concern.level == "majority"
        assert options.read_preference.mongos_mode == "primary"
        assert options.timeout == 1.5
    finally:
        await database.close()


def test_which_stores_a_url_opens() -> None:
    assert isinstance(open_contact_stores(""), PostgresContactStores)
    assert isinstance(open_contact_stores("postgresql://u:p@h/d"), PostgresContactStores)
    with pytest.raises(ValueError, match="cannot be used") as refused:
        open_contact_stores("mongodb://user:secret/with@host/d")
    assert "secret" not in str(refused.value)


@pytest.fixture
def pymongos_sockets() -> Iterator[None]:
    """pymongo leaves a socket that could not connect to the garbage collector."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.usefixtures("pymongos_sockets")
async def test_a_server_that_goes_away_and_comes_back() -> None:
    server = Mongo(default_root())
    await server.start()
    stores = MongoContactStores(MongoDatabase(f"{server.url}?serverSelectionTimeoutMS=3000&timeoutMS=4000"))
    store: ContactStore = MongoContactStore(stores.database, new_id(), utc_now)
    try:
        await stores.database.prepare()
        assert await store.count(None) == 0
        await server.kill()
        outcomes = await asyncio.gather(
            stores.ping(),
            store.count(None),
            store.get([new_id()]),
            store.page(Window(None, 10)),
            store.amend([new_id()], Amendment(add_tags=("x",)), NOW),
            store.insert([Account(new_id(), store).contact(PHONE)]),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [Unavailable] * 6
        await server.start_again()
        async with asyncio.timeout(60):
            while not await answers(stores):
                pass
        assert await store.count(None) == 0
    finally:
        await stores.close()
        await server.stop()


async def answers(stores: MongoContactStores) -> bool:
    try:
        await stores.ping()
    except Unavailable:
        return False
    return True


@pytest.mark.usefixtures("pymongos_sockets")
async def test_a_server_that_is_not_there() -> None:
    stores = MongoContactStores(MongoDatabase("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200"))
    try:
        with pytest.raises(Unavailable):
            await stores.database.prepare()
        with pytest.raises(Unavailable):
            await MongoContactStore(stores.database, new_id(), utc_now).count(None)
    finally:
        await stores.close()
