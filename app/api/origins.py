"""What surrounds every request: its id, its log context, its metrics."""

import re
import time
from typing import Any

from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from app.domain.identity.schemas import Origin
from app.lib.ids import new_id
from app.lib.logging import bind_context, clear_context
from app.lib.metrics import http_requests, http_seconds

_REQUEST_ID = re.compile(rb"^[A-Za-z0-9_.:/+=-]{1,128}$")


def request_id_of(scope: Scope) -> str:
    """The id of this request: the client's own when it is presentable, else a new one; the same on every call."""
    state: Any = scope.setdefault("state", {})
    known = state.get("request_id")
    if isinstance(known, str):
        return known
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    request_id = given.decode("ascii") if _REQUEST_ID.match(given) else str(new_id())
    state["request_id"] = request_id
    return request_id


def origin_of(scope: Scope) -> Origin:
    """Where a request came from."""
    agent = next((value for name, value in scope["headers"] if name == b"user-agent"), b"")
    return Origin(client_address(scope), _printable(agent)[:200] or None, request_id_of(scope))


def client_address(scope: Scope) -> str | None:
    """The address of the client."""
    client = scope.get("client")
    return client[0] if client else None


def _printable(header: bytes) -> str:
    return "".join(character for character in header.decode("latin-1") if character.isprintable())


class RequestContext(ASGIMiddleware):
    """Gives each request an `X-Request-Id` (the client's own when it is presentable), in the logs and in the answer."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Wrap one request."""
        request_id = request_id_of(scope)
        clear_context()
        bind_context(request_id=request_id)
        started = time.perf_counter()
        method = str(scope.get("method", "GET"))

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableScopeHeaders(message)["x-request-id"] = request_id
                # The template, not the path: ids must not become label values.
                route = str(scope.get("path_template", "unmatched"))
                http_requests.labels(method, route, str(message["status"])).inc()
                http_seconds.labels(route).observe(time.perf_counter() - started)
            await send(message)

        await next_app(scope, receive, with_headers)
