"""The statements on the audit log, which only ever grows. Nothing here commits."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.models import AuditEntry
from app.lib.db import Scope
from app.lib.filters import FilterField, Kind
from app.lib.pagination import Listing, ListQuery, Page, Sort, fetch_page

_TABLE = AuditEntry.__table__

LISTING = Listing(
    id_column=_TABLE.c.id,
    fields={
        "actor_type": FilterField(Kind.CHOICE, ("user", "api_key", "system")),
        "actor_id": FilterField(Kind.UUID),
        "action": FilterField(Kind.TEXT),
        "resource_type": FilterField(Kind.TEXT),
        "resource_id": FilterField(Kind.UUID),
        "request_id": FilterField(Kind.TEXT),
        "created_at": FilterField(Kind.DATETIME),
    },
    columns={
        name: _TABLE.c[name]
        for name in ("actor_type", "actor_id", "action", "resource_type", "resource_id", "request_id", "created_at")
    },
    sorts={"created_at": Sort(None, datetime)},
)


async def insert_entry(session: AsyncSession, entry: AuditEntry) -> None:
    """Write one entry."""
    session.add(entry)
    await session.flush()


async def page_of_entries(session: AsyncSession, account_id: UUID, query: ListQuery) -> Page[AuditEntry]:
    """One page of the account's log."""
    return await fetch_page(session, Scope(account_id).select(AuditEntry), LISTING, query)
