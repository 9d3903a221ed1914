"""Registering, logging in, and passwords."""

import msgspec
from litestar import Controller, Response, post
from litestar.di import NamedDependency, Provide
from litestar.params import JSONBody
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import Container
from app.api.guards import signed_in
from app.api.idempotency import HANDED_OVER, answers_in
from app.api.requests import ApiRequest
from app.domain.identity.access import IdentityAccess
from app.domain.identity.codes.schemas import (
    CodeRequested,
    EmailRequest,
    EmailVerification,
    PasswordChange,
    PasswordReset,
)
from app.domain.identity.codes.service import reset_password, send_code, verify_email
from app.domain.identity.schemas import Caller, Login, Origin, RefreshRequest, Registered, Registration, TokenPair
from app.domain.identity.sessions.local import LocalIssuer
from app.domain.identity.sessions.login import change_password, log_in, refresh_tokens, register
from app.domain.identity.sessions.service import end_login

# Units of work of their own: what is counted or revoked stays so although the answer is an error, and no connection
# is held while a password is hashed.
_OWN_UNITS = {"idempotency": HANDED_OVER}


def headers_of(answer: msgspec.Struct | None) -> dict[str, str]:
    """Where the new account is; and nothing on the way may keep tokens and secrets (RFC 6749 §5.1)."""
    if isinstance(answer, Registered):
        return {"Location": f"/v1/accounts/{answer.account.id}"}
    return {"Cache-Control": "no-store"}


def provide_local_issuer(
    request: ApiRequest,
    container: NamedDependency[Container],
    identity: NamedDependency[IdentityAccess],
    origin: NamedDependency[Origin],
) -> LocalIssuer:
    """Passwords, codes and sessions of this installation."""
    return LocalIssuer(
        container.database,
        container.envelope,
        identity,
        container.clock,
        container.new_id,
        origin,
        answers_in(request, headers_of),
    )


class AuthController(Controller):
    """`/v1/auth`, for whoever is not logged in."""

    path = "/v1/auth"
    tags = ["auth"]
    opt = {"public": True, "identity": True}
    dependencies = {"local": Provide(provide_local_issuer, sync_to_thread=False)}

    @post(
        "/register",
        operation_id="Register",
        summary="A new user with an account of their own",
        opt={**_OWN_UNITS, "problems": {409: ("email_taken",)}},
    )
    async def register(self, data: JSONBody[Registration], local: NamedDependency[LocalIssuer]) -> Response[Registered]:
        """The user owns the account, and is sent a code for `/verify-email`. 409 `email_taken` for a known address."""
        registered = await register(local, data)
        return Response(registered, status_code=201, headers=headers_of(registered))

    @post(
        "/verify-email",
        status_code=204,
        operation_id="VerifyEmail",
        summary="Prove with a code that mail arrives",
        opt=_OWN_UNITS,
    )
    async def verify_email(self, data: JSONBody[EmailVerification], local: NamedDependency[LocalIssuer]) -> None:
        """422 `invalid_code` at `/code` also for an address that nobody has. A code takes five wrong tries."""
        await verify_email(local, data)

    @post(
        "/resend-verification",
        status_code=202,
        operation_id="ResendVerification",
        summary="Send another code for the address",
        opt=_OWN_UNITS,
    )
    async def resend_verification(
        self, data: JSONBody[EmailRequest], local: NamedDependency[LocalIssuer]
    ) -> CodeRequested:
        """202 whatever the address; a code is sent once a minute and five times an hour at most."""
        await send_code(local, data.email, "verify_email")
        return CodeRequested()

    @post(
        "/login",
        status_code=200,
        operation_id="Login",
        summary="Tokens for an e-mail address and a password",
        opt={
            **_OWN_UNITS,
            "problems": {401: ("invalid_credentials", "second_factor_required", "invalid_code")},
        },
    )
    async def login(self, data: JSONBody[Login], local: NamedDependency[LocalIssuer]) -> Response[TokenPair]:
        """401 `invalid_credentials` does not tell whether the address is known.

        401 `second_factor_required` when the password is right and a `code` is missing. After five failures the next
        tries are refused unseen, with 429, for 1, 2, 4 … up to 900 seconds.
        """
        tokens = await log_in(local, data)
        return Response(tokens, status_code=200, headers=headers_of(tokens))

    @post(
        "/refresh",
        status_code=200,
        operation_id="RefreshTokens",
        summary="A new pair of tokens for a refresh token",
        opt={**_OWN_UNITS, "problems": {401: ("invalid_refresh_token",)}},
    )
    async def refresh(self, data: JSONBody[RefreshRequest], local: NamedDependency[LocalIssuer]) -> Response[TokenPair]:
        """Each refresh token works once; using one again ends the whole session."""
        tokens = await refresh_tokens(local, data.refresh_token)
        return Response(tokens, status_code=200, headers=headers_of(tokens))

    @post("/logout", status_code=204, operation_id="Logout", summary="End the session of a refresh token")
    async def logout(self, data: JSONBody[RefreshRequest], session: NamedDependency[AsyncSession]) -> None:
        """Its access tokens are refused at once. 204 also for a token that is not known."""
        await end_login(session, data.refresh_token)

    @post(
        "/forgot-password",
        status_code=202,
        operation_id="ForgotPassword",
        summary="Send a code to choose a new password with",
        opt=_OWN_UNITS,
    )
    async def forgot_password(self, data: JSONBody[EmailRequest], local: NamedDependency[LocalIssuer]) -> CodeRequested:
        """202 whatever the address; a code is sent once a minute and five times an hour at most."""
        await send_code(local, data.email, "reset_password")
        return CodeRequested()

    @post(
        "/reset-password",
        status_code=204,
        operation_id="ResetPassword",
        summary="Choose a new password with a code",
        opt=_OWN_UNITS,
    )
    async def reset_password(self, data: JSONBody[PasswordReset], local: NamedDependency[LocalIssuer]) -> None:
        """Ends every session of the user, and any waiting after failed log-ins; the address is verified with it.

        422 `invalid_code` at `/code` also for an address that nobody has.
        """
        await reset_password(local, data)


class PasswordController(Controller):
    """`/v1/auth/change-password`, for whoever is logged in."""

    path = "/v1/auth/change-password"
    tags = ["auth"]
    opt = {"identity": True}
    dependencies = {"local": Provide(provide_local_issuer, sync_to_thread=False)}

    @post(
        "/",
        status_code=204,
        guards=[signed_in],
        operation_id="ChangePassword",
        summary="Replace one's own password",
        opt={**_OWN_UNITS, "problems": {409: ("no_password",)}},
    )
    async def change_password(
        self,
        data: JSONBody[PasswordChange],
        local: NamedDependency[LocalIssuer],
        caller: NamedDependency[Caller],
    ) -> None:
        """Ends every other session of the user. 422 `wrong_password` at `/current_password`."""
        await change_password(local, caller, data)
