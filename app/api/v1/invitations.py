"""Invitations: how people come into an account."""

from uuid import UUID

from litestar import Controller, Response, delete, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody
from msgspec import UNSET
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.auth import bearer_token
from app.api.deps import Container
from app.api.guards import requires
from app.api.idempotency import HANDED_OVER, answers_in
from app.api.preconditions import if_match, tag_of
from app.api.requests import ApiRequest, list_query
from app.domain.identity.access import IdentityAccess
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.invitations.acceptance import AcceptanceService, NewUser, check_new_user
from app.domain.identity.invitations.repository import LISTING
from app.domain.identity.invitations.schemas import Acceptance, Accepted, InvitationCreate, InvitationOut
from app.domain.identity.invitations.service import InvitationService
from app.domain.identity.schemas import Caller, Origin
from app.lib.errors import InvalidValue, Unauthenticated
from app.lib.pagination import Page


def provide_invitations(
    session: NamedDependency[AsyncSession], caller: NamedDependency[Caller], audit: NamedDependency[AuditTrail]
) -> InvitationService:
    """The invitations into the caller's account, in the request's unit of work."""
    return InvitationService(session, caller, audit)


class InvitationController(Controller):
    """`/v1/invitations`."""

    path = "/v1/invitations"
    tags = ["invitations"]
    dependencies = {"invitations": Provide(provide_invitations, sync_to_thread=False)}

    @get(
        "/",
        guards=[requires("invitations:read")],
        operation_id="ListInvitations",
        summary="List invitations",
        opt={"listing": LISTING},
    )
    async def index(self, request: ApiRequest, invitations: NamedDependency[InvitationService]) -> Page[InvitationOut]:
        """Newest first, with those that were accepted or have expired.

        Filters: email, role_id, invited_by, expires_at, accepted_at, created_at. Sorts: created_at, email.
        """
        return await invitations.page(list_query(request, LISTING))

    @post(
        "/",
        guards=[requires("invitations:create")],
        operation_id="CreateInvitation",
        summary="Invite somebody by e-mail",
        opt={
            "identity": True,
            "problems": {
                403: ("owner_required",),
                409: ("already_member", "too_many_invitations"),
                422: ("exceeds_your_own",),
            },
        },
    )
    async def create(
        self,
        data: JSONBody[InvitationCreate],
        container: NamedDependency[Container],
        invitations: NamedDependency[InvitationService],
    ) -> Response[InvitationOut]:
        """The token is in the mail only. Inviting an address again makes the earlier invitation worthless.

        The role may not allow more than the caller may; only owners offer the role of owners.
        """
        invitation = await invitations.create(
            data,
            envelope=container.envelope,
            new_id=container.new_id,
            seconds=container.settings.identity.invitation_seconds,
            public_url=container.settings.public_url,
        )
        headers = tag_of(invitation.updated_at) | {"Location": f"/v1/invitations/{invitation.id}"}
        return Response(invitation, status_code=201, headers=headers)

    @get(
        "/{invitation_id:uuid}",
        guards=[requires("invitations:read")],
        operation_id="GetInvitation",
        summary="One invitation",
    )
    async def show(
        self, invitation_id: FromPath[UUID], invitations: NamedDependency[InvitationService]
    ) -> Response[InvitationOut]:
        """Without its token, which is not stored."""
        invitation = await invitations.get(invitation_id)
        return Response(invitation, headers=tag_of(invitation.updated_at))

    @delete(
        "/{invitation_id:uuid}",
        guards=[requires("invitations:delete")],
        operation_id="DeleteInvitation",
        summary="Withdraw an invitation",
    )
    async def remove(
        self, invitation_id: FromPath[UUID], request: ApiRequest, invitations: NamedDependency[InvitationService]
    ) -> None:
        """Its token opens nothing any more. Who has accepted it stays a member."""
        await invitations.delete(invitation_id, if_match(request))


class AcceptanceController(Controller):
    """`/v1/invitations/accept`, for users with and without an account, and for those who are none yet."""

    path = "/v1/invitations/accept"
    tags = ["invitations"]
    opt = {"public": True}

    @post(
        "/",
        status_code=200,
        operation_id="AcceptInvitation",
        summary="Join an account by the token of an invitation",
        opt={
            "idempotency": HANDED_OVER,
            "problems": {
                401: ("unauthenticated",),
                403: ("other_address", "account_suspended"),
                404: ("invitation_not_found",),
                409: ("already_member", "email_taken"),
            },
        },
    )
    async def accept(
        self,
        data: JSONBody[Acceptance],
        request: ApiRequest,
        container: NamedDependency[Container],
        identity: NamedDependency[IdentityAccess],
        origin: NamedDependency[Origin],
    ) -> Accepted:
        """Users send their access token, and the invitation must be for their e-mail address, which is verified by it.

        Who is no user yet sends no access token but `full_name` and `password`, becomes a user and can log in.
        """
        bearer = bearer_token(request.scope)
        # The user need not be a member of any account yet, which is what the usual authentication asks for.
        joining = await (_stranger(data, container, identity) if bearer is None else identity.person(bearer, origin.ip))
        # Not the request's own unit of work: that would hold a connection while the password is hashed.
        async with container.database.unit_of_work(identity=True) as session:
            audit = AuditTrail(session, None, origin, container.new_id)
            accepted = await AcceptanceService(session, audit, container.new_id).accept(joining, data.token)
            await answers_in(request)(session, accepted)
        return accepted


async def _stranger(data: Acceptance, container: Container, identity: IdentityAccess) -> NewUser:
    """Who would become a user; raises `Unauthenticated` when they do not want to, or have to do so elsewhere."""
    if data.full_name is UNSET and data.password is UNSET:
        raise Unauthenticated("Log in to accept, or send full_name and password to become a user.")
    if container.settings.cognito.user_pool_id:
        raise Unauthenticated("Register and log in first; then accept the invitation.")
    if data.full_name is UNSET or data.password is UNSET:
        pointer = "/full_name" if data.full_name is UNSET else "/password"
        raise InvalidValue.at(pointer, "missing_field", "Who becomes a user needs a name and a password.")
    return await check_new_user(container.database, identity.passwords, data.token, data.full_name, data.password)
