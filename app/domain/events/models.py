"""The table of events."""

from typing import Any
from uuid import UUID

from sqlalchemy import FetchedValue
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.lib.db import AccountRecord


class Event(AccountRecord):
    """Something that happened in an account. Rows are written once and removed after 30 days.

    `subject_id` is what it happened to. `position` is the number of the transaction that wrote the row, given by the
    database: the order of the feed, see `EventRepository`.
    """

    __tablename__ = "events"

    position: Mapped[int] = mapped_column(server_default=FetchedValue())
    type: Mapped[str]
    subject_id: Mapped[UUID]
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
