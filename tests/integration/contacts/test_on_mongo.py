"""The API over contacts in MongoDB: the same tests, where nothing is taken back when a request fails."""

from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest

from app.settings import ContactSettings, Settings
from deploy.local.errors import LocalError
from tests.conftest import register, serve_app
from tests.integration.contacts.conftest import Keeper
from tests.integration.contacts.stores.mongo import mongo_stores
from tests.integration.contacts.test_attributes import (
    test_a_value_that_comes_while_its_attribute_goes,
    test_an_attribute_with_values_stays,
)
from tests.integration.contacts.test_contacts import (
    test_a_change_merges,
    test_a_contact_comes_back_as_it_was_sent_in_canonical_form,
    test_an_address_belongs_to_one_contact,
    test_lists_are_filtered_by_every_field,
    test_lists_are_paged_in_every_order,
    test_no_change_is_lost,
    test_one_of_many_gets_an_address,
    test_one_of_those_who_insist_on_a_version_wins,
    test_versions,
)
from tests.integration.contacts.test_groups import test_joining_and_leaving
from tests.integration.contacts.test_segments import (
    test_members_are_whoever_matches_now,
    test_why_is_this_person_in,
)

__all__ = [
    "test_a_change_merges",
    "test_a_contact_comes_back_as_it_was_sent_in_canonical_form",
    "test_a_value_that_comes_while_its_attribute_goes",
    "test_an_address_belongs_to_one_contact",
    "test_an_attribute_with_values_stays",
    "test_joining_and_leaving",
    "test_lists_are_filtered_by_every_field",
    "test_lists_are_paged_in_every_order",
    "test_members_are_whoever_matches_now",
    "test_no_change_is_lost",
    "test_one_of_many_gets_an_address",
    "test_one_of_those_who_insist_on_a_version_wins",
    "test_versions",
    "test_why_is_this_person_in",
]


@pytest.fixture(scope="module")
async def over_mongo(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API that keeps its contacts in MongoDB."""
    try:
        stores = await mongo_stores()
    except LocalError as error:
        pytest.skip(str(error))
    try:
        async with serve_app(msgspec.structs.replace(settings, contacts=ContactSettings(stores.url))) as client:
            yield client
    finally:
        await stores.close()


@pytest.fixture
async def keeper(over_mongo: httpx.AsyncClient) -> Keeper:
    return Keeper(over_mongo, await register(over_mongo))


@pytest.fixture
async def stranger(over_mongo: httpx.AsyncClient) -> Keeper:
    return Keeper(over_mongo, await register(over_mongo))
