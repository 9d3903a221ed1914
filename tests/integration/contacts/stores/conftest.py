"""The stores that one suite runs on, and an account beside the test's that must stay as it is."""

import importlib
import importlib.util
from collections.abc import AsyncIterator

import pytest

from app.domain.contacts.stores.contract import ContactStore, ContactStores
from app.domain.contacts.stores.postgres import PostgresContactStores
from app.lib.db import API_ROLE, Database
from app.settings import Settings
from tests.integration.contacts.stores.cases import Account, Opened, settled

MONGO = f"{__package__}.mongo"
STORES = ["postgres", *(["mongo"] if importlib.util.find_spec(MONGO) else [])]
AS_THE_API = "postgres as the api"


@pytest.fixture(scope="session")
async def bare(settings: Settings) -> AsyncIterator[Database]:
    """The database as the workers have it: without row-level security, the store alone keeps accounts apart."""
    database = Database(settings.database.url, process="test-stores", pool_size=4)
    yield database
    await database.close()


@pytest.fixture(scope="session")
async def guarded(settings: Settings) -> AsyncIterator[Database]:
    """The database as the API has it: under row-level security."""
    database = Database(settings.database.url, process="test-stores-api", pool_size=4, role=API_ROLE)
    yield database
    await database.close()


@pytest.fixture(scope="session", params=[*STORES, AS_THE_API])
async def opened(request: pytest.FixtureRequest, bare: Database, guarded: Database) -> AsyncIterator[Opened]:
    """Each kind of stores in turn."""
    stores: ContactStores | None = PostgresContactStores()
    if request.param == "mongo":
        stores = await importlib.import_module(MONGO).mongo_stores()
    if stores is None:
        pytest.skip("no server that speaks MongoDB's protocol")
    # What stands in for MongoDB where there is none takes half a minute for a call with as many as are allowed.
    largest = 100 if request.param == "mongo" else 5000
    yield Opened(stores, guarded if request.param == AS_THE_API else bare, largest)
    await stores.close()


@pytest.fixture
async def neighbour(opened: Opened) -> AsyncIterator[Account]:
    """An account with contacts that have the addresses, tags and groups of the test's own; nothing may change it."""
    account = await settled(opened.account())
    before = await account.snapshot(account.contact_ids)
    yield account
    assert await account.snapshot(account.contact_ids) == before


@pytest.fixture
def account(opened: Opened, neighbour: Account) -> Account:
    """The test's account, empty, beside another."""
    return opened.account()


@pytest.fixture
def store(account: Account) -> ContactStore:
    """The store of the test's account; each call is a unit of work of its own."""
    return account.store
