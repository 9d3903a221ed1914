"""Keeps the tables in shape: partitions ahead of time, and what is only needed for a while is removed."""

from sqlalchemy import text

from app.lib.db import Database
from app.lib.logging import get_logger

log = get_logger(__name__)

_PARTITIONS = text("SELECT ensure_message_partitions(now() - interval '7 days', now() + interval '28 days')")

_ORPHANS = text(
    """
    UPDATE parked_receipts SET state = 'orphan'
    WHERE state = 'parked' AND parked_at < now() - interval '5 minutes'
    """
)

_PRUNE = (
    text("DELETE FROM consumed_events WHERE consumed_at < now() - interval '7 days'"),
    text("DELETE FROM inbound_keys WHERE seen_at < now() - interval '7 days'"),
    text("DELETE FROM parked_receipts WHERE parked_at < now() - interval '30 days'"),
    text("DELETE FROM events WHERE id < uuid7_floor(now() - interval '30 days')"),
    text("DELETE FROM mails WHERE created_at < now() - interval '7 days'"),
    # A day after they are of no use: how many were sent within an hour is counted by them.
    text("DELETE FROM email_codes WHERE expires_at < now() - interval '1 day'"),
    text("DELETE FROM sessions WHERE expires_at < now() - interval '7 days'"),
    # After the longest wait and the time in which every failure is forgiven.
    text("DELETE FROM login_failures WHERE last_failed_at < now() - interval '1 day'"),
    text("DELETE FROM invitations WHERE greatest(expires_at, accepted_at) < now() - interval '90 days'"),
    text("DELETE FROM audit_log WHERE created_at < now() - interval '400 days'"),
    text("DELETE FROM idempotency_keys WHERE created_at < now() - interval '24 hours'"),
    text("DELETE FROM rate_limits WHERE updated_at < now() - interval '1 day'"),
)


async def make_partitions(database: Database) -> None:
    """Four weeks ahead, so that a scheduler that is down for days does no harm."""
    async with database.unit_of_work() as session:
        made = (await session.execute(_PARTITIONS)).scalar_one()
    if made:
        log.info("partitions made", count=made)


async def declare_orphans(database: Database) -> None:
    """A receipt that found no message for five minutes is shown to operators; it can still match later."""
    async with database.unit_of_work() as session:
        await session.execute(_ORPHANS)


async def prune(database: Database) -> None:
    """Remove what has served: the memory of what can no longer be redelivered, old events, mails, codes, sessions."""
    for statement in _PRUNE:
        async with database.unit_of_work() as session:
            await session.execute(statement)
