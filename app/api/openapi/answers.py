"""What an operation answers, by status."""

from http import HTTPStatus
from typing import Any

from app.api.openapi.headers import headers_of
from app.api.openapi.problems import Problems, problem_codes
from app.api.openapi.routes import Operation
from app.api.openapi.schemas import Schemas

Answer = dict[str, Any]


def responses_of(operation: Operation, schemas: Schemas, problems: Problems) -> dict[str, Answer]:
    """Every answer of an operation, by status."""
    found = {str(operation.status): _regular(operation, operation.status, operation.answer, schemas)}
    for status, kind in operation.options.get("answers", {}).items():
        found[str(status)] = _regular(operation, status, kind, schemas)
    if operation.is_conditional:
        found["304"] = {"description": "The client has it already.", "headers": headers_of(operation, ["ETag"])}
    for status, codes in problem_codes(operation).items():
        if str(status) not in found:
            found[str(status)] = problems.refer(operation, status, codes)
    return dict(sorted(found.items()))


def _regular(operation: Operation, status: int, kind: Any, schemas: Schemas) -> Answer:
    headers = []
    if status < 300 and (operation.has_etag or operation.is_conditional):
        headers.append("ETag")
    if status == HTTPStatus.CREATED or (status == operation.status and operation.options.get("location")):
        headers.append("Location")
    if operation.method == "POST":
        headers.append("IdempotencyReplayed")
    answer: Answer = {"description": _words(status), "headers": headers_of(operation, headers)}
    if kind is not None:
        media_type = operation.options.get("media_type", "application/json")
        answer["content"] = {media_type: {"schema": schemas.of(kind)}}
        if status == operation.status and "streams" in operation.options:
            # Of a stream the document can say what the data of each event is (OpenAPI 3.1 knows no more).
            answer["content"]["text/event-stream"] = {"schema": schemas.of(operation.options["streams"])}
    elif status == operation.status and "download" in operation.options:
        answer["content"] = {media_type: {"schema": {}} for media_type in operation.options["download"]}
    return answer


def _words(status: int) -> str:
    return {200: "Done.", 201: "Made.", 202: "Accepted; it goes on.", 204: "Done; there is nothing to show."}.get(
        status, HTTPStatus(status).phrase + "."
    )
