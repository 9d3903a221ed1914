"""Conditional GET and what caches may do: `ETag`, `If-None-Match`, `Cache-Control`, `Vary` (RFC 9110 §13, RFC 9111).

Every JSON answer with status 200 to a GET has an `ETag`, the digest of its body. Where a handler gives the version of a
resource (app.api.preconditions), the digest is put behind it: `"<version>-<digest>"`. `If-Match` looks at the version
only, so that a channel whose health has changed may still be changed by who read it before; `If-None-Match` looks at
all of it, so that nobody is told that such a channel is as it was.
"""

import hashlib
import re
from collections.abc import Iterable

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, HTTPResponseStartEvent, Message, Receive, Scope, Send

from app.api.preconditions import VERSION_END

MAX_BYTES = 1_000_000
"""A longer answer gets no digest."""

_DIGEST_BYTES = 16
_UNTAGGED = ("/health/", "/metrics", "/v1/docs")
"""What is about this moment, and pages whose files have tags of their own."""

_VARY = (b"vary", b"Authorization, X-Account-Id")
# With no-cache a client may keep an answer, but asks each time whether it is still true. Nobody on the way keeps it.
_REVALIDATE = (b"cache-control", b"private, no-cache")
# Answers of POST may hold what is shown only once: passwords, tokens, secrets of API keys.
_NO_STORE = (b"cache-control", b"no-store")
_JSON = re.compile(rb"application/(?:[\w.-]+\+)?json\b", re.IGNORECASE)
_ENTITY_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')

Headers = list[tuple[bytes, bytes]]


class ConditionalAnswers(ASGIMiddleware):
    """Goes around whatever makes answers, and inside of what counts them."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Add the headers, and leave the body out when the client has it."""
        method = str(scope.get("method"))
        started: HTTPResponseStartEvent | None = None

        async def send_conditionally(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                headers: Headers = list(message["headers"])
                _restrict_caches(headers, method in ("GET", "HEAD"), authenticated=scope.get("user") is not None)
                message["headers"] = headers
                if _may_have_tag(message, method, scope["path"]):
                    # Only the body tells the tag.
                    started = message
                    return
            elif started is not None and message["type"] == "http.response.body":
                start, started = started, None
                if not message["more_body"] and len(message["body"]) < MAX_BYTES:
                    tag = _tag(start, message["body"])
                    if method == "GET" and _matches(scope, tag):
                        start["status"] = 304
                        start["headers"] = _without(start["headers"], b"content-length", b"content-type")
                        message["body"] = b""
                await send(start)
            await send(message)

        await next_app(scope, receive, send_conditionally)


def _restrict_caches(headers: Headers, reads: bool, *, authenticated: bool) -> None:
    if not _has(headers, b"cache-control"):
        if not reads:
            headers.append(_NO_STORE)
        elif authenticated:
            headers.append(_REVALIDATE)
    if reads and authenticated and not _has(headers, b"vary"):
        headers.append(_VARY)


def _may_have_tag(start: HTTPResponseStartEvent, method: str, path: str) -> bool:
    if method == "HEAD":
        return False
    if method == "GET":
        json = any(name == b"content-type" and _JSON.match(value) for name, value in start["headers"])
        return start["status"] == 200 and json and not path.startswith(_UNTAGGED)
    return start["status"] < 300 and _has(start["headers"], b"etag")


def _tag(start: HTTPResponseStartEvent, body: bytes) -> str:
    """The tag of the answer, which is put into its headers."""
    digest = hashlib.blake2b(body, digest_size=_DIGEST_BYTES).hexdigest()
    version = next((value.decode("latin-1") for name, value in start["headers"] if name.lower() == b"etag"), None)
    if version is None:
        tag = f'"{digest}"'
    elif version.startswith("W/"):
        return version
    else:
        tag = f'"{version.strip(chr(34))}{VERSION_END}{digest}"'
    start["headers"] = [*_without(start["headers"], b"etag"), (b"etag", tag.encode("latin-1"))]
    return tag


def _matches(scope: Scope, tag: str) -> bool:
    """Whether `If-None-Match` names the answer; the comparison is weak (RFC 9110 §13.1.2)."""
    wanted = [value.decode("latin-1") for name, value in scope["headers"] if name == b"if-none-match"]
    if not wanted:
        return False
    header = ",".join(wanted).strip()
    return header == "*" or tag.removeprefix("W/").strip('"') in _ENTITY_TAG.findall(header)


def _has(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> bool:
    return any(name == wanted or name.lower() == wanted for name, _ in headers)


def _without(headers: Iterable[tuple[bytes, bytes]], *unwanted: bytes) -> Headers:
    return [(name, value) for name, value in headers if name.lower() not in unwanted]
