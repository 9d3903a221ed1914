"""The same routes as `app.api.v1.auth`, for an installation where people log in through Amazon Cognito.

All of them have units of work of their own, and none is open while AWS is asked: a slow AWS makes log-ins slow, and
nothing else.
"""

from litestar import Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from app.api.auth import bearer_token
from app.api.guards import signed_in
from app.api.idempotency import HANDED_OVER
from app.api.requests import ApiRequest
from app.api.v1.auth import AuthController, PasswordController, headers_of
from app.domain.identity.codes.schemas import (
    CodeRequested,
    EmailRequest,
    EmailVerification,
    PasswordChange,
    PasswordReset,
)
from app.domain.identity.cognito.service import CognitoLogins, of_cognito
from app.domain.identity.schemas import Caller, Login, RefreshRequest, Registered, Registration, TokenPair
from app.domain.identity.sessions.local import LocalIssuer
from app.domain.identity.sessions.login import change_password, refresh_tokens
from app.domain.identity.sessions.service import end_login

_OWN_UNITS = {"idempotency": HANDED_OVER}


class CognitoAuthController(AuthController):
    """`/v1/auth`, in front of a user pool."""

    @post(
        "/register",
        operation_id="Register",
        summary="A new user with an account of their own",
        opt={**_OWN_UNITS, "problems": {409: ("email_taken",)}},
    )
    async def register(self, data: JSONBody[Registration], local: NamedDependency[LocalIssuer]) -> Response[Registered]:
        """The user owns the account, and is sent a code for `/verify-email`. 409 `email_taken` for a known address."""
        registered = await CognitoLogins(local).register(data)
        return Response(registered, status_code=201, headers=headers_of(registered))

    @post(
        "/verify-email",
        status_code=204,
        operation_id="VerifyEmail",
        summary="Prove with a code that mail arrives",
        opt=_OWN_UNITS,
    )
    async def verify_email(self, data: JSONBody[EmailVerification], local: NamedDependency[LocalIssuer]) -> None:
        """422 `invalid_code` at `/code` also for an address that nobody has."""
        await CognitoLogins(local).verify_email(data)

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
        """202 whatever the address."""
        await CognitoLogins(local).resend_verification(data.email)
        return CodeRequested()

    @post(
        "/login",
        status_code=200,
        operation_id="Login",
        summary="Tokens for an e-mail address and a password",
        opt={
            **_OWN_UNITS,
            "problems": {
                401: ("invalid_credentials", "second_factor_required", "invalid_code", "challenge_required"),
                403: ("email_not_verified", "email_taken", "refused_by_user_pool"),
            },
        },
    )
    async def login(self, data: JSONBody[Login], local: NamedDependency[LocalIssuer]) -> Response[TokenPair]:
        """401 `invalid_credentials` does not tell whether the address is known.

        401 `second_factor_required` when the password is right and a `code` is missing; 401 `challenge_required` when
        the user pool demands a step that is not offered here. 403 `email_not_verified` after the right password only.
        """
        tokens = await CognitoLogins(local).log_in(data)
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
        if of_cognito(data.refresh_token):
            tokens = await CognitoLogins(local).refresh(data.refresh_token)
        else:
            # Of a session that began before people logged in through Cognito.
            tokens = await refresh_tokens(local, data.refresh_token)
        return Response(tokens, status_code=200, headers=headers_of(tokens))

    @post(
        "/logout", status_code=204, operation_id="Logout", summary="End the session of a refresh token", opt=_OWN_UNITS
    )
    async def logout(self, data: JSONBody[RefreshRequest], local: NamedDependency[LocalIssuer]) -> None:
        """Its access tokens are refused at once. 204 also for a token that is not known."""
        if of_cognito(data.refresh_token):
            await CognitoLogins(local).log_out(data.refresh_token)
        else:
            async with local.database.unit_of_work(identity=True) as session:
                await end_login(session, data.refresh_token)

    @post(
        "/forgot-password",
        status_code=202,
        operation_id="ForgotPassword",
        summary="Send a code to choose a new password with",
        opt=_OWN_UNITS,
    )
    async def forgot_password(self, data: JSONBody[EmailRequest], local: NamedDependency[LocalIssuer]) -> CodeRequested:
        """202 whatever the address."""
        await CognitoLogins(local).forgot_password(data.email)
        return CodeRequested()

    @post(
        "/reset-password",
        status_code=204,
        operation_id="ResetPassword",
        summary="Choose a new password with a code",
        opt=_OWN_UNITS,
    )
    async def reset_password(self, data: JSONBody[PasswordReset], local: NamedDependency[LocalIssuer]) -> None:
        """Ends every session of the user. 422 `invalid_code` at `/code` also for an address that nobody has."""
        await CognitoLogins(local).reset_password(data)


class CognitoPasswordController(PasswordController):
    """`/v1/auth/change-password`, in front of a user pool."""

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
        request: ApiRequest,
    ) -> None:
        """Ends every other session of the user. 422 `wrong_password` at `/current_password`."""
        logins = CognitoLogins(local)
        token = bearer_token(request.scope) or ""
        if await logins.knows(token):
            await logins.change_password(caller, token, data)
        else:
            await change_password(local, caller, data)
