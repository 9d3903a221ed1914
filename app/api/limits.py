"""Where requests are counted, and what the answers say about it."""

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from app.api.origins import client_address
from app.domain.identity.schemas import Caller
from app.domain.limits.schemas import Standing
from app.domain.limits.service import RateLimiter
from app.lib.errors import TooManyRequests

STANDING = "rate_limit"
"""In the state of a request's scope: how its sender stands, or None when it is not counted."""


class RateLimits(ASGIMiddleware):
    """Counts each request before its handler runs: on the caller and their account, or on the address without one.

    It stands behind the authentication. Routes with `opt={"unlimited": True}` are not counted. What never gets here, an
    unknown path or a token that is not valid, is counted by `app.api.gateway` before it is answered.
    """

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Raises `TooManyRequests`."""
        state = scope["state"]
        if scope["route_handler"].opt.get("unlimited"):
            state[STANDING] = None
        else:
            limiter: RateLimiter = scope["litestar_app"].state.limiter
            caller: Caller | None = scope.get("user")
            if caller is not None:
                standing = await limiter.admit_caller(caller)
            else:
                standing = await limiter.admit_address(client_address(scope))
            state[STANDING] = standing
            if standing is not None and standing.retry_after is not None:
                raise refusal(standing)
        await next_app(scope, receive, send)


def refusal(standing: Standing) -> TooManyRequests:
    """The answer to a request that is one too many."""
    return TooManyRequests(
        f"No more than {standing.allowance.per_minute} requests a minute; wait before the next one.",
        retry_after=standing.retry_after,
    )


def limit_headers(standing: Standing) -> list[tuple[bytes, bytes]]:
    """`RateLimit-*` of an answer.

    `Limit` is requests per minute, `Policy` also says how many may come at once, `Remaining` how many of those are left
    as far as this process knows, `Reset` in how many seconds all of them are there again.
    """
    return [
        (b"ratelimit-limit", b"%d" % standing.allowance.per_minute),
        (b"ratelimit-remaining", b"%d" % standing.remaining),
        (b"ratelimit-reset", b"%d" % standing.reset),
        (b"ratelimit-policy", standing.allowance.policy.encode("ascii")),
    ]
