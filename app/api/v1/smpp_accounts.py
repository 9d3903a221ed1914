"""Accounts by which tenants bind to us over SMPP."""

from uuid import UUID

import msgspec
from litestar import Controller, Response, delete, get, patch, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import Container
from app.api.guards import requires
from app.api.preconditions import if_match, tag_of
from app.api.requests import ApiRequest, list_query, refuse_null
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.schemas import Caller
from app.domain.smpp_accounts.credentials import bind_passwords, generate_password
from app.domain.smpp_accounts.repository import LISTING
from app.domain.smpp_accounts.schemas import (
    CLEARABLE,
    SmppAccountCreate,
    SmppAccountMade,
    SmppAccountOut,
    SmppAccountPatch,
)
from app.domain.smpp_accounts.service import SmppAccountService
from app.lib.pagination import Page

_PASSWORDS = bind_passwords()


def provide_smpp_accounts(
    session: NamedDependency[AsyncSession],
    container: NamedDependency[Container],
    caller: NamedDependency[Caller],
    audit: NamedDependency[AuditTrail],
) -> SmppAccountService:
    """The SMPP accounts of the caller's account, in the request's unit of work."""
    return SmppAccountService(
        session,
        caller.account_id,
        channels=container.channels,
        passwords=_PASSWORDS,
        make_password=generate_password,
        audit=audit,
        clock=container.clock,
        new_id=container.new_id,
    )


class SmppAccountController(Controller):
    """`/v1/smpp-accounts`."""

    path = "/v1/smpp-accounts"
    tags = ["smpp accounts"]
    dependencies = {"accounts": Provide(provide_smpp_accounts, sync_to_thread=False)}

    @get(
        "/",
        guards=[requires("smpp_accounts:read")],
        operation_id="ListSmppAccounts",
        summary="List SMPP accounts",
        opt={"listing": LISTING},
    )
    async def index(
        self,
        request: ApiRequest,
        accounts: NamedDependency[SmppAccountService],
    ) -> Page[SmppAccountOut]:
        """Newest first. Filters: name, system_id, channel_id, created_at. Sorts: created_at, name."""
        return await accounts.page(list_query(request, LISTING))

    @post(
        "/",
        guards=[requires("smpp_accounts:create")],
        operation_id="CreateSmppAccount",
        summary="Let an application bind to us",
        opt={"problems": {409: ("name_taken", "system_id_taken")}},
    )
    async def create(
        self,
        data: JSONBody[SmppAccountCreate],
        accounts: NamedDependency[SmppAccountService],
    ) -> Response[SmppAccountMade]:
        """A password that is not given is generated, and shown in this answer only."""
        made = await accounts.create(data)
        location = {"Location": f"/v1/smpp-accounts/{made.id}"}
        return Response(made, status_code=201, headers=tag_of(made.updated_at) | location)

    @get(
        "/{smpp_account_id:uuid}",
        guards=[requires("smpp_accounts:read")],
        operation_id="GetSmppAccount",
        summary="One SMPP account",
    )
    async def show(
        self,
        smpp_account_id: FromPath[UUID],
        accounts: NamedDependency[SmppAccountService],
    ) -> Response[SmppAccountOut]:
        """The ETag follows what its owner decided, not its binds."""
        account = await accounts.get(smpp_account_id)
        return Response(account, headers=tag_of(account.updated_at))

    @patch(
        "/{smpp_account_id:uuid}",
        guards=[requires("smpp_accounts:update")],
        operation_id="UpdateSmppAccount",
        summary="Change an SMPP account",
        opt={"clearable": CLEARABLE, "problems": {409: ("name_taken", "system_id_taken")}},
    )
    async def update(
        self,
        smpp_account_id: FromPath[UUID],
        data: JSONBody[SmppAccountPatch],
        request: ApiRequest,
        accounts: NamedDependency[SmppAccountService],
    ) -> Response[SmppAccountOut]:
        """Live binds take limits over in place; another password or system_id, or `enabled` false, ends them."""
        for field, value in msgspec.structs.asdict(data).items():
            if value is None and field not in CLEARABLE:
                raise refuse_null(f"/{field}")
        account = await accounts.patch(smpp_account_id, data, if_match(request))
        return Response(account, headers=tag_of(account.updated_at))

    @delete(
        "/{smpp_account_id:uuid}",
        guards=[requires("smpp_accounts:delete")],
        operation_id="DeleteSmppAccount",
        summary="End an SMPP account",
    )
    async def remove(
        self,
        smpp_account_id: FromPath[UUID],
        request: ApiRequest,
        accounts: NamedDependency[SmppAccountService],
    ) -> None:
        """Its binds end; the messages it submitted stay and are sent."""
        await accounts.delete(smpp_account_id, if_match(request))

    @post(
        "/{smpp_account_id:uuid}/rotate-password",
        status_code=200,
        guards=[requires("smpp_accounts:update")],
        operation_id="RotateSmppAccountPassword",
        summary="Replace the password",
        opt={"etag": True, "if_match": True},
    )
    async def rotate_password(
        self,
        smpp_account_id: FromPath[UUID],
        request: ApiRequest,
        accounts: NamedDependency[SmppAccountService],
    ) -> Response[SmppAccountMade]:
        """The new password is shown in this answer only; binds made with the old one end."""
        made = await accounts.rotate_password(smpp_account_id, if_match(request))
        return Response(made, headers=tag_of(made.updated_at))
