"""Channels."""

from alembic import op

revision = "0002_channels"
down_revision = "0001_identity"
branch_labels = None
depends_on = None

UP = (
    "SET LOCAL lock_timeout = '5s'",
    """
    CREATE TABLE channels (
        id uuid CONSTRAINT pk_channels PRIMARY KEY,
        account_id uuid NOT NULL CONSTRAINT fk_channels_account_id_accounts REFERENCES accounts (id),
        name text NOT NULL,
        type text NOT NULL,
        config jsonb NOT NULL DEFAULT '{}',
        credentials bytea,
        rate jsonb,
        status text NOT NULL
            CONSTRAINT ck_channels_status CHECK (status IN ('draft', 'connecting', 'active', 'paused', 'error')),
        health jsonb NOT NULL DEFAULT '{}',
        deleted_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX ix_channels_account_id_id ON channels (account_id, id)",
    "CREATE UNIQUE INDEX uq_channels_account_id_name ON channels (account_id, name) WHERE deleted_at IS NULL",
    "CREATE INDEX ix_channels_type_id ON channels (type, id) WHERE deleted_at IS NULL",
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE channels")
