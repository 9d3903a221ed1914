"""Links: what to call next with what an answer holds (OpenAPI 3.1 §4.8.20)."""

from typing import Any

from app.api.openapi.routes import Operation


def links_of(operation: Operation, found: list[Operation]) -> dict[str, Any]:
    """From a creation or a list to the operations on one thing, and from a page to the next one."""
    links: dict[str, Any] = {}
    made = operation.method == "POST" and operation.status == 201
    if made or operation.listing is not None:
        pointer = "/id" if made else "/items/0/id"
        for other in found:
            rest = other.path.removeprefix(operation.path)
            if (
                rest == other.path
                or not rest.startswith("/{")
                or len(other.identifiers) != 1 + len(operation.identifiers)
            ):
                continue
            links[other.id] = {
                "operationId": other.id,
                "parameters": {
                    **{name: f"$request.path.{name}" for name in operation.identifiers},
                    other.identifiers[-1]: f"$response.body#{pointer}",
                },
            }
    if operation.listing is not None:
        links["NextPage"] = {
            "operationId": operation.id,
            "description": "Until `next_cursor` is null.",
            "parameters": {"cursor": "$response.body#/next_cursor"},
        }
    return links
