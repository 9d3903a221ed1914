"""Permissions, and the roles that bundle them."""

from uuid import UUID

from litestar import Controller, Response, delete, get, patch, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import Container
from app.api.guards import any_caller, requires
from app.api.preconditions import if_match, tag_of
from app.api.requests import ApiRequest, list_query
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.roles.catalogue import catalogue
from app.domain.identity.roles.repository import LISTING
from app.domain.identity.roles.schemas import ResourceOut, RoleCreate, RoleOut, RolePatch
from app.domain.identity.roles.service import RoleService
from app.domain.identity.schemas import Caller
from app.lib.pagination import Page


def _tagged(role: RoleOut, status_code: int = 200, headers: dict[str, str] | None = None) -> Response[RoleOut]:
    return Response(role, status_code=status_code, headers=tag_of(role.updated_at) | (headers or {}))


def provide_roles(
    session: NamedDependency[AsyncSession],
    container: NamedDependency[Container],
    caller: NamedDependency[Caller],
    audit: NamedDependency[AuditTrail],
) -> RoleService:
    """The roles of the caller's account, in the request's unit of work."""
    return RoleService(session, caller, audit, clock=container.clock, new_id=container.new_id)


class PermissionController(Controller):
    """`/v1/permissions`."""

    path = "/v1/permissions"
    tags = ["roles"]

    @get("/", guards=[any_caller], operation_id="ListPermissions", summary="What roles can be made of")
    async def index(self) -> Page[ResourceOut]:
        """Every resource with its actions, and what each lets its holder do."""
        return Page(catalogue(), None)


class RoleController(Controller):
    """`/v1/roles`."""

    path = "/v1/roles"
    tags = ["roles"]
    dependencies = {"roles": Provide(provide_roles, sync_to_thread=False)}

    @get(
        "/",
        guards=[requires("roles:read")],
        operation_id="ListRoles",
        summary="List roles",
        opt={"listing": LISTING},
    )
    async def index(self, request: ApiRequest, roles: NamedDependency[RoleService]) -> Page[RoleOut]:
        """Those of the system, which every account has, and the account's own. Oldest first.

        Filters: name, system, created_at. Sorts: created_at, name.
        """
        return await roles.page(list_query(request, LISTING))

    @post(
        "/",
        guards=[requires("roles:create")],
        operation_id="CreateRole",
        summary="Make a role",
        opt={"problems": {409: ("name_taken",), 422: ("exceeds_your_own",)}},
    )
    async def create(self, data: JSONBody[RoleCreate], roles: NamedDependency[RoleService]) -> Response[RoleOut]:
        """Nobody makes a role that allows more than they may themselves: 422 `exceeds_your_own`."""
        role = await roles.create(data)
        return _tagged(role, 201, {"Location": f"/v1/roles/{role.id}"})

    @get("/{role_id:uuid}", guards=[requires("roles:read")], operation_id="GetRole", summary="One role")
    async def show(self, role_id: FromPath[UUID], roles: NamedDependency[RoleService]) -> Response[RoleOut]:
        """One of the system, or of the account's own."""
        return _tagged(await roles.get(role_id))

    @patch(
        "/{role_id:uuid}",
        guards=[requires("roles:update")],
        operation_id="UpdateRole",
        summary="Change a role",
        opt={"problems": {409: ("name_taken", "system_role"), 422: ("exceeds_your_own",)}},
    )
    async def update(
        self,
        role_id: FromPath[UUID],
        data: JSONBody[RolePatch],
        request: ApiRequest,
        roles: NamedDependency[RoleService],
    ) -> Response[RoleOut]:
        """`permissions` are replaced whole. Members and API keys that have the role are held to it at once.

        Neither what it allowed before nor what it allows then may be more than the caller may.
        """
        return _tagged(await roles.patch(role_id, data, if_match(request)))

    @delete(
        "/{role_id:uuid}",
        guards=[requires("roles:delete")],
        operation_id="DeleteRole",
        summary="Delete a role",
        opt={"problems": {409: ("role_in_use", "system_role")}},
    )
    async def remove(self, role_id: FromPath[UUID], request: ApiRequest, roles: NamedDependency[RoleService]) -> None:
        """409 `role_in_use` while members, API keys or open invitations have it."""
        await roles.delete(role_id, if_match(request))
