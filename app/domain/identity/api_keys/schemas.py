"""What clients send and receive about API keys."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from app.domain.identity.models import ApiKey, Role
from app.domain.identity.roles.schemas import PermissionsIn, RoleName
from app.domain.identity.schemas import Name, RoleRef

Network = Annotated[str, Meta(max_length=50, examples=["192.0.2.0/24"])]
Networks = Annotated[
    list[Network], Meta(max_length=100, description="CIDRs from which the key may be used; none is from everywhere.")
]
Moment = Annotated[datetime, Meta(tz=True)]


class ApiKeyCreate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A new key, with a role (by name or id) or with permissions of its own."""

    name: Name
    role: RoleName | None = None
    role_id: UUID | None = None
    permissions: PermissionsIn | None = None
    allowed_networks: Networks = []
    expires_at: Moment | None = None


class ApiKeyOut(msgspec.Struct):
    """A key without its secret. `permissions` are what it allows, which follows its role when it has one."""

    id: UUID
    name: str
    prefix: str
    role: RoleRef | None
    permissions: dict[str, list[str]]
    allowed_networks: list[str]
    expires_at: datetime | None
    last_used_at: datetime | None
    last_used_ip: str | None
    created_by: UUID | None
    created_at: datetime
    updated_at: datetime


class NewApiKey(ApiKeyOut, kw_only=True):
    """The same with the secret, which is shown this once."""

    secret: str

    def __repr__(self) -> str:
        return f"<NewApiKey {self.prefix}>"


def api_key_out(key: ApiKey, role: Role | None) -> ApiKeyOut:
    """The stored row as clients see it."""
    granted = key.permissions if key.permissions is not None else role.permissions if role is not None else {}
    return ApiKeyOut(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        role=None if role is None else RoleRef(role.id, role.name),
        permissions=granted,
        allowed_networks=key.allowed_networks,
        expires_at=key.expires_at,
        last_used_at=key.last_used_at,
        last_used_ip=key.last_used_ip,
        created_by=key.created_by,
        created_at=key.created_at,
        updated_at=key.updated_at,
    )
