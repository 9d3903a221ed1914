"""Messages and contacts where contacts are in MongoDB: the same tests."""

from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest

from app.domain.contacts.correspondence import Correspondence
from app.domain.messages.people import People
from app.lib.clock import utc_now
from app.lib.db import Database
from app.lib.ids import new_id
from app.settings import ContactSettings, Settings
from deploy.local.errors import LocalError
from tests.conftest import Registered, register, serve_app
from tests.integration.contacts.conftest import Keeper
from tests.integration.contacts.stores.mongo import ServedContactStores, mongo_stores
from tests.integration.messages.bench import Bench
from tests.integration.messages.test_contacts import (
    test_a_message_to_a_contact_goes_to_its_first_address,
    test_a_redelivered_batch_changes_nothing,
    test_a_sender_that_is_no_address_is_nobody,
    test_a_stop_is_seen_at_the_contact,
    test_what_is_sent_is_remembered,
    test_who_is_known_stays_who_they_are,
    test_who_writes_for_the_first_time_becomes_a_contact,
)

__all__ = [
    "test_a_message_to_a_contact_goes_to_its_first_address",
    "test_a_redelivered_batch_changes_nothing",
    "test_a_sender_that_is_no_address_is_nobody",
    "test_a_stop_is_seen_at_the_contact",
    "test_what_is_sent_is_remembered",
    "test_who_is_known_stays_who_they_are",
    "test_who_writes_for_the_first_time_becomes_a_contact",
]


@pytest.fixture(scope="module")
async def stores() -> AsyncIterator[ServedContactStores]:
    try:
        made = await mongo_stores()
    except LocalError as error:
        pytest.skip(str(error))
    yield made
    await made.close()


@pytest.fixture(scope="module")
async def over_mongo(settings: Settings, stores: ServedContactStores) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API that keeps its contacts in MongoDB."""
    async with serve_app(msgspec.structs.replace(settings, contacts=ContactSettings(stores.url))) as client:
        yield client


@pytest.fixture
def people(stores: ServedContactStores) -> People:
    return Correspondence(stores, utc_now, new_id)


@pytest.fixture
async def owner(over_mongo: httpx.AsyncClient) -> Registered:
    return await register(over_mongo)


@pytest.fixture
def keeper(over_mongo: httpx.AsyncClient, owner: Registered) -> Keeper:
    return Keeper(over_mongo, owner)


@pytest.fixture
async def bench(database: Database, keeper: Keeper) -> Bench:
    channel = await keeper.make("/channels", name="Try", type="sandbox")
    return Bench(database, str(keeper.account_id), channel["id"])
