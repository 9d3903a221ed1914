"""Accounts: tenants, and the sub-accounts below them."""

from datetime import timedelta
from uuid import UUID

from litestar import Controller, Response, delete, get, patch, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import Container
from app.api.guards import any_caller, requires_in_target, signed_in
from app.api.preconditions import if_match, tag_of
from app.api.requests import ApiRequest, list_query
from app.domain.identity.accounts.lifecycle import AccountLifecycle
from app.domain.identity.accounts.repository import ACCOUNTS
from app.domain.identity.accounts.schemas import AccountCreate, AccountOut, AccountPatch, OwnershipTransfer
from app.domain.identity.accounts.service import AccountService
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.schemas import Caller
from app.lib.pagination import Page


def _tagged(account: AccountOut, status_code: int = 200, headers: dict[str, str] | None = None) -> Response[AccountOut]:
    return Response(account, status_code=status_code, headers=tag_of(account.updated_at) | (headers or {}))


def provide_accounts(
    session: NamedDependency[AsyncSession],
    container: NamedDependency[Container],
    caller: NamedDependency[Caller],
    audit: NamedDependency[AuditTrail],
) -> AccountService:
    """The accounts that the caller reaches, in the request's unit of work."""
    return AccountService(session, caller, audit, clock=container.clock, new_id=container.new_id)


def provide_lifecycle(
    session: NamedDependency[AsyncSession],
    container: NamedDependency[Container],
    caller: NamedDependency[Caller],
    audit: NamedDependency[AuditTrail],
) -> AccountLifecycle:
    """What suspends and deletes them, in the request's unit of work."""
    return AccountLifecycle(session, caller, audit, container.clock)


class AccountController(Controller):
    """`/v1/accounts`."""

    path = "/v1/accounts"
    tags = ["accounts"]
    opt = {"identity": True}
    dependencies = {
        "accounts": Provide(provide_accounts, sync_to_thread=False),
        "lifecycle": Provide(provide_lifecycle, sync_to_thread=False),
    }

    @get(
        "/",
        guards=[any_caller],
        operation_id="ListAccounts",
        summary="The accounts the caller reaches",
        opt={"listing": ACCOUNTS},
    )
    async def index(self, request: ApiRequest, accounts: NamedDependency[AccountService]) -> Page[AccountOut]:
        """Those the user is a member of or the API key belongs to, and all below those where the role has
        `sub_accounts:access` and `accounts:read`.

        Newest first. Filters: id, name, parent_id, status, suspended, created_at, updated_at; sorts: created_at, name.
        """
        return await accounts.page(list_query(request, ACCOUNTS))

    @post("/", guards=[any_caller], operation_id="CreateAccount", summary="Create an account or a sub-account")
    async def create(
        self, data: JSONBody[AccountCreate], accounts: NamedDependency[AccountService]
    ) -> Response[AccountOut]:
        """The user who makes it owns it. A sub-account needs `accounts:create` in its parent, and can be one of up to
        16 levels; an API key can make sub-accounts only.
        """
        account = await accounts.create(data)
        return _tagged(account, 201, {"Location": f"/v1/accounts/{account.id}"})

    @get(
        "/{account_id:uuid}",
        guards=[requires_in_target("accounts:read")],
        operation_id="GetAccount",
        summary="One account",
    )
    async def show(self, account_id: FromPath[UUID], accounts: NamedDependency[AccountService]) -> Response[AccountOut]:
        """404 for an account the caller does not reach."""
        return _tagged(await accounts.get(account_id))

    @patch(
        "/{account_id:uuid}",
        guards=[requires_in_target("accounts:update")],
        operation_id="UpdateAccount",
        summary="Change an account",
        opt={"clearable": ("settings",)},
    )
    async def update(
        self,
        account_id: FromPath[UUID],
        data: JSONBody[AccountPatch],
        request: ApiRequest,
        accounts: NamedDependency[AccountService],
    ) -> Response[AccountOut]:
        """Changes the fields that are sent (JSON merge patch); null takes a setting away."""
        return _tagged(await accounts.patch(account_id, data, if_match(request)))

    @delete(
        "/{account_id:uuid}",
        guards=[requires_in_target("accounts:delete")],
        operation_id="DeleteAccount",
        summary="Delete an account",
        opt={"problems": {409: ("account_closing",)}},
    )
    async def remove(
        self,
        account_id: FromPath[UUID],
        request: ApiRequest,
        container: NamedDependency[Container],
        lifecycle: NamedDependency[AccountLifecycle],
    ) -> None:
        """It is suspended at once, and at `closes_at` deleted for good with its data; until then it can be restored.

        409 `has_sub_accounts` while it has any that are not deleted.
        """
        grace = timedelta(days=container.settings.identity.account_grace_days)
        await lifecycle.close(account_id, grace, if_match(request))

    @post(
        "/{account_id:uuid}/restore",
        status_code=200,
        guards=[requires_in_target("accounts:delete")],
        operation_id="RestoreAccount",
        summary="Bring a deleted account back",
        opt={"etag": True, "problems": {409: ("parent_closing",)}},
    )
    async def restore(
        self, account_id: FromPath[UUID], lifecycle: NamedDependency[AccountLifecycle]
    ) -> Response[AccountOut]:
        """409 `grace_over` after `closes_at`."""
        return _tagged(await lifecycle.restore(account_id))

    @post(
        "/{account_id:uuid}/suspend",
        status_code=200,
        guards=[requires_in_target("accounts:update")],
        operation_id="SuspendAccount",
        summary="Suspend a sub-account and all below it",
        opt={"etag": True, "problems": {403: ("parent_required",), 409: ("account_closing",)}},
    )
    async def suspend(
        self, account_id: FromPath[UUID], lifecycle: NamedDependency[AccountLifecycle]
    ) -> Response[AccountOut]:
        """They can be read and not changed, and nothing is sent: what is queued waits.

        Needs `accounts:update` and `sub_accounts:access` in an account above it.
        """
        return _tagged(await lifecycle.suspend(account_id))

    @post(
        "/{account_id:uuid}/resume",
        status_code=200,
        guards=[requires_in_target("accounts:update")],
        operation_id="ResumeAccount",
        summary="End the suspension of a sub-account",
        opt={"etag": True, "problems": {403: ("parent_required",), 409: ("account_closing",)}},
    )
    async def resume(
        self, account_id: FromPath[UUID], lifecycle: NamedDependency[AccountLifecycle]
    ) -> Response[AccountOut]:
        """What waited is sent. Needs what suspending needs."""
        return _tagged(await lifecycle.resume(account_id))

    @post(
        "/{account_id:uuid}/transfer-ownership",
        status_code=200,
        guards=[signed_in],
        operation_id="TransferOwnership",
        summary="Make another member the owner",
        opt={"etag": True},
    )
    async def transfer_ownership(
        self,
        account_id: FromPath[UUID],
        data: JSONBody[OwnershipTransfer],
        accounts: NamedDependency[AccountService],
    ) -> Response[AccountOut]:
        """The caller, an owner of this very account, becomes an admin."""
        return _tagged(await accounts.transfer_ownership(account_id, data))

    @post(
        "/{account_id:uuid}/leave",
        status_code=204,
        guards=[signed_in],
        operation_id="LeaveAccount",
        summary="End one's own membership",
        opt={"problems": {409: ("not_a_member",)}},
    )
    async def leave(self, account_id: FromPath[UUID], accounts: NamedDependency[AccountService]) -> None:
        """409 `last_owner` for the last owner: transfer the ownership first, or delete the account."""
        await accounts.leave(account_id)
