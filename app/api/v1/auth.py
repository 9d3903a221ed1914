"""Registering and logging in."""

from litestar import Controller, Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import Container
from app.domain.identity.access import IdentityAccess
from app.domain.identity.schemas import Login, Origin, RefreshRequest, Registered, Registration, TokenPair
from app.domain.identity.service import IdentityService
from app.domain.identity.sessions.service import LoginService, end_login
from app.lib.errors import Unauthenticated

# RFC 6749 §5.1: nothing on the way may keep an answer that holds tokens.
_NO_STORE = {"Cache-Control": "no-store"}


class AuthController(Controller):
    """`/v1/auth`."""

    path = "/v1/auth"
    tags = ["auth"]
    opt = {"public": True, "identity": True}

    @post("/register", operation_id="Register", summary="A new user with an account of their own")
    async def register(
        self,
        data: JSONBody[Registration],
        session: NamedDependency[AsyncSession],
        container: NamedDependency[Container],
        identity: NamedDependency[IdentityAccess],
    ) -> Response[Registered]:
        """The user owns the account. 409 `email_taken` when the address is known."""
        registered = await IdentityService(session, container.new_id).register(data, identity.passwords)
        location = f"/v1/accounts/{registered.account.id}"
        return Response(registered, status_code=201, headers={"Location": location})

    @post("/login", status_code=200, operation_id="Login", summary="Tokens for an e-mail address and a password")
    async def login(
        self,
        data: JSONBody[Login],
        session: NamedDependency[AsyncSession],
        container: NamedDependency[Container],
        identity: NamedDependency[IdentityAccess],
        origin: NamedDependency[Origin],
    ) -> Response[TokenPair]:
        """401 `invalid_credentials` does not tell whether the address is known."""
        user = await identity.check_password(data.email, data.password)
        logins = LoginService(
            session, await identity.tokens.signer(), identity.settings.refresh_token_seconds, container.new_id, origin
        )
        return Response(await logins.open(user), status_code=200, headers=_NO_STORE)

    @post("/refresh", status_code=200, operation_id="RefreshTokens", summary="A new pair of tokens for a refresh token")
    async def refresh(
        self,
        data: JSONBody[RefreshRequest],
        container: NamedDependency[Container],
        identity: NamedDependency[IdentityAccess],
        origin: NamedDependency[Origin],
    ) -> Response[TokenPair]:
        """Each refresh token works once; using one again ends the whole session."""
        signer = await identity.tokens.signer()
        # Not the request's unit of work: a revocation is committed although the answer is an error.
        async with container.database.unit_of_work(identity=True) as session:
            logins = LoginService(session, signer, identity.settings.refresh_token_seconds, container.new_id, origin)
            tokens = await logins.refresh(data.refresh_token)
        if tokens is None:
            raise Unauthenticated("The refresh token is not valid; log in again.", code="invalid_refresh_token")
        return Response(tokens, status_code=200, headers=_NO_STORE)

    @post("/logout", status_code=204, operation_id="Logout", summary="End the session of a refresh token")
    async def logout(self, data: JSONBody[RefreshRequest], session: NamedDependency[AsyncSession]) -> None:
        """204 also for a token that is not known."""
        await end_login(session, data.refresh_token)
