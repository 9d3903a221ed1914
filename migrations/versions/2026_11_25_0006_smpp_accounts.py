"""Accounts by which tenants bind to us over SMPP, and which of them a message came by."""

from alembic import op

revision = "0006_smpp_accounts"
down_revision = "0005_inbound_parts"
branch_labels = None
depends_on = None

UP = (
    "SET LOCAL lock_timeout = '5s'",
    """
    CREATE TABLE smpp_accounts (
        id uuid CONSTRAINT pk_smpp_accounts PRIMARY KEY,
        account_id uuid NOT NULL CONSTRAINT fk_smpp_accounts_account_id_accounts REFERENCES accounts (id),
        channel_id uuid NOT NULL CONSTRAINT fk_smpp_accounts_channel_id_channels REFERENCES channels (id),
        name text NOT NULL,
        system_id text NOT NULL CONSTRAINT uq_smpp_accounts_system_id UNIQUE,
        password_hash text NOT NULL,
        enabled boolean NOT NULL,
        settings jsonb NOT NULL,
        last_bound_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX ix_smpp_accounts_account_id_id ON smpp_accounts (account_id, id)",
    "CREATE UNIQUE INDEX uq_smpp_accounts_account_id_name ON smpp_accounts (account_id, name)",
    "CREATE INDEX ix_smpp_accounts_channel_id ON smpp_accounts (channel_id)",
    # Without foreign keys: messages outlive the account they came by, and the table is partitioned and large.
    "ALTER TABLE messages ADD COLUMN smpp_account_id uuid, ADD COLUMN registered_delivery smallint",
    """
    UPDATE roles SET permissions = permissions || '{"smpp_accounts": ["read", "create", "update", "delete"]}'
    WHERE account_id IS NULL AND name IN ('owner', 'admin')
    """,
    """
    UPDATE roles SET permissions = permissions || '{"smpp_accounts": ["read"]}'
    WHERE account_id IS NULL AND name IN ('operator', 'viewer')
    """,
)

DOWN = (
    "SET LOCAL lock_timeout = '5s'",
    "UPDATE roles SET permissions = permissions - 'smpp_accounts'",
    "ALTER TABLE messages DROP COLUMN smpp_account_id, DROP COLUMN registered_delivery",
    "DROP TABLE smpp_accounts",
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
