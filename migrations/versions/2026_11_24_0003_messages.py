"""Messages with their attempts, parts, events and parked receipts; the outbox.

Everything that grows with traffic is range-partitioned by week, so that retention drops tables instead of rows and the
indexes in use stay small: `messages`, `message_attempts` and `message_events` by the time in the message's UUIDv7,
the parts by the moment they were submitted.
"""

from alembic import op

revision = "0003_messages"
down_revision = "0002_channels"
branch_labels = None
depends_on = None

UP = r"""
SET LOCAL lock_timeout = '5s';

CREATE TABLE messages (
    id uuid NOT NULL,
    account_id uuid NOT NULL,
    channel_id uuid NOT NULL,
    contact_id uuid,
    direction text NOT NULL DEFAULT 'outbound' CHECK (direction IN ('outbound', 'inbound')),
    status text NOT NULL CHECK (status IN ('scheduled', 'queued', 'sent', 'delivered', 'read', 'failed', 'expired',
                                           'canceled', 'unknown', 'received')),
    lane text NOT NULL DEFAULT 'high' CHECK (lane IN ('high', 'bulk')),
    recipient text NOT NULL,
    sender text,
    body text NOT NULL,
    encoding text NOT NULL,
    segments smallint NOT NULL,
    validity_seconds integer,
    error jsonb,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz,
    delivered_at timestamptz,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX ix_messages_account_id_id ON messages (account_id, id DESC);
CREATE INDEX ix_messages_account_id_recipient_id ON messages (account_id, recipient, id DESC);

-- A row here is the claim that lets exactly one sender hand the message over, once for each attempt.
CREATE TABLE message_attempts (
    message_id uuid NOT NULL,
    attempt smallint NOT NULL,
    account_id uuid NOT NULL,
    channel_id uuid NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    outcome text,
    code text,
    detail text,
    provider_code text,
    PRIMARY KEY (message_id, attempt)
) PARTITION BY RANGE (message_id);

CREATE TABLE message_events (
    message_id uuid NOT NULL,
    account_id uuid NOT NULL,
    at timestamptz NOT NULL,
    status text NOT NULL,
    code text,
    detail text,
    provider_code text,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
) PARTITION BY RANGE (message_id);
CREATE INDEX ix_message_events_message_id ON message_events (message_id);

-- One row for each segment a provider accepted: what receipts are matched against.
CREATE TABLE message_parts (
    channel_id uuid NOT NULL,
    match_key text NOT NULL,
    submitted_at timestamptz NOT NULL DEFAULT now(),
    message_id uuid NOT NULL,
    account_id uuid NOT NULL,
    number smallint NOT NULL,
    total smallint NOT NULL,
    provider_message_id text NOT NULL,
    recipient_tail text NOT NULL,
    status text NOT NULL DEFAULT 'sent'
) PARTITION BY RANGE (submitted_at);
CREATE INDEX ix_message_parts_channel_id_match_key ON message_parts (channel_id, match_key);
CREATE INDEX ix_message_parts_message_id ON message_parts (message_id);

-- Receipts that came before their submit result wait here; those that never match are orphans an operator can see.
CREATE TABLE parked_receipts (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL,
    channel_id uuid NOT NULL,
    match_keys text[] NOT NULL,
    receipt bytea NOT NULL,
    state text NOT NULL DEFAULT 'parked' CHECK (state IN ('parked', 'orphan')),
    parked_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ix_parked_receipts_match_keys ON parked_receipts USING gin (match_keys);
CREATE INDEX ix_parked_receipts_channel_id ON parked_receipts (channel_id, state, parked_at);

-- Keys of inbound messages already stored, so that a redelivered one is a no-op; pruned by age.
CREATE TABLE inbound_keys (
    channel_id uuid NOT NULL,
    dedupe_key text NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (channel_id, dedupe_key)
);
CREATE INDEX ix_inbound_keys_seen_at ON inbound_keys (seen_at);

CREATE TABLE message_retries (
    message_id uuid NOT NULL,
    attempt smallint NOT NULL,
    account_id uuid NOT NULL,
    channel_id uuid NOT NULL,
    next_attempt_at timestamptz NOT NULL,
    PRIMARY KEY (message_id, attempt)
);
CREATE INDEX ix_message_retries_next_attempt_at ON message_retries (next_attempt_at);

-- Result batches already applied: a redelivered one changes nothing. Pruned by age.
CREATE TABLE consumed_events (
    event_id uuid PRIMARY KEY,
    consumed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL,
    queue text NOT NULL,
    body bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX ix_outbox_queue_id ON outbox (queue, id);

CREATE FUNCTION uuid7_floor(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- Makes the weekly partitions that cover the given span; returns how many were made. Weeks begin on Monday, UTC.
CREATE FUNCTION ensure_message_partitions(since timestamptz, until timestamptz) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    week timestamp := date_trunc('week', since AT TIME ZONE 'UTC');
    next timestamp;
    suffix text;
    parent text;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ensure_message_partitions', 0));
    WHILE week <= (until AT TIME ZONE 'UTC') LOOP
        next := week + interval '7 days';
        suffix := to_char(week, 'YYYYMMDD');
        FOREACH parent IN ARRAY ARRAY['messages', 'message_attempts', 'message_events'] LOOP
            IF to_regclass(format('%I', parent || '_' || suffix)) IS NULL THEN
                EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', parent || '_' || suffix,
                               parent, uuid7_floor(week AT TIME ZONE 'UTC'), uuid7_floor(next AT TIME ZONE 'UTC'));
                made := made + 1;
                IF parent = 'messages' THEN
                    -- Two updates follow each insert: leave them room on the page, so that no index is touched.
                    EXECUTE format('ALTER TABLE %I SET (fillfactor = 70)', parent || '_' || suffix);
                END IF;
            END IF;
        END LOOP;
        IF to_regclass(format('%I', 'message_parts_' || suffix)) IS NULL THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF message_parts FOR VALUES FROM (%L) TO (%L)',
                           'message_parts_' || suffix, week AT TIME ZONE 'UTC', next AT TIME ZONE 'UTC');
            EXECUTE format('ALTER TABLE %I SET (fillfactor = 85)', 'message_parts_' || suffix);
            made := made + 1;
        END IF;
        week := next;
    END LOOP;
    RETURN made;
END
$$;

-- A clock that is wrong by years must not make inserts fail.
CREATE TABLE messages_default PARTITION OF messages DEFAULT;
CREATE TABLE message_attempts_default PARTITION OF message_attempts DEFAULT;
CREATE TABLE message_events_default PARTITION OF message_events DEFAULT;
CREATE TABLE message_parts_default PARTITION OF message_parts DEFAULT;

SELECT ensure_message_partitions(now() - interval '7 days', now() + interval '28 days');
"""

DOWN = """
DROP TABLE outbox, consumed_events, message_retries, inbound_keys, parked_receipts, message_parts, message_events,
    message_attempts, messages CASCADE;
DROP FUNCTION ensure_message_partitions(timestamptz, timestamptz);
DROP FUNCTION uuid7_floor(timestamptz);
"""


def _statements(script: str) -> list[str]:
    """asyncpg prepares one statement at a time; comments and function bodies may hold semicolons of their own."""
    script = "\n".join(line for line in script.splitlines() if not line.lstrip().startswith("--"))
    statements, current, quoted = [], "", False
    for piece in script.replace("$$", "\0$$\0").split("\0"):
        if piece == "$$":
            quoted = not quoted
            current += piece
        elif quoted:
            current += piece
        else:
            *done, rest = piece.split(";")
            for part in done:
                statements.append(current + part)
                current = ""
            current += rest
    statements.append(current)
    return [statement for statement in statements if statement.strip()]


def upgrade() -> None:
    for statement in _statements(UP):
        op.execute(statement)


def downgrade() -> None:
    for statement in _statements(DOWN):
        op.execute(statement)
