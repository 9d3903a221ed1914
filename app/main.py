"""`create_app()`: settings → objects → Litestar. Nothing else in the API builds a long-lived object."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from litestar import Controller, Litestar
from litestar.exceptions import HTTPException

from app.api.auth import BearerAuthentication
from app.api.conditional import ConditionalAnswers
from app.api.deps import DEPENDENCIES, Container
from app.api.docs import DocsController, docs_assets
from app.api.gateway import Gateway
from app.api.idempotency import Idempotency
from app.api.limits import RateLimits
from app.api.local_outbox import LocalOutboxController
from app.api.problems import app_error_response, http_exception_response, unexpected_response
from app.api.progress_stream import ProgressStreams
from app.api.requests import ApiRequest
from app.api.v1.accounts import AccountController
from app.api.v1.api_keys import ApiKeyController
from app.api.v1.audit_log import AuditLogController
from app.api.v1.auth import AuthController, PasswordController
from app.api.v1.channels import ChannelController, ChannelTypeController
from app.api.v1.cognito_auth import CognitoAuthController, CognitoPasswordController
from app.api.v1.contact_attributes import ContactAttributeController
from app.api.v1.contact_groups import ContactGroupController
from app.api.v1.contact_jobs import ContactJobController
from app.api.v1.contact_merges import ContactIdentityController, ContactMergeController
from app.api.v1.contacts import ContactController
from app.api.v1.context import ContextController
from app.api.v1.events import EventController
from app.api.v1.group_messages import GroupMessageController
from app.api.v1.health import HealthController
from app.api.v1.invitations import AcceptanceController, InvitationController
from app.api.v1.jobs import JobController
from app.api.v1.me import SecondFactorController, SessionController
from app.api.v1.messages import MessageController
from app.api.v1.opt_outs import ConsentEventController, KeywordController, OptOutController
from app.api.v1.roles import PermissionController, RoleController
from app.api.v1.segments import SegmentController
from app.api.v1.smpp_accounts import SmppAccountController
from app.api.v1.templates import TemplateController
from app.api.v1.unsubscribe import UnsubscribeController
from app.api.v1.users import MemberController, UserController
from app.api.v1.well_known import WellKnownController
from app.domain.channels.directory import ChannelDirectory
from app.domain.contacts.correspondence import Correspondence
from app.domain.contacts.stores.opening import open_contact_stores
from app.domain.identity.access import IdentityAccess
from app.domain.identity.cognito.pool import open_pool
from app.domain.limits.service import RateLimiter
from app.domain.messages.intake import MessageIntake
from app.domain.outbox.waker import OutboxWaker
from app.domain.templates.directory import TemplateDirectory
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

CONTROLLERS: list[type[Controller]] = [
    AuthController,
    PasswordController,
    ContextController,
    UserController,
    SessionController,
    SecondFactorController,
    MemberController,
    PermissionController,
    RoleController,
    InvitationController,
    AcceptanceController,
    ApiKeyController,
    AccountController,
    ContactController,
    ContactJobController,
    ContactIdentityController,
    ContactMergeController,
    ContactGroupController,
    SegmentController,
    ContactAttributeController,
    ChannelTypeController,
    ChannelController,
    MessageController,
    OptOutController,
    ConsentEventController,
    KeywordController,
    UnsubscribeController,
    SmppAccountController,
    TemplateController,
    GroupMessageController,
    EventController,
    JobController,
    AuditLogController,
    HealthController,
    WellKnownController,
    DocsController,
    LocalOutboxController,
]


def controllers_for(settings: Settings) -> list[type[Controller]]:
    """What serves the routes: the same ones, wherever people log in."""
    if not settings.cognito.user_pool_id:
        return CONTROLLERS
    through_cognito: dict[type[Controller], type[Controller]] = {
        AuthController: CognitoAuthController,
        PasswordController: CognitoPasswordController,
    }
    return [through_cognito.get(controller, controller) for controller in CONTROLLERS]


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
        cognito = open_pool(
            settings.cognito,
            database,
            session_seconds=settings.identity.refresh_token_seconds,
            clock=utc_now,
            new_id=new_id,
        )
        identity = IdentityAccess(
            database,
            envelope,
            settings.identity,
            issuer=settings.public_url,
            clock=utc_now,
            new_id=new_id,
            cognito=cognito,
        )
        contact_stores = open_contact_stores(settings.contacts.url)
        people = Correspondence(contact_stores, utc_now, new_id)
        templates = TemplateDirectory(database)
        intake = MessageIntake(database, new_id, waker.wake, people)
        # Of its own: whether a request may be answered must not wait for those that are being answered.
        limits_database = Database(
            settings.api.database_url or settings.database.url,
            process="api-limits",
            pool_size=1,
            connect_timeout=settings.database.connect_timeout_seconds,
            statement_timeout=settings.database.statement_timeout_seconds,
            role=API_ROLE,
        )
        app.state.limiter = limiter = RateLimiter(limits_database, settings.limits)
        following = [
            asyncio.create_task(channels.listen(), name="channel-changes"),
            asyncio.create_task(templates.listen(), name="template-changes"),
            asyncio.create_task(identity.listen(), name="identity-changes"),
            asyncio.create_task(identity.record_uses(), name="key-uses"),
            asyncio.create_task(limiter.tidy(), name="rate-limits-tidy"),
        ]
        app.state.container = Container(
            settings,
            database,
            envelope,
            utc_now,
            new_id,
            identity,
            channels,
            intake,
            contact_stores,
            people,
            templates,
            ProgressStreams(),
        )
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
            if cognito is not None:
                await cognito.close()
            await limiter.stop()
            await limits_database.close()
            await contact_stores.close()
            await database.close()

    app = Litestar(
        route_handlers=[*controllers_for(settings), docs_assets()],
        lifespan=[lifespan],
        request_class=ApiRequest,
        dependencies=DEPENDENCIES,
        middleware=[
            ConditionalAnswers(),
            BearerAuthentication(),
            RateLimits(),
            Idempotency(settings.database.pool_size // 2),
        ],
        exception_handlers={
            AppError: app_error_response,  # type: ignore[dict-item]
            HTTPException: http_exception_response,  # type: ignore[dict-item]
            Exception: unexpected_response,  # type: ignore[dict-item]
        },
        # The document is our own (app.api.openapi): Litestar's says less than the decoders demand.
        openapi_config=None,
        request_max_body_size=settings.api.body_limit_kibibytes * 1024,
        logging_config=None,
    )
    # Around everything: Litestar's middlewares see only the requests of known routes.
    app.asgi_handler = Gateway(app.asgi_handler, settings)
    return app
