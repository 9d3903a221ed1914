"""Sub-accounts, sessions, codes, invitations, API keys, audit log, idempotency, limits; row-level security.

`turumba_api` is the role the API works as. It owns nothing, and sees only rows of the accounts that its transaction
names (`turumba.accounts`), or the tables of identity when its transaction says that it is about them
(`turumba.identity`). The owner of the tables, as which every other process works, is not restricted.
"""

from alembic import op

revision = "0008_tenancy"
down_revision = "0007_events"
branch_labels = None
depends_on = None

TABLES = (
    "SET LOCAL lock_timeout = '5s'",
    "ALTER TABLE accounts DROP CONSTRAINT ck_accounts_status",
    """
    ALTER TABLE accounts
        ADD CONSTRAINT ck_accounts_status CHECK (status IN ('active', 'suspended', 'closing')),
        ADD COLUMN path uuid[] NOT NULL DEFAULT '{}',
        ADD COLUMN suspended boolean NOT NULL DEFAULT false,
        ADD COLUMN closes_at timestamptz
    """,
    """
    WITH RECURSIVE tree (id, path, suspended) AS (
        SELECT id, ARRAY[id], status <> 'active' FROM accounts WHERE parent_id IS NULL
        UNION ALL
        SELECT a.id, t.path || a.id, t.suspended OR a.status <> 'active'
        FROM accounts a JOIN tree t ON t.id = a.parent_id
    )
    UPDATE accounts a SET path = t.path, suspended = t.suspended FROM tree t WHERE t.id = a.id
    """,
    "CREATE INDEX ix_accounts_path ON accounts USING gin (path)",
    # The release before this one makes accounts without a path while it is being replaced.
    """
    CREATE FUNCTION fill_account_path() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
    BEGIN
        NEW.path := coalesce((SELECT path FROM accounts WHERE id = NEW.parent_id), '{}') || NEW.id;
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER fill_path BEFORE INSERT ON accounts
        FOR EACH ROW WHEN (NEW.path = '{}') EXECUTE FUNCTION fill_account_path()
    """,
    "CREATE INDEX ix_accounts_closes_at ON accounts (closes_at) WHERE closes_at IS NOT NULL",
    """
    ALTER TABLE users
        ALTER COLUMN password_hash DROP NOT NULL,
        ADD COLUMN cognito_subject text CONSTRAINT uq_users_cognito_subject UNIQUE,
        ADD COLUMN totp_secret bytea,
        ADD COLUMN totp_confirmed_at timestamptz,
        ADD COLUMN totp_last_step bigint
    """,
    """
    CREATE TABLE sessions (
        id uuid CONSTRAINT pk_sessions PRIMARY KEY,
        user_id uuid NOT NULL CONSTRAINT fk_sessions_user_id_users REFERENCES users (id) ON DELETE CASCADE,
        ip text,
        user_agent text,
        last_used_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL,
        revoked_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX ix_sessions_user_id_id ON sessions (user_id, id)",
    "CREATE INDEX ix_sessions_expires_at ON sessions (expires_at)",
    """
    INSERT INTO sessions (id, user_id, last_used_at, expires_at, revoked_at, created_at)
    SELECT family_id, user_id, max(created_at), max(expires_at), max(revoked_at), min(created_at)
    FROM refresh_tokens GROUP BY family_id, user_id
    """,
    """
    CREATE TABLE email_codes (
        id uuid CONSTRAINT pk_email_codes PRIMARY KEY,
        user_id uuid NOT NULL CONSTRAINT fk_email_codes_user_id_users REFERENCES users (id) ON DELETE CASCADE,
        purpose text NOT NULL
            CONSTRAINT ck_email_codes_purpose CHECK (purpose IN ('verify_email', 'reset_password')),
        -- Sealed, not a digest: of six digits, all digests are computed in a second.
        code bytea NOT NULL,
        wrong_tries smallint NOT NULL DEFAULT 0,
        expires_at timestamptz NOT NULL,
        used_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX ix_email_codes_user_id ON email_codes (user_id, purpose, created_at)",
    """
    CREATE TABLE recovery_codes (
        id uuid CONSTRAINT pk_recovery_codes PRIMARY KEY,
        user_id uuid NOT NULL CONSTRAINT fk_recovery_codes_user_id_users REFERENCES users (id) ON DELETE CASCADE,
        code_hash bytea NOT NULL,
        used_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT uq_recovery_codes_user_id UNIQUE (user_id, code_hash)
    )
    """,
    # By what was typed, not by user: an address nobody has is slowed down like any other.
    """
    CREATE TABLE login_failures (
        subject text CONSTRAINT pk_login_failures PRIMARY KEY,
        failures integer NOT NULL,
        last_failed_at timestamptz NOT NULL,
        locked_until timestamptz
    )
    """,
    "CREATE INDEX ix_login_failures_last_failed_at ON login_failures (last_failed_at)",
    """
    CREATE TABLE mails (
        id uuid CONSTRAINT pk_mails PRIMARY KEY,
        recipient text NOT NULL,
        subject text NOT NULL,
        -- Sealed: it may hold a code or a link that lets its reader in.
        body bytea NOT NULL,
        attempts smallint NOT NULL DEFAULT 0,
        next_attempt_at timestamptz NOT NULL DEFAULT now(),
        sent_at timestamptz,
        failed_at timestamptz,
        error text,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX ix_mails_next_attempt_at ON mails (next_attempt_at) WHERE sent_at IS NULL AND failed_at IS NULL",
    "CREATE INDEX ix_mails_created_at ON mails (created_at)",
    """
    CREATE TABLE invitations (
        id uuid CONSTRAINT pk_invitations PRIMARY KEY,
        account_id uuid NOT NULL
            CONSTRAINT fk_invitations_account_id_accounts REFERENCES accounts (id) ON DELETE CASCADE,
        email text NOT NULL,
        role_id uuid NOT NULL CONSTRAINT fk_invitations_role_id_roles REFERENCES roles (id),
        invited_by uuid CONSTRAINT fk_invitations_invited_by_users REFERENCES users (id) ON DELETE SET NULL,
        token_hash bytea NOT NULL CONSTRAINT uq_invitations_token_hash UNIQUE,
        expires_at timestamptz NOT NULL,
        accepted_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX ix_invitations_account_id_id ON invitations (account_id, id)",
    "CREATE UNIQUE INDEX uq_invitations_account_id_email ON invitations (account_id, email) WHERE accepted_at IS NULL",
    "CREATE INDEX ix_invitations_role_id ON invitations (role_id)",
    """
    CREATE TABLE api_keys (
        id uuid CONSTRAINT pk_api_keys PRIMARY KEY,
        account_id uuid NOT NULL
            CONSTRAINT fk_api_keys_account_id_accounts REFERENCES accounts (id) ON DELETE CASCADE,
        name text NOT NULL,
        prefix text NOT NULL,
        secret_hash bytea NOT NULL CONSTRAINT uq_api_keys_secret_hash UNIQUE,
        role_id uuid CONSTRAINT fk_api_keys_role_id_roles REFERENCES roles (id),
        permissions jsonb,
        allowed_networks text[] NOT NULL DEFAULT '{}',
        expires_at timestamptz,
        last_used_at timestamptz,
        last_used_ip text,
        created_by uuid CONSTRAINT fk_api_keys_created_by_users REFERENCES users (id) ON DELETE SET NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT ck_api_keys_grant CHECK (role_id IS NOT NULL OR permissions IS NOT NULL)
    )
    """,
    "CREATE INDEX ix_api_keys_account_id_id ON api_keys (account_id, id)",
    "CREATE UNIQUE INDEX uq_api_keys_account_id_name ON api_keys (account_id, name)",
    "CREATE INDEX ix_api_keys_role_id ON api_keys (role_id)",
    # Without a foreign key: what was done is remembered after the account is gone.
    """
    CREATE TABLE audit_log (
        id uuid CONSTRAINT pk_audit_log PRIMARY KEY,
        account_id uuid NOT NULL,
        actor_type text NOT NULL CONSTRAINT ck_audit_log_actor_type CHECK (actor_type IN ('user', 'api_key', 'system')),
        actor_id uuid,
        actor_name text NOT NULL,
        action text NOT NULL,
        resource_type text NOT NULL,
        resource_id uuid,
        before jsonb,
        after jsonb,
        ip text,
        user_agent text,
        request_id text,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX ix_audit_log_account_id_id ON audit_log (account_id, id)",
    "CREATE INDEX ix_audit_log_account_id_resource_id ON audit_log (account_id, resource_id, id)",
    "CREATE INDEX ix_audit_log_created_at ON audit_log (created_at)",
    # Answers of POSTs, kept for a day; sealed, because some of them show a secret for the only time.
    """
    CREATE TABLE idempotency_keys (
        account_id uuid NOT NULL,
        route text NOT NULL,
        key text NOT NULL,
        request_hash bytea NOT NULL,
        status smallint NOT NULL,
        headers jsonb NOT NULL,
        body bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT pk_idempotency_keys PRIMARY KEY (account_id, route, key)
    )
    """,
    "CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at)",
    # What is left of each allowance. Losing it in a crash of the server gives everybody a full one, which is harmless.
    """
    CREATE UNLOGGED TABLE rate_limits (
        subject text CONSTRAINT pk_rate_limits PRIMARY KEY,
        tokens double precision NOT NULL,
        updated_at timestamptz NOT NULL
    ) WITH (fillfactor = 50)
    """,
    "CREATE INDEX ix_rate_limits_updated_at ON rate_limits (updated_at)",
    """
    UPDATE roles SET permissions = permissions || '{"sub_accounts": ["access"]}'
    WHERE account_id IS NULL AND name IN ('owner', 'admin')
    """,
)

ROLE = (
    # Where this installation's user may not make roles, an administrator makes it once (docs/production.md).
    """
    DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'turumba_api') THEN
            CREATE ROLE turumba_api NOLOGIN;
        END IF;
    EXCEPTION
        WHEN duplicate_object OR unique_violation THEN NULL;
        WHEN insufficient_privilege THEN
            RAISE EXCEPTION 'there is no role turumba_api, and % may not make it', current_user
                USING HINT = 'As a superuser: CREATE ROLE turumba_api; GRANT turumba_api TO '
                             || quote_ident(current_user);
    END $$
    """,
    """
    CREATE FUNCTION current_accounts() RETURNS uuid[] LANGUAGE sql STABLE PARALLEL SAFE AS $$
        SELECT string_to_array(nullif(current_setting('turumba.accounts', true), ''), ',')::uuid[]
    $$
    """,
    """
    CREATE FUNCTION about_identity() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
        SELECT coalesce(current_setting('turumba.identity', true), '') = 'on'
    $$
    """,
    # So that the API can work as it over this user's own login, when it has none of its own.
    """
    DO $$ BEGIN
        IF NOT pg_has_role(current_user, 'turumba_api', 'MEMBER') THEN
            EXECUTE format('GRANT turumba_api TO %I', current_user);
        END IF;
    EXCEPTION WHEN insufficient_privilege THEN NULL;
    END $$
    """,
    "GRANT USAGE ON SCHEMA public TO turumba_api",
)

IN_ACCOUNT = "account_id = ANY ((SELECT current_accounts())::uuid[])"
IDENTITY = "(SELECT about_identity())"

# What the API may do with each table, and which rows it sees; None where there is nothing of any account in it.
GRANTS: dict[str, tuple[str, str | None]] = {
    "accounts": ("SELECT, INSERT, UPDATE", f"id = ANY ((SELECT current_accounts())::uuid[]) OR {IDENTITY}"),
    "users": ("SELECT, INSERT, UPDATE, DELETE", IDENTITY),
    "roles": ("SELECT, INSERT, UPDATE, DELETE", f"account_id IS NULL OR {IN_ACCOUNT} OR {IDENTITY}"),
    "memberships": ("SELECT, INSERT, UPDATE, DELETE", f"{IN_ACCOUNT} OR {IDENTITY}"),
    "sessions": ("SELECT, INSERT, UPDATE, DELETE", IDENTITY),
    "refresh_tokens": ("SELECT, INSERT, UPDATE, DELETE", IDENTITY),
    "email_codes": ("SELECT, INSERT, UPDATE, DELETE", IDENTITY),
    "recovery_codes": ("SELECT, INSERT, UPDATE, DELETE", IDENTITY),
    "login_failures": ("SELECT, INSERT, UPDATE, DELETE", IDENTITY),
    "mails": ("SELECT, INSERT", IDENTITY),
    "signing_keys": ("SELECT, INSERT, UPDATE", IDENTITY),
    "invitations": ("SELECT, INSERT, UPDATE, DELETE", f"{IN_ACCOUNT} OR {IDENTITY}"),
    "api_keys": ("SELECT, INSERT, UPDATE, DELETE", f"{IN_ACCOUNT} OR {IDENTITY}"),
    "audit_log": ("SELECT, INSERT", f"{IN_ACCOUNT} OR {IDENTITY}"),
    "idempotency_keys": ("SELECT, INSERT, DELETE", f"{IN_ACCOUNT} OR {IDENTITY}"),
    "rate_limits": ("SELECT, INSERT, UPDATE, DELETE", None),
    "channels": ("SELECT, INSERT, UPDATE", IN_ACCOUNT),
    "smpp_accounts": ("SELECT, INSERT, UPDATE, DELETE", IN_ACCOUNT),
    "messages": ("SELECT, INSERT, UPDATE", IN_ACCOUNT),
    "message_attempts": ("SELECT", IN_ACCOUNT),
    "message_events": ("SELECT, INSERT", IN_ACCOUNT),
    "message_parts": ("SELECT", IN_ACCOUNT),
    "message_retries": ("SELECT, DELETE", IN_ACCOUNT),
    "events": ("SELECT, INSERT", IN_ACCOUNT),
    "outbox": ("INSERT", None),
}

# Where less can be written than is seen: system roles are everybody's to read.
WRITABLE = {"roles": f"account_id IS NOT NULL AND ({IN_ACCOUNT} OR {IDENTITY})"}


def upgrade() -> None:
    for statement in (*TABLES, *ROLE):
        op.execute(statement)
    for table, (privileges, visible) in GRANTS.items():
        op.execute(f"GRANT {privileges} ON {table} TO turumba_api")
        if visible is not None:
            op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
            written = WRITABLE.get(table, visible)
            op.execute(f"CREATE POLICY api ON {table} TO turumba_api USING ({visible}) WITH CHECK ({written})")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table, (_, visible) in GRANTS.items():
        op.execute(f"REVOKE ALL ON {table} FROM turumba_api")
        if visible is not None:
            op.execute(f"DROP POLICY api ON {table}")
            op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    # The role stays: another database of the same server may use it.
    op.execute("REVOKE USAGE ON SCHEMA public FROM turumba_api")
    op.execute("DROP FUNCTION current_accounts()")
    op.execute("DROP FUNCTION about_identity()")
    op.execute(
        "DROP TABLE sessions, email_codes, recovery_codes, login_failures, mails, invitations, api_keys, audit_log,"
        " idempotency_keys, rate_limits"
    )
    op.execute("UPDATE roles SET permissions = permissions - 'sub_accounts'")
    op.execute("DROP TRIGGER fill_path ON accounts")
    op.execute("DROP FUNCTION fill_account_path()")
    op.execute("UPDATE accounts SET status = 'suspended' WHERE status = 'closing'")
    op.execute(
        "ALTER TABLE accounts DROP CONSTRAINT ck_accounts_status, DROP COLUMN path, DROP COLUMN suspended,"
        " DROP COLUMN closes_at,"
        " ADD CONSTRAINT ck_accounts_status CHECK (status IN ('active', 'suspended'))"
    )
    op.execute("DELETE FROM users WHERE password_hash IS NULL")
    op.execute(
        "ALTER TABLE users ALTER COLUMN password_hash SET NOT NULL, DROP COLUMN cognito_subject,"
        " DROP COLUMN totp_secret, DROP COLUMN totp_confirmed_at, DROP COLUMN totp_last_step"
    )
