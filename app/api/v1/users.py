"""Users: who is asking, and the members of the active account."""

from uuid import UUID

from litestar import Controller, Response, delete, get, patch
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import Container
from app.api.guards import requires, signed_in
from app.api.preconditions import if_match, tag_of
from app.api.requests import ApiRequest, list_query
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.members.profile import ProfileService
from app.domain.identity.members.repository import LISTING
from app.domain.identity.members.schemas import MemberOut, MemberPatch, ProfileOut, ProfilePatch
from app.domain.identity.members.service import MemberService
from app.domain.identity.schemas import Caller
from app.lib.pagination import Page


def provide_profile(
    session: NamedDependency[AsyncSession],
    container: NamedDependency[Container],
    caller: NamedDependency[Caller],
    audit: NamedDependency[AuditTrail],
) -> ProfileService:
    """The user who is asking, in the request's unit of work."""
    return ProfileService(session, caller, audit, clock=container.clock)


def provide_members(
    session: NamedDependency[AsyncSession],
    container: NamedDependency[Container],
    caller: NamedDependency[Caller],
    audit: NamedDependency[AuditTrail],
) -> MemberService:
    """The members of the caller's account, in the request's unit of work."""
    return MemberService(session, caller, audit, clock=container.clock)


class UserController(Controller):
    """`/v1/users/me`: the user who is asking."""

    path = "/v1/users/me"
    tags = ["users"]
    opt = {"identity": True}
    dependencies = {"profile": Provide(provide_profile, sync_to_thread=False)}

    @get("/", guards=[signed_in], operation_id="GetMe", summary="The user who is asking", opt={"etag": True})
    async def show(self, profile: NamedDependency[ProfileService]) -> Response[ProfileOut]:
        """The caller's own user."""
        me = await profile.get()
        return Response(me, headers=tag_of(me.updated_at))

    @patch(
        "/",
        guards=[signed_in],
        operation_id="UpdateMe",
        summary="Change the user who is asking",
        opt={"etag": True, "if_match": True, "clearable": ("default_account_id",)},
    )
    async def update(
        self, data: JSONBody[ProfilePatch], request: ApiRequest, profile: NamedDependency[ProfileService]
    ) -> Response[ProfileOut]:
        """Changes the fields that are sent (JSON merge patch).

        The default account is where requests without `X-Account-Id` go; null leaves it to us.
        """
        me = await profile.patch(data, if_match(request))
        return Response(me, headers=tag_of(me.updated_at))


class MemberController(Controller):
    """`/v1/users`: the members of the active account."""

    path = "/v1/users"
    tags = ["users"]
    opt = {"identity": True}
    dependencies = {"members": Provide(provide_members, sync_to_thread=False)}

    @get(
        "/",
        guards=[requires("users:read")],
        operation_id="ListUsers",
        summary="The members of the active account",
        opt={"listing": LISTING},
    )
    async def index(self, request: ApiRequest, members: NamedDependency[MemberService]) -> Page[MemberOut]:
        """Who joined last comes first. Filters: email, full_name, role, role_id, joined_at; sorts: joined_at, email,
        full_name.

        Who has access only through an account above this one is not among them.
        """
        return await members.page(list_query(request, LISTING))

    @get("/{user_id:uuid}", guards=[requires("users:read")], operation_id="GetUser", summary="One member")
    async def show(self, user_id: FromPath[UUID], members: NamedDependency[MemberService]) -> Response[MemberOut]:
        """404 for a user who is no member of the active account."""
        member = await members.get(user_id)
        return Response(member, headers=tag_of(member.updated_at))

    @patch(
        "/{user_id:uuid}",
        guards=[requires("users:update")],
        operation_id="UpdateUser",
        summary="Give a member another role",
        opt={"problems": {403: ("owner_required",), 409: ("last_owner",), 422: ("exceeds_your_own",)}},
    )
    async def update(
        self,
        user_id: FromPath[UUID],
        data: JSONBody[MemberPatch],
        request: ApiRequest,
        members: NamedDependency[MemberService],
    ) -> Response[MemberOut]:
        """The role is named by `role` or `role_id`. Neither the old one nor the new one may allow more than the caller
        may (422 `exceeds_your_own`); only an owner makes or unmakes an owner; 409 `last_owner` for the last one.
        """
        member = await members.patch(user_id, data, if_match(request))
        return Response(member, headers=tag_of(member.updated_at))

    @delete(
        "/{user_id:uuid}",
        guards=[requires("users:delete")],
        operation_id="RemoveUser",
        summary="End a membership",
        opt={"problems": {403: ("owner_required", "exceeds_your_own"), 409: ("last_owner",)}},
    )
    async def remove(
        self, user_id: FromPath[UUID], request: ApiRequest, members: NamedDependency[MemberService]
    ) -> None:
        """The user stays a user, and a member of other accounts; API keys they made stay the account's."""
        await members.remove(user_id, if_match(request))
