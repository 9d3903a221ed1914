"""A million contacts as an installation that has grown for two years would have them, made by PostgreSQL itself."""

import asyncpg

ROWS = 1_000_000
CHUNK = 50_000
GROUPS = 20
ATTRIBUTES = {
    "city": "text",
    "plan": "text",
    "score": "number",
    "member": "boolean",
    "born": "date",
    "customer_number": "text",
}

# Half a dozen attributes, none to three tags, a phone number and for every third an e-mail address.
_CONTACTS = """
    INSERT INTO contacts (id, account_id, first_name, last_name, language, timezone, status, notes, addresses, tags,
                          attributes, opted_out, created_at, updated_at)
    SELECT (substr(uuid7_floor(at)::text, 1, 14) || '7' || substr(md5(n::text), 1, 3) || '-8'
            || substr(md5(n::text), 4, 3) || '-' || substr(md5(n::text), 7, 12))::uuid,
           $1,
           (ARRAY['Abebe', 'Selam', 'Hana', 'Dawit', 'Marta', 'Yonas', 'Liya', 'Kebede', 'Sara'])[1 + h % 9],
           (ARRAY['Bekele', 'Tadesse', 'Haile', 'Girma', 'Alemu', 'Wolde', 'Desta'])[1 + h / 9 % 7] || ' ' || n,
           CASE h % 3 WHEN 0 THEN 'en' ELSE 'am' END,
           'Africa/Addis_Ababa',
           CASE WHEN h % 50 = 0 THEN 'blocked' ELSE 'active' END,
           '',
           jsonb_build_array(jsonb_build_object('type', 'phone', 'value', '+2519' || lpad(n::text, 8, '0'))
                             || (CASE WHEN h % 40 = 1 THEN '{"opted_out": ["marketing"]}' ELSE '{}' END)::jsonb)
           || CASE WHEN n % 3 = 0
                   THEN jsonb_build_array(jsonb_build_object('type', 'email', 'value', 'person' || n || '@example.com'))
                   ELSE '[]' END,
           CASE h % 4 WHEN 0 THEN '{}' WHEN 1 THEN ARRAY['tag' || h % 47]
                      ELSE ARRAY['tag' || h % 47, CASE h % 5 WHEN 0 THEN 'vip' ELSE 'wave' || h % 11 END] END,
           jsonb_build_object(
               'city', (ARRAY['Addis Ababa', 'Adama', 'Hawassa', 'Mekelle', 'Gondar', 'Jimma', 'Dire Dawa', 'Harar'])
                       [1 + h / 7 % 8],
               'plan', (ARRAY['basic', 'plus', 'pro'])[1 + h / 3 % 3],
               'score', h % 1000 / 10.0,
               'member', h % 2 = 0,
               'born', (date '1950-01-01' + h % 20000)::text,
               'customer_number', 'C' || lpad(n::text, 9, '0')),
           (CASE WHEN h % 40 = 1 THEN '{sms:marketing}' ELSE '{}' END)::text[],
           at, at + interval '1 day' * (h % 30)
    FROM (SELECT n, ((hashint8(n)::bigint + 2147483648) % 1000000)::int AS h,
                 now() - interval '730 days' * (1 - n / $2::float) AS at
          FROM generate_series($3::int, $4::int) AS n) AS rows
"""
_ADDRESSES = """
    INSERT INTO contact_addresses (account_id, type, value, contact_id)
    SELECT $1, a ->> 'type', a ->> 'value', id FROM contacts, jsonb_array_elements(addresses) AS a
    WHERE account_id = $1 ORDER BY 2, 3
"""
# The first group has every third contact, the others a twentieth of them each.
_MEMBERS = """
    INSERT INTO contact_group_members (account_id, group_id, contact_id)
    SELECT $1, g.id, c.id
    FROM unnest($2::uuid[]) WITH ORDINALITY AS g (id, number)
    JOIN (SELECT id, row_number() OVER (ORDER BY id) AS n FROM contacts WHERE account_id = $1) AS c
      ON CASE WHEN g.number = 1 THEN c.n % 3 = 0 ELSE c.n % 20 = g.number - 1 END
    ORDER BY 2, 3
"""
# A quarter has been written to, and every eighth has answered.
_ACTIVITY = """
    INSERT INTO contact_activity (account_id, contact_id, channel_id, type, value, last_inbound_at, last_outbound_at)
    SELECT $1, id, $2, 'phone', addresses -> 0 ->> 'value',
           CASE WHEN n % 8 = 0 THEN now() - interval '1 minute' * (n % 100000) END,
           now() - interval '1 minute' * (n % 100000)
    FROM (SELECT id, addresses, row_number() OVER (ORDER BY id) AS n FROM contacts WHERE account_id = $1) AS c
    WHERE n % 4 = 0
"""


async def fill(
    database: "asyncpg.Connection[asyncpg.Record]", account_id: str, group_ids: list[str], channel_id: str
) -> None:
    """Store `ROWS` contacts of the account, with addresses, members of the groups and activity on the channel."""
    for start in range(0, ROWS, CHUNK):
        await database.execute(_CONTACTS, account_id, float(ROWS), start, start + CHUNK - 1)
    await database.execute(_ADDRESSES, account_id)
    await database.execute(_MEMBERS, account_id, group_ids)
    await database.execute(_ACTIVITY, account_id, channel_id)
    for table in ("contacts", "contact_addresses", "contact_group_members", "contact_activity"):
        # The visibility map too: autovacuum would have come by in two years.
        await database.execute(f"VACUUM ANALYZE {table}")
