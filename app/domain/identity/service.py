"""Registering, and what users do with their accounts. Nothing here commits: the unit of work does."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.accounts.schemas import account_out
from app.domain.identity.emails import check_email
from app.domain.identity.models import Account, Membership, Role, User
from app.domain.identity.names import check_name
from app.domain.identity.passwords import check_new_password
from app.domain.identity.permissions import OWNER
from app.domain.identity.repository import (
    add_registration,
    get_account,
    get_api_key,
    get_membership,
    get_user,
    list_memberships,
)
from app.domain.identity.schemas import (
    AccountRef,
    ApiKeyRef,
    BasicContext,
    BasicMembership,
    Caller,
    Context,
    Registered,
    Registration,
    RoleRef,
    membership_out,
    user_out,
)
from app.lib.errors import FieldError, Forbidden, InvalidValue, NotFound
from app.lib.ids import NewId


class IdentityService:
    """Users and their accounts, inside one unit of work."""

    def __init__(self, session: AsyncSession, new_id: NewId) -> None:
        self._session = session
        self._new_id = new_id

    async def register(self, data: Registration, password_hash: str) -> Registered:
        """A new user who owns a new account; `data` has been checked. Raises `Conflict` (`email_taken`)."""
        account_id = self._new_id()
        account = Account(id=account_id, name=data.account_name, path=[account_id])
        user = User(
            id=self._new_id(),
            email=data.email,
            full_name=data.full_name,
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

    async def _user(self, user_id: UUID) -> User:
        user = await get_user(self._session, user_id)
        if user is None:
            raise NotFound("There is no such user.")
        return user

    def _owner(self, user_id: UUID, account_id: UUID) -> Membership:
        return Membership(id=self._new_id(), user_id=user_id, account_id=account_id, role_id=OWNER.id)


def check_registration(data: Registration) -> Registration:
    """The same in the form in which it is stored. Raises `InvalidValue`."""
    errors: list[FieldError] = []
    email = check_email(data.email, errors)
    check_new_password(data.password, email, errors)
    full_name = check_name(data.full_name, "/full_name", errors)
    account_name = check_name(data.account_name, "/account_name", errors)
    if errors:
        raise InvalidValue.of(errors)
    return Registration(email=email, password=data.password, full_name=full_name, account_name=account_name)


def _active(caller: Caller, memberships: list[tuple[Account, Role]]) -> AccountRef:
    for account, _ in memberships:
        if account.id == caller.account_id:
            return AccountRef(account.id, account.name)
    # The membership ended within the seconds a caller is remembered.
    raise Forbidden("You are not a member of this account.", code="not_a_member")
