"""Group messages that wait until somebody else agrees."""

from alembic import op

revision = "0017_approvals"
down_revision = "0016_activity_room"
branch_labels = None
depends_on = None

_STATUSES = "'draft', 'scheduled', 'running', 'paused', 'completed', 'canceled'"
_MAY = """
    UPDATE roles SET permissions = jsonb_set(permissions, '{{group_messages}}', {actions})
    WHERE account_id IS NULL AND name IN ('owner', 'admin')
"""

UP = (
    "SET LOCAL lock_timeout = '5s'",
    # The request and the decision (`app.domain.group_messages.approval`).
    "ALTER TABLE group_messages ADD COLUMN approval jsonb",
    "ALTER TABLE group_messages DROP CONSTRAINT group_messages_status_check",
    f"ALTER TABLE group_messages ADD CHECK (status IN ({_STATUSES}, 'awaiting_approval'))",
    _MAY.format(actions="permissions -> 'group_messages' || '[\"approve\"]'"),
)
DOWN = (
    "SET LOCAL lock_timeout = '5s'",
    _MAY.format(actions="permissions -> 'group_messages' - 'approve'"),
    "UPDATE group_messages SET status = 'draft' WHERE status = 'awaiting_approval'",
    "ALTER TABLE group_messages DROP CONSTRAINT group_messages_status_check",
    f"ALTER TABLE group_messages ADD CHECK (status IN ({_STATUSES}))",
    "ALTER TABLE group_messages DROP COLUMN approval",
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
