"""The second lock: what the role of the API sees of the tables when a statement forgets whose rows it wants."""

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from app.lib.db import API_ROLE, Database
from app.settings import Settings
from tests.conftest import Registered

TENANT_TABLES = (
    *("templates", "template_versions"),
    *("group_messages", "group_message_progress", "group_message_skips", "group_message_sleepers"),
    *("accounts", "memberships", "invitations", "api_keys", "audit_log", "idempotency_keys", "channels"),
    *("smpp_accounts", "messages", "message_attempts", "message_events", "message_parts", "message_retries", "events"),
    *("jobs", "job_files"),
    *("contacts", "contact_addresses", "contact_group_members", "contact_activity", "contact_groups", "segments"),
    *("contact_attributes", "contact_merges", "contact_aliases"),
    *("opt_outs", "consent_events", "opt_out_keywords"),
)
IDENTITY_TABLES = ("users", "sessions", "refresh_tokens", "email_codes", "recovery_codes", "signing_keys", "mails")
NOBODYS_TABLES = ("rate_limits", "outbox", "alembic_version")
SYSTEM_TABLES = (
    "consumed_events",
    "inbound_keys",
    "inbound_parts",
    "parked_receipts",
    "opt_out_replies",
    "contact_duplicate_keys",
)


@pytest.fixture
async def api(settings: Settings) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """A connection as the API has it, for statements written by hand."""
    connection = await asyncpg.connect(settings.database.url, server_settings={"role": API_ROLE})
    yield connection
    await connection.close()


async def name(api: "asyncpg.Connection[asyncpg.Record]", *accounts: str) -> None:
    await api.execute("SELECT set_config('turumba.accounts', $1, false)", ",".join(accounts))


async def test_the_role_owns_nothing_and_is_no_superuser(database: Database, settings: Settings) -> None:
    connection = await asyncpg.connect(settings.database.url)
    try:
        role = await connection.fetchrow(
            "SELECT rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = $1", API_ROLE
        )
        assert role is not None and not any(role.values())
        owned = await connection.fetchval(
            "SELECT count(*) FROM pg_class WHERE relowner = $1::regrole::oid AND relnamespace = 'public'::regnamespace",
            API_ROLE,
        )
        assert owned == 0
        # Every table is in one of the lists above, and those with data of accounts are under row-level security.
        rows = await connection.fetch(
            """
            SELECT relname, relrowsecurity FROM pg_class
            WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace
            """
        )
    finally:
        await connection.close()
    secured = {row["relname"] for row in rows if row["relrowsecurity"]}
    bare = {row["relname"] for row in rows if not row["relrowsecurity"]}
    assert secured == {*TENANT_TABLES, *IDENTITY_TABLES, "roles", "login_failures"}
    assert bare == {*NOBODYS_TABLES, *SYSTEM_TABLES}


async def test_without_an_account_nothing_is_seen(
    api: "asyncpg.Connection[asyncpg.Record]", registered: Registered
) -> None:
    for table in (*TENANT_TABLES, *IDENTITY_TABLES):
        assert await api.fetchval(f"SELECT count(*) FROM {table}") == 0, table
    assert {row["name"] for row in await api.fetch("SELECT name FROM roles")} == {
        "owner",
        "admin",
        "operator",
        "viewer",
    }
    for table in SYSTEM_TABLES:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await api.fetchval(f"SELECT count(*) FROM {table}")


async def test_only_the_named_account_is_seen_and_written(
    api: "asyncpg.Connection[asyncpg.Record]", registered: Registered, other: Registered
) -> None:
    mine, theirs = registered["account"]["id"], other["account"]["id"]
    await name(api, mine)
    assert [str(row["id"]) for row in await api.fetch("SELECT id FROM accounts")] == [mine]
    assert [str(row["account_id"]) for row in await api.fetch("SELECT account_id FROM memberships")] == [mine]
    assert await api.fetch("SELECT FROM accounts WHERE id = $1", UUID(theirs)) == []
    assert await api.execute("UPDATE accounts SET name = 'x' WHERE id = $1", UUID(theirs)) == "UPDATE 0"
    insert = """
        INSERT INTO channels (id, account_id, name, type, status)
        VALUES (gen_random_uuid(), $1, 'By hand', 'sandbox', 'active')
    """
    async with api.transaction():
        await api.execute(insert, UUID(mine))
        assert await api.fetchval("SELECT count(*) FROM channels WHERE name = 'By hand'") == 1
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await api.execute(insert, UUID(theirs))
    await name(api, theirs)
    assert await api.fetchval("SELECT count(*) FROM channels WHERE name = 'By hand'") == 0
    await name(api, mine, theirs)
    assert await api.fetchval("SELECT count(*) FROM accounts") == 2
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await api.execute("UPDATE roles SET permissions = '{}' WHERE account_id IS NULL")
