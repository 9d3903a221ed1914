"""Errors that are answers: each says its status, its stable code, and what the caller can do next.

Domain code raises them, the API turns them into problem documents, workers read `retryable`. Anything else that is
raised is a defect: logged in full and shown to nobody.
"""

from typing import ClassVar

import msgspec


class FieldError(msgspec.Struct, frozen=True):
    """One thing wrong with a request: an RFC 6901 `pointer` into the body (`?name` for the query), code and words."""

    pointer: str
    code: str
    detail: str


class AppError(Exception):
    """The base of all expected errors. `status` is the HTTP status, `code` the stable machine-readable name."""

    status: ClassVar[int] = 500
    code: str = "internal_error"
    title: ClassVar[str] = "Internal error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        errors: list[FieldError] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors or []
        self.retry_after = retry_after
        if code is not None:
            self.code = code


class Malformed(AppError):
    """The request cannot be read at all: broken JSON, a broken cursor, an unknown filter."""

    status = 400
    code = "malformed"
    title = "Malformed request"


class Unauthenticated(AppError):
    """Nobody is known to be asking."""

    status = 401
    code = "unauthenticated"
    title = "Authentication required"


class Forbidden(AppError):
    """The caller is known and may not do this."""

    status = 403
    code = "forbidden"
    title = "Not allowed"


class NotFound(AppError):
    """There is no such thing, or it belongs to another account: the two look the same on purpose."""

    status = 404
    code = "not_found"
    title = "Not found"


class Conflict(AppError):
    """The request contradicts what is stored."""

    status = 409
    code = "conflict"
    title = "Conflict"


class PreconditionFailed(AppError):
    """`If-Match` named another version than the stored one."""

    status = 412
    code = "precondition_failed"
    title = "The resource has changed"


class TooLarge(AppError):
    """The body exceeds the limit."""

    status = 413
    code = "body_too_large"
    title = "Body too large"


class UnsupportedMediaType(AppError):
    """The body is not JSON."""

    status = 415
    code = "unsupported_media_type"
    title = "Unsupported media type"


class InvalidValue(AppError):
    """The request was read, and one or more of its values are wrong: see `errors`."""

    status = 422
    code = "invalid_value"
    title = "Invalid value"

    @classmethod
    def at(cls, pointer: str, code: str, detail: str) -> "InvalidValue":
        """One wrong value at `pointer`."""
        return cls(detail, errors=[FieldError(pointer, code, detail)])

    @classmethod
    def of(cls, errors: list[FieldError]) -> "InvalidValue":
        """Several wrong values; the first one's words lead."""
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        return cls(errors[0].detail + more, errors=errors)


class TooManyRequests(AppError):
    """A limit is exhausted for now; `retry_after` is set."""

    status = 429
    code = "too_many_requests"
    title = "Too many requests"
    retryable = True


class Unavailable(AppError):
    """Something we need is down for now; nothing was stored, and the same request may be sent again."""

    status = 503
    code = "unavailable"
    title = "Temporarily unavailable"
    retryable = True
