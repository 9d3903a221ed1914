"""Events of an account, in order, for its feed; and what each channel's sender reported last."""

from alembic import op

revision = "0007_events"
down_revision = "0006_smpp_accounts"
branch_labels = None
depends_on = None

UP = (
    "SET LOCAL lock_timeout = '5s'",
    """
    CREATE TABLE events (
        id uuid CONSTRAINT pk_events PRIMARY KEY,
        account_id uuid NOT NULL CONSTRAINT fk_events_account_id_accounts REFERENCES accounts (id),
        -- An xid8 with the comparisons of a number: which transaction wrote the row.
        position bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
        type text NOT NULL,
        subject_id uuid NOT NULL,
        data jsonb NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX ix_events_account_id_position_id ON events (account_id, position, id)",
    "CREATE INDEX ix_events_subject_id_position_id ON events (subject_id, position, id)",
    # The status that its sender reported last: unlike `status`, no decision of the owner replaces it.
    "ALTER TABLE channels ADD COLUMN reported_status text",
    "UPDATE channels SET reported_status = status WHERE status IN ('connecting', 'active', 'error')",
    """
    UPDATE roles SET permissions = permissions || '{"events": ["read"]}'
    WHERE account_id IS NULL AND name IN ('owner', 'admin', 'operator', 'viewer')
    """,
)

DOWN = (
    "SET LOCAL lock_timeout = '5s'",
    "UPDATE roles SET permissions = permissions - 'events'",
    "ALTER TABLE channels DROP COLUMN reported_status",
    "DROP TABLE events",
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
