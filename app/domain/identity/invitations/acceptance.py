"""Accepting an invitation, as a user or by becoming one. Nothing here commits: the unit of work does."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.audit.schemas import ActorOut
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.events import announce_change
from app.domain.identity.invitations.repository import find_open, use_up
from app.domain.identity.invitations.schemas import Accepted, invitation_out
from app.domain.identity.invitations.tokens import token_hash
from app.domain.identity.members.repository import already_member, insert_member, insert_user, is_member, lock_user
from app.domain.identity.models import Account, Invitation, Membership, Role, User
from app.domain.identity.names import check_name
from app.domain.identity.passwords import Passwords, check_new_password
from app.domain.identity.permissions import lacking
from app.domain.identity.repository import find_user_by_email
from app.domain.identity.schemas import membership_out, user_out
from app.lib.db import Database
from app.lib.errors import Conflict, FieldError, Forbidden, InvalidValue, NotFound, Unauthenticated
from app.lib.ids import NewId
from app.lib.versions import changed_at

Open = tuple[Invitation, Account, Role]


class NewUser:
    """A stranger's name and password as they are stored."""

    def __init__(self, full_name: str, password_hash: str) -> None:
        self.full_name = full_name
        self.password_hash = password_hash

    def __repr__(self) -> str:
        return f"<NewUser {self.full_name!r}>"


async def check_new_user(
    database: Database, passwords: Passwords, token: str, full_name: str, password: str
) -> NewUser:
    """What a stranger sent with a token, checked, and the password hashed while no connection is held.

    Raises `NotFound` (`invitation_not_found`), `Conflict` (`email_taken`) for somebody who is a user already and should
    log in, `InvalidValue`, `TooManyRequests`.
    """
    async with database.reading(identity=True) as session:
        invitation, _, _ = await _open(session, token)
        if await find_user_by_email(session, invitation.email) is not None:
            raise _email_taken()
    errors: list[FieldError] = []
    name = check_name(full_name, "/full_name", errors)
    check_new_password(password, invitation.email, errors)
    if errors:
        raise InvalidValue.of(errors)
    return NewUser(name, await passwords.hash(password))


class AcceptanceService:
    """Turns an invitation into a membership, inside one unit of work that is about identity.

    Methods raise `NotFound` (`invitation_not_found`) alike for a token that expired, was used or replaced, or never
    was; `Forbidden` (`account_suspended`); `Conflict` (`already_member`).
    """

    def __init__(self, session: AsyncSession, audit: AuditTrail, new_id: NewId) -> None:
        self._session = session
        self._audit = audit
        self._new_id = new_id

    async def accept(self, joining: UUID | NewUser, token: str) -> Accepted:
        """The user with this id joins, or a stranger becomes a user and joins.

        Raises `Forbidden` (`other_address`) when the invitation is for another address than the user's, and `Conflict`
        (`email_taken`) when the stranger has become a user meanwhile.
        """
        found = await _open(self._session, token, for_update=True)
        invitation, account, _ = found
        now: datetime = (await self._session.execute(select(func.now()))).scalar_one()
        if isinstance(joining, NewUser):
            return await self._join(await self._make(joining, invitation, now), found, now)
        user = await lock_user(self._session, joining)
        if user is None:
            raise Unauthenticated("The user of this token does not exist any more.", code="invalid_token")
        if user.email != invitation.email:
            detail = "This invitation is for another e-mail address; log in with that one."
            raise Forbidden(detail, code="other_address")
        if await is_member(self._session, account.id, user.email):
            raise already_member()
        if user.email_verified_at is None:
            # The token was mailed there.
            user.email_verified_at = now
            user.updated_at = changed_at(now, user.updated_at)
            await self._session.flush()
        return await self._join(user, found, now)

    async def _make(self, new: NewUser, invitation: Invitation, now: datetime) -> User:
        user = User(
            id=self._new_id(),
            email=invitation.email,
            full_name=new.full_name,
            password_hash=new.password_hash,
            email_verified_at=now,
            default_account_id=invitation.account_id,
        )
        if not await insert_user(self._session, user):
            raise _email_taken()
        return user

    async def _join(self, user: User, found: Open, now: datetime) -> Accepted:
        invitation, account, role = found
        before = invitation_out(invitation, role)
        membership = Membership(id=self._new_id(), user_id=user.id, account_id=account.id, role_id=role.id)
        await insert_member(self._session, membership)
        await use_up(self._session, invitation, now)
        await self._audit.record(
            account.id,
            "accepted",
            "invitation",
            invitation.id,
            before=before,
            after=invitation_out(invitation, role),
            by=ActorOut("user", user.id, user.email),
        )
        await announce_change(self._session)
        return Accepted(user_out(user), membership_out(account, role))


async def _open(session: AsyncSession, token: str, *, for_update: bool = False) -> Open:
    found = await find_open(session, token_hash(token), for_update=for_update)
    if found is None:
        raise NotFound("There is no such invitation, or it has expired or was used.", code="invitation_not_found")
    if found[1].suspended:
        raise lacking("users:update", suspended=True)
    return found


def _email_taken() -> Conflict:
    detail = "There is already a user with this e-mail address: log in to accept the invitation."
    return Conflict(detail, code="email_taken")
