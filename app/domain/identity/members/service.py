"""The members of an account: who they are, which role they have, and that they leave. Nothing here commits."""

from collections.abc import Collection
from uuid import UUID

from msgspec import UNSET
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.accounts.owners import keep_an_owner, lock_owners
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.events import announce_change
from app.domain.identity.members.repository import (
    Member,
    change_role,
    delete_member,
    get_member,
    page_of_members,
)
from app.domain.identity.members.schemas import MemberOut, MemberPatch
from app.domain.identity.models import Role
from app.domain.identity.permissions import OWNER
from app.domain.identity.roles.granting import (
    EXCEEDS,
    check_owner_rule,
    check_role_within_own,
    missing,
    role_to_give,
)
from app.domain.identity.roles.repository import get_role
from app.domain.identity.schemas import Caller, RoleRef
from app.lib.clock import Clock
from app.lib.errors import Forbidden, InvalidValue, NotFound
from app.lib.pagination import ListQuery, Page
from app.lib.versions import changed_at, check_version


def member_out(member: Member) -> MemberOut:
    """The member as clients see them."""
    return MemberOut(
        id=member.user_id,
        email=member.email,
        full_name=member.full_name,
        email_verified=member.email_verified_at is not None,
        role=RoleRef(member.role_id, member.role_name),
        joined_at=member.joined_at,
        created_at=member.created_at,
        updated_at=member.updated_at,
    )


class MemberService:
    """The members of the caller's active account, inside one unit of work that is about identity.

    Methods raise `NotFound` for a user who is no member as for none, and `PreconditionFailed` when `if_match` holds
    versions and none of them is the stored one. Changes are within the caller's own permissions, on both sides: neither
    the role that is given nor the one that is taken away may allow more than the caller's. Only owners make and unmake
    owners (`Forbidden`, `owner_required`), and the last one stays (`Conflict`, `last_owner`).
    """

    def __init__(self, session: AsyncSession, caller: Caller, audit: AuditTrail, *, clock: Clock) -> None:
        self._session = session
        self._caller = caller
        self._account_id = caller.account_id
        self._audit = audit
        self._clock = clock

    async def page(self, query: ListQuery) -> Page[MemberOut]:
        """One page of the members."""
        page = await page_of_members(self._session, self._account_id, query)
        return Page([member_out(member) for member in page.items], page.next_cursor, page.total)

    async def get(self, user_id: UUID) -> MemberOut:
        """One member."""
        return member_out(await self._find(user_id))

    async def patch(self, user_id: UUID, data: MemberPatch, if_match: Collection[str] | None = None) -> MemberOut:
        """Give the member another role. Raises `InvalidValue` with pointers; the same role again changes nothing."""
        for pointer, value in (("/role", data.role), ("/role_id", data.role_id)):
            if value is None:
                raise InvalidValue.at(pointer, "not_nullable", "A member has a role; to end it, delete the member.")
        member = await self._lock(user_id, if_match)
        if data.role is UNSET and data.role_id is UNSET:
            return member_out(member)
        name = data.role if isinstance(data.role, str) else None
        role_id = data.role_id if isinstance(data.role_id, UUID) else None
        role = await role_to_give(self._session, self._caller, role=name, role_id=role_id)
        old_role = await self._role_of(member)
        check_role_within_own(self._caller, old_role, "/role" if role_id is None else "/role_id")
        if role.id == member.role_id:
            return member_out(member)
        for either in (old_role, role):
            check_owner_rule(self._caller, either)
        await self._keep_an_owner(member)
        await change_role(self._session, member, role.id, changed_at(self._clock(), member.updated_at))
        before, after = member_out(member), await self.get(user_id)
        await self._audit.record(self._account_id, "role_changed", "user", user_id, before=before, after=after)
        await announce_change(self._session)
        return after

    async def remove(self, user_id: UUID, if_match: Collection[str] | None = None) -> None:
        """End the membership. API keys that the user made stay: they are the account's."""
        member = await self._lock(user_id, if_match)
        role = await self._role_of(member)
        if lacked := missing(self._caller, role.permissions):
            raise Forbidden(
                f"The role of this member allows what you do not have in this account: {', '.join(lacked)}.",
                code=EXCEEDS,
            )
        check_owner_rule(self._caller, role)
        await self._keep_an_owner(member)
        await delete_member(self._session, self._account_id, member)
        await self._audit.record(self._account_id, "removed", "user", user_id, before=member_out(member))
        await announce_change(self._session)

    async def _find(self, user_id: UUID) -> Member:
        member = await get_member(self._session, self._account_id, user_id)
        if member is None:
            raise NotFound("There is no such member of this account.")
        return member

    async def _lock(self, user_id: UUID, if_match: Collection[str] | None) -> Member:
        # One change of an account's members at a time, so that what is read below stays true.
        await lock_owners(self._session, self._account_id)
        member = await self._find(user_id)
        check_version(member.updated_at, if_match, "member")
        return member

    async def _role_of(self, member: Member) -> Role:
        role = await get_role(self._session, self._account_id, member.role_id)
        if role is None:
            raise LookupError(f"the membership {member.id} has a role of another account")
        return role

    async def _keep_an_owner(self, member: Member) -> None:
        if member.role_id == OWNER.id:
            await keep_an_owner(self._session, self._account_id, member.user_id)
