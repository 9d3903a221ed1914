"""Templates with versions: what a version says never changes, so a sent message can name the one that made it."""

from alembic import op

revision = "0012_templates"
down_revision = "0011_contacts"
branch_labels = None
depends_on = None

TABLES = (
    "SET LOCAL lock_timeout = '5s'",
    """
    CREATE TABLE templates (
        id uuid CONSTRAINT pk_templates PRIMARY KEY,
        account_id uuid NOT NULL
            CONSTRAINT fk_templates_account_id_accounts REFERENCES accounts (id) ON DELETE CASCADE,
        name text NOT NULL,
        version bigint NOT NULL CONSTRAINT ck_templates_version CHECK (version >= 1),
        -- Messages keep naming a version of it after it has ended.
        deleted_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX ix_templates_account_id_id ON templates (account_id, id)",
    "CREATE UNIQUE INDEX uq_templates_account_id_name ON templates (account_id, name) WHERE deleted_at IS NULL",
    """
    CREATE TABLE template_versions (
        id uuid CONSTRAINT pk_template_versions PRIMARY KEY,
        account_id uuid NOT NULL
            CONSTRAINT fk_template_versions_account_id_accounts REFERENCES accounts (id) ON DELETE CASCADE,
        template_id uuid NOT NULL
            CONSTRAINT fk_template_versions_template_id_templates REFERENCES templates (id) ON DELETE CASCADE,
        -- Wider than it needs to be: it is compared with whatever number a filter brings.
        version bigint NOT NULL,
        content jsonb NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT uq_template_versions_template_id UNIQUE (template_id, version)
    )
    """,
    "CREATE INDEX ix_template_versions_account_id_id ON template_versions (account_id, id)",
)

IN_ACCOUNT = "account_id = ANY ((SELECT current_accounts())::uuid[])"

# What a version says is written once and never changed.
GRANTS = {"templates": "SELECT, INSERT, UPDATE", "template_versions": "SELECT, INSERT"}


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    for table, privileges in GRANTS.items():
        op.execute(f"GRANT {privileges} ON {table} TO turumba_api")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY api ON {table} TO turumba_api USING ({IN_ACCOUNT}) WITH CHECK ({IN_ACCOUNT})")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE template_versions, templates")
