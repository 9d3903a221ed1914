"""What a route demands of its caller. Every route that is not public has one of these, and says its `permission`."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from app.domain.identity.permissions import check_name, lacking
from app.domain.identity.schemas import Caller

Connection = ASGIConnection[Any, Any, Any, Any]


class requires:  # noqa: N801 - reads as a sentence: `guards=[requires("messages:send")]`
    """The caller's role in the active account has the permission; raises `Forbidden` naming it.

    A name that the catalogue does not have is a `ValueError` when the module is imported.
    """

    def __init__(self, permission: str) -> None:
        self.permission = check_name(permission)

    def __repr__(self) -> str:
        return f"requires({self.permission!r})"

    async def __call__(self, connection: Connection, _: BaseRouteHandler) -> None:
        """Litestar's form of a guard."""
        caller: Caller = connection.user
        if not caller.may(self.permission):
            raise lacking(self.permission, caller.suspended)


class requires_in_target:  # noqa: N801 - see `requires`
    """Like `requires`, but the service checks it in the account the path names, which need not be the active one."""

    def __init__(self, permission: str) -> None:
        self.permission = check_name(permission)

    def __repr__(self) -> str:
        return f"requires_in_target({self.permission!r})"

    async def __call__(self, connection: Connection, _: BaseRouteHandler) -> None:
        """Nothing to check before the account is known."""


class SignedIn:
    """Any user may: what concerns only themselves. There is no permission that could be withheld."""

    permission = "self"

    async def __call__(self, connection: Connection, _: BaseRouteHandler) -> None:
        """Refuses API keys (`user_required`); the authentication middleware has already refused strangers."""
        caller: Caller = connection.user
        caller.person()


class AnyCaller:
    """Any user and any API key may: what tells them who they are."""

    permission = "any"

    async def __call__(self, connection: Connection, _: BaseRouteHandler) -> None:
        """The authentication middleware has already refused everybody else."""


signed_in = SignedIn()
any_caller = AnyCaller()
