"""What happened, in order."""

from litestar import Controller, get
from litestar.di import NamedDependency, Provide
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.guards import requires
from app.api.requests import ApiRequest, list_query
from app.domain.events.repository import LISTING
from app.domain.events.schemas import Feed
from app.domain.events.service import EventService
from app.domain.identity.schemas import Caller


def provide_events(session: NamedDependency[AsyncSession], caller: NamedDependency[Caller]) -> EventService:
    """The events of the caller's account, in the request's unit of work."""
    return EventService(session, caller.account_id)


class EventController(Controller):
    """`/v1/events`."""

    path = "/v1/events"
    tags = ["events"]
    dependencies = {"events": Provide(provide_events, sync_to_thread=False)}

    @get(
        "/",
        guards=[requires("events:read")],
        operation_id="ListEvents",
        summary="The feed of events",
        opt={"listing": LISTING},
    )
    async def index(self, request: ApiRequest, events: NamedDependency[EventService]) -> Feed:
        """Oldest first, each event once and none left out, kept for 30 days.

        Follow `next_cursor` to the end; from there ask again now and then with `resume_cursor`. Filters: type,
        subject_id, created_at. Sort: position, which with a minus shows the newest first.
        """
        query = list_query(request, LISTING)
        return await events.feed(query, request.query_params.get("cursor"))
