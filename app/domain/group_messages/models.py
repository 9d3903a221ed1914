"""The table of group messages."""

from datetime import datetime
from typing import Any
from uuid import UUID

from advanced_alchemy.types import DateTimeUTC
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.lib.db import AccountRecord


class GroupMessage(AccountRecord):
    """One text to many.

    `content` is what its owner wrote (`plan.Content`), `plan` what was decided when it was started (`plan.Plan`),
    `checkpoint` where the walk through the audience stands (`plan.Checkpoint`), `approval` who has agreed
    (`approval.Approval`). `accepted` messages were stored, and
    `skipped` recipients got none. `updated_at` is the version of what the owner decided.
    """

    __tablename__ = "group_messages"

    name: Mapped[str]
    channel_id: Mapped[UUID]
    status: Mapped[str]
    content: Mapped[dict[str, Any]] = mapped_column(JSONB)
    plan: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    send_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))
    checkpoint: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    total: Mapped[int | None]
    accepted: Mapped[int]
    skipped: Mapped[int]
    step_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))
    paused_because: Mapped[str | None]
    approval: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    created_by: Mapped[UUID | None]
    started_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))
    ended_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))
