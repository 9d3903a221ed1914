"""The product's whole application with two routes more that do the same nothing: one open, one for those who may.

What the second costs more than the first is what authentication, context and permission cost every request.
"""

from typing import Any

from litestar import Litestar, get

from app.api.guards import requires
from app.main import create_app as create_product

ANSWER: dict[str, Any] = {"status": "up", "items": list(range(20))}


@get("/open", opt={"public": True}, include_in_schema=False)
async def open_route() -> dict[str, Any]:
    """Anybody."""
    return ANSWER


@get("/guarded", guards=[requires("messages:send")], include_in_schema=False)
async def guarded_route() -> dict[str, Any]:
    """Whoever may send."""
    return ANSWER


def create_app() -> Litestar:
    """For Granian's `--factory`."""
    app = create_product()
    app.register(open_route)
    app.register(guarded_route)
    return app
