"""Group messages to contacts that are in MongoDB, while the messages are in PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from app.domain.contacts.correspondence import Correspondence
from app.domain.contacts.stores.contract import Address, AddressType, Contact, ContactStatus, ContactStores
from app.domain.group_messages.steps import Steps
from app.domain.messages.events import Outcome as Ended
from app.domain.messages.events import ResultBatch, SubmitResult
from app.domain.messages.results import apply_results
from app.domain.templates.directory import TemplateDirectory
from app.lib.clock import utc_now
from app.lib.ids import new_id
from tests.integration.contacts.stores.mongo import mongo_stores
from tests.integration.group_messages.conftest import Sender

NOW = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
async def stores() -> AsyncIterator[ContactStores]:
    opened = await mongo_stores()
    yield opened
    await opened.close()


async def test_each_gets_one_message_and_their_activity_is_known(sender: Sender, stores: ContactStores) -> None:
    people = [
        Contact(
            id=new_id(),
            account_id=sender.account_id,
            first_name=f"P{number}",
            addresses=(Address(AddressType.PHONE, f"+2519110077{number}"),),
            tags=("vip",),
            status=ContactStatus.BLOCKED if number == 13 else ContactStatus.ACTIVE,
            created_at=NOW,
            updated_at=NOW,
        )
        for number in range(10, 22)
    ]
    async with sender.database.unit_of_work() as session:
        store = stores.of(session, sender.account_id)
        assert await store.insert(people) == frozenset()
    later = datetime.now(UTC) + timedelta(hours=1)
    # One of them is listed as well, and an address that is nobody's.
    listed = [people[0].addresses[0].value, "+251911007799"]
    sent = await sender.send({"tags": ["vip"], "addresses": listed}, send_at=later.isoformat())
    await sender.execute("UPDATE group_messages SET step_at = now() WHERE id = :id", id=UUID(sent))
    sender.steps = Steps(stores, sender.channels, TemplateDirectory(sender.database, cache_seconds=0), utc_now, new_id)
    shown = await sender.walk(sent)
    assert shown["progress"]["skipped"] == 1
    assert await sender.skipped(sent) == {"blocked": 1}
    messages = await sender.messages(sent)
    expected: dict[str, tuple[UUID | None, str]] = {
        each.addresses[0].value: (each.id, f"Hello {each.first_name}") for each in people
    }
    del expected[people[3].addresses[0].value]
    expected["+251911007799"] = (None, "Hello you")
    assert {row.recipient: (row.contact_id, row.body) for row in messages} == expected
    results = [SubmitResult(row.id.bytes, 1, Ended.SENT, datetime.now(UTC).timestamp()) for row in messages]
    batch = ResultBatch(new_id(), sender.account_id, UUID(sender.channel_id), results=results)
    async with sender.database.unit_of_work() as session:
        assert await apply_results(session, [batch], new_id, Correspondence(stores, utc_now, new_id))
    assert (await sender.check_counters(sent))["sent"] == 12
    async with sender.database.unit_of_work() as session:
        known = await stores.of(session, sender.account_id).get([each.id for each in people])
    written = {each.id for each in known.values() if each.last_outbound_at is not None}
    assert written == {each.id for each in people} - {people[3].id}
