"""Which accounts a caller reaches, and what they may do there: the same for users and for API keys.

A role counts in the account it is held in and, where it has `sub_accounts:access`, in every account below.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, any_, func, or_, select, true
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from app.domain.identity.models import Account, ApiKey, Membership, Role
from app.domain.identity.permissions import Permissions, flatten, lacking, reading_only
from app.domain.identity.repository import get_membership
from app.domain.identity.schemas import Caller
from app.lib.errors import Forbidden, NotFound

_GRANTED = func.coalesce(ApiKey.permissions, Role.permissions)
"""What an API key grants: permissions of its own, or its role's."""

_INHERITED: dict[str, Any] = {"sub_accounts": ["access"]}
_LISTED: dict[str, Any] = {"sub_accounts": ["access"], "accounts": ["read"]}


class Reached:
    """An account, and what the caller's role in it grants while it is not suspended."""

    __slots__ = ("account", "granted")

    def __init__(self, account: Account, granted: frozenset[str]) -> None:
        self.account = account
        self.granted = granted

    def demand(self, permission: str) -> None:
        """Raises `Forbidden` (`missing_permission`, `account_suspended`) unless the caller may do this here now."""
        allowed = reading_only(self.granted) if self.account.suspended else self.granted
        if permission not in allowed:
            raise lacking(permission, self.account.suspended)


async def role_in(session: AsyncSession, caller: Caller, account_id: UUID) -> Reached | None:
    """The account and what the caller may do in it; None for one that they do not reach, or that does not exist."""
    if caller.user_id is not None:
        membership = await get_membership(session, caller.user_id, account_id)
        return None if membership is None else Reached(membership[0], flatten(membership[1].permissions))
    statement = (
        select(Account, _GRANTED)
        .select_from(ApiKey)
        .outerjoin(Role, Role.id == ApiKey.role_id)
        .join(Account, Account.id == account_id)
        .where(ApiKey.id == caller.api_key_id)
        .where(
            or_(
                Account.id == ApiKey.account_id,
                and_(ApiKey.account_id == any_(Account.path), _GRANTED.contains(_INHERITED)),
            )
        )
    )
    row = (await session.execute(statement)).one_or_none()
    return None if row is None else Reached(row[0], flatten(row[1]))


async def reach(session: AsyncSession, caller: Caller, account_id: UUID, permission: str) -> Account:
    """The account, in which the caller may do this now. Raises `NotFound`, `Forbidden`."""
    reached = await role_in(session, caller, account_id)
    if reached is None:
        raise no_account()
    reached.demand(permission)
    return reached.account


async def reach_from_above(session: AsyncSession, caller: Caller, account_id: UUID, permission: str) -> Account:
    """The account, over which the caller has the permission by a role in an account above it that is not suspended.

    What is decided about an account, and not by it. Raises `NotFound`, `Forbidden` (`parent_required`).
    """
    reached = await role_in(session, caller, account_id)
    if reached is None:
        raise no_account()
    for account, permissions in await _roles_above(session, caller, reached.account):
        if not account.suspended and permission in flatten(permissions):
            return reached.account
    raise Forbidden(
        f"This is decided in an account above: it takes a role there with {permission} and sub_accounts:access.",
        code="parent_required",
    )


def reachable(caller: Caller) -> ColumnElement[bool]:
    """The condition on `Account` that the caller sees it in lists.

    What lies below is found from parent to child, by an index whose comparison is leakproof: row-level security lets
    the role of the API use no other, not the one on `path` either.
    """
    if caller.user_id is not None:
        own = (
            select(Membership.account_id.label("id"), Role.permissions.contains(_LISTED).label("with_below"))
            .join(Role, Role.id == Membership.role_id)
            .where(Membership.user_id == caller.user_id)
        )
    else:
        own = (
            select(ApiKey.account_id.label("id"), _GRANTED.contains(_LISTED).label("with_below"))
            .outerjoin(Role, Role.id == ApiKey.role_id)
            .where(ApiKey.id == caller.api_key_id)
        )
    reached = own.cte("reached", recursive=True)
    child = aliased(Account)
    # A union that drops doubles: memberships may lie below one another.
    reached = reached.union(
        select(child.id, true()).join(reached, child.parent_id == reached.c.id).where(reached.c.with_below)
    )
    return Account.id == any_(func.array(select(reached.c.id).scalar_subquery()))


def no_account() -> NotFound:
    """The answer for an account that the caller does not reach."""
    return NotFound("There is no such account.")


async def _roles_above(session: AsyncSession, caller: Caller, account: Account) -> list[tuple[Account, Permissions]]:
    """The caller's roles in the accounts above that count below, with their accounts."""
    above = account.path[:-1]
    if caller.user_id is not None:
        statement: Select[Any] = (
            select(Account, Role.permissions)
            .join(Membership, Membership.account_id == Account.id)
            .join(Role, Role.id == Membership.role_id)
            .where(Membership.user_id == caller.user_id, Role.permissions.contains(_INHERITED))
        )
    else:
        statement = (
            select(Account, _GRANTED)
            .join(ApiKey, true())
            .outerjoin(Role, Role.id == ApiKey.role_id)
            .where(ApiKey.id == caller.api_key_id, Account.id == ApiKey.account_id, _GRANTED.contains(_INHERITED))
        )
    rows = await session.execute(statement.where(Account.id.in_(above)))
    return [(row[0], row[1]) for row in rows]
