"""Accounts and sub-accounts: making, showing and changing them, and who owns them. Nothing here commits."""

from collections.abc import Collection
from uuid import UUID

import msgspec
from msgspec import UNSET
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.channels.merge_patch import merge_patch
from app.domain.identity.accounts.events import announce_defaults
from app.domain.identity.accounts.owners import keep_an_owner, lock_owners
from app.domain.identity.accounts.reach import Reached, no_account, reach, reachable, role_in
from app.domain.identity.accounts.repository import (
    add_account,
    end_membership,
    find_membership,
    lock_account,
    lock_tree,
    page_of_accounts,
    read_account,
)
from app.domain.identity.accounts.schemas import (
    AccountCreate,
    AccountOut,
    AccountPatch,
    Ownership,
    OwnershipTransfer,
    account_out,
)
from app.domain.identity.accounts.settings import (
    AccountSettings,
    SettingsPatch,
    check_settings,
    sending_defaults,
    settings_document,
    stored_settings,
)
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.events import announce_change
from app.domain.identity.models import Account, Membership
from app.domain.identity.names import check_name, patched_name
from app.domain.identity.permissions import ADMIN, OWNER, lacking
from app.domain.identity.schemas import Caller
from app.lib.clock import Clock
from app.lib.errors import Conflict, FieldError, Forbidden, InvalidValue
from app.lib.ids import NewId
from app.lib.pagination import ListQuery, Page
from app.lib.problems import field_error
from app.lib.versions import changed_at, check_version

MAX_LEVELS = 16
"""How deep accounts may nest, the root counted."""


class AccountService:
    """The accounts that one caller reaches, inside one unit of work.

    Methods raise `NotFound` for an account that the caller does not reach, `Forbidden` for what they may not do there
    or not while it is suspended, `InvalidValue` with pointers into the body, and `PreconditionFailed` when `if_match`
    holds versions and none of them is the stored one.
    """

    def __init__(
        self, session: AsyncSession, caller: Caller, audit: AuditTrail, *, clock: Clock, new_id: NewId
    ) -> None:
        self._session = session
        self._caller = caller
        self._audit = audit
        self._clock = clock
        self._new_id = new_id

    async def page(self, query: ListQuery) -> Page[AccountOut]:
        """One page of the accounts that the caller reaches."""
        page = await page_of_accounts(self._session, reachable(self._caller), query)
        return Page([account_out(account) for account in page.items], page.next_cursor, page.total)

    async def get(self, account_id: UUID) -> AccountOut:
        """One account."""
        return account_out(await reach(self._session, self._caller, account_id, "accounts:read"))

    async def create(self, data: AccountCreate) -> AccountOut:
        """A new account, which the user owns; one made by an API key belongs to those who reach it from above.

        A parent without the permission `accounts:create` looks like one that does not exist.
        """
        errors: list[FieldError] = []
        name = check_name(data.name, "/name", errors)
        check_settings(data.settings, "/settings", errors)
        parent = await self._parent(data.parent_id, errors)
        if errors:
            raise InvalidValue.of(errors)
        account_id, now = self._new_id(), self._clock()
        account = Account(
            id=account_id,
            name=name,
            parent_id=data.parent_id,
            path=[*(parent.path if parent is not None else ()), account_id],
            settings=settings_document(data.settings),
            created_at=now,
            updated_at=now,
        )
        owner = None
        if self._caller.user_id is not None:
            owner = Membership(id=self._new_id(), user_id=self._caller.user_id, account_id=account_id, role_id=OWNER.id)
        await add_account(self._session, account, owner)
        made = account_out(account)
        await self._audit.record(account_id, "created", "account", account_id, after=made)
        # Somebody may have been refused a moment ago, for this account or for having none.
        await announce_change(self._session)
        return made

    async def patch(self, account_id: UUID, data: AccountPatch, if_match: Collection[str] | None = None) -> AccountOut:
        """Change what is sent. A change of nothing keeps the version."""
        await reach(self._session, self._caller, account_id, "accounts:update")
        account = await lock_account(self._session, account_id)
        if account is None:
            raise no_account()
        if account.suspended:
            raise lacking("accounts:update", suspended=True)
        check_version(account.updated_at, if_match, "account")
        before = account_out(account)
        name = account.name if data.name is UNSET else patched_name(data.name, "/name")
        settings = account.settings if data.settings is UNSET else _patched(account, data.settings)
        if (name, settings) == (account.name, account.settings):
            return before
        defaults = sending_defaults(account.settings)
        account.name, account.settings = name, settings
        account.updated_at = changed_at(self._clock(), account.updated_at)
        await self._session.flush()
        after = account_out(account)
        await self._audit.record(account_id, "updated", "account", account_id, before=before, after=after)
        if sending_defaults(settings) != defaults:
            await announce_defaults(self._session)
        return after

    async def transfer_ownership(self, account_id: UUID, data: OwnershipTransfer) -> AccountOut:
        """Make another member the owner, and the caller, who is one, an admin."""
        user_id = self._caller.person()
        await lock_owners(self._session, account_id)
        account = await reach(self._session, self._caller, account_id, "accounts:delete")
        mine = await find_membership(self._session, account_id, user_id)
        if mine is None or mine.role_id != OWNER.id:
            raise Forbidden("Only an owner of this very account can give it away.", code="owner_required")
        if data.user_id == user_id:
            raise InvalidValue.at("/user_id", "not_allowed", "You own this account already.")
        theirs = await find_membership(self._session, account_id, data.user_id)
        if theirs is None:
            raise InvalidValue.at("/user_id", "not_found", "There is no such member of this account.")
        theirs.role_id, mine.role_id = OWNER.id, ADMIN.id
        await self._session.flush()
        await self._audit.record(
            account_id,
            "ownership_transferred",
            "account",
            account_id,
            before=Ownership(user_id, OWNER.name),
            after=Ownership(data.user_id, OWNER.name),
        )
        await announce_change(self._session)
        return account_out(account)

    async def leave(self, account_id: UUID) -> None:
        """End the caller's own membership. Raises `Conflict`: `last_owner`, or `not_a_member` of the account itself."""
        user_id = self._caller.person()
        await lock_owners(self._session, account_id)
        reached = await self._reached(account_id)
        if reached.account.suspended:
            raise lacking("users:delete", suspended=True)
        membership = await find_membership(self._session, account_id, user_id)
        if membership is None:
            raise Conflict("You reach this account from one above it; leave that one.", code="not_a_member")
        if membership.role_id == OWNER.id:
            await keep_an_owner(self._session, account_id, user_id)
        await end_membership(self._session, membership)
        await self._audit.record(account_id, "left", "account", account_id)
        await announce_change(self._session)

    async def _reached(self, account_id: UUID) -> Reached:
        reached = await role_in(self._session, self._caller, account_id)
        if reached is None:
            raise no_account()
        return reached

    async def _parent(self, parent_id: UUID | None, errors: list[FieldError]) -> Account | None:
        if parent_id is None:
            if self._caller.user_id is None:
                detail = "An API key makes sub-accounts: name the account above."
                errors.append(FieldError("/parent_id", "missing_field", detail))
            return None
        reached = await role_in(self._session, self._caller, parent_id)
        if reached is None or "accounts:create" not in reached.granted:
            detail = "There is no such account in which you may create accounts."
            errors.append(FieldError("/parent_id", "not_found", detail))
            return None
        await lock_tree(self._session, reached.account)
        parent = await read_account(self._session, parent_id)
        if parent is None:
            raise no_account()
        if parent.suspended:
            raise lacking("accounts:create", suspended=True)
        if len(parent.path) >= MAX_LEVELS:
            detail = f"Accounts nest {MAX_LEVELS} levels at most, and this one is on the last."
            errors.append(FieldError("/parent_id", "too_deep", detail))
        return parent


def _patched(account: Account, patch: SettingsPatch | None) -> dict[str, object]:
    """The settings as they are to be stored; raises `InvalidValue`."""
    if patch is None:
        return {}
    current = settings_document(stored_settings(account.settings))
    merged = merge_patch(current, msgspec.to_builtins(patch), "/settings")
    try:
        settings = msgspec.convert(merged, AccountSettings)
    except msgspec.ValidationError as error:
        raise InvalidValue.of([field_error(error, prefix="/settings")]) from error
    errors: list[FieldError] = []
    check_settings(settings, "/settings", errors)
    if errors:
        raise InvalidValue.of(errors)
    return settings_document(settings)
