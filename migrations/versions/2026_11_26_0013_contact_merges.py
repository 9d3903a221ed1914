"""Merges of contacts that can be undone, the ids that merged contacts had, and what duplicates are found by."""

from alembic import op

revision = "0013_contact_merges"
down_revision = "0012_templates"
branch_labels = None
depends_on = None

TABLES = (
    "SET LOCAL lock_timeout = '5s'",
    # The snapshots are what undoing needs; they go when it is too late for that, or when the person is erased.
    """
    CREATE TABLE contact_merges (
        id uuid CONSTRAINT pk_contact_merges PRIMARY KEY,
        account_id uuid NOT NULL CONSTRAINT fk_contact_merges_account_id_accounts REFERENCES accounts (id),
        contact_id uuid NOT NULL,
        merged_ids uuid[] NOT NULL,
        state text NOT NULL
            CONSTRAINT ck_contact_merges_state CHECK (state IN ('running', 'done', 'undoing', 'undone')),
        kept_before jsonb,
        merged jsonb,
        created_by_type text NOT NULL
            CONSTRAINT ck_contact_merges_created_by_type CHECK (created_by_type IN ('user', 'api_key', 'system')),
        created_by uuid,
        undone_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX ix_contact_merges_account_id_id ON contact_merges (account_id, id)",
    "CREATE INDEX ix_contact_merges_account_id_contact_id ON contact_merges (account_id, contact_id)",
    "CREATE INDEX ix_contact_merges_merged_ids ON contact_merges USING gin (merged_ids)",
    "CREATE INDEX ix_contact_merges_unfinished ON contact_merges (account_id, id)"
    " WHERE state IN ('running', 'undoing')",
    "CREATE INDEX ix_contact_merges_snapshots ON contact_merges (created_at) WHERE merged IS NOT NULL",
    # Of each contact that was merged, whom it was merged into: not further, so that a merge of a merge can be undone.
    """
    CREATE TABLE contact_aliases (
        account_id uuid NOT NULL CONSTRAINT fk_contact_aliases_account_id_accounts REFERENCES accounts (id),
        alias_id uuid NOT NULL,
        contact_id uuid NOT NULL,
        CONSTRAINT pk_contact_aliases PRIMARY KEY (account_id, alias_id)
    )
    """,
    "CREATE INDEX ix_contact_aliases_account_id_contact_id ON contact_aliases (account_id, contact_id)",
    # What two contacts that are likely one person have in common, as a digest; while a job looks for duplicates.
    """
    CREATE TABLE contact_duplicate_keys (
        job_id uuid NOT NULL
            CONSTRAINT fk_contact_duplicate_keys_job_id_jobs REFERENCES jobs (id) ON DELETE CASCADE,
        digest bytea NOT NULL,
        contact_id uuid NOT NULL,
        account_id uuid NOT NULL,
        CONSTRAINT pk_contact_duplicate_keys PRIMARY KEY (job_id, digest, contact_id)
    )
    """,
    "CREATE INDEX ix_contact_duplicate_keys_account_id ON contact_duplicate_keys (account_id)",
)

IN_ACCOUNT = "account_id = ANY ((SELECT current_accounts())::uuid[])"


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    for table in ("contact_merges", "contact_aliases"):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO turumba_api")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY api ON {table} TO turumba_api USING ({IN_ACCOUNT}) WITH CHECK ({IN_ACCOUNT})")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE contact_duplicate_keys, contact_aliases, contact_merges")
