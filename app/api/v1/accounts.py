"""Accounts: the tenants a user belongs to."""

from uuid import UUID

from litestar import Controller, Response, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import Container
from app.api.guards import requires_in_target, signed_in
from app.api.requests import ApiRequest, list_query
from app.domain.identity.repository import ACCOUNTS
from app.domain.identity.schemas import AccountCreate, AccountOut, AccountPatch, Caller
from app.domain.identity.service import IdentityService
from app.lib.pagination import Page


class AccountController(Controller):
    """`/v1/accounts`."""

    path = "/v1/accounts"
    tags = ["accounts"]
    opt = {"identity": True}

    @get("/", guards=[signed_in], operation_id="ListAccounts", summary="The accounts the user belongs to")
    async def index(
        self, request: ApiRequest, container: NamedDependency[Container], caller: NamedDependency[Caller]
    ) -> Page[AccountOut]:
        """Newest first. Filters: id, name, parent_id, status, created_at, updated_at; sorts: created_at, name."""
        query = list_query(request, ACCOUNTS)
        async with container.database.reading(caller.account_id, identity=True) as session:
            return await IdentityService(session, container.new_id).accounts(caller.person(), query)

    @post("/", guards=[signed_in], operation_id="CreateAccount", summary="Create an account or a sub-account")
    async def create(
        self,
        data: JSONBody[AccountCreate],
        session: NamedDependency[AsyncSession],
        container: NamedDependency[Container],
        caller: NamedDependency[Caller],
    ) -> Response[AccountOut]:
        """The caller owns it. A sub-account needs `accounts:create` in its parent."""
        account = await IdentityService(session, container.new_id).create_account(caller.person(), data)
        return Response(account, status_code=201, headers={"Location": f"/v1/accounts/{account.id}"})

    @get(
        "/{account_id:uuid}",
        guards=[requires_in_target("accounts:read")],
        operation_id="GetAccount",
        summary="One account",
    )
    async def show(
        self,
        account_id: FromPath[UUID],
        container: NamedDependency[Container],
        caller: NamedDependency[Caller],
    ) -> AccountOut:
        """404 for an account the caller does not belong to."""
        async with container.database.reading(caller.account_id, identity=True) as session:
            return await IdentityService(session, container.new_id).account(caller.person(), account_id)

    @patch(
        "/{account_id:uuid}",
        guards=[requires_in_target("accounts:update")],
        operation_id="UpdateAccount",
        summary="Change an account",
    )
    async def update(
        self,
        account_id: FromPath[UUID],
        data: JSONBody[AccountPatch],
        session: NamedDependency[AsyncSession],
        container: NamedDependency[Container],
        caller: NamedDependency[Caller],
    ) -> AccountOut:
        """Changes the fields that are sent (JSON merge patch)."""
        return await IdentityService(session, container.new_id).update_account(caller.person(), account_id, data)
