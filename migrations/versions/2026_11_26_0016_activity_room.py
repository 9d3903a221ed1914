"""Room on the pages of contact activity: all of a group message's contacts change at once, and touch no index."""

from alembic import op

revision = "0016_activity_room"
down_revision = "0015_message_room"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE contact_activity SET (fillfactor = 50)")


def downgrade() -> None:
    op.execute("ALTER TABLE contact_activity SET (fillfactor = 70)")
