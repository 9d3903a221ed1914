"""Every failure leaves as an RFC 9457 problem document; defects are logged with their stack and shown to nobody."""

import math
from typing import Any

import msgspec
from litestar import Response
from litestar.exceptions import HTTPException, ValidationException

from app.api.origins import request_id_of
from app.api.requests import ApiRequest
from app.lib.db import is_unavailable
from app.lib.errors import AppError, FieldError, InvalidValue, Malformed, Unauthenticated, Unavailable
from app.lib.logging import get_logger
from app.lib.problems import MEDIA_TYPE, Problem, problem_of

log = get_logger(__name__)

_HTTP_CODES = {
    400: ("malformed", "Malformed request"),
    401: ("unauthenticated", "Authentication required"),
    403: ("forbidden", "Not allowed"),
    404: ("not_found", "Not found"),
    405: ("method_not_allowed", "Method not allowed"),
    413: ("body_too_large", "Body too large"),
    415: ("unsupported_media_type", "Unsupported media type"),
    429: ("too_many_requests", "Too many requests"),
}


def _respond(request: ApiRequest, problem: Problem, headers: dict[str, str] | None = None) -> Response[bytes]:
    # A path that no route has never reaches our middleware: the id is put on the answer here.
    return Response(
        msgspec.json.encode(problem),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers={**(headers or {}), "X-Request-Id": request_id_of(request.scope)},
    )


def _base_url(request: ApiRequest) -> str:
    url: str = request.app.state.container.settings.public_url
    return url


def app_error_response(request: ApiRequest, error: AppError) -> Response[bytes]:
    """An expected error, with the headers its status asks for."""
    headers: dict[str, str] = {}
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="turumba"'
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    problem = problem_of(
        error, base_url=_base_url(request), instance=request.scope["path"], request_id=request_id_of(request.scope)
    )
    return _respond(request, problem, headers)


def _pointer(message: Any) -> str:
    source, key = str(message.get("source", "")), str(message.get("key", ""))
    return f"?{key}" if source == "query" else f"/{key.replace('.', '/')}" if key else ""


def http_exception_response(request: ApiRequest, error: HTTPException) -> Response[bytes]:
    """What Litestar itself refuses: no such route, wrong method, a parameter of the wrong type, a missing body."""
    if isinstance(error, ValidationException):
        messages: list[Any] = error.extra if isinstance(error.extra, list) else []
        if any(message.get("source") == "body" for message in messages):
            # A body that is there is decoded by `ApiRequest.json`; Litestar only notices that there is none.
            return app_error_response(request, Malformed("A JSON body is needed.", code="malformed_json"))
        errors = [FieldError(_pointer(message), "invalid", str(message.get("message", ""))) for message in messages]
        detail = errors[0].detail if errors else "A value is wrong."
        return app_error_response(request, InvalidValue(detail, errors=errors))
    if error.status_code >= 500:
        return unexpected_response(request, error)
    code, title = _HTTP_CODES.get(error.status_code, ("error", "Error"))
    problem = Problem(
        type=f"{_base_url(request)}/problems/{code.replace('_', '-')}",
        title=title,
        status=error.status_code,
        detail="There is nothing at this address." if error.status_code == 404 else error.detail,
        code=code,
        instance=request.scope["path"],
        request_id=request_id_of(request.scope),
    )
    return _respond(request, problem, dict(error.headers or {}))


def unexpected_response(request: ApiRequest, error: Exception) -> Response[bytes]:
    """A defect, or a database that went away in an unusual place."""
    if is_unavailable(error):
        return app_error_response(request, Unavailable("The database is not reachable; try again.", retry_after=2.0))
    log.error("request failed", path=request.scope["path"], method=request.method, exc_info=error)
    return app_error_response(request, AppError("Something went wrong on our side; it has been logged."))
