"""Room on the pages of messages: the two updates that follow each insert find a place beside it, and touch no index."""

from alembic import op

revision = "0015_message_room"
down_revision = "0014_group_messages"
branch_labels = None
depends_on = None

# As it was made at first (0003_messages), but for the room: with 30 % of a page only half of the updates found some.
FUNCTION = """
    CREATE OR REPLACE FUNCTION ensure_message_partitions(since timestamptz, until timestamptz) RETURNS integer
    LANGUAGE plpgsql AS $$
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
                    EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                                   parent || '_' || suffix, parent, uuid7_floor(week AT TIME ZONE 'UTC'),
                                   uuid7_floor(next AT TIME ZONE 'UTC'));
                    made := made + 1;
                    IF parent = 'messages' THEN
                        EXECUTE format('ALTER TABLE %I SET (fillfactor = 50)', parent || '_' || suffix);
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
    $$
"""

PRESENT = """
    DO $$
    DECLARE
        part regclass;
    BEGIN
        FOR part IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'messages'::regclass LOOP
            EXECUTE format('ALTER TABLE %s SET (fillfactor = {factor})', part);
        END LOOP;
    END
    $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(FUNCTION)
    op.execute(PRESENT.format(factor=50))


def downgrade() -> None:
    op.execute(FUNCTION.replace("fillfactor = 50", "fillfactor = 70"))
    op.execute(PRESENT.format(factor=70))
