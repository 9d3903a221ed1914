"""What the application itself says about its routes: the document and the tests that walk it start here."""

from collections.abc import Iterator
from inspect import cleandoc
from typing import Any, get_args, get_origin

import msgspec
from litestar import Litestar, Response
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from app.api.guards import AnyCaller, SignedIn, requires, requires_in_target
from app.lib.pagination import Listing

Guard = requires | requires_in_target | SignedIn | AnyCaller


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path.

    `permission` is None only where the route is public, or has no guard of ours. `body` and `answer` are types, None
    where there is nothing. What a handler says in `opt` beyond that is in `options`:

    * `listing`: the `Listing` of a list route, which makes its query parameters;
    * `problems`: status → the codes it answers beyond the common ones and those of its description (409 `this_way`);
    * `answers`: status → the type of another regular answer;
    * `streams`: the type of the data of the events that it answers to `Accept: text/event-stream`;
    * `download`: the media types of the file that it answers;
    * `form`: the type of the part `options` of a form whose part `file` is a file (app.api.uploads);
    * `parameters`: name → description and schema of what its query can hold where it is no list, beside the fields of
      `filters`;
    * `location`: whether it answers with a `Location`, where it is not 201;
    * `clearable`: the fields of a `PATCH` that null clears; null is refused for the others;
    * `if_match`: whether `If-Match` is honoured, where that differs from the rule (`PATCH` and `DELETE` of one thing);
    * `etag`: whether the answer has an `ETag`, where that differs from the rule.
    """

    method: str
    path: str
    id: str
    summary: str
    description: str
    tags: list[str]
    status: int
    public: bool
    guard: Guard | None
    identifiers: tuple[str, ...]
    body: Any
    answer: Any
    options: dict[str, Any]

    @property
    def permission(self) -> str | None:
        """`resource:action`, or `self` or `any`."""
        return None if self.guard is None else self.guard.permission

    @property
    def listing(self) -> Listing | None:
        """How the list can be filtered and sorted."""
        listing: Listing | None = self.options.get("listing")
        return listing

    @property
    def reads_query(self) -> bool:
        """Whether a query can hold something, and is refused when it holds something else."""
        return self.listing is not None or "parameters" in self.options

    @property
    def is_about_one(self) -> bool:
        """Whether the path ends with an id: the route of a single resource."""
        return self.path.endswith("}")

    @property
    def honours_if_match(self) -> bool:
        """Whether the request may name the version it is about."""
        return bool(self.options.get("if_match", self.method in ("PATCH", "DELETE") and self.is_about_one))

    @property
    def is_conditional(self) -> bool:
        """Whether it can be answered that the client has it already (app.api.conditional)."""
        return self.method == "GET" and not self.path.startswith("/health/") and "download" not in self.options

    @property
    def has_etag(self) -> bool:
        """Whether the answer names its version."""
        made = self.method == "POST" and self.status == 201 and not self.public
        return bool(self.options.get("etag", made or (self.method in ("GET", "PATCH") and self.is_about_one)))


def operations(app: Litestar) -> Iterator[Operation]:
    """Every operation that clients are told about, in the order of paths."""
    routes = [route for route in app.routes if isinstance(route, HTTPRoute)]
    for route in sorted(routes, key=lambda route: route.path_format):
        for handler in route.route_handlers:
            if handler.resolve_include_in_schema() and "OPTIONS" not in handler.http_methods:
                yield from _operations_of(route, handler)


def _operations_of(route: HTTPRoute, handler: HTTPRouteHandler) -> Iterator[Operation]:
    guards = [guard for guard in handler.resolve_guards() if isinstance(guard, Guard)]
    returned = handler.parsed_fn_signature.return_type.annotation
    if get_origin(returned) is Response:
        (returned,) = get_args(returned)
    body = handler.parsed_data_field
    for method in sorted(handler.http_methods):
        yield Operation(
            method=method,
            path=route.path_format,
            id=str(handler.operation_id or ""),
            summary=handler.summary or "",
            description=cleandoc(handler.description or handler.fn.__doc__ or ""),
            tags=handler.resolve_tags(),
            status=handler.status_code,
            public=bool(handler.opt.get("public")),
            guard=guards[-1] if guards else None,
            identifiers=tuple(part.name for part in route.path_components if not isinstance(part, str)),
            body=None if body is None else body.annotation,
            answer=None if returned in (None, type(None)) else returned,
            options=dict(handler.opt),
        )
