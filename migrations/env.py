"""Runs migrations: one transaction each, under an advisory lock so that two deployments cannot race."""

from alembic import context
from sqlalchemy import Connection, text

MIGRATION_LOCK = 0x7475_7275_6D62_6100
"""Any constant will do; this one spells the project's name."""


def run(connection: Connection) -> None:
    """Apply what is missing over an open connection, which the caller commits to nothing else."""
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
    connection.commit()
    try:
        context.configure(connection=connection, transaction_per_migration=True, compare_type=True)
        with context.begin_transaction():
            context.run_migrations()
    finally:
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": MIGRATION_LOCK})
        connection.commit()


run(context.config.attributes["connection"])
