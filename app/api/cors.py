"""Which web pages may call the API from a browser (the Fetch standard, §3.2).

Not Litestar's: it takes any OPTIONS with an `Origin` for a preflight, overwrites `Vary`, and answers what it does not
allow by a text that is no problem document. Nothing here ever allows credentials: the API has no cookies, and a page
that knows a token sends it itself.
"""

from app.lib.networks import ANY_ORIGIN

METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"
REQUEST_HEADERS = (
    b"Accept, Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Account-Id, X-Request-Id"
)
EXPOSED_HEADERS = (
    b"ETag, Location, Link, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, RateLimit-Policy, Retry-After,"
    b" X-Request-Id, Idempotency-Replayed, WWW-Authenticate, Content-Disposition"
)
REMEMBER_SECONDS = 600

RawHeaders = list[tuple[bytes, bytes]]


class Cors:
    """The origins in `allowed`; an empty set is nobody, which is the default."""

    def __init__(self, allowed: frozenset[str]) -> None:
        self.enabled = bool(allowed)
        self._any = ANY_ORIGIN in allowed
        self._allowed = frozenset(origin.encode("ascii") for origin in allowed)

    def allows(self, origin: bytes) -> bool:
        """Whether pages of this origin may call."""
        return self._any or origin in self._allowed

    def preflight(self, origin: bytes) -> RawHeaders:
        """The headers of the answer to a browser that asks before it sends."""
        return [
            (b"access-control-allow-origin", b"*" if self._any else origin),
            (b"access-control-allow-methods", METHODS),
            (b"access-control-allow-headers", REQUEST_HEADERS),
            (b"access-control-max-age", b"%d" % REMEMBER_SECONDS),
            (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
        ]

    def add_to(self, headers: RawHeaders, origin: bytes | None) -> bytes | None:
        """Say on an answer that the page may read it; returns what the answer varies by."""
        if origin is not None and self.allows(origin):
            headers.append((b"access-control-allow-origin", b"*" if self._any else origin))
            headers.append((b"access-control-expose-headers", EXPOSED_HEADERS))
        return None if self._any else b"Origin"
