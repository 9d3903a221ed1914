"""The statements on the table of events."""

from sqlalchemy import BigInteger, Text, cast, func
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.events.models import Event
from app.lib.db import Scope
from app.lib.filters import FilterField, Kind
from app.lib.pagination import Listing, ListQuery, Page, Sort, fetch_page

_FIELDS = {
    "type": FilterField(Kind.TEXT),
    "subject_id": FilterField(Kind.UUID),
    "created_at": FilterField(Kind.DATETIME),
}

LISTING = Listing(
    id_column=Event.__table__.c.id,
    fields=_FIELDS,
    columns={name: Event.__table__.c[name] for name in _FIELDS},
    sorts={"position": Sort(Event.__table__.c.position, int)},
    default_sort="position",
)

# Every transaction below the oldest running one has ended: what it wrote is seen, and nothing more will come from it.
_SETTLED = Event.position < cast(cast(func.pg_snapshot_xmin(func.pg_current_snapshot()), Text), BigInteger)


class EventRepository:
    """The events of one account.

    They are read in the order of their transactions' numbers and only below the oldest transaction that still runs,
    because ids and times are not in the order of commits: a reader that remembers the last id it saw never sees what
    was given a smaller id and committed later. The price is that the feed waits for the longest transaction that
    writes anything, in the whole server.
    """

    def __init__(self, session: AsyncSession, scope: Scope) -> None:
        self._session = session
        self._scope = scope

    async def page(self, query: ListQuery) -> Page[Event]:
        """One page of the feed."""
        return await fetch_page(self._session, self._scope.select(Event).where(_SETTLED), LISTING, query)


async def insert_events(session: AsyncSession, events: list[Event]) -> None:
    """Insert into the caller's transaction; `position` and times are the database's."""
    session.add_all(events)
    await session.flush()
