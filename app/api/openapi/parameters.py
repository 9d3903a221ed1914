"""What an operation reads from its path, query and headers."""

from collections.abc import Iterator, Mapping
from typing import Any

from app.api.openapi.routes import Operation
from app.lib.filters import MAX_NUMBER, MAX_SET, FilterField, Kind, Operator
from app.lib.pagination import DEFAULT_LIMIT, MAX_LIMIT, Listing

Schema = dict[str, Any]
Parameter = dict[str, Any]

_UUID: Schema = {"type": "string", "format": "uuid"}

SHARED: dict[str, Parameter] = {
    "XRequestId": {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Your own id of this request; it comes back in the answer and stands in logs and audit entries.",
        # Anything else is not an error: the request is then given another id.
        "schema": {"type": "string"},
    },
    "XAccountId": {
        "name": "X-Account-Id",
        "in": "header",
        "description": "The account to act in, for callers who belong to several; the default account without it.",
        "schema": _UUID,
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": (
            "Makes the request safe to send again: for 24 hours the same key and body get the first answer. Another "
            "body with the same key is 422 `idempotency_key_reused`, a request that is still being worked on 409."
        ),
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "description": "The ETag you read: 412 when the resource has changed since. `*` or nothing: any version.",
        "schema": {"type": "string"},
    },
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The ETag of the answer you have: 304 when it would be the same.",
        "schema": {"type": "string"},
    },
    "Limit": {
        "name": "limit",
        "in": "query",
        "description": "How many items a page has at most.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    },
    "Cursor": {
        "name": "cursor",
        "in": "query",
        "description": "`next_cursor` of the page before, with the same sort.",
        "schema": {"type": "string"},
    },
    "Include": {
        "name": "include",
        "in": "query",
        "description": "`total` counts the whole list, which takes longer.",
        "schema": {"type": "string", "enum": ["total"]},
    },
}
"""Parameters of many operations, by the name of their component."""

_MEANING = {
    Operator.EQ: "is this",
    Operator.NE: "is not this",
    Operator.GT: "is above this",
    Operator.GTE: "is this or above",
    Operator.LT: "is below this",
    Operator.LTE: "is this or below",
    Operator.IN: "is one of these",
    Operator.NIN: "is none of these",
    Operator.CONTAINS: "contains this, in upper or lower case",
    Operator.STARTSWITH: "begins with this",
    Operator.EXISTS: "has a value at all",
}


def parameters_of(operation: Operation) -> list[Parameter]:
    """Every parameter of an operation."""
    found: list[Parameter] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": f"The id of the {name.removesuffix('_id').replace('_', ' ')}.",
            "schema": _UUID,
        }
        for name in operation.identifiers
    ]
    if operation.listing is not None:
        found += _list_parameters(operation.listing)
    found += ({"name": name, "in": "query", **said} for name, said in operation.options.get("parameters", {}).items())
    found += _filter_parameters(operation.options.get("filters", {}))
    found.append(_shared("XRequestId"))
    if not operation.public:
        found.append(_shared("XAccountId"))
    if operation.method == "POST":
        found.append(_shared("IdempotencyKey"))
    if operation.is_conditional:
        found.append(_shared("IfNoneMatch"))
    if operation.honours_if_match:
        found.append(_shared("IfMatch"))
    return found


def _shared(name: str) -> Parameter:
    return {"$ref": f"#/components/parameters/{name}"}


def _list_parameters(listing: Listing) -> Iterator[Parameter]:
    yield _shared("Limit")
    yield _shared("Cursor")
    yield {
        "name": "sort",
        "in": "query",
        "description": "The order of the items; with a minus from the last to the first.",
        "schema": {
            "type": "string",
            "enum": [f"{sign}{name}" for name in listing.sorts for sign in ("", "-")],
            "default": listing.default_sort,
        },
    }
    yield _shared("Include")
    yield from _filter_parameters(listing.fields)


def _filter_parameters(fields: Mapping[str, FilterField]) -> Iterator[Parameter]:
    for name, field in fields.items():
        # In the order in which people think of them, which is the order of the enum.
        for operator in (each for each in Operator if each in field.kind.operators):
            yield _filter_parameter(name, field, operator)


def _filter_parameter(name: str, field: FilterField, operator: Operator) -> Parameter:
    parameter: Parameter = {
        "name": name if operator is Operator.EQ else f"{name}[{operator.value}]",
        "in": "query",
        "description": f"Only items whose `{name}` {_MEANING[operator]}.",
    }
    if operator is Operator.EXISTS:
        return parameter | {"schema": {"type": "boolean"}}
    value = _value_schema(field)
    if operator in (Operator.IN, Operator.NIN):
        several = {"type": "array", "items": value, "minItems": 1, "maxItems": MAX_SET}
        return parameter | {"style": "form", "explode": False, "schema": several}
    return parameter | {"schema": value}


def _value_schema(field: FilterField) -> Schema:
    match field.kind:
        case Kind.UUID | Kind.IDS:
            return _UUID
        case Kind.DATETIME | Kind.DATE:
            return {"type": "string", "format": "date-time"}
        case Kind.NUMBER:
            return {"type": "number", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER}
        case Kind.INTEGER:
            return {"type": "integer", "minimum": -(10**18) + 1, "maximum": 10**18 - 1}
        case Kind.BOOLEAN:
            return {"type": "boolean"}
        case Kind.CHOICE:
            return {"type": "string", "enum": [str(choice) for choice in field.choices]}
        case Kind.TEXT | Kind.TEXTS | Kind.VALUES:
            return {"type": "string", "pattern": r"^[^\x00]*$"}
