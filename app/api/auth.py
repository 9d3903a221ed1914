"""Who is asking: every route answers only to a known caller, unless it says `opt={"public": True}`."""

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from app.api.deps import Container
from app.api.origins import client_address
from app.lib.errors import Unauthenticated
from app.lib.logging import bind_context


class BearerAuthentication(ASGIMiddleware):
    """Puts the `Caller` of the bearer token and of `X-Account-Id` into `request.user`."""

    scopes = (ScopeType.HTTP, ScopeType.WEBSOCKET)
    exclude_opt_key = "public"

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Raises `Unauthenticated` and what `IdentityAccess.authenticate` raises; preflights carry no token."""
        if scope.get("method") == "OPTIONS":
            await next_app(scope, receive, send)
            return
        container: Container = scope["litestar_app"].state.container
        caller = await container.identity.authenticate(
            _bearer(scope), _header(scope, b"x-account-id"), client_address(scope)
        )
        bind_context(account_id=str(caller.account_id), caller=caller.credential)
        scope["user"] = caller
        scope["auth"] = None
        await next_app(scope, receive, send)


def _header(scope: Scope, name: bytes) -> str | None:
    values = [value for key, value in scope["headers"] if key == name]
    # Two that differ would mean one thing to us and another to a proxy.
    return ",".join(value.decode("latin-1").strip() for value in values) if values else None


def bearer_token(scope: Scope) -> str | None:
    """The token of a request, None without an `Authorization` header; raises `Unauthenticated` for any other scheme."""
    header = _header(scope, b"authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise _no_token()
    return token


def _bearer(scope: Scope) -> str:
    token = bearer_token(scope)
    if token is None:
        raise _no_token()
    return token


def _no_token() -> Unauthenticated:
    return Unauthenticated("Send an access token or an API key: `Authorization: Bearer …`.")
