"""Reading and keeping merges. Nothing here commits: the unit of work does."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.merging.combining import Snapshot
from app.domain.contacts.merging.records import ContactMerge, MergeState
from app.domain.contacts.stores.contract import Contact
from app.lib.db import Scope
from app.lib.filters import FilterField, Kind
from app.lib.pagination import Listing, ListQuery, Page, Sort, fetch_page

UNDO_TIME = timedelta(days=30)
"""How long a merge can be undone, and its snapshots are kept."""

MOST = 500
"""Rows that retention changes in one transaction."""

_T = ContactMerge.__table__

LISTING = Listing(
    id_column=_T.c.id,
    fields={
        "contact_id": FilterField(Kind.UUID),
        "state": FilterField(Kind.CHOICE, tuple(state.value for state in MergeState)),
        "created_at": FilterField(Kind.DATETIME),
    },
    columns={name: _T.c[name] for name in ("contact_id", "state", "created_at")},
    sorts={"created_at": Sort(None, datetime)},
)

# Of two people who merge at the same time the second sees what the first has made of it.
_LOCK = text(
    "SELECT pg_advisory_xact_lock(hashtextextended('contact_merges:' || CAST(CAST(:account_id AS uuid) AS text), 0))"
)
_UNFINISHED = text(
    """
    SELECT account_id, id FROM contact_merges
    WHERE state IN ('running', 'undoing') AND updated_at < now() - make_interval(secs => :age)
    ORDER BY updated_at LIMIT :most
    """
)
_FORGET = text(
    """
    UPDATE contact_merges SET merged = NULL, kept_before = NULL
    WHERE id IN (
        SELECT id FROM contact_merges
        WHERE merged IS NOT NULL AND state IN ('done', 'undone') AND created_at < now() - make_interval(days => :days)
        ORDER BY created_at LIMIT :most FOR UPDATE SKIP LOCKED
    )
    """
)


async def lock_merges(session: AsyncSession, account_id: UUID) -> None:
    """Merge and undo alone in the account until the transaction ends."""
    await session.execute(_LOCK, {"account_id": str(account_id)})


async def unfinished_merges(session: AsyncSession, *, age: float = 60.0, most: int = 100) -> list[tuple[UUID, UUID]]:
    """(account, merge) of what was begun `age` seconds ago and not finished; of all accounts."""
    return [(row.account_id, row.id) for row in await session.execute(_UNFINISHED, {"age": age, "most": most})]


async def forget_snapshots(session: AsyncSession) -> int:
    """Remove what merges that cannot be undone any more remember, of all accounts; how many. 0: nothing is left."""
    forgotten: Any = await session.execute(_FORGET, {"days": UNDO_TIME.days, "most": MOST})
    return int(forgotten.rowcount)


class MergeRepository:
    """The merges of one account."""

    def __init__(self, session: AsyncSession, account_id: UUID) -> None:
        self._session = session
        self._scope = Scope(account_id)

    async def page(self, query: ListQuery) -> Page[ContactMerge]:
        """One page of them."""
        return await fetch_page(self._session, self._scope.select(ContactMerge), LISTING, query)

    async def find(self, merge_id: UUID, *, for_update: bool = False) -> ContactMerge | None:
        """One merge, as it is in the database now."""
        statement = self._scope.select(ContactMerge).where(ContactMerge.id == merge_id)
        if for_update:
            statement = statement.with_for_update()
        found = await self._session.execute(statement.execution_options(populate_existing=True))
        return found.scalar_one_or_none()

    async def unfinished(self) -> list[ContactMerge]:
        """Those that were begun, the oldest first."""
        statement = self._scope.select(ContactMerge).where(ContactMerge.state.in_(("running", "undoing")))
        return list((await self._session.execute(statement.order_by(ContactMerge.id))).scalars())

    async def of_contact(self, contact_id: UUID) -> list[ContactMerge]:
        """Those that this contact stayed after, the oldest first."""
        statement = self._scope.select(ContactMerge).where(ContactMerge.contact_id == contact_id)
        return list((await self._session.execute(statement.order_by(ContactMerge.id))).scalars())

    async def newer(self, merge: ContactMerge) -> list[UUID]:
        """The later merges that build on what this one made, the newest first."""
        statement = (
            self._scope.select(ContactMerge)
            .where(
                ContactMerge.id > merge.id,
                ContactMerge.state != MergeState.UNDONE.value,
                or_(
                    ContactMerge.contact_id == merge.contact_id,
                    ContactMerge.merged_ids.contains([merge.contact_id]),
                ),
            )
            .order_by(ContactMerge.id.desc())
        )
        return [each.id for each in (await self._session.execute(statement)).scalars()]

    async def now(self) -> datetime:
        """The database's clock."""
        now: datetime = (await self._session.execute(select(func.now()))).scalar_one()
        return now

    async def add(self, merge: ContactMerge) -> None:
        """Insert."""
        self._session.add(merge)
        await self._session.flush()

    async def save(self) -> None:
        """Write what changed."""
        await self._session.flush()

    async def remove(self, merge: ContactMerge) -> None:
        """Delete the row."""
        await self._session.delete(merge)
        await self._session.flush()


def documents(kept: Contact, merged: Sequence[Snapshot]) -> tuple[Any, Any]:
    """What a row keeps of the contact before, and of the merged ones."""
    return msgspec.to_builtins(kept), msgspec.to_builtins(list(merged))


def kept_before(merge: ContactMerge) -> Contact:
    """What the kept contact was like."""
    return msgspec.convert(merge.kept_before, Contact)


def snapshots(merge: ContactMerge) -> list[Snapshot]:
    """The merged contacts, in the order of `merged_ids`."""
    return msgspec.convert(merge.merged, list[Snapshot])
