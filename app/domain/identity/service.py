"""Registering, and what users do with their accounts. Nothing here commits: the unit of work does."""

import unicodedata
from uuid import UUID

from msgspec import UNSET
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.emails import check_email
from app.domain.identity.models import Account, Membership, Role, User
from app.domain.identity.passwords import Passwords, check_new_password
from app.domain.identity.permissions import OWNER, grants, lacking
from app.domain.identity.repository import (
    add_account,
    add_registration,
    get_account,
    get_api_key,
    get_membership,
    get_user,
    list_accounts,
    list_memberships,
    rename_account,
    rename_user,
)
from app.domain.identity.schemas import (
    AccountCreate,
    AccountOut,
    AccountPatch,
    AccountRef,
    ApiKeyRef,
    BasicContext,
    BasicMembership,
    Caller,
    Context,
    Registered,
    Registration,
    RoleRef,
    UserOut,
    UserPatch,
    account_out,
    membership_out,
    user_out,
)
from app.lib.errors import FieldError, Forbidden, InvalidValue, NotFound
from app.lib.ids import NewId
from app.lib.pagination import ListQuery, Page


class IdentityService:
    """Users and their accounts, inside one unit of work."""

    def __init__(self, session: AsyncSession, new_id: NewId) -> None:
        self._session = session
        self._new_id = new_id

    async def register(self, data: Registration, passwords: Passwords) -> Registered:
        """A new user who owns a new account. Raises `InvalidValue`, `Conflict` (`email_taken`), `TooManyRequests`."""
        errors: list[FieldError] = []
        email = check_email(data.email, errors)
        check_new_password(data.password, email, errors)
        full_name = check_name(data.full_name, "/full_name", errors)
        account_name = check_name(data.account_name, "/account_name", errors)
        if errors:
            raise InvalidValue.of(errors)
        # Hashed before the first statement, so that no connection is held meanwhile.
        password_hash = await passwords.hash(data.password)
        account_id = self._new_id()
        account = Account(id=account_id, name=account_name, path=[account_id])
        user = User(
            id=self._new_id(),
            email=email,
            full_name=full_name,
            password_hash=password_hash,
            default_account_id=account.id,
        )
        await add_registration(self._session, user, account, self._owner(user.id, account.id))
        return Registered(user_out(user), account_out(account))

    async def context(self, caller: Caller) -> Context:
        """The caller with every account, the role there and what it allows; raises `Forbidden` for an API key."""
        user = await self._user(caller.person())
        memberships = await self._memberships(caller)
        return Context(
            user_out(user),
            _active(caller, memberships),
            [membership_out(account, role) for account, role in memberships],
        )

    async def basic_context(self, caller: Caller) -> BasicContext:
        """The same without permissions; for an API key the one account it works in."""
        if caller.user_id is None:
            return await self._key_context(caller)
        context = await self.context(caller)
        return BasicContext(
            context.user,
            None,
            context.active_account,
            [
                BasicMembership(account.id, account.name, account.parent_id, account.status, account.role)
                for account in context.accounts
            ],
        )

    async def _memberships(self, caller: Caller) -> list[tuple[Account, Role]]:
        memberships = await list_memberships(self._session, caller.person())
        if all(account.id != caller.account_id for account, _ in memberships):
            # The active account may be one below those the user is a member of.
            inherited = await get_membership(self._session, caller.person(), caller.account_id)
            if inherited is not None:
                memberships.append(inherited)
        return memberships

    async def _key_context(self, caller: Caller) -> BasicContext:
        key = await get_api_key(self._session, caller.api_key_id)
        account = await get_account(self._session, caller.account_id)
        if key is None or account is None:
            raise Forbidden("This API key belongs to another account.", code="not_a_member")
        role = RoleRef(key.role_id, caller.role_name) if key.role_id is not None else None
        membership = BasicMembership(account.id, account.name, account.parent_id, account.status, role)
        return BasicContext(None, ApiKeyRef(key.id, key.name), AccountRef(account.id, account.name), [membership])

    async def me(self, user_id: UUID) -> UserOut:
        """The user."""
        return user_out(await self._user(user_id))

    async def update_me(self, user_id: UUID, patch: UserPatch) -> UserOut:
        """Change what was sent; raises `InvalidValue`."""
        if patch.full_name is UNSET:
            return await self.me(user_id)
        full_name = _patched_name(patch.full_name, "/full_name")
        user = await rename_user(self._session, user_id, full_name)
        if user is None:
            raise NotFound("There is no such user.")
        return user_out(user)

    async def accounts(self, user_id: UUID, query: ListQuery) -> Page[AccountOut]:
        """One page of the accounts the user is a member of."""
        page = await list_accounts(self._session, user_id, query)
        return Page([account_out(account) for account in page.items], page.next_cursor, page.total)

    async def create_account(self, user_id: UUID, data: AccountCreate) -> AccountOut:
        """A new account, which the user owns.

        Raises `InvalidValue`; a parent without the permission `accounts:create` looks like one that does not exist.
        """
        errors: list[FieldError] = []
        name = check_name(data.name, "/name", errors)
        parent: tuple[Account, Role] | None = None
        if data.parent_id is not None:
            parent = await get_membership(self._session, user_id, data.parent_id)
            if parent is None or parent[0].suspended or not grants(parent[1].permissions, "accounts:create"):
                detail = "There is no such account in which you may create accounts."
                errors.append(FieldError("/parent_id", "not_found", detail))
        if errors:
            raise InvalidValue.of(errors)
        account_id = self._new_id()
        above = [] if data.parent_id is None or parent is None else parent[0].path
        account = Account(id=account_id, name=name, parent_id=data.parent_id, path=[*above, account_id])
        await add_account(self._session, account, self._owner(user_id, account.id))
        return account_out(account)

    async def account(self, user_id: UUID, account_id: UUID) -> AccountOut:
        """One account of the user; raises `NotFound`, `Forbidden`."""
        return account_out(await self._account(user_id, account_id, "accounts:read"))

    async def update_account(self, user_id: UUID, account_id: UUID, patch: AccountPatch) -> AccountOut:
        """Change what was sent; raises `NotFound`, `Forbidden`, `InvalidValue`."""
        account: Account | None = await self._account(user_id, account_id, "accounts:update")
        if account is not None and account.suspended:
            raise Forbidden("This account is suspended.", code="account_suspended")
        if patch.name is not UNSET:
            account = await rename_account(self._session, account_id, _patched_name(patch.name, "/name"))
        if account is None:
            raise _no_account()
        return account_out(account)

    async def _user(self, user_id: UUID) -> User:
        user = await get_user(self._session, user_id)
        if user is None:
            raise NotFound("There is no such user.")
        return user

    async def _account(self, user_id: UUID, account_id: UUID, permission: str) -> Account:
        found = await get_membership(self._session, user_id, account_id)
        if found is None:
            raise _no_account()
        account, role = found
        if not grants(role.permissions, permission):
            raise lacking(permission)
        return account

    def _owner(self, user_id: UUID, account_id: UUID) -> Membership:
        return Membership(id=self._new_id(), user_id=user_id, account_id=account_id, role_id=OWNER.id)


def check_name(text: str, pointer: str, errors: list[FieldError]) -> str:
    """A name as it is stored: NFC, trimmed, 1 to 200 characters; adds an error otherwise."""
    name = unicodedata.normalize("NFC", text).strip()
    if not 1 <= len(name) <= 200:
        errors.append(FieldError(pointer, "wrong_length", "A name has 1 to 200 characters, not only spaces."))
    elif any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        errors.append(FieldError(pointer, "not_allowed", "A name holds no control characters."))
    return name


def _patched_name(value: str | None, pointer: str) -> str:
    if value is None:
        raise InvalidValue.at(pointer, "not_nullable", "This field cannot be cleared.")
    errors: list[FieldError] = []
    name = check_name(value, pointer, errors)
    if errors:
        raise InvalidValue.of(errors)
    return name


def _active(caller: Caller, memberships: list[tuple[Account, Role]]) -> AccountRef:
    for account, _ in memberships:
        if account.id == caller.account_id:
            return AccountRef(account.id, account.name)
    # The membership ended within the seconds a caller is remembered.
    raise Forbidden("You are not a member of this account.", code="not_a_member")


def _no_account() -> NotFound:
    return NotFound("There is no such account.")
