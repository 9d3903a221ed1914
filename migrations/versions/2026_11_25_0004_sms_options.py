"""Options of a short message beyond its text: binary data, flash, parameters of its own."""

from alembic import op

revision = "0004_sms_options"
down_revision = "0003_messages"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE messages ADD COLUMN sms bytea")


def downgrade() -> None:
    op.execute("ALTER TABLE messages DROP COLUMN sms")
