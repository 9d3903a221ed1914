"""What users see and change about themselves. Nothing here commits."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from msgspec import UNSET
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.events import announce_change
from app.domain.identity.members.repository import lock_user
from app.domain.identity.members.schemas import ProfileOut, ProfilePatch
from app.domain.identity.models import User
from app.domain.identity.names import check_name
from app.domain.identity.repository import get_membership, get_user
from app.domain.identity.schemas import Caller, user_out
from app.lib.clock import Clock
from app.lib.errors import FieldError, InvalidValue, NotFound
from app.lib.versions import changed_at, check_version


def profile_out(user: User) -> ProfileOut:
    """The stored row as its user sees it."""
    return ProfileOut(
        id=user.id,
        email=user.email,
        full_name=user.full_name,
        email_verified=user.email_verified_at is not None,
        created_at=user.created_at,
        updated_at=user.updated_at,
        default_account_id=user.default_account_id,
    )


class ProfileService:
    """The user who is asking, inside one unit of work that is about identity; raises `Forbidden` for an API key."""

    def __init__(self, session: AsyncSession, caller: Caller, audit: AuditTrail, *, clock: Clock) -> None:
        self._session = session
        self._user_id = caller.person()
        self._account_id = caller.account_id
        self._audit = audit
        self._clock = clock

    async def get(self) -> ProfileOut:
        """The user; raises `NotFound` when they were deleted a moment ago."""
        user = await get_user(self._session, self._user_id)
        if user is None:
            raise _no_user()
        return profile_out(user)

    async def patch(self, data: ProfilePatch, if_match: Collection[str] | None = None) -> ProfileOut:
        """Change what is sent. Raises `InvalidValue`, `PreconditionFailed`; a change of nothing keeps the version."""
        user = await lock_user(self._session, self._user_id)
        if user is None:
            raise _no_user()
        check_version(user.updated_at, if_match, "user")
        changes = {name: value for name, value in (await self._changes(data)).items() if getattr(user, name) != value}
        if not changes:
            return profile_out(user)
        before = user_out(user)
        for name, value in changes.items():
            setattr(user, name, value)
        user.updated_at = changed_at(self._clock(), user.updated_at)
        await self._session.flush()
        if "full_name" in changes:
            # What an account may see of its members, which is not their default account.
            await self._audit.record(self._account_id, "updated", "user", user.id, before=before, after=user_out(user))
        if "default_account_id" in changes:
            await announce_change(self._session)
        return profile_out(user)

    async def _changes(self, data: ProfilePatch) -> dict[str, Any]:
        errors: list[FieldError] = []
        changes: dict[str, Any] = {}
        if data.full_name is None:
            errors.append(FieldError("/full_name", "not_nullable", "This field cannot be cleared."))
        elif data.full_name is not UNSET:
            changes["full_name"] = check_name(data.full_name, "/full_name", errors)
        if data.default_account_id is not UNSET:
            changes["default_account_id"] = data.default_account_id
            if data.default_account_id is not None:
                await self._check_reachable(data.default_account_id, errors)
        if errors:
            raise InvalidValue.of(errors)
        return changes

    async def _check_reachable(self, account_id: UUID, errors: list[FieldError]) -> None:
        if await get_membership(self._session, self._user_id, account_id) is None:
            errors.append(FieldError("/default_account_id", "not_found", "You do not belong to such an account."))


def _no_user() -> NotFound:
    return NotFound("There is no such user.")
