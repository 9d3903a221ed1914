"""What senders see of templates that people change through the API."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from app.domain.templates.content import Kind
from app.domain.templates.directory import TemplateDirectory
from app.domain.templates.rendering import RenderedMessage
from app.lib.db import API_ROLE, Database
from app.settings import Settings
from tests.integration.templates.conftest import make

FOR_EVER = 1e9


@pytest.fixture
async def own_database(settings: Settings) -> AsyncIterator[Database]:
    database = Database(settings.database.url, process="test-directory", pool_size=2, role=API_ROLE)
    yield database
    await database.close()


@pytest.fixture
async def directory(own_database: Database) -> TemplateDirectory:
    return TemplateDirectory(own_database, cache_seconds=FOR_EVER)


def ids(template: dict[str, Any]) -> tuple[UUID, UUID]:
    return UUID(template["account_id"]), UUID(template["id"])


async def change(client: httpx.AsyncClient, who: dict[str, Any], template: dict[str, Any], **fields: Any) -> None:
    answer = await client.patch(f"/v1/templates/{template['id']}", json=fields, headers=who["headers"])
    assert answer.status_code == 200, answer.text


async def test_a_message_is_rendered_from_the_current_version(
    client: httpx.AsyncClient, registered: dict[str, Any], other: dict[str, Any], directory: TemplateDirectory
) -> None:
    made = await make(client, registered, languages={"fr": {"body": "Code {CODE}"}})
    account, template = ids(made)
    record = await directory.get(account, template)
    assert record is not None and record.version == 1
    plan = record.plan(Kind.SMS, "fr-CA")
    assert plan is record.plan(Kind.SMS, "fr")
    assert plan.render(plan.values({"code": 1}, None)) == RenderedMessage("fr", "Code 1")
    own = record.plan(Kind.SMS, None)
    assert own.render(own.values({"code": 1}, {"first_name": "Abebe"})) == RenderedMessage(
        None, "Hi Abebe, your code is 1"
    )
    assert await directory.get(account, template) is record
    assert await directory.get(UUID(other["account"]["id"]), template) is None
    assert await directory.get(UUID(other["account"]["id"]), template, 1) is None
    assert await directory.get(account, uuid4()) is None


async def test_versions_stay_after_the_template_has_ended(
    client: httpx.AsyncClient, registered: dict[str, Any], own_database: Database
) -> None:
    made = await make(client, registered)
    account, template = ids(made)
    await change(client, registered, made, body="B")
    await client.delete(f"/v1/templates/{made['id']}", headers=registered["headers"])
    fresh = TemplateDirectory(own_database)
    assert await fresh.get(account, template) is None
    for version, body in ((1, made["body"]), (2, "B")):
        record = await fresh.get(account, template, version)
        assert record is not None and record.content.body == body
    assert await fresh.get(account, template, 3) is None


async def test_a_change_elsewhere_is_heard_of(
    client: httpx.AsyncClient, registered: dict[str, Any], directory: TemplateDirectory
) -> None:
    made = await make(client, registered)
    account, template = ids(made)
    listening = asyncio.create_task(directory.listen())
    try:

        async def version_is(wanted: int | None) -> None:
            async with asyncio.timeout(10):
                while True:
                    record = await directory.get(account, template)
                    if (None if record is None else record.version) == wanted:
                        return
                    await asyncio.sleep(0.01)

        await version_is(1)
        await change(client, registered, made, body="B")
        await version_is(2)
        await client.delete(f"/v1/templates/{made['id']}", headers=registered["headers"])
        await version_is(None)
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


async def test_a_change_here_is_seen_by_the_next_request(
    client: httpx.AsyncClient, registered: dict[str, Any], own_database: Database, directory: TemplateDirectory
) -> None:
    from app.domain.templates.events import announce_change

    made = await make(client, registered)
    account, template = ids(made)
    first = await directory.get(account, template)
    await change(client, registered, made, body="B")
    # Nobody listens, and what is remembered is remembered for ever.
    assert await directory.get(account, template) is first
    async with own_database.unit_of_work(account) as session:
        await announce_change(session, template)
        assert await directory.get(account, template) is first
    second = await directory.get(account, template)
    assert second is not None and second.version == 2


async def test_without_listening_a_change_is_seen_when_the_time_is_over(
    client: httpx.AsyncClient, registered: dict[str, Any], own_database: Database
) -> None:
    now = 0.0
    directory = TemplateDirectory(own_database, cache_seconds=3, monotonic=lambda: now)
    made = await make(client, registered)
    account, template = ids(made)
    missing = uuid4()
    assert await directory.get(account, missing) is None
    for at, version in ((0.0, 1), (2.9, 1), (3.0, 2)):
        now = at
        record = await directory.get(account, template)
        assert record is not None and record.version == version
        if at == 0.0:
            await change(client, registered, made, body="B")


async def test_what_a_version_says_cannot_be_changed(
    client: httpx.AsyncClient, registered: dict[str, Any], settings: Settings
) -> None:
    made = await make(client, registered)
    connection = await asyncpg.connect(settings.database.url, server_settings={"role": API_ROLE})
    try:
        await connection.execute("SELECT set_config('turumba.accounts', $1, false)", made["account_id"])
        assert await connection.fetchval("SELECT count(*) FROM template_versions") == 1
        for statement in ("UPDATE template_versions SET content = '{}'", "DELETE FROM template_versions"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()
