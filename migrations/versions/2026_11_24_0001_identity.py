"""Users, accounts, roles, memberships; refresh tokens; the keys that sign access tokens."""

from alembic import op

revision = "0001_identity"
down_revision = None
branch_labels = None
depends_on = None

UP = (
    "SET LOCAL lock_timeout = '5s'",
    """
    CREATE TABLE accounts (
        id uuid CONSTRAINT pk_accounts PRIMARY KEY,
        name text NOT NULL,
        parent_id uuid CONSTRAINT fk_accounts_parent_id_accounts REFERENCES accounts (id),
        status text NOT NULL DEFAULT 'active' CONSTRAINT ck_accounts_status CHECK (status IN ('active', 'suspended')),
        settings jsonb NOT NULL DEFAULT '{}',
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX ix_accounts_parent_id ON accounts (parent_id)",
    """
    CREATE TABLE users (
        id uuid CONSTRAINT pk_users PRIMARY KEY,
        email text NOT NULL CONSTRAINT uq_users_email UNIQUE,
        full_name text NOT NULL,
        password_hash text NOT NULL,
        email_verified_at timestamptz,
        default_account_id uuid CONSTRAINT fk_users_default_account_id_accounts
            REFERENCES accounts (id) ON DELETE SET NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX ix_users_default_account_id ON users (default_account_id)",
    """
    CREATE TABLE roles (
        id uuid CONSTRAINT pk_roles PRIMARY KEY,
        account_id uuid CONSTRAINT fk_roles_account_id_accounts REFERENCES accounts (id) ON DELETE CASCADE,
        name text NOT NULL,
        permissions jsonb NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE UNIQUE INDEX uq_roles_account_id_name ON roles (account_id, name) WHERE account_id IS NOT NULL",
    "CREATE UNIQUE INDEX uq_roles_system_name ON roles (name) WHERE account_id IS NULL",
    """
    CREATE TABLE memberships (
        id uuid CONSTRAINT pk_memberships PRIMARY KEY,
        user_id uuid NOT NULL CONSTRAINT fk_memberships_user_id_users REFERENCES users (id) ON DELETE CASCADE,
        account_id uuid NOT NULL
            CONSTRAINT fk_memberships_account_id_accounts REFERENCES accounts (id) ON DELETE CASCADE,
        role_id uuid NOT NULL CONSTRAINT fk_memberships_role_id_roles REFERENCES roles (id),
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT uq_memberships_user_id UNIQUE (user_id, account_id)
    )
    """,
    "CREATE INDEX ix_memberships_account_id ON memberships (account_id)",
    "CREATE INDEX ix_memberships_role_id ON memberships (role_id)",
    """
    CREATE TABLE refresh_tokens (
        id uuid CONSTRAINT pk_refresh_tokens PRIMARY KEY,
        user_id uuid NOT NULL CONSTRAINT fk_refresh_tokens_user_id_users REFERENCES users (id) ON DELETE CASCADE,
        family_id uuid NOT NULL,
        token_hash bytea NOT NULL CONSTRAINT uq_refresh_tokens_token_hash UNIQUE,
        expires_at timestamptz NOT NULL,
        used_at timestamptz,
        revoked_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX ix_refresh_tokens_user_id ON refresh_tokens (user_id)",
    "CREATE INDEX ix_refresh_tokens_family_id ON refresh_tokens (family_id)",
    """
    CREATE TABLE signing_keys (
        id text CONSTRAINT pk_signing_keys PRIMARY KEY,
        private_key bytea NOT NULL,
        public_jwk jsonb NOT NULL,
        retired_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    # One signs, the others only verify for as long as a token of theirs can live.
    "CREATE UNIQUE INDEX uq_signing_keys_current ON signing_keys ((true)) WHERE retired_at IS NULL",
    """
    INSERT INTO roles (id, account_id, name, permissions) VALUES
    ('00000000-0000-7000-8000-000000000001', NULL, 'owner', '{
        "accounts": ["read", "create", "update", "delete"],
        "users": ["read", "update", "delete"],
        "roles": ["read", "create", "update", "delete"],
        "invitations": ["read", "create", "delete"],
        "api_keys": ["read", "create", "delete"],
        "audit_log": ["read"],
        "contacts": ["read", "create", "update", "delete"],
        "segments": ["read", "create", "update", "delete"],
        "channels": ["read", "create", "update", "delete"],
        "templates": ["read", "create", "update", "delete"],
        "messages": ["read", "send", "cancel"],
        "group_messages": ["read", "create", "update", "delete", "send"],
        "scheduled_messages": ["read", "create", "update", "delete"],
        "webhooks": ["read", "create", "update", "delete"],
        "analytics": ["read"]
    }'),
    ('00000000-0000-7000-8000-000000000002', NULL, 'admin', '{
        "accounts": ["read", "create", "update"],
        "users": ["read", "update", "delete"],
        "roles": ["read", "create", "update", "delete"],
        "invitations": ["read", "create", "delete"],
        "api_keys": ["read", "create", "delete"],
        "audit_log": ["read"],
        "contacts": ["read", "create", "update", "delete"],
        "segments": ["read", "create", "update", "delete"],
        "channels": ["read", "create", "update", "delete"],
        "templates": ["read", "create", "update", "delete"],
        "messages": ["read", "send", "cancel"],
        "group_messages": ["read", "create", "update", "delete", "send"],
        "scheduled_messages": ["read", "create", "update", "delete"],
        "webhooks": ["read", "create", "update", "delete"],
        "analytics": ["read"]
    }'),
    ('00000000-0000-7000-8000-000000000003', NULL, 'operator', '{
        "contacts": ["read", "create", "update", "delete"],
        "segments": ["read", "create", "update", "delete"],
        "templates": ["read", "create", "update", "delete"],
        "messages": ["read", "send", "cancel"],
        "group_messages": ["read", "create", "update", "delete", "send"],
        "scheduled_messages": ["read", "create", "update", "delete"],
        "accounts": ["read"],
        "users": ["read"],
        "roles": ["read"],
        "channels": ["read"],
        "analytics": ["read"]
    }'),
    ('00000000-0000-7000-8000-000000000004', NULL, 'viewer', '{
        "accounts": ["read"],
        "users": ["read"],
        "roles": ["read"],
        "contacts": ["read"],
        "segments": ["read"],
        "channels": ["read"],
        "templates": ["read"],
        "messages": ["read"],
        "group_messages": ["read"],
        "scheduled_messages": ["read"],
        "analytics": ["read"]
    }')
    """,
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE signing_keys, refresh_tokens, memberships, roles, users, accounts")
