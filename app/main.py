"""`create_app()`: settings → objects → Litestar. Nothing else in the API builds a long-lived object."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from litestar import Litestar, Router
from litestar.exceptions import HTTPException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from app.api.auth import BearerAuthentication
from app.api.deps import DEPENDENCIES, Container
from app.api.docs import DocsController, docs_assets
from app.api.middleware import RequestContext
from app.api.problems import app_error_response, http_exception_response, unexpected_response
from app.api.requests import ApiRequest
from app.api.v1.accounts import AccountController
from app.api.v1.audit_log import AuditLogController
from app.api.v1.auth import AuthController
from app.api.v1.channels import ChannelController, ChannelTypeController
from app.api.v1.context import ContextController, UserController
from app.api.v1.events import EventController
from app.api.v1.health import HealthController
from app.api.v1.messages import MessageController
from app.api.v1.smpp_accounts import SmppAccountController
from app.api.v1.well_known import WellKnownController
from app.domain.channels.directory import ChannelDirectory
from app.domain.identity.access import IdentityAccess
from app.domain.messages.intake import MessageIntake
from app.domain.outbox.waker import OutboxWaker
from app.lib.clock import utc_now
from app.lib.crypto import Envelope, parse_keys
from app.lib.db import API_ROLE, Database
from app.lib.errors import AppError, Unavailable
from app.lib.garbage import calm_garbage_collector
from app.lib.ids import new_id
from app.lib.notify import ServiceManager
from app.lib.service import watched
from app.lib.tasks import end_tasks
from app.settings import Settings, read_settings

CONTROLLERS = [
    AuthController,
    ContextController,
    UserController,
    AccountController,
    ChannelTypeController,
    ChannelController,
    MessageController,
    SmppAccountController,
    EventController,
    AuditLogController,
    HealthController,
    WellKnownController,
    DocsController,
]


def create_app(settings: Settings | None = None) -> Litestar:
    """The API of one process. Reads the environment when no settings are given."""
    settings = settings or read_settings()

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        database = Database(
            settings.api.database_url or settings.database.url,
            process="api",
            pool_size=settings.database.pool_size,
            connect_timeout=settings.database.connect_timeout_seconds,
            statement_timeout=settings.database.statement_timeout_seconds,
            role=API_ROLE,
        )
        envelope = Envelope(parse_keys(settings.encryption_keys))
        waker = OutboxWaker(database)
        channels = ChannelDirectory(database, envelope)
        identity = IdentityAccess(
            database, envelope, settings.identity, issuer=settings.public_url, clock=utc_now, new_id=new_id
        )
        intake = MessageIntake(database, new_id, waker.wake)
        following = [
            asyncio.create_task(channels.listen(), name="channel-changes"),
            asyncio.create_task(identity.listen(), name="identity-changes"),
            asyncio.create_task(identity.record_uses(), name="key-uses"),
        ]
        app.state.container = Container(settings, database, envelope, utc_now, new_id, identity, channels, intake)
        waker.start()
        intake.start()
        calm_garbage_collector()
        with suppress(Unavailable):
            # Without a database at the start the keys are loaded when they are first needed; until then it is 503.
            await identity.start()
        manager = ServiceManager.of(os.environ, os.getpid())
        try:
            async with watched(manager):
                manager.working("Serving requests.")
                yield
        finally:
            await intake.stop()
            await waker.stop()
            await end_tasks(*following)
            await database.close()

    return Litestar(
        route_handlers=[*CONTROLLERS, docs_assets()],
        lifespan=[lifespan],
        request_class=ApiRequest,
        dependencies=DEPENDENCIES,
        middleware=[RequestContext(), BearerAuthentication()],
        exception_handlers={
            AppError: app_error_response,  # type: ignore[dict-item]
            HTTPException: http_exception_response,  # type: ignore[dict-item]
            Exception: unexpected_response,  # type: ignore[dict-item]
        },
        openapi_config=OpenAPIConfig(
            title="Turumba",
            version="1",
            description="Multi-tenant message automation. Errors are RFC 9457 problem documents with a stable `code`.",
            # Litestar claims every path below its own; ours is a plain route (app.api.docs).
            openapi_router=Router("/v1/openapi", route_handlers=[], opt={"public": True}),
            render_plugins=[JsonRenderPlugin(path="/document.json")],
            security=[{"bearer": []}],
            components=Components(
                security_schemes={
                    "bearer": SecurityScheme(
                        type="http", scheme="bearer", bearer_format="JWT", description="An access token from login."
                    )
                }
            ),
        ),
        request_max_body_size=settings.api.body_limit_kibibytes * 1024,
        logging_config=None,
    )
