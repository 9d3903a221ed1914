"""The statements on accounts. Nothing here commits."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.models import Account, Membership, User
from app.lib.filters import FilterField, Kind
from app.lib.pagination import Listing, ListQuery, Page, Sort, fetch_page

_TABLE = Account.__table__

ACCOUNTS = Listing(
    id_column=_TABLE.c.id,
    fields={
        "id": FilterField(Kind.UUID),
        "name": FilterField(Kind.TEXT),
        "parent_id": FilterField(Kind.UUID),
        "status": FilterField(Kind.CHOICE, ("active", "suspended", "closing")),
        "suspended": FilterField(Kind.BOOLEAN),
        "created_at": FilterField(Kind.DATETIME),
        "updated_at": FilterField(Kind.DATETIME),
    },
    columns={
        name: _TABLE.c[name] for name in ("id", "name", "parent_id", "status", "suspended", "created_at", "updated_at")
    },
    sorts={"created_at": Sort(None, str), "name": Sort(_TABLE.c.name, str)},
)


async def page_of_accounts(session: AsyncSession, condition: ColumnElement[bool], query: ListQuery) -> Page[Account]:
    """One page of the accounts that fulfil the condition."""
    return await fetch_page(session, select(Account).where(condition), ACCOUNTS, query)


async def add_account(session: AsyncSession, account: Account, membership: Membership | None) -> None:
    """Store a new account, with its first member if it has one."""
    session.add(account)
    await session.flush()
    if membership is not None:
        session.add(membership)
        await session.flush()


async def lock_account(session: AsyncSession, account_id: UUID) -> Account | None:
    """The account as it is stored now, for one writer at a time until the transaction ends."""
    statement = select(Account).where(Account.id == account_id).with_for_update(key_share=True)
    return await _fresh(session, statement)


async def lock_tree(session: AsyncSession, account: Account) -> None:
    """Let one transaction at a time change which accounts there are in a tree and which of them are suspended.

    Otherwise a sub-account could be made below an account that is being suspended or deleted, and stay open. Read again
    afterwards whatever was read before.
    """
    await session.execute(select(Account.id).where(Account.id == account.path[0]).with_for_update(key_share=True))


async def read_account(session: AsyncSession, account_id: UUID) -> Account | None:
    """The account as it is stored now, whatever this session has read of it before."""
    return await _fresh(session, select(Account).where(Account.id == account_id))


async def has_living_children(session: AsyncSession, account_id: UUID) -> bool:
    """Whether it has sub-accounts that are not deleted themselves."""
    found = select(Account.id).where(Account.parent_id == account_id, Account.status != "closing").limit(1)
    return await session.scalar(found) is not None


async def close_account(session: AsyncSession, account: Account, grace: timedelta) -> None:
    """Begin the time after which it is deleted for good, by the clock of the database."""
    account.status = "closing"
    await session.flush()
    closes_at = update(Account).where(Account.id == account.id).values(closes_at=func.now() + grace)
    await session.execute(closes_at, execution_options={"synchronize_session": False})


async def grace_is_over(session: AsyncSession, account_id: UUID) -> bool:
    """Whether the account may be gone any moment."""
    return await session.scalar(select(Account.closes_at <= func.now()).where(Account.id == account_id)) is True


# From parent to child: see `reach.reachable` about the index on `path`.
_SPREAD = text(
    """
    WITH RECURSIVE below (id, suspended) AS (
        SELECT a.id, a.status <> 'active' OR coalesce(parent.suspended, false)
        FROM accounts a LEFT JOIN accounts parent ON parent.id = a.parent_id WHERE a.id = :id
        UNION ALL
        SELECT child.id, child.status <> 'active' OR below.suspended
        FROM accounts child JOIN below ON below.id = child.parent_id
    )
    UPDATE accounts a SET suspended = below.suspended, updated_at = greatest(now(), a.updated_at + interval '1 us')
    FROM below WHERE a.id = below.id AND a.suspended <> below.suspended
    """
)


async def spread_suspension(session: AsyncSession, account_id: UUID) -> None:
    """Bring `suspended` of the account and of all accounts below it in line with the statuses. Under `lock_tree`."""
    await session.flush()
    await session.execute(_SPREAD, {"id": account_id})


async def find_membership(session: AsyncSession, account_id: UUID, user_id: UUID) -> Membership | None:
    """The user's membership in the account itself, as it is stored now."""
    statement = (
        select(Membership)
        .where(Membership.account_id == account_id, Membership.user_id == user_id)
        .execution_options(populate_existing=True)
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def end_membership(session: AsyncSession, membership: Membership) -> None:
    """Remove it; the account is not the user's default one any more."""
    left = (
        update(User)
        .where(User.id == membership.user_id, User.default_account_id == membership.account_id)
        .values(default_account_id=None, updated_at=User.updated_at)
    )
    await session.execute(left, execution_options={"synchronize_session": False})
    await session.delete(membership)
    await session.flush()


async def list_all_accounts(
    session: AsyncSession, *, below: UUID | None, status: str | None, after: UUID | None, most: int
) -> Sequence[Account]:
    """Accounts of the installation in the order in which they were made, for its operator."""
    statement = select(Account).order_by(Account.id).limit(most)
    if below is not None:
        statement = statement.where(Account.path.contains([below]))
    if status is not None:
        statement = statement.where(Account.status == status)
    if after is not None:
        statement = statement.where(Account.id > after)
    return (await session.execute(statement)).scalars().all()


async def _fresh(session: AsyncSession, statement: Select[tuple[Account]]) -> Account | None:
    return (await session.execute(statement.execution_options(populate_existing=True))).scalar_one_or_none()
