"""What clients send and receive about roles and permissions."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.domain.identity.models import Role
from app.domain.identity.schemas import Name, RoleRef

Actions = Annotated[list[Annotated[str, Meta(max_length=100)]], Meta(max_length=50)]
PermissionsIn = Annotated[
    dict[str, Actions],
    Meta(
        max_length=100,
        description="Resource → actions, of those that GET /v1/permissions lists.",
        examples=[{"messages": ["read", "send"], "contacts": ["read"]}],
    ),
]
RoleName = Annotated[str, Meta(max_length=200, description="The name of a role.", examples=["operator"])]


class ActionOut(msgspec.Struct):
    """One thing that can be done; `permission` is its full name, as errors write it."""

    action: str
    permission: str
    description: str


class ResourceOut(msgspec.Struct):
    """What there is permission for, and the actions it has."""

    resource: str
    actions: list[ActionOut]


class RoleCreate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A role of the active account."""

    name: Name
    permissions: PermissionsIn


class RolePatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to change. `permissions` are replaced whole, so that what is sent is all that the role allows."""

    name: Name | UnsetType | None = UNSET
    permissions: PermissionsIn | UnsetType | None = UNSET


class RoleOut(msgspec.Struct):
    """A role. One of the `system` is in every account, and nobody can change it."""

    id: UUID
    name: str
    system: bool
    permissions: dict[str, list[str]]
    created_at: datetime
    updated_at: datetime


def role_out(role: Role) -> RoleOut:
    """The stored row as clients see it."""
    return RoleOut(role.id, role.name, role.account_id is None, role.permissions, role.created_at, role.updated_at)


def role_ref(role: Role) -> RoleRef:
    """The role by its name."""
    return RoleRef(role.id, role.name)
