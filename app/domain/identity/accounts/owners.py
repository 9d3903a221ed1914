"""An account always keeps an owner: whoever takes an owner away asks here first. Nothing here commits."""

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.models import Account, Membership
from app.domain.identity.permissions import OWNER
from app.lib.errors import Conflict


async def lock_owners(session: AsyncSession, account_id: UUID) -> None:
    """Let one transaction at a time change who owns the account, until it ends.

    Two owners who leave at once would each still see the other. Call it before anything about the memberships is read:
    what was read earlier may be out of date once the lock is held.
    """
    # The row of the account, because it is always there; the weaker lock, because a new row that refers to the account
    # (a message, a channel) need not wait.
    await session.execute(select(Account.id).where(Account.id == account_id).with_for_update(key_share=True))


async def count_owners(session: AsyncSession, account_id: UUID, *, except_user: UUID | None = None) -> int:
    """How many members of the account have the system role `owner`, one of them perhaps left out."""
    statement = select(func.count()).where(Membership.account_id == account_id, Membership.role_id == OWNER.id)
    if except_user is not None:
        statement = statement.where(Membership.user_id != except_user)
    return await session.scalar(statement) or 0


async def keep_an_owner(session: AsyncSession, account_id: UUID, leaving: UUID) -> None:
    """Raises `Conflict` (`last_owner`) unless the account has an owner besides the user `leaving`.

    Call it under `lock_owners`, and only when that user is an owner.
    """
    if await count_owners(session, account_id, except_user=leaving) == 0:
        raise Conflict("The last owner cannot leave: transfer the ownership or delete the account.", code="last_owner")
