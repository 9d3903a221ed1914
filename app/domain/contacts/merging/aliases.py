"""Who stands for a contact that was merged into another: its id goes on meaning the same person.

Messages keep the id their contact had. A row says whom a contact was merged into, and nothing about whom that one was
merged into later: chains are followed when they are read, so that undoing one merge leaves the others as they are.
"""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_FORMER = text(
    """
    WITH RECURSIVE former AS (
        SELECT alias_id FROM contact_aliases WHERE account_id = :account_id AND contact_id = :contact_id
        UNION
        SELECT a.alias_id FROM former f
        JOIN contact_aliases a ON a.account_id = :account_id AND a.contact_id = f.alias_id
    )
    SELECT alias_id FROM former ORDER BY alias_id
    """
)
_CURRENT = text(
    """
    WITH RECURSIVE chain AS (
        SELECT alias_id AS asked, contact_id, 1 AS steps FROM contact_aliases
        WHERE account_id = :account_id AND alias_id = ANY (CAST(:ids AS uuid[]))
        UNION ALL
        SELECT c.asked, a.contact_id, c.steps + 1 FROM chain c
        JOIN contact_aliases a ON a.account_id = :account_id AND a.alias_id = c.contact_id
    ) CYCLE contact_id SET again USING seen
    SELECT DISTINCT ON (asked) asked, contact_id FROM chain WHERE NOT again ORDER BY asked, steps DESC
    """
)
_ADD = text(
    """
    INSERT INTO contact_aliases (account_id, alias_id, contact_id)
    SELECT :account_id, alias_id, :contact_id FROM unnest(CAST(:ids AS uuid[])) AS alias_id ORDER BY alias_id
    ON CONFLICT (account_id, alias_id) DO UPDATE SET contact_id = excluded.contact_id
    """
)
_REMOVE = text("DELETE FROM contact_aliases WHERE account_id = :account_id AND alias_id = ANY (CAST(:ids AS uuid[]))")


async def former_ids(session: AsyncSession, account_id: UUID, contact_id: UUID) -> list[UUID]:
    """The ids of all contacts that have become this one, through however many merges; without its own."""
    keys = {"account_id": account_id, "contact_id": contact_id}
    return list((await session.execute(_FORMER, keys)).scalars())


async def current_ids(session: AsyncSession, account_id: UUID, ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Of those of `ids` that were merged, who stands for them now: the last one of the chain."""
    if not ids:
        return {}
    rows = await session.execute(_CURRENT, {"account_id": account_id, "ids": list(ids)})
    return {row.asked: row.contact_id for row in rows}


async def add_aliases(session: AsyncSession, account_id: UUID, ids: Collection[UUID], contact_id: UUID) -> None:
    """From now on `contact_id` stands for these."""
    await session.execute(_ADD, {"account_id": account_id, "ids": list(ids), "contact_id": contact_id})


async def remove_aliases(session: AsyncSession, account_id: UUID, ids: Collection[UUID]) -> None:
    """These stand for themselves again, or for nobody."""
    await session.execute(_REMOVE, {"account_id": account_id, "ids": list(ids)})
