"""What users do about their own log-in: sessions and the second factor."""

from uuid import UUID

from litestar import Controller, Response, delete, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody

from app.api.guards import signed_in
from app.api.idempotency import HANDED_OVER
from app.api.requests import ApiRequest, list_query
from app.api.v1.auth import provide_local_issuer
from app.domain.identity.schemas import Caller
from app.domain.identity.second_factor.schemas import (
    RecoveryCodes,
    SecondFactorCode,
    SecondFactorOut,
    SecondFactorSetup,
)
from app.domain.identity.second_factor.service import (
    begin_second_factor,
    confirm_second_factor,
    disable_second_factor,
    renew_recovery_codes,
    show_second_factor,
)
from app.domain.identity.sessions.local import LocalIssuer
from app.domain.identity.sessions.login import end_other_sessions, end_session, list_sessions
from app.domain.identity.sessions.repository import LISTING
from app.domain.identity.sessions.schemas import SessionOut
from app.lib.pagination import Page

# Secrets that are shown once are kept by nothing on the way.
_NO_STORE = {"Cache-Control": "no-store"}

_OWN_UNITS = {"idempotency": HANDED_OVER}


class SessionController(Controller):
    """`/v1/users/me/sessions`."""

    path = "/v1/users/me/sessions"
    tags = ["users"]
    opt = {"identity": True}
    dependencies = {"local": Provide(provide_local_issuer, sync_to_thread=False)}

    @get(
        "/",
        guards=[signed_in],
        operation_id="ListSessions",
        summary="Where the user is logged in",
        opt={"listing": LISTING},
    )
    async def index(
        self, request: ApiRequest, local: NamedDependency[LocalIssuer], caller: NamedDependency[Caller]
    ) -> Page[SessionOut]:
        """Sessions that have not ended, newest first; `current` marks the one that is asking.

        Filters: created_at, last_used_at.
        """
        return await list_sessions(local, caller, list_query(request, LISTING))

    @delete("/", guards=[signed_in], operation_id="EndOtherSessions", summary="End all sessions but this one")
    async def remove_others(self, local: NamedDependency[LocalIssuer], caller: NamedDependency[Caller]) -> None:
        """Their access tokens are refused at once."""
        await end_other_sessions(local, caller)

    @delete(
        "/{session_id:uuid}",
        guards=[signed_in],
        operation_id="EndSession",
        summary="End one session",
        opt={"if_match": False},
    )
    async def remove(
        self, session_id: FromPath[UUID], local: NamedDependency[LocalIssuer], caller: NamedDependency[Caller]
    ) -> None:
        """Its access tokens are refused at once; this may be the session that is asking."""
        await end_session(local, caller, session_id)


class SecondFactorController(Controller):
    """`/v1/users/me/second-factor`."""

    path = "/v1/users/me/second-factor"
    tags = ["users"]
    opt = {"identity": True}
    dependencies = {"local": Provide(provide_local_issuer, sync_to_thread=False)}

    @get("/", guards=[signed_in], operation_id="GetSecondFactor", summary="Whether a code is asked for at log-in")
    async def show(self, local: NamedDependency[LocalIssuer], caller: NamedDependency[Caller]) -> SecondFactorOut:
        """And how many recovery codes are left."""
        return await show_second_factor(local, caller)

    @post(
        "/",
        guards=[signed_in],
        status_code=200,
        operation_id="BeginSecondFactor",
        summary="A secret for an authenticator",
        opt={**_OWN_UNITS, "problems": {409: ("second_factor_enabled", "no_password")}},
    )
    async def begin(
        self, local: NamedDependency[LocalIssuer], caller: NamedDependency[Caller]
    ) -> Response[SecondFactorSetup]:
        """Codes by time (RFC 6238): six digits, 30 seconds, SHA-1. It is in force once a code has confirmed it."""
        return Response(await begin_second_factor(local, caller), status_code=200, headers=_NO_STORE)

    @post(
        "/confirm",
        guards=[signed_in],
        status_code=200,
        operation_id="ConfirmSecondFactor",
        summary="Ask for codes from now on",
        opt={**_OWN_UNITS, "problems": {409: ("no_second_factor", "second_factor_enabled")}},
    )
    async def confirm(
        self,
        data: JSONBody[SecondFactorCode],
        local: NamedDependency[LocalIssuer],
        caller: NamedDependency[Caller],
    ) -> Response[RecoveryCodes]:
        """Answers the recovery codes, for the only time. 422 `invalid_code` at `/code`."""
        return Response(await confirm_second_factor(local, caller, data.code), status_code=200, headers=_NO_STORE)

    @post(
        "/recovery-codes",
        guards=[signed_in],
        status_code=200,
        operation_id="RenewRecoveryCodes",
        summary="New recovery codes instead of the old",
        opt={**_OWN_UNITS, "problems": {409: ("no_second_factor",)}},
    )
    async def renew(
        self,
        data: JSONBody[SecondFactorCode],
        local: NamedDependency[LocalIssuer],
        caller: NamedDependency[Caller],
    ) -> Response[RecoveryCodes]:
        """Needs a code of the authenticator, or one of the old recovery codes."""
        return Response(await renew_recovery_codes(local, caller, data.code), status_code=200, headers=_NO_STORE)

    @delete(
        "/",
        guards=[signed_in],
        operation_id="DisableSecondFactor",
        summary="Ask for the password only",
        opt={"problems": {409: ("no_second_factor",)}},
    )
    async def disable(
        self,
        data: JSONBody[SecondFactorCode],
        local: NamedDependency[LocalIssuer],
        caller: NamedDependency[Caller],
    ) -> None:
        """Needs a code of the authenticator, or a recovery code, in the body."""
        await disable_second_factor(local, caller, data.code)
