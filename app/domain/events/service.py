"""Writing events with what they tell of, and reading them in order. Nothing here commits: the unit of work does."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.events.models import Event
from app.domain.events.repository import LISTING, EventRepository, insert_events
from app.domain.events.schemas import EventOut, Feed, NewEvent
from app.lib.db import Scope
from app.lib.ids import NewId
from app.lib.pagination import ListQuery, cursor_after


async def record_events(session: AsyncSession, events: Iterable[NewEvent], new_id: NewId) -> None:
    """Write events in the transaction that makes them true."""
    rows = [
        Event(id=new_id(), account_id=each.account_id, type=each.type, subject_id=each.subject_id, data=each.data)
        for each in events
    ]
    if rows:
        await insert_events(session, rows)


class EventService:
    """The events of one account, inside one unit of work."""

    def __init__(self, session: AsyncSession, account_id: UUID) -> None:
        self._events = EventRepository(session, Scope(account_id))

    async def feed(self, query: ListQuery, cursor: str | None) -> Feed:
        """One page; `cursor` is the one that was asked with, to go on from when there is nothing after it."""
        page = await self._events.page(query)
        resume = cursor_after(LISTING, query, page.items[-1]) if page.items else cursor
        return Feed([event_out(each) for each in page.items], page.next_cursor, resume, page.total)


def event_out(event: Event) -> EventOut:
    """The row as clients see it."""
    return EventOut(
        id=event.id,
        account_id=event.account_id,
        type=event.type,
        subject_id=event.subject_id,
        data=event.data,
        created_at=event.created_at,
        updated_at=event.updated_at,
    )
