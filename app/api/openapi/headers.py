"""Headers of answers, by the name of their component."""

from typing import Any

from app.api.openapi.routes import Operation

HEADERS: dict[str, dict[str, Any]] = {
    "XRequestId": {
        "description": "The id of this request, in logs and audit entries.",
        "required": True,
        "schema": {"type": "string"},
    },
    "ETag": {"description": "The version, for `If-Match`.", "required": True, "schema": {"type": "string"}},
    "Location": {
        "description": "The path of what was made.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "RetryAfter": {
        "description": "Seconds to wait before the next try.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "WwwAuthenticate": {
        "description": "How to authenticate.",
        "required": True,
        "schema": {"type": "string"},
    },
    "RateLimitLimit": {
        "description": "Requests a minute that the caller, the account or the address may send, whichever is nearest.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "RateLimitRemaining": {
        "description": "How many of those that may come at once are left.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "RateLimitReset": {
        "description": "In how many seconds all of them are there again.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "RateLimitPolicy": {
        "description": "The limit, and how many requests may come at once.",
        "schema": {"type": "string"},
    },
    "IdempotencyReplayed": {
        "description": "`true`: this is the answer to an earlier request with the same `Idempotency-Key`.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}
"""Headers of many answers, by the name of their component."""

_WIRE = {
    "XRequestId": "X-Request-Id",
    "ETag": "ETag",
    "Location": "Location",
    "RetryAfter": "Retry-After",
    "WwwAuthenticate": "WWW-Authenticate",
    "IdempotencyReplayed": "Idempotency-Replayed",
    "RateLimitLimit": "RateLimit-Limit",
    "RateLimitRemaining": "RateLimit-Remaining",
    "RateLimitReset": "RateLimit-Reset",
    "RateLimitPolicy": "RateLimit-Policy",
}
_LIMITS = ("RateLimitLimit", "RateLimitRemaining", "RateLimitReset", "RateLimitPolicy")


def headers_of(operation: Operation, names: list[str]) -> dict[str, Any]:
    """The headers called `names`, with those that every answer of the operation has."""
    common = ("XRequestId",) if operation.options.get("unlimited") else ("XRequestId", *_LIMITS)
    return {_WIRE[name]: {"$ref": f"#/components/headers/{name}"} for name in (*common, *names)}
