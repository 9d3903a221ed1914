"""What clients send and receive about the members of an account, and about themselves."""

from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from app.domain.identity.roles.schemas import RoleName
from app.domain.identity.schemas import Name, RoleRef, UserOut


class MemberPatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Another role in the active account, by its name or by its id."""

    role: RoleName | UnsetType | None = UNSET
    role_id: UUID | UnsetType | None = UNSET


class MemberOut(msgspec.Struct):
    """A member of the active account. `id` is the user's; `updated_at` is the later of the user's and the role's."""

    id: UUID
    email: str
    full_name: str
    email_verified: bool
    role: RoleRef
    joined_at: datetime
    created_at: datetime
    updated_at: datetime


class ProfilePatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What users change about themselves; without a default account the oldest membership decides."""

    full_name: Name | UnsetType | None = UNSET
    default_account_id: UUID | UnsetType | None = UNSET


class ProfileOut(UserOut, kw_only=True):
    """The user who is asking, with the account that is used where they ask for none."""

    default_account_id: UUID | None
