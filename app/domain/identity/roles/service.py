"""Making, changing and ending roles. Nothing here commits: the unit of work does."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from msgspec import UNSET
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.events import announce_change
from app.domain.identity.models import Role
from app.domain.identity.names import check_name
from app.domain.identity.permissions import SYSTEM_ROLES
from app.domain.identity.roles.granting import EXCEEDS, check_permissions, check_within_own, missing, raise_if_any
from app.domain.identity.roles.repository import (
    RoleUses,
    delete_role,
    get_role,
    insert_role,
    lock_role,
    name_taken,
    page_of_roles,
    save_roles,
    uses_of,
)
from app.domain.identity.roles.schemas import RoleCreate, RoleOut, RolePatch, role_out
from app.domain.identity.schemas import Caller
from app.lib.clock import Clock
from app.lib.db import Scope
from app.lib.errors import Conflict, FieldError, InvalidValue, NotFound
from app.lib.ids import NewId
from app.lib.pagination import ListQuery, Page
from app.lib.versions import changed_at, check_version

_RESERVED = frozenset(role.name for role in SYSTEM_ROLES)


class RoleService:
    """The roles of the caller's active account, inside one unit of work.

    Methods raise `NotFound` for a role of another account as for none, `Conflict` (`system_role`) for a change of one
    that every account has, `InvalidValue` with pointers into the body, and `PreconditionFailed` when `if_match` holds
    versions and none of them is the stored one.
    """

    def __init__(
        self, session: AsyncSession, caller: Caller, audit: AuditTrail, *, clock: Clock, new_id: NewId
    ) -> None:
        self._session = session
        self._caller = caller
        self._audit = audit
        self._clock = clock
        self._new_id = new_id
        self._account_id = caller.account_id

    async def page(self, query: ListQuery) -> Page[RoleOut]:
        """One page of the roles."""
        page = await page_of_roles(self._session, self._account_id, query)
        return Page([role_out(role) for role in page.items], page.next_cursor, page.total)

    async def get(self, role_id: UUID) -> RoleOut:
        """One role."""
        role = await get_role(self._session, self._account_id, role_id)
        if role is None:
            raise _no_role()
        return role_out(role)

    async def create(self, data: RoleCreate) -> RoleOut:
        """A new role, within the caller's own permissions. Raises `Conflict` (`name_taken`)."""
        errors: list[FieldError] = []
        name = check_name(data.name, "/name", errors)
        permissions = check_permissions(data.permissions, errors)
        if errors:
            raise InvalidValue.of(errors)
        check_within_own(self._caller, data.permissions)
        _check_free(name)
        now = self._clock()
        role = Role(
            id=self._new_id(),
            account_id=self._account_id,
            name=name,
            permissions=permissions,
            created_at=now,
            updated_at=now,
        )
        await insert_role(self._session, role)
        created = role_out(role)
        await self._audit.record(self._account_id, "created", "role", role.id, after=created)
        return created

    async def patch(self, role_id: UUID, data: RolePatch, if_match: Collection[str] | None = None) -> RoleOut:
        """Change what is sent; members and keys that have the role are held to it at once.

        Raises `Conflict` (`name_taken`). A change of nothing keeps the version.
        """
        role = await self._lock(role_id, if_match)
        before = role_out(role)
        changes = self._changes(role, data)
        for field, value in changes.items():
            setattr(role, field, value)
        if not changes:
            return before
        role.updated_at = changed_at(self._clock(), role.updated_at)
        await save_roles(self._session)
        after = role_out(role)
        await self._audit.record(self._account_id, "updated", "role", role.id, before=before, after=after)
        await announce_change(self._session)
        return after

    async def delete(self, role_id: UUID, if_match: Collection[str] | None = None) -> None:
        """Delete a role that nobody has; raises `Conflict` (`role_in_use`) otherwise."""
        role = await self._lock(role_id, if_match)
        scope = Scope(self._account_id)
        uses = await uses_of(self._session, scope, role.id)
        if uses != RoleUses(0, 0, 0):
            raise Conflict(f"The role is in use by {_in_words(uses)}.", code="role_in_use")
        before = role_out(role)
        await delete_role(self._session, scope, role.id)
        await self._audit.record(self._account_id, "deleted", "role", role.id, before=before)

    def _changes(self, role: Role, data: RolePatch) -> dict[str, Any]:
        errors: list[FieldError] = []
        changes: dict[str, Any] = {}
        if data.name is None or data.permissions is None:
            pointer = "/name" if data.name is None else "/permissions"
            raise InvalidValue.at(pointer, "not_nullable", "This field cannot be cleared.")
        if data.name is not UNSET:
            changes["name"] = check_name(data.name, "/name", errors)
        if data.permissions is not UNSET:
            changes["permissions"] = check_permissions(data.permissions, errors)
        if errors:
            raise InvalidValue.of(errors)
        # Whoever may not give a role may not change what it is called or take from it either.
        raise_if_any(
            [
                FieldError("/permissions", EXCEEDS, f"The role allows {name}, which you do not have in this account.")
                for name in missing(self._caller, role.permissions)
            ]
        )
        if data.permissions is not UNSET:
            check_within_own(self._caller, data.permissions)
        changes = {field: value for field, value in changes.items() if getattr(role, field) != value}
        if "name" in changes:
            _check_free(changes["name"])
        return changes

    async def _lock(self, role_id: UUID, if_match: Collection[str] | None) -> Role:
        role = await lock_role(self._session, self._account_id, role_id)
        if role is None:
            if await get_role(self._session, self._account_id, role_id) is None:
                raise _no_role()
            raise Conflict("The roles of the system cannot be changed; make one of your own.", code="system_role")
        check_version(role.updated_at, if_match, "role")
        return role


def _check_free(name: str) -> None:
    # Not in other letters either: "Owner" would be taken for what it is not.
    if name.casefold() in _RESERVED:
        raise name_taken()


def _in_words(uses: RoleUses) -> str:
    parts = [
        f"{count} {singular if count == 1 else singular + 's'}"
        for count, singular in (
            (uses.members, "member"),
            (uses.api_keys, "API key"),
            (uses.invitations, "open invitation"),
        )
        if count
    ]
    return ", ".join(parts)


def _no_role() -> NotFound:
    return NotFound("There is no such role.")
