"""Parts of long messages from contacts, until the whole message is there."""

from alembic import op

revision = "0005_inbound_parts"
down_revision = "0004_sms_options"
branch_labels = None
depends_on = None

UP = (
    "SET LOCAL lock_timeout = '5s'",
    # Rows stay for a while after their message was made: what is repeated then makes no second one.
    """
    CREATE TABLE inbound_parts (
        channel_id uuid NOT NULL,
        sender text NOT NULL,
        recipient text NOT NULL,
        reference integer NOT NULL,
        total smallint NOT NULL,
        number smallint NOT NULL,
        account_id uuid NOT NULL,
        message_id uuid NOT NULL,
        body text NOT NULL,
        encoding text NOT NULL,
        received_at timestamptz NOT NULL DEFAULT now(),
        delivered_at timestamptz,
        CONSTRAINT pk_inbound_parts PRIMARY KEY (channel_id, sender, recipient, reference, total, number)
    )
    """,
    "CREATE INDEX ix_inbound_parts_received_at ON inbound_parts (received_at) WHERE delivered_at IS NULL",
    "CREATE INDEX ix_inbound_parts_delivered_at ON inbound_parts (delivered_at) WHERE delivered_at IS NOT NULL",
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE inbound_parts")
