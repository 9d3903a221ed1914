"""The statements on the members of an account. Nothing here commits."""

from datetime import datetime
from typing import Any, cast
from uuid import UUID

import msgspec
from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Bundle

from app.domain.identity.models import Membership, Role, User
from app.lib.db import constraint_of
from app.lib.errors import Conflict
from app.lib.filters import FilterField, Kind
from app.lib.pagination import Listing, ListQuery, Page, Sort, fetch_page

_COLUMNS = {
    "email": User.__table__.c.email,
    "full_name": User.__table__.c.full_name,
    "role_id": Membership.__table__.c.role_id,
    "role": Role.__table__.c.name,
    "joined_at": Membership.__table__.c.created_at,
}

LISTING = Listing(
    id_column=Membership.__table__.c.id,
    fields={
        "email": FilterField(Kind.TEXT),
        "full_name": FilterField(Kind.TEXT),
        "role_id": FilterField(Kind.UUID),
        "role": FilterField(Kind.TEXT),
        "joined_at": FilterField(Kind.DATETIME),
    },
    columns=_COLUMNS,
    # The ids of memberships are in the order of joining.
    sorts={
        "joined_at": Sort(None, datetime),
        "email": Sort(_COLUMNS["email"], str),
        "full_name": Sort(_COLUMNS["full_name"], str),
    },
    default_sort="-joined_at",
)


class Member(msgspec.Struct, frozen=True):
    """A user in an account; `id` is the membership's. `updated_at` is the later of the user's and the membership's."""

    id: UUID
    user_id: UUID
    email: str
    full_name: str
    email_verified_at: datetime | None
    role_id: UUID
    role_name: str
    joined_at: datetime
    created_at: datetime
    updated_at: datetime


def _members(account_id: UUID) -> Select[tuple[Any]]:
    member: Bundle[Any] = Bundle(
        "member",
        Membership.id,
        Membership.user_id,
        User.email,
        User.full_name,
        User.email_verified_at,
        Membership.role_id,
        Role.name.label("role_name"),
        Membership.created_at.label("joined_at"),
        User.created_at,
        func.greatest(User.updated_at, Membership.updated_at).label("updated_at"),
    )
    statement = (
        select(member)
        .select_from(Membership)
        .join(User, User.id == Membership.user_id)
        .join(Role, Role.id == Membership.role_id)
        .where(Membership.account_id == account_id)
    )
    return cast(Select[tuple[Any]], statement)


async def page_of_members(session: AsyncSession, account_id: UUID, query: ListQuery) -> Page[Member]:
    """One page of the account's members."""
    page = await fetch_page(session, _members(account_id), LISTING, query)
    return Page([Member(*row) for row in page.items], page.next_cursor, page.total)


async def get_member(session: AsyncSession, account_id: UUID, user_id: UUID) -> Member | None:
    """One member of the account."""
    row = (await session.execute(_members(account_id).where(Membership.user_id == user_id))).scalar_one_or_none()
    return None if row is None else Member(*row)


async def change_role(session: AsyncSession, member: Member, role_id: UUID, now: datetime) -> None:
    """Give a member another role."""
    await session.execute(update(Membership).where(Membership.id == member.id).values(role_id=role_id, updated_at=now))


async def insert_member(session: AsyncSession, membership: Membership) -> None:
    """Make a user a member; raises `Conflict` (`already_member`)."""
    session.add(membership)
    try:
        await session.flush()
    except IntegrityError as error:
        if constraint_of(error) == "uq_memberships_user_id":
            raise already_member() from error
        raise


def already_member() -> Conflict:
    """The answer to a second membership of one user in one account."""
    return Conflict("This user is already a member of the account.", code="already_member")


async def delete_member(session: AsyncSession, account_id: UUID, member: Member) -> None:
    """End a membership; the account is not what the user's requests go to by default any more."""
    await session.execute(delete(Membership).where(Membership.id == member.id))
    await session.execute(
        update(User)
        .where(User.id == member.user_id, User.default_account_id == account_id)
        .values(default_account_id=None)
    )


async def insert_user(session: AsyncSession, user: User) -> bool:
    """Store a user who joins an account of somebody else's; False when there is one with this address."""
    session.add(user)
    try:
        await session.flush()
    except IntegrityError as error:
        if constraint_of(error) == "uq_users_email":
            return False
        raise
    return True


async def is_member(session: AsyncSession, account_id: UUID, email: str) -> bool:
    """Whether a user with this normalised address is a member of the account."""
    statement = (
        select(func.count())
        .select_from(Membership)
        .join(User, User.id == Membership.user_id)
        .where(Membership.account_id == account_id, User.email == email)
    )
    return bool(await session.scalar(statement))


async def lock_user(session: AsyncSession, user_id: UUID) -> User | None:
    """The user, kept from other writers until the transaction ends."""
    statement = select(User).where(User.id == user_id).with_for_update(key_share=True)
    return (await session.execute(statement, execution_options={"populate_existing": True})).scalar_one_or_none()
