"""What is known about every request before anybody asks who sent it: its id, and where it comes from."""

import re
from typing import Any

from litestar.types import Scope

from app.domain.identity.schemas import Origin
from app.lib.ids import new_id

CLIENT_ADDRESS = "client_address"
"""In the state of a request's scope, where `app.api.gateway` puts it."""

_REQUEST_ID = re.compile(rb"^[A-Za-z0-9_.:/+=-]{1,128}$")


def request_id_of(scope: Scope) -> str:
    """The id of this request: the client's own when it is presentable, else a new one; the same on every call."""
    state: Any = scope.setdefault("state", {})
    known = state.get("request_id")
    if isinstance(known, str):
        return known
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    request_id = given.decode("ascii") if _REQUEST_ID.match(given) else str(new_id())
    state["request_id"] = request_id
    return request_id


def origin_of(scope: Scope) -> Origin:
    """Where a request came from."""
    agent = next((value for name, value in scope["headers"] if name == b"user-agent"), b"")
    return Origin(client_address(scope), _printable(agent)[:200] or None, request_id_of(scope))


def client_address(scope: Scope) -> str | None:
    """The address of the client, behind the proxies that are trusted; None when the server does not know it."""
    address: str | None = scope["state"].get(CLIENT_ADDRESS)
    return address


def _printable(header: bytes) -> str:
    return "".join(character for character in header.decode("latin-1") if character.isprintable())
