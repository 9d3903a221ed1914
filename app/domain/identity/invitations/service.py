"""Inviting people into an account. Nothing here commits: the unit of work does."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.emails import check_email
from app.domain.identity.invitations import mail
from app.domain.identity.invitations.repository import InvitationRepository
from app.domain.identity.invitations.schemas import InvitationCreate, InvitationOut, invitation_out
from app.domain.identity.invitations.tokens import new_token, token_hash
from app.domain.identity.members.repository import already_member, is_member
from app.domain.identity.models import Invitation, Role
from app.domain.identity.repository import get_account, get_user
from app.domain.identity.roles.granting import check_owner_rule, role_to_give
from app.domain.identity.roles.repository import roles_by_id
from app.domain.identity.schemas import Caller
from app.domain.mails.service import queue_mail
from app.lib.crypto import Envelope
from app.lib.db import Scope
from app.lib.errors import Conflict, FieldError, InvalidValue, NotFound
from app.lib.ids import NewId
from app.lib.pagination import ListQuery, Page
from app.lib.versions import check_version

MAX_OPEN = 500
"""How many invitations of one account may be open at once."""


class InvitationService:
    """The invitations into the caller's active account, inside one unit of work.

    Methods raise `NotFound` for an invitation of another account as for none, `InvalidValue` with pointers into the
    body, and `PreconditionFailed` when `if_match` holds versions and none of them is the stored one.
    """

    def __init__(self, session: AsyncSession, caller: Caller, audit: AuditTrail) -> None:
        self._session = session
        self._caller = caller
        self._account_id = caller.account_id
        self._audit = audit
        self._invitations = InvitationRepository(session, Scope(caller.account_id))

    async def page(self, query: ListQuery) -> Page[InvitationOut]:
        """One page of the invitations, those that were accepted or expired included."""
        page = await self._invitations.page(query)
        roles = await roles_by_id(self._session, {invitation.role_id for invitation in page.items})
        return Page(
            [invitation_out(invitation, roles[invitation.role_id]) for invitation in page.items],
            page.next_cursor,
            page.total,
        )

    async def get(self, invitation_id: UUID) -> InvitationOut:
        """One invitation."""
        return await self._shown(await self._find(invitation_id))

    async def create(
        self, data: InvitationCreate, *, envelope: Envelope, new_id: NewId, seconds: int, public_url: str
    ) -> InvitationOut:
        """Invite an address, for `seconds`, by a mail that holds the token; needs a unit of work about identity.

        It takes the place of an earlier invitation of that address, whose token is worthless then. The role is within
        the caller's own permissions, and that of owners is for owners to offer. Raises `Conflict` for members
        (`already_member`) and when too many are open (`too_many_invitations`).
        """
        errors: list[FieldError] = []
        email = check_email(data.email, errors)
        if errors:
            raise InvalidValue.of(errors)
        role = await role_to_give(self._session, self._caller, role=data.role, role_id=data.role_id)
        check_owner_rule(self._caller, role)
        await self._invitations.lock()
        # Waits for whoever is accepting the earlier one; only then is it known who is a member.
        replaced = await self._invitations.find_waiting(email)
        if await is_member(self._session, self._account_id, email):
            raise already_member()
        before = None
        if replaced is not None:
            before = await self._shown(replaced)
            await self._invitations.delete(replaced.id)
        elif await self._invitations.count_open() >= MAX_OPEN:
            detail = f"At most {MAX_OPEN} invitations are open at once; withdraw some."
            raise Conflict(detail, code="too_many_invitations")
        token = new_token()
        invitation = await self._invitations.add(
            new_id(), email, role.id, self._caller.user_id, token_hash(token), seconds
        )
        shown = invitation_out(invitation, role)
        await self._mail(email, role, token, envelope, new_id, seconds, public_url)
        await self._audit.record(self._account_id, "invited", "invitation", invitation.id, before=before, after=shown)
        return shown

    async def delete(self, invitation_id: UUID, if_match: Collection[str] | None = None) -> None:
        """Withdraw the invitation. One that was accepted is only forgotten: the membership stays."""
        invitation = await self._find(invitation_id, for_update=True)
        check_version(invitation.updated_at, if_match, "invitation")
        before = await self._shown(invitation)
        await self._invitations.delete(invitation_id)
        await self._audit.record(self._account_id, "deleted", "invitation", invitation_id, before=before)

    async def _find(self, invitation_id: UUID, *, for_update: bool = False) -> Invitation:
        invitation = await self._invitations.find(invitation_id, for_update=for_update)
        if invitation is None:
            raise NotFound("There is no such invitation.")
        return invitation

    async def _shown(self, invitation: Invitation) -> InvitationOut:
        roles = await roles_by_id(self._session, (invitation.role_id,))
        return invitation_out(invitation, roles[invitation.role_id])

    async def _mail(
        self, email: str, role: Role, token: str, envelope: Envelope, new_id: NewId, seconds: int, public_url: str
    ) -> None:
        account = await get_account(self._session, self._account_id)
        account_name = "" if account is None else account.name
        text = mail.body(
            account=account_name,
            role=role.name,
            inviter=await self._inviter(),
            email=email,
            token=token,
            seconds=seconds,
            public_url=public_url,
        )
        await queue_mail(self._session, envelope, new_id, to=email, subject=mail.subject(account_name), body=text)

    async def _inviter(self) -> str:
        user = None if self._caller.user_id is None else await get_user(self._session, self._caller.user_id)
        # A machine is known to its own account only, so that its name would tell the invited nothing.
        return "Its administration" if user is None else f"{user.full_name} ({user.email})"
