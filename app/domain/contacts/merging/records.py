"""The table of merges; that of aliases is in `aliases`."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from advanced_alchemy.types import DateTimeUTC
from sqlalchemy import Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.lib.db import AccountRecord


class MergeState(StrEnum):
    """`running` and `undoing`: begun, and to be finished by whoever comes next, if nobody is about it."""

    RUNNING = "running"
    DONE = "done"
    UNDOING = "undoing"
    UNDONE = "undone"


class ContactMerge(AccountRecord):
    """Contacts `merged_ids` became one with `contact_id`.

    `kept_before` is that one before (`Contact` as JSON), `merged` the others (`Snapshot`); both None once undoing is
    over. An undone merge keeps them until then, too.
    """

    __tablename__ = "contact_merges"

    contact_id: Mapped[UUID]
    merged_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    state: Mapped[str]
    kept_before: Mapped[Any] = mapped_column(JSONB(none_as_null=True))
    merged: Mapped[Any] = mapped_column(JSONB(none_as_null=True))
    created_by_type: Mapped[str]
    created_by: Mapped[UUID | None]
    undone_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))
