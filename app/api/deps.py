"""What handlers are given: the container of long-lived objects, the unit of work, the caller."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.origins import origin_of
from app.api.progress_stream import ProgressStreams
from app.api.requests import ApiRequest
from app.domain.channels.directory import ChannelDirectory
from app.domain.contacts.correspondence import Correspondence
from app.domain.contacts.stores.contract import ContactStores
from app.domain.identity.access import IdentityAccess
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.schemas import Caller, Origin
from app.domain.messages.intake import MessageIntake
from app.domain.templates.directory import TemplateDirectory
from app.lib.clock import Clock
from app.lib.crypto import Envelope
from app.lib.db import Database
from app.lib.ids import NewId
from app.settings import Settings

OPENED_SESSION = "opened_session"
"""Where `scope["state"]` holds the request's unit of work when it is not the `session` dependency that opens it."""


@dataclass(frozen=True, slots=True)
class Container:
    """The objects of one API process, built once by `app.main.create_app` and closed when it ends."""

    settings: Settings
    database: Database
    envelope: Envelope
    clock: Clock
    new_id: NewId
    identity: IdentityAccess
    channels: ChannelDirectory
    intake: MessageIntake
    contact_stores: ContactStores
    people: Correspondence
    templates: TemplateDirectory
    streams: ProgressStreams


def provide_container(state: State) -> Container:
    """The container of this process."""
    container: Container = state.container
    return container


def provide_identity(state: State) -> IdentityAccess:
    """The long-lived part of identity: keys, token verifier, context cache."""
    return provide_container(state).identity


async def provide_session(state: State, request: ApiRequest) -> AsyncGenerator[AsyncSession, None]:
    """The unit of work of one request, in the caller's account: it commits after the handler and before the answer.

    On routes with `opt={"identity": True}` it reaches the tables of identity too.
    """
    opened: AsyncSession | None = request.scope["state"].get(OPENED_SESSION)
    if opened is not None:
        # Around the whole handler, to commit its answer too: app.api.idempotency.
        yield opened
        return
    caller: Caller | None = request.scope.get("user")
    accounts = () if caller is None else (caller.account_id,)
    identity = bool(request.route_handler.opt.get("identity"))
    async with provide_container(state).database.unit_of_work(*accounts, identity=identity) as session:
        yield session


def provide_caller(request: ApiRequest) -> Caller:
    """Who is asking, and in which account."""
    caller: Caller = request.user
    return caller


def provide_origin(request: ApiRequest) -> Origin:
    """Where the request came from."""
    return origin_of(request.scope)


def provide_audit(
    request: ApiRequest,
    session: NamedDependency[AsyncSession],
    container: NamedDependency[Container],
    origin: NamedDependency[Origin],
) -> AuditTrail:
    """The audit log, in the request's unit of work."""
    return AuditTrail(session, request.scope.get("user"), origin, container.new_id)


DEPENDENCIES = {
    "container": Provide(provide_container, sync_to_thread=False),
    "identity": Provide(provide_identity, sync_to_thread=False),
    "session": Provide(provide_session),
    "caller": Provide(provide_caller, sync_to_thread=False),
    "origin": Provide(provide_origin, sync_to_thread=False),
    "audit": Provide(provide_audit, sync_to_thread=False),
}

__all__ = ["DEPENDENCIES", "Container", "NamedDependency"]
