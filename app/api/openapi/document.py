"""The OpenAPI 3.1 document: everything in it comes from the routes, their types and their guards."""

import re
from typing import Any

import msgspec
from litestar import Litestar

from app.api.guards import SignedIn
from app.api.openapi.answers import responses_of
from app.api.openapi.headers import HEADERS
from app.api.openapi.links import links_of
from app.api.openapi.parameters import SHARED, parameters_of
from app.api.openapi.problems import Problems
from app.api.openapi.routes import Operation, operations
from app.api.openapi.schemas import Schemas
from app.domain.messages.schemas import MessageCreate
from app.lib.problems import Problem

Document = dict[str, Any]

_DESCRIPTION = """
Multi-tenant message automation.

* **Errors** are RFC 9457 problem documents (`application/problem+json`) with a stable `code`.
* **Lists** are pages: follow `next_cursor` until it is null. Filters are `field=value` or `field[op]=value`, and a
  parameter that a list does not know is 400.
* **Changes**: `PATCH` takes the fields that are sent (JSON merge patch). `ETag` and `If-Match` keep two writers from
  overwriting each other, `Idempotency-Key` makes a `POST` safe to repeat.
* **Times** are RFC 3339 in UTC, ids are UUIDs, and every answer has an `X-Request-Id`.
""".strip()

_TAGS = {
    "auth": "Registering, logging in and staying logged in.",
    "context": "Who is asking, and what they may do where.",
    "users": "The user who is asking, and the members of the active account.",
    "accounts": "Tenants and their sub-accounts.",
    "sessions": "Where a user is logged in.",
    "invitations": "Asking people into an account.",
    "roles": "What members and API keys may do.",
    "api keys": "Credentials of machines.",
    "audit log": "Who did what, from where.",
    "contacts": "People, and where they are reached.",
    "contact merges": "Contacts that became one, and how to undo it.",
    "contact groups": "Static groups of contacts.",
    "segments": "Saved filters, whose members are whoever matches now.",
    "contact attributes": "What contacts have beyond the common fields, typed.",
    "channels": "Ways to send: what kinds there are, and those of the account.",
    "messages": "Sending messages, and what became of them.",
    "opt-outs": "Who does not want messages, how that is known, and the words that change it.",
    "templates": "Texts with variables, by language and kind of channel, in versions.",
    "group messages": "One text to many: tried before, sent, steered and followed.",
    "smpp accounts": "Logins by which applications bind to us over SMPP.",
    "events": "What happened, in order.",
    "jobs": "Long work: how far it is, what came of it, and its files.",
    "health": "Whether this process lives and works.",
}

_BEARER: list[dict[str, list[str]]] = [{"access_token": []}, {"api_key": []}]
# What the types leave open because each of these is looked at by itself.
_FIELDS: dict[tuple[str, str], dict[str, Any]] = {
    ("MessageBatch", "messages"): {"items": {"$ref": "#/components/schemas/MessageCreate"}},
    ("MessageBatchResultItem", "problem"): {"$ref": "#/components/schemas/Problem"},
}


def build_document(app: Litestar, public_url: str) -> Document:
    """The document of an application that clients reach at `public_url`."""
    found = list(operations(app))
    schemas, problems = _schemas(found), Problems()
    paths: dict[str, Any] = {}
    for operation in found:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas, problems, found)
    tags = sorted({tag for operation in found for tag in operation.tags})
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Turumba", "version": "1", "description": _DESCRIPTION},
        "servers": [{"url": public_url, "description": "This installation."}],
        "security": _BEARER,
        "tags": [{"name": tag, "description": _TAGS.get(tag, "")} for tag in tags],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": dict(sorted(problems.components.items())),
            "parameters": SHARED,
            "headers": HEADERS,
            "securitySchemes": {
                "access_token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A user's access token, from logging in.",
                },
                "api_key": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "tk_…",
                    "description": "An API key of an account, for machines.",
                },
            },
        },
    }
    # What comes from defaults and enums becomes plain JSON.
    plain: Document = msgspec.json.decode(msgspec.json.encode(document))
    return plain


def _schemas(found: list[Operation]) -> Schemas:
    types: list[Any] = [Problem, MessageCreate]
    for operation in found:
        types += [
            operation.body,
            operation.options.get("form"),
            operation.answer,
            *operation.options.get("answers", {}).values(),
            operation.options.get("streams"),
        ]
    clearable = {each.body: each.options.get("clearable", ()) for each in found if each.method == "PATCH"}
    return Schemas([kind for kind in types if kind is not None], _FIELDS, clearable)


def _operation(operation: Operation, schemas: Schemas, problems: Problems, found: list[Operation]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "description": _description(operation),
        "tags": operation.tags,
        "parameters": parameters_of(operation),
        "responses": responses_of(operation, schemas, problems),
        "security": _security(operation),
    }
    links = links_of(operation, found)
    if links:
        described["responses"][str(operation.status)]["links"] = links
    if operation.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schemas.of(operation.body)}},
        }
    form = operation.options.get("form")
    if form is not None:
        described["requestBody"] = {"required": True, "content": {"multipart/form-data": _form(form, schemas)}}
    if operation.permission is not None:
        described["x-permission"] = operation.permission
    return described


def _form(options: type[msgspec.Struct], schemas: Schemas) -> dict[str, Any]:
    """A file, and options as JSON; see `app.api.uploads`."""
    needed = any(field.required for field in msgspec.structs.fields(options))
    schema = {
        "type": "object",
        "properties": {"file": {"type": "string", "format": "binary"}, "options": schemas.of(options)},
        "required": ["file", *(["options"] if needed else [])],
        "additionalProperties": False,
    }
    return {"schema": schema, "encoding": {"options": {"contentType": "application/json"}}}


def _security(operation: Operation) -> list[dict[str, list[str]]]:
    if operation.public:
        return []
    return [{"access_token": []}] if isinstance(operation.guard, SignedIn) else _BEARER


def _description(operation: Operation) -> str:
    # The parameters say which filters and sorts there are.
    text = operation.description
    if operation.listing is not None:
        text = re.sub(r"\s*Filters: [^.]*\.", "", text)
        text = re.sub(r"\s*Sorts?: [^.]*\.", "", text)
    permission = operation.permission
    if permission not in (None, "self", "any"):
        text += f"\n\nNeeds the permission `{permission}`."
    elif permission == "self":
        text += "\n\nFor users, not for API keys."
    return text.strip()
