"""The table of SMPP accounts."""

from datetime import datetime
from typing import Any
from uuid import UUID

from advanced_alchemy.types import DateTimeUTC
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.lib.db import AccountRecord


class SmppAccount(AccountRecord):
    """A login by which a tenant's own application binds to us; what it submits goes out through one channel.

    `system_id` is unique in the installation, since a bind names nothing else. `settings` holds every field of
    `BindSettings`. `last_bound_at` is kept by the daemons and does not touch `updated_at`, which is therefore the
    version of what the owner decided.
    """

    __tablename__ = "smpp_accounts"

    channel_id: Mapped[UUID]
    name: Mapped[str]
    system_id: Mapped[str]
    password_hash: Mapped[str]
    enabled: Mapped[bool]
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB)
    last_bound_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))
