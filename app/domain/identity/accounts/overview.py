"""An account as the operator of the installation looks at it."""

from uuid import UUID

import msgspec
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.accounts.schemas import AccountOut, account_out
from app.domain.identity.models import Account, Membership, Role, User

MOST_MEMBERS = 50


class AccountAbove(msgspec.Struct, frozen=True):
    """An account by its name."""

    id: UUID
    name: str


class MemberLine(msgspec.Struct, frozen=True):
    """A member and the name of their role."""

    user_id: UUID
    email: str
    role: str


class AccountOverview(msgspec.Struct, frozen=True):
    """`above` begins with the root; `below` counts accounts; `members` are the first ones to join."""

    account: AccountOut
    above: list[AccountAbove]
    below: int
    channels: int
    api_keys: int
    members: list[MemberLine]
    more_members: int


_COUNTS = text(
    """
    SELECT (SELECT count(*) FROM accounts WHERE path @> ARRAY[CAST(:id AS uuid)]) - 1 AS below,
           (SELECT count(*) FROM channels WHERE account_id = :id AND deleted_at IS NULL) AS channels,
           (SELECT count(*) FROM api_keys WHERE account_id = :id) AS api_keys,
           (SELECT count(*) FROM memberships WHERE account_id = :id) AS members
    """
)


async def overview(session: AsyncSession, account: Account) -> AccountOverview:
    """The account with what is around it."""
    above = await session.execute(
        select(Account.id, Account.name)
        .where(Account.id.in_(account.path[:-1]))
        .order_by(func.cardinality(Account.path))
    )
    members = await session.execute(
        select(User.id, User.email, Role.name)
        .select_from(Membership)
        .join(User, User.id == Membership.user_id)
        .join(Role, Role.id == Membership.role_id)
        .where(Membership.account_id == account.id)
        .order_by(Membership.id)
        .limit(MOST_MEMBERS)
    )
    shown = [MemberLine(*row) for row in members]
    counts = (await session.execute(_COUNTS, {"id": account.id})).one()
    return AccountOverview(
        account_out(account),
        [AccountAbove(*row) for row in above],
        counts.below,
        counts.channels,
        counts.api_keys,
        shown,
        counts.members - len(shown),
    )
