"""Opt-outs, the consent ledger and keyword sets."""

from alembic import op

revision = "0009_opt_outs"
down_revision = "0008_tenancy"
branch_labels = None
depends_on = None

CLASSES = "'sms', 'email', 'telegram', 'whatsapp', 'messenger'"
SOURCES = "'keyword', 'manual', 'api', 'unsubscribe_link', 'provider', 'import'"

UP = (
    "SET LOCAL lock_timeout = '5s'",
    # Without a check: it would read every message that there is.
    "ALTER TABLE messages ADD COLUMN topic text",
    # A row is an opt-out in force: whoever opts in again removes it, and the ledger keeps both. Messages and channels
    # are named as proof and may be gone, so there is no foreign key to them.
    f"""
    CREATE TABLE opt_outs (
        id uuid CONSTRAINT pk_opt_outs PRIMARY KEY,
        account_id uuid NOT NULL CONSTRAINT fk_opt_outs_account_id_accounts REFERENCES accounts (id),
        channel_class text NOT NULL CONSTRAINT ck_opt_outs_channel_class CHECK (channel_class IN ({CLASSES})),
        address text NOT NULL,
        topic text NOT NULL CONSTRAINT ck_opt_outs_topic CHECK (topic IN ('all', 'marketing', 'service')),
        source text NOT NULL CONSTRAINT ck_opt_outs_source CHECK (source IN ({SOURCES})),
        message_id uuid,
        channel_id uuid,
        text text,
        actor_type text,
        actor_id uuid,
        actor_name text,
        detail text,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT uq_opt_outs_account_id UNIQUE (account_id, channel_class, address, topic)
    )
    """,
    "CREATE INDEX ix_opt_outs_account_id_id ON opt_outs (account_id, id)",
    f"""
    CREATE TABLE consent_events (
        id uuid CONSTRAINT pk_consent_events PRIMARY KEY,
        account_id uuid NOT NULL CONSTRAINT fk_consent_events_account_id_accounts REFERENCES accounts (id),
        opt_out_id uuid NOT NULL,
        change text NOT NULL CONSTRAINT ck_consent_events_change CHECK (change IN ('opted_out', 'opted_in')),
        channel_class text NOT NULL CONSTRAINT ck_consent_events_channel_class CHECK (channel_class IN ({CLASSES})),
        address text NOT NULL,
        topic text NOT NULL CONSTRAINT ck_consent_events_topic CHECK (topic IN ('all', 'marketing', 'service')),
        source text NOT NULL CONSTRAINT ck_consent_events_source CHECK (source IN ({SOURCES})),
        message_id uuid,
        channel_id uuid,
        text text,
        actor_type text,
        actor_id uuid,
        actor_name text,
        detail text,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX ix_consent_events_account_id_id ON consent_events (account_id, id)",
    "CREATE INDEX ix_consent_events_account_id_address ON consent_events (account_id, address, id)",
    f"""
    CREATE TABLE opt_out_keywords (
        id uuid CONSTRAINT pk_opt_out_keywords PRIMARY KEY,
        account_id uuid NOT NULL CONSTRAINT fk_opt_out_keywords_account_id_accounts REFERENCES accounts (id),
        action text NOT NULL CONSTRAINT ck_opt_out_keywords_action CHECK (action IN ('stop', 'start', 'help')),
        words text[] NOT NULL,
        channel_class text CONSTRAINT ck_opt_out_keywords_channel_class CHECK (channel_class IN ({CLASSES})),
        channel_id uuid CONSTRAINT fk_opt_out_keywords_channel_id_channels REFERENCES channels (id),
        language text,
        topic text NOT NULL CONSTRAINT ck_opt_out_keywords_topic CHECK (topic IN ('all', 'marketing', 'service')),
        reply text,
        replaces_built_in boolean NOT NULL DEFAULT false,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT ck_opt_out_keywords_stop CHECK (action <> 'stop' OR NOT replaces_built_in)
    )
    """,
    "CREATE INDEX ix_opt_out_keywords_account_id_id ON opt_out_keywords (account_id, id)",
    "CREATE INDEX ix_opt_out_keywords_channel_id ON opt_out_keywords (channel_id) WHERE channel_id IS NOT NULL",
    # When each set was answered last to each address. Written by workers only.
    """
    CREATE TABLE opt_out_replies (
        account_id uuid NOT NULL CONSTRAINT fk_opt_out_replies_account_id_accounts REFERENCES accounts (id),
        keyword_id uuid NOT NULL
            CONSTRAINT fk_opt_out_replies_keyword_id_opt_out_keywords REFERENCES opt_out_keywords (id)
            ON DELETE CASCADE,
        address text NOT NULL,
        replied_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT pk_opt_out_replies PRIMARY KEY (account_id, keyword_id, address)
    )
    """,
    "CREATE INDEX ix_opt_out_replies_keyword_id ON opt_out_replies (keyword_id)",
    # Which of these messages (their numbers, from 1) are to people who do not want them, while `owners`, in ascending
    # order, are kept from changing that until the transaction ends. One call instead of two statements on the road of
    # every message; each statement of a volatile function sees what was committed before it, thus before the lock.
    """
    CREATE FUNCTION hold_opted_out(owners uuid[], accounts uuid[], classes text[], addresses text[], topics text[])
    RETURNS SETOF integer LANGUAGE plpgsql VOLATILE AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock_shared(hashtextextended('opt_outs:' || o::text, 0)) FROM unnest(owners) AS o;
        RETURN QUERY
            SELECT x.number::integer
            FROM unnest(accounts, classes, addresses, topics) WITH ORDINALITY
                 AS x(account_id, channel_class, address, topic, number)
            JOIN LATERAL (
                SELECT FROM opt_outs o
                WHERE o.account_id = x.account_id AND o.channel_class = x.channel_class AND o.address = x.address
                      AND o.topic IN ('all', x.topic)
                LIMIT 1
            ) AS found ON true;
    END $$
    """,
    # What is queued for somebody who opts out ends as failed, for which its attempt is claimed.
    "GRANT INSERT ON message_attempts TO turumba_api",
)

IN_ACCOUNT = "account_id = ANY ((SELECT current_accounts())::uuid[])"

# What the API may do with each table: the ledger is added to and read, nothing else.
GRANTS = {
    "opt_outs": "SELECT, INSERT, DELETE",
    "consent_events": "SELECT, INSERT",
    "opt_out_keywords": "SELECT, INSERT, UPDATE, DELETE",
}


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)
    for table, privileges in GRANTS.items():
        op.execute(f"GRANT {privileges} ON {table} TO turumba_api")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY api ON {table} TO turumba_api USING ({IN_ACCOUNT}) WITH CHECK ({IN_ACCOUNT})")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("REVOKE INSERT ON message_attempts FROM turumba_api")
    op.execute("DROP FUNCTION hold_opted_out(uuid[], uuid[], text[], text[], text[])")
    op.execute("DROP TABLE opt_out_replies, opt_out_keywords, consent_events, opt_outs")
    op.execute("ALTER TABLE messages DROP COLUMN topic")
