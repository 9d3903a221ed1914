"""The problem documents that operations can end with: their statuses and their codes."""

import re
from http import HTTPStatus
from typing import Any

from app.api.openapi.headers import headers_of
from app.api.openapi.routes import Operation
from app.lib.problems import MEDIA_TYPE

Answer = dict[str, Any]

CODES: dict[int, tuple[str, ...]] = {
    400: ("malformed", "malformed_json", "bad_account_id"),
    401: ("unauthenticated", "invalid_token", "token_expired", "session_ended"),
    403: (
        *("forbidden", "missing_permission", "user_required", "not_a_member", "no_account"),
        *("account_suspended", "address_not_allowed"),
    ),
    404: ("not_found",),
    409: ("conflict",),
    412: ("precondition_failed",),
    413: ("body_too_large",),
    414: ("url_too_long",),
    415: ("unsupported_media_type",),
    422: ("invalid_value",),
    429: ("too_many_requests",),
    431: ("headers_too_large",),
    503: ("unavailable",),
}
"""The codes with which any operation may end; what one of them adds stands in its docstring or in its `opt`."""

_LIST_CODES = (
    *("bad_parameter", "bad_limit", "unknown_sort", "bad_cursor"),
    *("unknown_filter", "bad_filter_value", "too_many_filters"),
)

# "409 `name_taken` or `no_type`" in the words about an operation.
_SAID = re.compile(r"\b([45][0-9]{2}) ((?:`[a-z_]+`(?:, | or | and )?)+)")
_CODE = re.compile(r"`([a-z_]+)`")

_KEY_CODES = {400: "bad_idempotency_key", 409: "idempotency_key_in_use", 422: "idempotency_key_reused"}

_MEANING = {
    400: "The request cannot be read.",
    401: "Nobody is known to be asking.",
    403: "The caller may not do this.",
    404: "There is no such thing in this account.",
    409: "The request contradicts what is stored.",
    412: "The resource has changed since the version in `If-Match`.",
    413: "The body is too large.",
    414: "The address is too long.",
    415: "The body is not `application/json`, or it is compressed.",
    422: "A value is wrong; `errors` says which.",
    429: "A limit is exhausted for now.",
    431: "The headers are too large.",
    503: "Something needed is down for now; nothing was stored, and the same request may be sent again.",
}

_NAMES = {
    400: "Malformed",
    401: "Unauthenticated",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    412: "PreconditionFailed",
    413: "TooLarge",
    414: "UrlTooLong",
    415: "UnsupportedMediaType",
    422: "InvalidValue",
    429: "TooManyRequests",
    431: "HeadersTooLarge",
    503: "Unavailable",
}


def problem_codes(operation: Operation) -> dict[int, tuple[str, ...]]:
    """The statuses of the problems an operation can end with, each with its codes."""
    statuses = {414, 415, 431, 503}
    if not operation.options.get("unlimited"):
        statuses |= {429}
    if operation.body is not None:
        statuses |= {400, 413, 422}
    if operation.listing is not None:
        statuses |= {400}
    if not operation.public:
        statuses |= {400, 401, 403}
    if operation.method == "POST":
        # Of its Idempotency-Key, for which any body is read.
        statuses |= {413, *_KEY_CODES}
    if operation.identifiers:
        statuses |= {404}
    if operation.method in ("POST", "PATCH", "DELETE") and not operation.public:
        statuses |= {409}
    if operation.honours_if_match:
        statuses |= {412}
    codes = {status: CODES[status] for status in sorted(statuses)}
    if operation.listing is not None:
        codes[400] += _LIST_CODES
    if operation.method == "POST":
        for status, code in _KEY_CODES.items():
            codes[status] += (code,)
    said = {int(status): tuple(_CODE.findall(some)) for status, some in _SAID.findall(operation.description)}
    for status, more in (*said.items(), *operation.options.get("problems", {}).items()):
        codes[status] = tuple(dict.fromkeys((*codes.get(status, ()), *more)))
    return codes


class Problems:
    """Every problem answer once, as a component that operations refer to."""

    def __init__(self) -> None:
        self.components: dict[str, Answer] = {}

    def refer(self, operation: Operation, status: int, codes: tuple[str, ...]) -> Answer:
        """A reference to the answer with this status and these codes."""
        answer = _problem(operation, status, codes)
        # Named by what sets it apart, which a list's or an Idempotency-Key's own codes do not.
        usual = {*CODES[status], *_LIST_CODES, *_KEY_CODES.values()}
        extra = [code for code in codes if code not in usual]
        if _LIST_CODES[0] in codes:
            extra.append("in_list")
        if _KEY_CODES.get(status) in codes:
            extra.append("with_key")
        name = wanted = _NAMES[status] + "".join(word.title() for code in extra for word in code.split("_"))
        number = 1
        while self.components.setdefault(name, answer) != answer:
            number += 1
            name = f"{wanted}{number}"
        return {"$ref": f"#/components/responses/{name}"}


def _problem(operation: Operation, status: int, codes: tuple[str, ...]) -> Answer:
    headers = []
    if status in (429, 503):
        headers.append("RetryAfter")
    if status == HTTPStatus.UNAUTHORIZED:
        headers.append("WwwAuthenticate")
    schema = {
        "allOf": [
            {"$ref": "#/components/schemas/Problem"},
            {"properties": {"status": {"const": status}, "code": {"enum": list(codes)}}},
        ]
    }
    return {
        "description": _MEANING[status],
        "headers": headers_of(operation, headers),
        "content": {MEDIA_TYPE: {"schema": schema}},
    }
