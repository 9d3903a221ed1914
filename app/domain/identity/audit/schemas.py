"""What clients see of the audit log."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

ActorType = Literal["user", "api_key", "system"]


class ActorOut(msgspec.Struct):
    """Who did it: `name` is a user's e-mail address or a key's name at that time."""

    type: ActorType
    id: UUID | None
    name: str


class AuditEntryOut(msgspec.Struct):
    """One thing that was done. `before` and `after` show the resource as its own route does, without secrets."""

    id: UUID
    account_id: UUID
    actor: ActorOut
    action: str
    resource_type: str
    resource_id: UUID | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    ip: str | None
    user_agent: str | None
    request_id: str | None
    created_at: datetime
    updated_at: datetime
