"""Deleting accounts: the time in which they can be restored, and what is gone after it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.stores.postgres import PostgresContactStores
from app.domain.identity.accounts import purge
from app.domain.identity.accounts.purge import PURGED_TABLES
from app.lib.db import Database
from app.lib.ids import new_id
from app.settings import Settings
from scheduler.jobs.accounts import purge_accounts
from tests.integration.accounts.conftest import Person, refused

Join = Callable[..., Awaitable[Person]]
STORES = PostgresContactStores()


async def run(database: Database, statement: str, **values: Any) -> Any:
    async with database.unit_of_work() as session:
        return await session.execute(text(statement), values)


async def grace_passes(database: Database, *accounts: str) -> None:
    ids = [UUID(each) for each in accounts]
    await run(database, "UPDATE accounts SET closes_at = now() - interval '1 second' WHERE id = ANY(:ids)", ids=ids)


async def queues_are_drained(database: Database, account_id: str) -> None:
    ended = "UPDATE channels SET deleted_at = deleted_at - interval '2 hours' WHERE account_id = :id"
    await run(database, ended, id=UUID(account_id))


async def exists(database: Database, account_id: str) -> bool:
    async with database.reading() as session:
        return bool(
            await session.scalar(text("SELECT EXISTS (SELECT FROM accounts WHERE id = :id)"), {"id": UUID(account_id)})
        )


async def test_a_deleted_account_can_be_read_and_restored(owner: Person, join: Join, client: httpx.AsyncClient) -> None:
    sub = (await owner.make(owner.account_id))["id"]
    member = await join(sub, "owner")
    assert (await owner.call("DELETE", f"/{sub}")).status_code == 204
    shown = await owner.show(sub)
    assert (shown["status"], shown["suspended"]) == ("closing", True)
    days = datetime.fromisoformat(shown["closes_at"]) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < days <= timedelta(days=30)
    refused(await member.call("PATCH", f"/{sub}", json={"name": "X"}), 403, "account_suspended")
    headers = member.headers | {"X-Account-Id": sub}
    refused(
        await client.post("/v1/channels", json={"name": "x", "type": "sandbox"}, headers=headers),
        403,
        "account_suspended",
    )
    assert (await client.get("/v1/channels", headers=headers)).status_code == 200
    refused(await owner.call("DELETE", f"/{sub}"), 409, "account_closing")
    refused(await owner.act(sub, "suspend"), 409, "account_closing")
    refused(await owner.act(sub, "resume"), 409, "account_closing")
    # Whoever may delete it may restore it, its own owner too.
    restored = await member.act(sub, "restore")
    assert (restored.status_code, restored.json()["status"]) == (200, "active")
    assert (restored.json()["suspended"], restored.json()["closes_at"]) == (False, None)
    assert (await member.act(sub, "restore")).json() == restored.json()
    assert (await member.call("PATCH", f"/{sub}", json={"name": "X"})).status_code == 200
    actions = [entry["action"] for entry in await owner.log(sub)]
    assert actions == ["created", "closing", "restored", "updated"]


async def test_who_may_delete(owner: Person, join: Join, key: Join, stranger: Person) -> None:
    sub = (await owner.make(owner.account_id))["id"]
    admin = await join(sub, "admin")
    refused(await admin.call("DELETE", f"/{sub}"), 403, "missing_permission")
    refused(await stranger.call("DELETE", f"/{sub}"), 404, "not_found")
    refused(await stranger.act(sub, "restore"), 404, "not_found")
    machine = await key(owner.account_id, {"accounts": ["read", "delete"], "sub_accounts": ["access"]})
    assert (await machine.call("DELETE", f"/{sub}")).status_code == 204
    refused(await admin.act(sub, "restore"), 403, "account_suspended")
    assert (await machine.act(sub, "restore")).status_code == 200


async def test_accounts_close_from_below_and_open_from_above(owner: Person, database: Database) -> None:
    top = (await owner.make(owner.account_id))["id"]
    leaf = (await owner.make(top))["id"]
    answer = await owner.call("DELETE", f"/{top}")
    refused(answer, 409, "has_sub_accounts")
    assert "delete those first" in answer.json()["detail"]
    assert (await owner.call("DELETE", f"/{leaf}")).status_code == 204
    assert (await owner.call("DELETE", f"/{top}")).status_code == 204
    refused(await owner.act(leaf, "restore"), 409, "parent_closing")
    # The lower one goes first, even when its parent is due and it is not.
    await grace_passes(database, top)
    await purge_accounts(database, STORES)
    assert await exists(database, top)
    await grace_passes(database, leaf)
    refused(await owner.act(top, "restore"), 409, "grace_over")
    await purge_accounts(database, STORES)
    assert not await exists(database, leaf)
    await purge_accounts(database, STORES)
    assert not await exists(database, top)
    assert await owner.ids() == {owner.account_id}


async def test_a_deleted_root_is_gone_and_its_users_stay(
    owner: Person, client: httpx.AsyncClient, database: Database, registered: dict[str, Any]
) -> None:
    assert (await owner.call("DELETE", f"/{owner.account_id}")).status_code == 204
    await purge_accounts(database, STORES)
    assert await exists(database, owner.account_id), "not before its time"
    await grace_passes(database, owner.account_id)
    await purge_accounts(database, STORES)
    assert not await exists(database, owner.account_id)
    again = await client.post("/v1/auth/login", json=registered["credentials"])
    assert again.status_code == 200
    # A purge tells every process at once, which may come after this request.
    refused(
        await client.get("/v1/context", headers=owner.headers | {"X-Account-Id": owner.account_id}), 403, "not_a_member"
    )
    async with database.reading() as session:
        actions = (
            await session.execute(
                text("SELECT action, actor_type FROM audit_log WHERE account_id = :id ORDER BY id"),
                {"id": UUID(owner.account_id)},
            )
        ).all()
    assert [tuple(each) for each in actions][-2:] == [("closing", "user"), ("purged", "system")]


class Killed(BaseException):
    """The process ends here."""


class Dying(Database):
    """A process that is killed within the transaction after `left` others."""

    left = 0

    @asynccontextmanager
    async def unit_of_work(self, *accounts: UUID, identity: bool = False) -> AsyncIterator[AsyncSession]:
        async with super().unit_of_work(*accounts, identity=identity) as session:
            yield session
            if not self.left:
                raise Killed
        self.left -= 1


async def fill(database: Database, client: httpx.AsyncClient, who: Person, account_id: str) -> None:
    """Rows in every table of a tenant."""
    headers = who.headers | {"X-Account-Id": account_id}
    made = await client.post("/v1/channels", json={"name": "Try", "type": "sandbox"}, headers=headers)
    assert made.status_code == 201, made.text
    channel = made.json()["id"]
    bound = {"name": "App", "system_id": f"app{channel[-8:]}", "channel_id": channel}
    assert (await client.post("/v1/smpp-accounts", json=bound, headers=headers)).status_code == 201
    template = {"name": "Code", "body": "Your code is {CODE}"}
    assert (await client.post("/v1/templates", json=template, headers=headers)).status_code == 201
    group = await client.post("/v1/contact-groups", json={"name": "All"}, headers=headers)
    contact = {"phone": "+251911000100", "attributes": {"city": "Gondar"}, "groups": [group.json()["id"]]}
    assert (await client.post("/v1/contacts", json=contact, headers=headers)).status_code == 201
    segment = {"name": "All", "filter": {"field": "phone", "op": "exists", "value": True}}
    assert (await client.post("/v1/segments", json=segment, headers=headers)).status_code == 201
    messages = [new_id() for _ in range(5)]
    values = {"account": UUID(account_id), "channel": UUID(channel), "name": uuid4().hex}
    for message in messages:
        for statement in (
            "INSERT INTO messages (id, account_id, channel_id, status, recipient, body, encoding, segments)"
            " VALUES (:message, :account, :channel, 'queued', '+251911000100', 'x', 'gsm7', 1)",
            "INSERT INTO message_attempts (message_id, attempt, account_id, channel_id)"
            " VALUES (:message, 1, :account, :channel)",
            "INSERT INTO message_events (message_id, account_id, at, status)"
            " VALUES (:message, :account, now(), 'sent')",
            "INSERT INTO message_parts (channel_id, match_key, message_id, account_id, number, total,"
            " provider_message_id, recipient_tail) VALUES (:channel, 'k', :message, :account, 1, 1, 'p', '0100')",
            "INSERT INTO message_retries (message_id, attempt, account_id, channel_id, next_attempt_at)"
            " VALUES (:message, 2, :account, :channel, now() + interval '1 day')",
            "INSERT INTO events (id, account_id, type, subject_id, data)"
            " VALUES (gen_random_uuid(), :account, 'message.queued', :message, '{}')",
            "INSERT INTO parked_receipts (id, account_id, channel_id, match_keys, receipt)"
            " VALUES (gen_random_uuid(), :account, :channel, '{k}', '')",
        ):
            used = {name: value for name, value in (values | {"message": message}).items() if f":{name}" in statement}
            await run(database, statement, **used)
    for statement in (
        "INSERT INTO inbound_keys (channel_id, dedupe_key) VALUES (:channel, 'k')",
        "INSERT INTO inbound_parts (channel_id, sender, recipient, reference, total, number, account_id, message_id,"
        " body, encoding) VALUES (:channel, '1', '2', 1, 2, 1, :account, gen_random_uuid(), 'x', 'gsm7')",
        "INSERT INTO roles (id, account_id, name, permissions) VALUES (gen_random_uuid(), :account, :name, '{}')",
        "INSERT INTO invitations (id, account_id, email, role_id, token_hash, expires_at) SELECT gen_random_uuid(),"
        " :account, 'a@example.com', id, convert_to(CAST(:name AS text), 'UTF8'), now() FROM roles WHERE name = :name",
        "INSERT INTO api_keys (id, account_id, name, prefix, secret_hash, role_id) SELECT gen_random_uuid(), :account,"
        " 'key', 'tk_', convert_to(CAST(:name AS text), 'UTF8'), id FROM roles WHERE name = :name",
        "INSERT INTO idempotency_keys (account_id, route, key, request_hash, status, headers, body)"
        " VALUES (:account, 'r', 'k', '', 200, '{}', '')",
        "INSERT INTO opt_out_keywords (id, account_id, action, words, topic)"
        " VALUES (gen_random_uuid(), :account, 'help', '{who}', 'all')",
        "INSERT INTO opt_out_replies (account_id, keyword_id, address)"
        " SELECT account_id, id, '+251911000100' FROM opt_out_keywords WHERE account_id = :account",
        "INSERT INTO opt_outs (id, account_id, channel_class, address, topic, source)"
        " VALUES (gen_random_uuid(), :account, 'sms', '+251911000100', 'all', 'keyword')",
        "INSERT INTO consent_events (id, account_id, opt_out_id, change, channel_class, address, topic, source)"
        " SELECT gen_random_uuid(), account_id, id, 'opted_out', 'sms', address, topic, source FROM opt_outs"
        " WHERE account_id = :account",
        "INSERT INTO contact_activity (account_id, contact_id, channel_id, type, value, last_inbound_at)"
        " SELECT account_id, id, :channel, 'phone', '+251911000100', now() FROM contacts WHERE account_id = :account",
        "INSERT INTO jobs (id, account_id, kind, status, spec, created_by_type)"
        " VALUES (gen_random_uuid(), :account, 'k', 'queued', '{}', 'system')",
        "INSERT INTO job_files (job_id, account_id, name, position, data)"
        " SELECT id, account_id, 'input', 0, 'x' FROM jobs WHERE account_id = :account",
        "INSERT INTO contact_merges (id, account_id, contact_id, merged_ids, state, created_by_type)"
        " VALUES (gen_random_uuid(), :account, gen_random_uuid(), '{}', 'done', 'system')",
        "INSERT INTO contact_aliases (account_id, alias_id, contact_id)"
        " VALUES (:account, gen_random_uuid(), gen_random_uuid())",
        "INSERT INTO group_messages (id, account_id, name, channel_id, content)"
        " VALUES (gen_random_uuid(), :account, 'News', :channel, '{}')",
        "INSERT INTO group_message_progress (group_message_id, account_id) SELECT id, account_id FROM group_messages"
        " WHERE account_id = :account",
        "INSERT INTO group_message_skips (group_message_id, account_id, recipient_id, reason)"
        " SELECT id, account_id, gen_random_uuid(), 'gone' FROM group_messages WHERE account_id = :account",
        "INSERT INTO group_message_sleepers (group_message_id, account_id, recipient_id, until)"
        " SELECT id, account_id, gen_random_uuid(), now() FROM group_messages WHERE account_id = :account",
        "INSERT INTO contact_duplicate_keys (job_id, digest, contact_id, account_id)"
        " SELECT id, 'x', gen_random_uuid(), account_id FROM jobs WHERE account_id = :account",
    ):
        await run(database, statement, **{name: value for name, value in values.items() if f":{name}" in statement})


async def counts(database: Database, account_id: str, channels: list[UUID]) -> dict[str, int]:
    found = {}
    async with database.reading() as session:
        for table in sorted(PURGED_TABLES):
            where = "channel_id = ANY(:channels)" if table == "inbound_keys" else "account_id = :id"
            values = {"channels": channels} if table == "inbound_keys" else {"id": UUID(account_id)}
            found[table] = await session.scalar(text(f"SELECT count(*) FROM {table} WHERE {where}"), values) or 0
    return found


async def test_nothing_is_left_however_often_the_purge_is_killed(
    owner: Person,
    client: httpx.AsyncClient,
    database: Database,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(purge, "MOST_ROWS", 2)
    gone, kept = (await owner.make())["id"], (await owner.make())["id"]
    for each in (gone, kept):
        await fill(database, client, owner, each)
    channels = list((await run(database, "SELECT id FROM channels WHERE account_id = :id", id=UUID(gone))).scalars())
    before = await counts(database, gone, channels)
    assert all(before.values()), before
    others = await counts(database, kept, [])

    assert (await owner.call("DELETE", f"/{gone}")).status_code == 204
    await purge_accounts(database, STORES)
    assert await counts(database, gone, channels) == before, "not before its time"
    await grace_passes(database, gone)
    await purge_accounts(database, STORES)
    # First the channels end, and have an hour in which their queues are emptied.
    ended = await run(
        database, "SELECT deleted_at IS NOT NULL, credentials FROM channels WHERE account_id = :id", id=UUID(gone)
    )
    assert [tuple(each) for each in ended] == [(True, None)]
    assert (await counts(database, gone, channels))["messages"] == 5
    await queues_are_drained(database, gone)

    kills = 0
    while await exists(database, gone):
        dying = Dying(settings.database.url, process="test-purge", pool_size=1)
        dying.left = kills % 6
        try:
            await purge_accounts(dying, STORES)
        except Killed:
            kills += 1
        finally:
            await dying.close()
        assert kills < 200
    assert kills > 10
    assert not any((await counts(database, gone, channels)).values())
    assert await counts(database, kept, []) == others
    refused(await owner.call("GET", f"/{gone}"), 404, "not_found")
    # Rows that no answer of ours looks like must not meet other tests.
    await run(database, "DELETE FROM idempotency_keys WHERE account_id = :id", id=UUID(kept))


async def test_a_restored_account_is_not_purged(owner: Person, database: Database) -> None:
    sub = (await owner.make(owner.account_id))["id"]
    await owner.call("DELETE", f"/{sub}")
    assert (await owner.act(sub, "restore")).status_code == 200
    async with database.unit_of_work() as session:
        assert not await purge.end_links(session, UUID(sub))
        assert not await purge.remove_account(session, UUID(sub))
    assert await exists(database, sub)


async def test_every_table_of_tenants_is_purged(database: Database) -> None:
    async with database.reading() as session:
        tables = (
            await session.execute(
                text(
                    "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
                    " WHERE a.attname = 'account_id' AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
                    " AND c.relnamespace = 'public'::regnamespace"
                )
            )
        ).scalars()
    # What was done is remembered after the account is gone.
    assert set(tables) - PURGED_TABLES == {"audit_log"}
