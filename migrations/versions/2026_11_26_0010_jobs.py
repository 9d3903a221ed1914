"""Long work: jobs with checkpoints, and their files."""

from alembic import op

revision = "0010_jobs"
down_revision = "0009_opt_outs"
branch_labels = None
depends_on = None

IN_ACCOUNT = "account_id = ANY ((SELECT current_accounts())::uuid[])"

UP = (
    "SET LOCAL lock_timeout = '5s'",
    """
    CREATE TABLE jobs (
        id uuid CONSTRAINT pk_jobs PRIMARY KEY,
        account_id uuid NOT NULL CONSTRAINT fk_jobs_account_id_accounts REFERENCES accounts (id),
        kind text NOT NULL,
        status text NOT NULL CONSTRAINT ck_jobs_status
            CHECK (status IN ('receiving', 'queued', 'running', 'succeeded', 'failed', 'canceled')),
        spec jsonb NOT NULL,
        checkpoint jsonb,
        total bigint,
        done bigint NOT NULL DEFAULT 0,
        failed bigint NOT NULL DEFAULT 0,
        result jsonb,
        error text,
        file_names jsonb NOT NULL DEFAULT '{}',
        created_by_type text NOT NULL
            CONSTRAINT ck_jobs_created_by_type CHECK (created_by_type IN ('user', 'api_key', 'system')),
        created_by uuid,
        cancel_requested boolean NOT NULL DEFAULT false,
        -- Whose it is at present, and until when: a token for each time that it is taken.
        claimed_by uuid,
        lease_until timestamptz,
        run_after timestamptz NOT NULL DEFAULT now(),
        -- How often it was taken since it last came further, and when that was.
        attempts integer NOT NULL DEFAULT 0,
        progressed_at timestamptz,
        started_at timestamptz,
        ended_at timestamptz,
        expires_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT ck_jobs_lease CHECK ((status = 'running') = (claimed_by IS NOT NULL)
            AND (claimed_by IS NULL) = (lease_until IS NULL))
    )
    """,
    "CREATE INDEX ix_jobs_account_id_id ON jobs (account_id, id)",
    "CREATE INDEX ix_jobs_account_id_started_at ON jobs (account_id, started_at)",
    "CREATE INDEX ix_jobs_unfinished ON jobs (account_id, id) WHERE status IN ('receiving', 'queued', 'running')",
    "CREATE INDEX ix_jobs_expires_at ON jobs (expires_at) WHERE expires_at IS NOT NULL",
    # `position` is how many bytes of the file come before the chunk.
    """
    CREATE TABLE job_files (
        job_id uuid NOT NULL CONSTRAINT fk_job_files_job_id_jobs REFERENCES jobs (id),
        name text NOT NULL CONSTRAINT ck_job_files_name CHECK (name IN ('input', 'errors', 'result')),
        position bigint NOT NULL,
        account_id uuid NOT NULL,
        data bytea NOT NULL,
        CONSTRAINT pk_job_files PRIMARY KEY (job_id, name, position)
    )
    """,
    "CREATE INDEX ix_job_files_account_id ON job_files (account_id)",
    "CREATE INDEX ix_job_files_input ON job_files (job_id) WHERE name = 'input'",
    "GRANT SELECT, INSERT, UPDATE ON jobs, job_files TO turumba_api",
    "ALTER TABLE jobs ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE job_files ENABLE ROW LEVEL SECURITY",
    f"CREATE POLICY api ON jobs TO turumba_api USING ({IN_ACCOUNT}) WITH CHECK ({IN_ACCOUNT})",
    f"CREATE POLICY api ON job_files TO turumba_api USING ({IN_ACCOUNT}) WITH CHECK ({IN_ACCOUNT})",
    """
    UPDATE roles SET permissions = permissions || '{"jobs": ["read", "cancel"]}'
    WHERE account_id IS NULL AND name IN ('owner', 'admin', 'operator')
    """,
    """
    UPDATE roles SET permissions = permissions || '{"jobs": ["read"]}'
    WHERE account_id IS NULL AND name = 'viewer'
    """,
)

DOWN = (
    "SET LOCAL lock_timeout = '5s'",
    "UPDATE roles SET permissions = permissions - 'jobs'",
    "DROP TABLE job_files, jobs",
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
