"""The statements on invitations. Deadlines are by the database's clock. Nothing here commits."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.models import Account, Invitation, Role
from app.lib.db import Scope
from app.lib.filters import FilterField, Kind
from app.lib.pagination import Listing, ListQuery, Page, Sort, fetch_page

_TABLE = Invitation.__table__

LISTING = Listing(
    id_column=_TABLE.c.id,
    fields={
        "email": FilterField(Kind.TEXT),
        "role_id": FilterField(Kind.UUID),
        "invited_by": FilterField(Kind.UUID),
        "expires_at": FilterField(Kind.DATETIME),
        "accepted_at": FilterField(Kind.DATETIME),
        "created_at": FilterField(Kind.DATETIME),
    },
    columns={
        name: _TABLE.c[name] for name in ("email", "role_id", "invited_by", "expires_at", "accepted_at", "created_at")
    },
    sorts={"created_at": Sort(None, datetime), "email": Sort(_TABLE.c.email, str)},
)


class InvitationRepository:
    """The invitations of one account."""

    def __init__(self, session: AsyncSession, scope: Scope) -> None:
        self._session = session
        self._scope = scope

    async def page(self, query: ListQuery) -> Page[Invitation]:
        """One page of the list."""
        return await fetch_page(self._session, self._scope.select(Invitation), LISTING, query)

    async def find(self, invitation_id: UUID, *, for_update: bool = False) -> Invitation | None:
        """One invitation; `for_update` keeps other writers out until the transaction ends."""
        statement = self._scope.select(Invitation).where(Invitation.id == invitation_id)
        if for_update:
            statement = statement.with_for_update()
        return (await self._session.execute(statement)).scalar_one_or_none()

    async def lock(self) -> None:
        """Let one transaction at a time invite into the account, so that what it counts and replaces stays true."""
        await self._session.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended('invitations:' || CAST(:account AS text), 0))"),
            {"account": str(self._scope.account_id)},
        )

    async def find_waiting(self, email: str) -> Invitation | None:
        """The invitation of this address that was not accepted, expired or not."""
        statement = self._scope.select(Invitation).where(Invitation.email == email, Invitation.accepted_at.is_(None))
        return (await self._session.execute(statement.with_for_update())).scalar_one_or_none()

    async def count_open(self) -> int:
        """How many invitations can still be accepted."""
        statement = select(func.count()).where(
            self._scope.owns(Invitation), Invitation.accepted_at.is_(None), Invitation.expires_at > func.now()
        )
        return await self._session.scalar(statement) or 0

    async def add(
        self, invitation_id: UUID, email: str, role_id: UUID, invited_by: UUID | None, digest: bytes, seconds: int
    ) -> Invitation:
        """Store an invitation that lives `seconds` from now."""
        statement = (
            insert(Invitation)
            .values(
                id=invitation_id,
                account_id=self._scope.account_id,
                email=email,
                role_id=role_id,
                invited_by=invited_by,
                token_hash=digest,
                expires_at=func.now() + timedelta(seconds=seconds),
            )
            .returning(Invitation)
        )
        return (await self._session.execute(statement)).scalar_one()

    async def delete(self, invitation_id: UUID) -> None:
        """Withdraw it: its token opens nothing any more."""
        await self._session.execute(self._scope.delete(Invitation).where(Invitation.id == invitation_id))


async def find_open(
    session: AsyncSession, digest: bytes, *, for_update: bool = False
) -> tuple[Invitation, Account, Role] | None:
    """The invitation with this token, its account and its role, unless it expired, was used or never made.

    Not scoped to an account: which one its bearer may enter is what is being found out. `for_update` lets one
    transaction at a time use it, and keeps its role from being deleted meanwhile.
    """
    statement = (
        select(Invitation, Account, Role)
        .join(Account, Account.id == Invitation.account_id)
        .join(Role, Role.id == Invitation.role_id)
        .where(Invitation.token_hash == digest)
        .where(Invitation.accepted_at.is_(None), Invitation.expires_at > func.now())
    )
    if for_update:
        statement = statement.with_for_update(of=Invitation)
    row = (await session.execute(statement)).one_or_none()
    return None if row is None else (row[0], row[1], row[2])


async def use_up(session: AsyncSession, invitation: Invitation, at: datetime) -> None:
    """The invitation was accepted; call it under the lock of `find_open`."""
    invitation.accepted_at = at
    invitation.updated_at = at
    await session.flush()
