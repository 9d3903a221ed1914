"""What every request and every answer passes, also those that no route sees: unknown paths, preflights, defects.

It wraps the whole application, because Litestar's own middlewares surround only the handlers of known routes. One
object a request, nothing that waits unless it must.
"""

import math
import re
import time
from typing import Any, NamedTuple, cast

import msgspec
from litestar.enums import HttpMethod, ScopeType
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from app.api.addresses import ClientAddresses
from app.api.compression import MINIMUM_BYTES, accepts_gzip, compress, compressible
from app.api.cors import Cors, RawHeaders
from app.api.limits import STANDING, limit_headers, refusal
from app.api.origins import CLIENT_ADDRESS, client_address, request_id_of
from app.domain.limits.schemas import Standing
from app.domain.limits.service import RateLimiter
from app.lib.errors import AppError, UnsupportedMediaType
from app.lib.logging import bind_context, clear_context
from app.lib.metrics import http_requests, http_seconds
from app.lib.networks import parse_networks, parse_origins
from app.lib.problems import MEDIA_TYPE, problem_of
from app.settings import Settings

NOT_THE_CLIENTS = re.compile(rb"x-(account-ids|role-ids|turumba-.*)")
"""Headers by which inner services are told who is asking. Nobody outside may send them, and no handler sees them."""

MAX_URL_BYTES = 16 * 1024
MAX_HEADER_BYTES = 32 * 1024
"""Granian itself stops at 100 headers, 64 KiB of URL and some 500 KiB of both together, all without a document."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Other names are counted together: a client must not be able to make series of metrics."""

API_POLICY = b"default-src 'none'; frame-ancestors 'none'"
PAGE_POLICY = (
    b"default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self';"
    b" frame-ancestors 'none'"
)
"""For pages that bring no Content-Security-Policy of their own. Scripts and styles are files, never inline."""

_NOTED = frozenset({b"origin", b"accept-encoding", b"content-encoding", b"access-control-request-method"})
_SECURITY: RawHeaders = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_TRANSPORT_SECURITY = (b"strict-transport-security", b"max-age=31536000")


class UrlTooLong(AppError):
    """Longer than any list with all its filters."""

    status = 414
    code = "url_too_long"
    title = "URL too long"


class HeadersTooLarge(AppError):
    """More than a token and what browsers send."""

    status = 431
    code = "headers_too_large"
    title = "Headers too large"


class HeadAnswered(Exception):
    """The headers of a stream are sent and its body is not wanted: the handler need not go on."""


class Gateway:
    """The outermost application. Raises `ValueError` for settings that are wrong."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._addresses = ClientAddresses(parse_networks(settings.api.trusted_proxies))
        self.cors = Cors(parse_origins(settings.api.cors_origins))
        self.base_url = settings.public_url
        self.fixed = _SECURITY + ([_TRANSPORT_SECURITY] if settings.public_url.startswith("https://") else [])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        asked = _asked(scope)
        scope["state"][CLIENT_ADDRESS] = self._addresses.of(scope)
        if scope["type"] == ScopeType.HTTP:
            await self._serve(scope, receive, send, asked)
        else:
            await self._app(scope, receive, send)

    async def _serve(self, scope: HTTPScope, receive: Receive, send: Send, asked: "_Asked") -> None:
        request_id = request_id_of(scope)
        clear_context()
        bind_context(request_id=request_id)
        answer = _Answer(self, scope, asked, request_id, send)
        origin = asked.headers.get(b"origin")
        if (
            answer.method == "OPTIONS"
            and origin is not None
            and b"access-control-request-method" in asked.headers
            and self.cors.allows(origin)
        ):
            await answer.preflight(origin)
            return
        refused = _refused(scope, asked)
        if refused is not None:
            await answer.problem(refused)
            return
        if answer.head:
            # RFC 9110 §9.3.2: the same answer as to GET, without its content. A plain string, as servers give it.
            scope["method"] = cast("HttpMethod", "GET")
        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            if not (answer.finished and _is_head_answered(error)):
                raise


def _is_head_answered(error: BaseException) -> bool:
    # Litestar raises something of its own from what a handler raised after it had begun to answer.
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, HeadAnswered):
        cause = cause.__cause__
    return cause is not None


class _Asked(NamedTuple):
    """Of a request's headers, those that the gateway acts on, and the size of all."""

    headers: dict[bytes, bytes]
    size: int


def _asked(scope: Scope) -> _Asked:
    """Read the headers; those that are not the client's to send are taken out of the scope."""
    noted: dict[bytes, bytes] = {}
    size = 0
    forged = False
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        if name in _NOTED:
            noted[name] = noted[name] + b"," + value if name in noted else value
        elif name[:2] == b"x-" and NOT_THE_CLIENTS.fullmatch(name):
            forged = True
    if forged:
        scope["headers"] = [pair for pair in scope["headers"] if not NOT_THE_CLIENTS.fullmatch(pair[0])]
    return _Asked(noted, size)


def _refused(scope: HTTPScope, asked: _Asked) -> AppError | None:
    """What is not read at all."""
    if len(scope["path"]) + len(scope["query_string"]) > MAX_URL_BYTES:
        return UrlTooLong(f"An address may have {MAX_URL_BYTES} bytes.")
    if asked.size > MAX_HEADER_BYTES:
        return HeadersTooLarge(f"All headers together may have {MAX_HEADER_BYTES} bytes.")
    encoding = asked.headers.get(b"content-encoding", b"").strip().lower()
    if encoding not in (b"", b"identity"):
        return UnsupportedMediaType("Send the body as it is: compressed ones are not read.")
    return None


def _every_method(scope: HTTPScope, known: bytes) -> bytes:
    """The methods of a path, for `Allow`: Litestar's own OPTIONS knows those of one handler only, and HEAD is ours."""
    methods = {method.strip() for method in known.decode("ascii").split(",")}
    for route in scope["litestar_app"].routes:
        if isinstance(route, HTTPRoute) and route.path_format == scope.get("path_template"):
            methods |= {str(method) for method in route.methods}
    if "GET" in methods:
        methods.add("HEAD")
    return ", ".join(sorted(methods)).encode("ascii")


class _Answer:
    """Takes what the application sends, completes the headers, compresses the body, and sends it on."""

    __slots__ = (
        "_asked",
        "_compressing",
        "_gateway",
        "_held",
        "_request_id",
        "_scope",
        "_send",
        "_started_at",
        "finished",
        "head",
        "method",
    )

    def __init__(self, gateway: Gateway, scope: HTTPScope, asked: _Asked, request_id: str, send: Send) -> None:
        self._gateway = gateway
        self._scope = scope
        self._asked = asked.headers
        self._request_id = request_id
        self._send = send
        self._started_at = time.perf_counter()
        self._held: dict[str, Any] | None = None
        self._compressing = False
        self.finished = False
        self.method = str(scope["method"])
        self.head = self.method == "HEAD"

    async def __call__(self, message: Message) -> None:
        """ASGI's `send`."""
        if self.finished:
            return
        kind = message["type"]
        if kind == "http.response.start":
            await self._start(cast("dict[str, Any]", message))
        elif kind == "http.response.body":
            await self._body(cast("dict[str, Any]", message))
        else:
            await self._send(message)

    async def preflight(self, origin: bytes) -> None:
        """Tell a browser what a page may send."""
        self._scope["state"][STANDING] = None
        headers = self._gateway.cors.preflight(origin)
        await self({"type": "http.response.start", "status": 204, "headers": headers})
        await self({"type": "http.response.body", "body": b"", "more_body": False})

    async def problem(self, error: AppError) -> None:
        """A problem document that no handler makes."""
        document = problem_of(
            error,
            base_url=self._gateway.base_url,
            instance=None if isinstance(error, UrlTooLong) else self._scope["path"],
            request_id=self._request_id,
        )
        body = msgspec.json.encode(document)
        headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body))]
        if error.retry_after is not None:
            headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
        await self({"type": "http.response.start", "status": error.status, "headers": headers})
        await self({"type": "http.response.body", "body": body, "more_body": False})

    async def _start(self, message: dict[str, Any]) -> None:
        state = self._scope["state"]
        status: int = message["status"]
        if STANDING not in state and 400 <= status < 500:
            # Nobody was known when this was refused: guessing tokens or paths is counted on the address.
            limiter: RateLimiter = self._scope["litestar_app"].state.limiter
            standing = state[STANDING] = await limiter.admit_address(client_address(self._scope))
            if standing is not None and standing.retry_after is not None:
                await self.problem(refusal(standing))
                self.finished = True
                return
        route = str(self._scope.get("path_template", "unmatched"))
        http_requests.labels(self.method if self.method in METHODS else "other", route, str(status)).inc()
        http_seconds.labels(route).observe(time.perf_counter() - self._started_at)
        self._complete(message, state.get(STANDING))
        if self._compressing or self.head:
            # Only the body tells whether it is long enough, or that there will be more of it.
            self._held = message
        else:
            await self._send(cast("Message", message))

    def _complete(self, message: dict[str, Any], standing: Standing | None) -> None:
        """Put our headers on the answer, and decide whether its body may be compressed."""
        given: RawHeaders = list(message.get("headers", ()))
        headers: RawHeaders = []
        vary: list[bytes] = []
        content_type = b""
        encoded = cached = policy = preflight = False
        for pair in given:
            name = pair[0]
            if name == b"content-type":
                content_type = pair[1]
            elif name == b"vary":
                vary.append(pair[1])
                continue
            elif name == b"x-request-id":
                continue
            elif name == b"content-encoding":
                encoded = True
            elif name == b"access-control-max-age":
                preflight = True
            elif name == b"cache-control":
                cached = True
            elif name == b"content-security-policy":
                policy = True
            elif name == b"allow":
                headers.append((name, _every_method(self._scope, pair[1])))
                continue
            headers.append(pair)
        headers.append((b"x-request-id", self._request_id.encode("ascii")))
        headers += self._gateway.fixed
        if not policy:
            headers.append(
                (b"content-security-policy", PAGE_POLICY if content_type.startswith(b"text/html") else API_POLICY)
            )
        if not cached and message["status"] >= 400:
            # 404, 405 and others may be remembered by caches that are not told (RFC 9110 §15.1).
            headers.append((b"cache-control", b"no-store"))
        if standing is not None:
            headers += limit_headers(standing)
        if self._gateway.cors.enabled and not preflight:
            varies = self._gateway.cors.add_to(headers, self._asked.get(b"origin"))
            if varies is not None:
                vary.append(varies)
        may = not encoded and bool(content_type) and compressible(content_type)
        if may or message["status"] == 304:
            vary.append(b"Accept-Encoding")
        if vary:
            headers.append((b"vary", b", ".join(vary)))
        message["headers"] = headers
        accepted = self._asked.get(b"accept-encoding")
        self._compressing = may and accepted is not None and accepts_gzip(accepted)

    async def _body(self, message: dict[str, Any]) -> None:
        held = self._held
        if held is None:
            await self._send(cast("Message", message))
            return
        self._held = None
        body: bytes = message.get("body", b"")
        more = bool(message.get("more_body"))
        if not more and len(body) >= MINIMUM_BYTES and self._compressing:
            body = await compress(body)
            held["headers"] = [pair for pair in held["headers"] if pair[0] != b"content-length"]
            held["headers"] += [(b"content-encoding", b"gzip"), (b"content-length", b"%d" % len(body))]
        await self._send(cast("Message", held))
        if self.head:
            self.finished = True
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
            if more:
                raise HeadAnswered
            return
        await self._send({"type": "http.response.body", "body": body, "more_body": more})
