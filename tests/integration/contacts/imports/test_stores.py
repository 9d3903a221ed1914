"""An import into each kind of store, with a batch that was written and not committed."""

import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from app.domain.contacts.drafts import Written
from app.domain.contacts.imports import batches, handler
from app.domain.contacts.imports.batches import Batch, Counts
from app.domain.contacts.imports.handler import ContactImport
from app.domain.contacts.stores.contract import ContactStores
from app.domain.contacts.stores.postgres import PostgresContactStores
from app.domain.jobs.upload import receive_input
from app.lib.clock import utc_now
from app.lib.errors import Unavailable
from app.lib.ids import new_id
from app.settings import Settings
from tests.integration.contacts.jobs import Office, working
from tests.integration.contacts.stores.mongo import mongo_stores

ROWS = 25


@pytest.fixture(params=["postgres", "mongo"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[ContactStores]:
    """Each kind in turn."""
    opened = PostgresContactStores() if request.param == "postgres" else await mongo_stores()
    if opened is None:
        pytest.skip("no server that speaks MongoDB's protocol")
    yield opened
    await opened.close()


@pytest.mark.timeout(300)
async def test_a_batch_whose_commit_failed_is_done_once(
    office: Office, settings: Settings, stores: ContactStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MOST_ROWS", 10)
    failures = [1]

    def settle(batch: Batch, written: Sequence[Written], counts: Counts) -> Any:
        settled = batches.settle(batch, written, counts)
        if counts.created + counts.unchanged > 10 and failures:
            failures.pop()
            raise Unavailable("The database is away.")
        return settled

    monkeypatch.setattr(handler, "settle", settle)
    importing = ContactImport(stores, clock=utc_now, new_id=new_id)
    # The office has a worker already, which knows imports by their usual name.
    importing.kind = f"tests.import-{secrets.token_hex(4)}"
    content = "P,N\n" + "".join(f"+2519110{number:05},{number}\n" for number in range(ROWS))

    async def pieces() -> AsyncIterator[bytes]:
        yield content.encode()

    async with office.database.unit_of_work(office.account_id) as session:
        job = await office.service(session).create(importing.kind, {}, receiving=True)
    await receive_input(office.database, office.service, office.account_id, job.id, pieces(), 10**6)
    async with office.database.unit_of_work(office.account_id) as session:
        await office.service(session).start(job.id, spec={"mapping": {"P": "phone", "N": "attributes.n"}})
    async with working(settings, importing):
        ended = await office.ended(str(job.id))
    assert (ended["status"], ended["done"], ended["failed"]) == ("succeeded", ROWS, 0)
    repeated = 0 if isinstance(stores, PostgresContactStores) else 10
    assert (ended["result"]["created"], ended["result"]["unchanged"]) == (ROWS - repeated, repeated)
    async with office.database.reading(office.account_id) as session:
        assert await stores.of(session, office.account_id).count(None) == ROWS
