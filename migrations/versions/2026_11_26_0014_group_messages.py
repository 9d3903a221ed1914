"""Group messages: one text to many, with where each stands.

The messages of a group message need no index of their own: their ids lie in the one millisecond in which it was started
(`app.domain.group_messages.identity`), a range of the index on `(account_id, id)`.
"""

from alembic import op

revision = "0014_group_messages"
down_revision = "0013_contact_merges"
branch_labels = None
depends_on = None

TABLES = (
    "SET LOCAL lock_timeout = '5s'",
    "ALTER TABLE messages ADD COLUMN group_message_id uuid",
    "ALTER TABLE messages ADD COLUMN template_id uuid",
    "ALTER TABLE messages ADD COLUMN template_version integer",
    """
    CREATE TABLE group_messages (
        id uuid PRIMARY KEY,
        account_id uuid NOT NULL REFERENCES accounts (id),
        name text NOT NULL,
        channel_id uuid NOT NULL,
        status text NOT NULL DEFAULT 'draft'
            CHECK (status IN ('draft', 'scheduled', 'running', 'paused', 'completed', 'canceled')),
        -- What its owner wrote: everything that can be changed while it is a draft.
        content jsonb NOT NULL,
        -- What was decided when it was started: filters with their moments, the version of the template.
        plan jsonb,
        send_at timestamptz,
        -- Where the walk through the audience stands; changes with the rows and the outbox of each step.
        checkpoint jsonb,
        total bigint,
        accepted bigint NOT NULL DEFAULT 0,
        skipped bigint NOT NULL DEFAULT 0,
        step_at timestamptz,
        paused_because text,
        created_by uuid,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        started_at timestamptz,
        ended_at timestamptz
    )
    """,
    "CREATE INDEX ix_group_messages_account_id_id ON group_messages (account_id, id DESC)",
    "CREATE INDEX ix_group_messages_status_step_at ON group_messages (status, step_at)"
    " WHERE status IN ('scheduled', 'running')",
    # A row of its own: results must not wait for the step that is under way, nor it for them.
    """
    CREATE TABLE group_message_progress (
        group_message_id uuid PRIMARY KEY REFERENCES group_messages (id) ON DELETE CASCADE,
        account_id uuid NOT NULL,
        sent bigint NOT NULL DEFAULT 0,
        delivered bigint NOT NULL DEFAULT 0,
        read bigint NOT NULL DEFAULT 0,
        failed bigint NOT NULL DEFAULT 0,
        expired bigint NOT NULL DEFAULT 0,
        canceled bigint NOT NULL DEFAULT 0,
        unknown bigint NOT NULL DEFAULT 0
    ) WITH (fillfactor = 20)
    """,
    """
    CREATE TABLE group_message_skips (
        group_message_id uuid NOT NULL REFERENCES group_messages (id) ON DELETE CASCADE,
        account_id uuid NOT NULL,
        -- Of the contact, or made from the address where there is none.
        recipient_id uuid NOT NULL,
        contact_id uuid,
        address text,
        reason text NOT NULL,
        detail text,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (group_message_id, recipient_id)
    )
    """,
    # Whoever has quiet hours now; a contact, or where there is an address whoever has it.
    """
    CREATE TABLE group_message_sleepers (
        group_message_id uuid NOT NULL REFERENCES group_messages (id) ON DELETE CASCADE,
        account_id uuid NOT NULL,
        recipient_id uuid NOT NULL,
        address text,
        until timestamptz NOT NULL,
        PRIMARY KEY (group_message_id, recipient_id)
    )
    """,
    "CREATE INDEX ix_group_message_sleepers_until ON group_message_sleepers (group_message_id, until)",
)

OWNED = ("group_messages", "group_message_progress", "group_message_skips", "group_message_sleepers")
"""Every one is for `turumba_api` in the accounts that its transaction names."""


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    for table in OWNED:
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO turumba_api")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        visible = "account_id = ANY ((SELECT current_accounts())::uuid[])"
        op.execute(f"CREATE POLICY api ON {table} TO turumba_api USING ({visible}) WITH CHECK ({visible})")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(f"DROP TABLE {', '.join(reversed(OWNED))}")
    for column in ("group_message_id", "template_id", "template_version"):
        op.execute(f"ALTER TABLE messages DROP COLUMN {column}")
