"""Contacts with addresses, groups, segments and typed attributes.

A contact's row holds its addresses whole, in their order: lists and audiences read one table. `contact_addresses` says
whose an address is, and nothing else.
"""

from alembic import op

revision = "0011_contacts"
down_revision = "0010_jobs"
branch_labels = None
depends_on = None

TABLES = (
    "SET LOCAL lock_timeout = '5s'",
    # Texts sort by code point, as they do in the other store.
    """
    CREATE TABLE contacts (
        id uuid PRIMARY KEY,
        account_id uuid NOT NULL,
        first_name text COLLATE "C" NOT NULL DEFAULT '',
        last_name text COLLATE "C" NOT NULL DEFAULT '',
        language text COLLATE "C" NOT NULL DEFAULT '',
        timezone text COLLATE "C" NOT NULL DEFAULT '',
        status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'blocked', 'archived')),
        notes text COLLATE "C" NOT NULL DEFAULT '',
        addresses jsonb NOT NULL DEFAULT '[]',
        tags text[] NOT NULL DEFAULT '{}',
        attributes jsonb NOT NULL DEFAULT '{}',
        opted_out text[] NOT NULL DEFAULT '{}',
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL
    ) WITH (fillfactor = 90)
    """,
    "CREATE INDEX ix_contacts_account_id_id ON contacts (account_id, id)",
    "CREATE INDEX ix_contacts_account_id_updated_at ON contacts (account_id, updated_at, id)",
    "CREATE INDEX ix_contacts_account_id_first_name ON contacts (account_id, first_name, id)",
    "CREATE INDEX ix_contacts_account_id_last_name ON contacts (account_id, last_name, id)",
    "CREATE INDEX ix_contacts_tags ON contacts USING gin (tags)",
    "CREATE INDEX ix_contacts_attributes ON contacts USING gin (attributes jsonb_path_ops)",
    """
    CREATE TABLE contact_addresses (
        account_id uuid NOT NULL,
        type text COLLATE "C" NOT NULL,
        value text COLLATE "C" NOT NULL,
        contact_id uuid NOT NULL,
        PRIMARY KEY (account_id, type, value)
    )
    """,
    """
    CREATE TABLE contact_group_members (
        account_id uuid NOT NULL,
        group_id uuid NOT NULL,
        contact_id uuid NOT NULL,
        PRIMARY KEY (account_id, group_id, contact_id)
    )
    """,
    "CREATE INDEX ix_contact_group_members_contact_id ON contact_group_members (contact_id)",
    # Updated with each message: room on the page keeps that out of the index.
    """
    CREATE TABLE contact_activity (
        account_id uuid NOT NULL,
        contact_id uuid NOT NULL,
        channel_id uuid NOT NULL,
        type text NOT NULL,
        value text NOT NULL,
        last_inbound_at timestamptz,
        last_outbound_at timestamptz,
        PRIMARY KEY (contact_id, channel_id, type, value)
    ) WITH (fillfactor = 70)
    """,
    "CREATE INDEX ix_contact_activity_account_id ON contact_activity (account_id)",
    """
    CREATE TABLE contact_groups (
        id uuid PRIMARY KEY,
        account_id uuid NOT NULL REFERENCES accounts (id),
        name text NOT NULL,
        description text NOT NULL DEFAULT '',
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        deleted_at timestamptz
    )
    """,
    "CREATE UNIQUE INDEX uq_contact_groups_account_id_name ON contact_groups (account_id, name)"
    " WHERE deleted_at IS NULL",
    "CREATE INDEX ix_contact_groups_account_id ON contact_groups (account_id)",
    "CREATE INDEX ix_contact_groups_deleted_at ON contact_groups (deleted_at) WHERE deleted_at IS NOT NULL",
    """
    CREATE TABLE segments (
        id uuid PRIMARY KEY,
        account_id uuid NOT NULL REFERENCES accounts (id),
        name text NOT NULL,
        description text NOT NULL DEFAULT '',
        filter jsonb NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT uq_segments_account_id_name UNIQUE (account_id, name)
    )
    """,
    """
    CREATE TABLE contact_attributes (
        id uuid PRIMARY KEY,
        account_id uuid NOT NULL REFERENCES accounts (id),
        key text NOT NULL,
        name text NOT NULL,
        type text NOT NULL CHECK (type IN ('text', 'number', 'boolean', 'date', 'list')),
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT uq_contact_attributes_account_id_key UNIQUE (account_id, key)
    )
    """,
    # What searches an index is no secret keeper to PostgreSQL (not leakproof), so under row-level security neither tags
    # nor attributes are looked up, and all contacts of the account are read for the one with a customer number. This
    # looks up for it, as the owner and in named accounts only: the contacts with one of the tags, or with one of the
    # parts in their attributes; NULL when there are more than `most`.
    """
    CREATE FUNCTION few_contacts(account uuid, parts jsonb[], some_tags text[], most int) RETURNS uuid[]
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS $$
        SELECT CASE WHEN account = ANY (current_accounts()) AND count(*) <= most
                    THEN coalesce(array_agg(id), '{}') END
        FROM (
            SELECT id FROM contacts
            WHERE account_id = account AND account = ANY (current_accounts())
              AND (parts IS NULL OR attributes @> ANY (parts)) AND (some_tags IS NULL OR tags && some_tags)
            LIMIT most + 1
        ) AS found
    $$
    """,
    "REVOKE EXECUTE ON FUNCTION few_contacts FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION few_contacts TO turumba_api",
    "CREATE INDEX ix_messages_account_id_contact_id_id ON messages (account_id, contact_id, id DESC)"
    " WHERE contact_id IS NOT NULL",
)

OWNED = (
    "contacts",
    "contact_addresses",
    "contact_group_members",
    "contact_activity",
    "contact_groups",
    "segments",
    "contact_attributes",
)
"""Every one is for `turumba_api` in the accounts that its transaction names."""


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    for table in OWNED:
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO turumba_api")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        # As a CASE, which is for no index and does not count: statements name the account themselves, and the planner
        # would take the two conditions for independent and every account for tiny.
        visible = "CASE WHEN account_id = ANY ((SELECT current_accounts())::uuid[]) THEN true ELSE false END"
        op.execute(f"CREATE POLICY api ON {table} TO turumba_api USING ({visible}) WITH CHECK ({visible})")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP INDEX ix_messages_account_id_contact_id_id")
    op.execute("DROP FUNCTION few_contacts")
    op.execute(f"DROP TABLE {', '.join(OWNED)}")
