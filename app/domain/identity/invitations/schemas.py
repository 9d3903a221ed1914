"""What clients send and receive about invitations."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.domain.identity.invitations.tokens import MAX_LENGTH
from app.domain.identity.models import Invitation, Role
from app.domain.identity.roles.schemas import RoleName
from app.domain.identity.schemas import Email, MembershipOut, Name, PasswordText, RoleRef, UserOut


class InvitationCreate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whom to invite, and the role (by name or id) they would have in the active account."""

    email: Email
    role: RoleName | None = None
    role_id: UUID | None = None


class Acceptance(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The token that was mailed; who is not a user yet becomes one by a name and a password."""

    token: Annotated[str, Meta(min_length=1, max_length=MAX_LENGTH)]
    full_name: Name | UnsetType = UNSET
    password: PasswordText | UnsetType = UNSET

    def __repr__(self) -> str:
        return "<Acceptance>"


class InvitationOut(msgspec.Struct):
    """An invitation without its token. It is open until it is accepted, withdrawn or `expires_at`."""

    id: UUID
    email: str
    role: RoleRef
    invited_by: UUID | None
    expires_at: datetime
    accepted_at: datetime | None
    created_at: datetime
    updated_at: datetime


class Accepted(msgspec.Struct):
    """The user who joined, and the account with the role there."""

    user: UserOut
    account: MembershipOut


def invitation_out(invitation: Invitation, role: Role) -> InvitationOut:
    """The stored row as clients see it."""
    return InvitationOut(
        id=invitation.id,
        email=invitation.email,
        role=RoleRef(role.id, role.name),
        invited_by=invitation.invited_by,
        expires_at=invitation.expires_at,
        accepted_at=invitation.accepted_at,
        created_at=invitation.created_at,
        updated_at=invitation.updated_at,
    )
