"""What is left of a deleted account when its time is over: removed in small steps, each a transaction of its own.

The row of the account is the last to go, and every step looks for what is there, so a purge that is interrupted at any
point goes on with the next one. Entries of the audit log stay, and so do users, whatever else they belong to.

First its channels and SMPP accounts end, and for `DRAIN` nothing else happens: workers empty the queues of the channels
meanwhile, which nobody would do once they are forgotten.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.accounts.events import announce_suspension

DRAIN = timedelta(hours=1)
"""How long workers have for the queues of channels that have just ended."""

MOST_ROWS = 2_000
"""Rows of a large table in one transaction."""

_DUE = text(
    """
    SELECT id FROM accounts a
    WHERE status = 'closing' AND closes_at <= now()
          -- Those below go first; one that has become younger than its parent makes it wait.
          AND NOT EXISTS (SELECT FROM accounts WHERE parent_id = a.id)
    ORDER BY closes_at LIMIT :most
    """
)

_LOCK = text(
    """
    SELECT id FROM accounts
    WHERE id = :account_id AND status = 'closing' AND closes_at <= now() FOR NO KEY UPDATE
    """
)

_END_CHANNELS = text(
    """
    UPDATE channels SET deleted_at = now(), credentials = NULL, updated_at = now()
    WHERE account_id = :account_id AND deleted_at IS NULL
    """
)

_END_SMPP_ACCOUNTS = text("DELETE FROM smpp_accounts WHERE account_id = :account_id")

_DRAINING = text(
    """
    SELECT EXISTS (
        SELECT FROM channels WHERE account_id = :account_id AND deleted_at > now() - make_interval(secs => :seconds)
    )
    """
)

_TAKE_MESSAGES = text("SELECT id FROM messages WHERE account_id = :account_id ORDER BY id LIMIT :most")


# The range of ids leaves the planner one partition or two.
def _of_messages(table: str, column: str) -> TextClause:
    return text(
        f"DELETE FROM {table} WHERE {column} = ANY(CAST(:ids AS uuid[]))"  # noqa: S608 - names of ours
        f" AND {column} BETWEEN :lowest AND :highest AND account_id = :account_id"
    )


def _some(table: str, condition: str) -> TextClause:
    return text(
        f"DELETE FROM {table} WHERE ctid = ANY(ARRAY("  # noqa: S608 - names of ours
        f"SELECT ctid FROM {table} WHERE {condition} LIMIT :most))"
    )


_OF_MESSAGES = (
    _of_messages("message_retries", "message_id"),
    _of_messages("message_attempts", "message_id"),
    _of_messages("message_events", "message_id"),
    _of_messages("message_parts", "message_id"),
    # The last: what refers to it is found by it.
    _of_messages("messages", "id"),
)

_BY_CHANNEL = ("parked_receipts", "inbound_parts", "inbound_keys")
"""Tables whose index begins with the channel."""

_OF_CHANNELS = tuple(
    _some(table, "channel_id = ANY(ARRAY(SELECT id FROM channels WHERE account_id = :account_id))")
    for table in _BY_CHANNEL
)

# In the order of their references.
_BY_ACCOUNT = (
    "opt_out_replies",
    "opt_out_keywords",
    "opt_outs",
    "consent_events",
    "contact_duplicate_keys",
    "contact_aliases",
    "contact_merges",
    "job_files",
    "jobs",
    "group_message_sleepers",
    "group_message_skips",
    "group_message_progress",
    "group_messages",
    "template_versions",
    "templates",
    "contact_groups",
    "segments",
    "contact_attributes",
    "events",
    "idempotency_keys",
    "invitations",
    "api_keys",
    "memberships",
    "smpp_accounts",
    "channels",
    "roles",
)

_OF_ACCOUNT = tuple(_some(table, "account_id = :account_id") for table in _BY_ACCOUNT)

_OF_THE_STORE = ("contacts", "contact_addresses", "contact_group_members", "contact_activity")
"""Tables that the store of contacts empties, which may be another database (`ContactStore.purge`)."""

PURGED_TABLES = frozenset(
    {
        *("messages", "message_attempts", "message_events", "message_parts", "message_retries"),
        *(*_OF_THE_STORE, *_BY_CHANNEL, *_BY_ACCOUNT),
    }
)
"""Every table whose rows of an account are removed with it."""

_REMOVE = text("DELETE FROM accounts WHERE id = :account_id")


async def due_accounts(session: AsyncSession, most: int = 100) -> list[UUID]:
    """Accounts that are to be removed now, without those that have sub-accounts still."""
    return list((await session.execute(_DUE, {"most": most})).scalars())


async def end_links(session: AsyncSession, account_id: UUID) -> bool:
    """End the channels and the SMPP accounts of the account; whether everything else can be removed by now.

    False as well for an account that is not due any more.
    """
    account = {"account_id": account_id}
    if (await session.execute(_LOCK, account)).first() is None:
        return False
    ended = await session.execute(_END_CHANNELS, account)
    unbound = await session.execute(_END_SMPP_ACCOUNTS, account)
    if _count(ended) or _count(unbound):
        await announce_suspension(session)
    draining = await session.scalar(_DRAINING, {**account, "seconds": DRAIN.total_seconds()})
    return draining is False


async def remove_some(session: AsyncSession, account_id: UUID) -> int:
    """Remove some of what belongs to the account; how many rows, 0 when nothing is left. After `end_links` said so."""
    account = {"account_id": account_id}
    ids = list((await session.execute(_TAKE_MESSAGES, {**account, "most": MOST_ROWS})).scalars())
    if ids:
        bounds = {"ids": ids, "lowest": ids[0], "highest": ids[-1]}
        return sum([_count(await session.execute(statement, {**account, **bounds})) for statement in _OF_MESSAGES])
    for statement in (*_OF_CHANNELS, *_OF_ACCOUNT):
        removed = _count(await session.execute(statement, {**account, "most": MOST_ROWS}))
        if removed:
            return removed
    return 0


async def remove_account(session: AsyncSession, account_id: UUID) -> bool:
    """Remove the account itself, of which nothing is left; whether it was there to be removed."""
    account = {"account_id": account_id}
    if (await session.execute(_LOCK, account)).first() is None:
        return False
    await session.execute(_REMOVE, account)
    await announce_suspension(session)
    return True


def _count(result: Any) -> int:
    return int(result.rowcount)
