"""What changes many contacts of PostgreSQL at once: amendments, memberships, activity, opt state."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.stores.contract import Activity, Address, AddressKey, Amendment, opted_out_of
from app.domain.contacts.stores.postgres_writing import lock, owners
from app.lib.sets import column, shared

_ADDRESSES = msgspec.json.Decoder(tuple[Address, ...])

_AMEND = text(
    """
    UPDATE contacts c
    SET tags = n.tags, attributes = n.attributes, status = n.status,
        updated_at = greatest(CAST(:now AS timestamptz), c.updated_at + interval '1 microsecond')
    FROM (
        SELECT id, (attributes || CAST(:given AS jsonb)) - CAST(:taken AS text[]) AS attributes,
               coalesce(CAST(:status AS text), status) AS status,
               CASE WHEN tags @> CAST(:add AS text[]) AND NOT tags && CAST(:remove AS text[]) THEN tags
                    ELSE ARRAY(SELECT DISTINCT t COLLATE "C" FROM unnest(tags || CAST(:add AS text[])) AS t
                               WHERE t <> ALL (CAST(:remove AS text[])) ORDER BY 1)
               END AS tags
        FROM contacts WHERE account_id = :account_id AND id = ANY (CAST(:ids AS uuid[]))
    ) n
    WHERE c.account_id = :account_id AND c.id = n.id
      AND (c.tags, c.attributes, c.status) IS DISTINCT FROM (n.tags, n.attributes, n.status)
    RETURNING c.id
    """
)
_JOIN = text(
    """
    INSERT INTO contact_group_members (account_id, group_id, contact_id)
    SELECT :account_id, g, c FROM unnest(CAST(:groups AS uuid[])) AS g, unnest(CAST(:ids AS uuid[])) AS c
    ORDER BY g, c ON CONFLICT DO NOTHING RETURNING contact_id
    """
)
_LEAVE = text(
    """
    DELETE FROM contact_group_members
    WHERE account_id = :account_id AND group_id = ANY (CAST(:groups AS uuid[]))
      AND contact_id = ANY (CAST(:ids AS uuid[]))
    RETURNING contact_id
    """
)
# Materialized: inside a nested loop it would choose others for each row.
_DROP = text(
    """
    WITH chosen AS MATERIALIZED (
        SELECT contact_id FROM contact_group_members WHERE account_id = :account_id AND group_id = :group_id
        ORDER BY contact_id LIMIT :limit FOR UPDATE
    )
    DELETE FROM contact_group_members m USING chosen
    WHERE m.account_id = :account_id AND m.group_id = :group_id AND m.contact_id = chosen.contact_id
    RETURNING m.contact_id
    """
)


async def amend(
    session: AsyncSession, account_id: UUID, ids: Collection[UUID], amendment: Amendment, now: datetime
) -> int:
    """Change many at once; how many were changed. A tag both added and removed is removed."""
    there = list(await lock(session, account_id, ids)) if ids else []
    if not there:
        return 0
    of_them = {"account_id": account_id, "ids": there}
    changed: set[UUID] = set()
    if amendment.add_tags or amendment.remove_tags or amendment.attributes or amendment.status is not None:
        given = {key: value for key, value in amendment.attributes.items() if value is not None}
        values = {
            "now": now,
            "add": list(amendment.add_tags),
            "remove": list(amendment.remove_tags),
            "given": msgspec.json.encode(given).decode(),
            "taken": [key for key in amendment.attributes if key not in given],
            "status": amendment.status,
        }
        changed.update((await session.execute(_AMEND, of_them | values)).scalars())
    for statement, groups in ((_JOIN, amendment.join_groups), (_LEAVE, amendment.leave_groups)):
        if groups:
            changed.update((await session.execute(statement, of_them | {"groups": list(groups)})).scalars())
    return len(changed)


async def drop_group(session: AsyncSession, account_id: UUID, group_id: UUID, limit: int) -> int:
    """Take up to `limit` contacts out of a group; how many were taken."""
    keys = {"account_id": account_id, "group_id": group_id, "limit": limit}
    return len((await session.execute(_DROP, keys)).all())


_RECORD = text(
    """
    INSERT INTO contact_activity AS old (account_id, contact_id, channel_id, type, value, last_inbound_at,
                                         last_outbound_at)
    SELECT :account_id, x.contact_id, coalesce(x.channel_id, :channel), coalesce(x.type, :type), x.value,
           to_timestamp(max(x.inbound)), to_timestamp(max(x.outbound))
    FROM unnest(CAST(:contacts AS uuid[]), CAST(:channels AS uuid[]), CAST(:types AS text[]), CAST(:values AS text[]),
                CAST(:inbound AS double precision[]), CAST(:outbound AS double precision[]))
         AS x(contact_id, channel_id, type, value, inbound, outbound)
    WHERE CAST(:ids AS uuid[]) IS NULL OR x.contact_id = ANY (CAST(:ids AS uuid[]))
    GROUP BY 2, 3, 4, 5
    ORDER BY 2, 3, 4, 5
    ON CONFLICT (contact_id, channel_id, type, value) DO UPDATE
    SET last_inbound_at = greatest(old.last_inbound_at, excluded.last_inbound_at),
        last_outbound_at = greatest(old.last_outbound_at, excluded.last_outbound_at)
    WHERE excluded.last_inbound_at > coalesce(old.last_inbound_at, '-infinity')
       OR excluded.last_outbound_at > coalesce(old.last_outbound_at, '-infinity')
    """
)
# A contact that is being written to can be changed meanwhile, but not deleted.
_HOLD = text(
    """
    WITH held AS (
        SELECT id FROM contacts WHERE account_id = :account_id AND id = ANY (CAST(:ids AS uuid[]))
        ORDER BY id FOR KEY SHARE
    )
    -- Nearly always all are there, which one number says.
    SELECT n.there, CASE WHEN n.there < :wanted THEN (SELECT array_agg(id) FROM held) END AS ids
    FROM (SELECT count(*) AS there FROM held) AS n
    """
)


async def record_activity(session: AsyncSession, account_id: UUID, activities: Sequence[Activity]) -> None:
    """Remember the latest of each moment; of contacts that are there, and in any order."""
    ids = list({activity.contact_id for activity in activities})
    if not ids:
        return
    held = (await session.execute(_HOLD, {"account_id": account_id, "ids": ids, "wanted": len(ids)})).one()
    if held.there:
        channels, channel = shared([each.channel_id for each in activities])
        types, kind = shared([each.address.type.value for each in activities])
        values = {
            "contacts": [each.contact_id for each in activities],
            "channels": channels,
            "channel": channel,
            "types": types,
            "type": kind,
            "values": [each.address.value for each in activities],
            "inbound": column([each.last_inbound_at and each.last_inbound_at.timestamp() for each in activities]),
            "outbound": column([each.last_outbound_at and each.last_outbound_at.timestamp() for each in activities]),
            "ids": held.ids,
        }
        await session.execute(_RECORD, {"account_id": account_id, **values})


_LOCK_ADDRESSES = text(
    """
    SELECT id, CAST(addresses AS text) FROM contacts
    WHERE account_id = :account_id AND id = ANY (CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE
    """
)
_SET_ADDRESSES = text(
    """
    UPDATE contacts c
    SET addresses = x.addresses, opted_out = x.opted_out,
        updated_at = greatest(now(), c.updated_at + interval '1 microsecond')
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x (id uuid, addresses jsonb, opted_out text[])
    WHERE c.account_id = :account_id AND c.id = x.id
    """
)


async def set_opted_out(
    session: AsyncSession, account_id: UUID, states: Mapping[AddressKey, tuple[str, ...]]
) -> list[UUID]:
    """Write the topics that addresses are opted out of; the contacts whose state changed, in the order of ids."""
    held: dict[UUID, tuple[Address, ...]] = {}
    # An address can change hands until the contact that has it is locked.
    while missing := set((await owners(session, account_id, states)).values()) - held.keys():
        rows = await session.execute(_LOCK_ADDRESSES, {"account_id": account_id, "ids": list(missing | held.keys())})
        held = {contact_id: _ADDRESSES.decode(addresses) for contact_id, addresses in rows}
    changed = []
    for contact_id, before in held.items():
        after = tuple(Address(each.type, each.value, states.get(each.key, each.opted_out)) for each in before)
        if after != before:
            changed.append(_State(str(contact_id), after, opted_out_of(after)))
    if changed:
        written = msgspec.json.encode(changed).decode()
        await session.execute(_SET_ADDRESSES, {"account_id": account_id, "rows": written})
    return [UUID(each.id) for each in changed]


class _State(msgspec.Struct, frozen=True):
    id: str
    addresses: tuple[Address, ...]
    opted_out: tuple[str, ...]
