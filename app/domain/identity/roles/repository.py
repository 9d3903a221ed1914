"""The statements on roles: an account has those of the system and its own. Nothing here commits."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.models import ApiKey, Invitation, Membership, Role
from app.lib.db import Scope, constraint_of
from app.lib.errors import Conflict
from app.lib.filters import FilterField, Kind
from app.lib.pagination import Listing, ListQuery, Page, Sort, fetch_page

_TABLE = Role.__table__

LISTING = Listing(
    id_column=_TABLE.c.id,
    fields={
        "name": FilterField(Kind.TEXT),
        "system": FilterField(Kind.BOOLEAN),
        "created_at": FilterField(Kind.DATETIME),
    },
    columns={
        "name": _TABLE.c.name,
        "system": _TABLE.c.account_id.is_(None),
        "created_at": _TABLE.c.created_at,
    },
    sorts={"created_at": Sort(None, datetime), "name": Sort(_TABLE.c.name, str)},
    # Those of the system first.
    default_sort="created_at",
)


class RoleUses(msgspec.Struct, frozen=True):
    """How many members, API keys and open invitations have a role."""

    members: int
    api_keys: int
    invitations: int


def _in_account(account_id: UUID) -> ColumnElement[bool]:
    return or_(Role.account_id.is_(None), Role.account_id == account_id)


async def page_of_roles(session: AsyncSession, account_id: UUID, query: ListQuery) -> Page[Role]:
    """One page of the roles that the account has."""
    return await fetch_page(session, select(Role).where(_in_account(account_id)), LISTING, query)


async def get_role(session: AsyncSession, account_id: UUID, role_id: UUID) -> Role | None:
    """One role that the account has."""
    return (await session.execute(select(Role).where(_in_account(account_id), Role.id == role_id))).scalar_one_or_none()


async def lock_role(session: AsyncSession, account_id: UUID, role_id: UUID) -> Role | None:
    """A role of the account's own, kept from other writers and from being given to anybody."""
    statement = select(Role).where(Role.account_id == account_id, Role.id == role_id).with_for_update()
    return (await session.execute(statement, execution_options={"populate_existing": True})).scalar_one_or_none()


async def hold_role(session: AsyncSession, account_id: UUID, wanted: UUID | str) -> Role | None:
    """A role that the account has, by id or by name, kept from being deleted until the transaction ends."""
    which = Role.id == wanted if isinstance(wanted, UUID) else Role.name == wanted
    statement = select(Role).where(_in_account(account_id), which).with_for_update(read=True, key_share=True)
    return (await session.execute(statement)).scalar_one_or_none()


async def roles_by_id(session: AsyncSession, role_ids: Collection[UUID]) -> dict[UUID, Role]:
    """Roles by their ids, for a list of what has them."""
    if not role_ids:
        return {}
    rows = await session.execute(select(Role).where(Role.id.in_(role_ids)))
    return {role.id: role for role in rows.scalars()}


async def insert_role(session: AsyncSession, role: Role) -> None:
    """Store a new role; raises `Conflict` when the account has one of that name."""
    session.add(role)
    await save_roles(session)


async def save_roles(session: AsyncSession) -> None:
    """Write what changed; raises `Conflict` when another role of the account has the name."""
    try:
        await session.flush()
    except IntegrityError as error:
        if constraint_of(error) == "uq_roles_account_id_name":
            raise name_taken() from error
        raise


def name_taken() -> Conflict:
    """The answer to a second role of one name."""
    return Conflict("Another role of this account has that name.", code="name_taken")


async def uses_of(session: AsyncSession, scope: Scope, role_id: UUID) -> RoleUses:
    """Who has the role now; call `lock_role` first. Invitations that expired or were accepted do not count."""
    members = (
        select(func.count())
        .select_from(Membership)
        .where(Membership.account_id == scope.account_id, Membership.role_id == role_id)
    )
    keys = select(func.count()).select_from(ApiKey).where(scope.owns(ApiKey), ApiKey.role_id == role_id)
    invitations = (
        select(func.count())
        .select_from(Invitation)
        .where(scope.owns(Invitation), Invitation.role_id == role_id)
        .where(Invitation.accepted_at.is_(None), Invitation.expires_at > func.now())
    )
    row = (
        await session.execute(select(members.scalar_subquery(), keys.scalar_subquery(), invitations.scalar_subquery()))
    ).one()
    return RoleUses(*row)


async def delete_role(session: AsyncSession, scope: Scope, role_id: UUID) -> None:
    """Delete a role that nobody has, with the invitations to it that are over."""
    await session.execute(scope.delete(Invitation).where(Invitation.role_id == role_id))
    await session.execute(delete(Role).where(Role.account_id == scope.account_id, Role.id == role_id))
