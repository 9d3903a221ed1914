"""Mapped tables of messages, for reading. What changes them in bulk is plain SQL in `repository` and `results`."""

from datetime import datetime
from typing import Any
from uuid import UUID

from advanced_alchemy.types import DateTimeUTC
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.lib.db import AccountRecord


class Message(AccountRecord):
    """One message in either direction; partitioned by the week in its id."""

    __tablename__ = "messages"

    channel_id: Mapped[UUID]
    contact_id: Mapped[UUID | None]
    direction: Mapped[str]
    status: Mapped[str]
    lane: Mapped[str]
    recipient: Mapped[str]
    sender: Mapped[str | None]
    body: Mapped[str]
    encoding: Mapped[str]
    segments: Mapped[int]
    validity_seconds: Mapped[int | None]
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    message_metadata: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB)
    sms: Mapped[bytes | None]
    smpp_account_id: Mapped[UUID | None]
    registered_delivery: Mapped[int | None]
    topic: Mapped[str | None]
    group_message_id: Mapped[UUID | None]
    template_id: Mapped[UUID | None]
    template_version: Mapped[int | None]
    sent_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))
    delivered_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))
