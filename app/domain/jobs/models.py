"""The table of jobs. Their files are chunks in a table of its own: `app.domain.jobs.files`."""

from datetime import datetime
from typing import Any
from uuid import UUID

from advanced_alchemy.types import DateTimeUTC
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.lib.db import AccountRecord


class Job(AccountRecord):
    """Long work of one account.

    `claimed_by` is a token for one time that a process took the job, `lease_until` the end of that by the database's
    clock. `attempts` counts how often it was taken since it last came further. `expires_at` is when all of it goes: it
    is set once the job has ended, and while its input is being received.
    """

    __tablename__ = "jobs"

    kind: Mapped[str]
    status: Mapped[str]
    spec: Mapped[dict[str, Any]] = mapped_column(JSONB)
    checkpoint: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    total: Mapped[int | None]
    done: Mapped[int]
    failed: Mapped[int]
    result: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    error: Mapped[str | None]
    file_names: Mapped[dict[str, str]] = mapped_column(JSONB)
    created_by_type: Mapped[str]
    created_by: Mapped[UUID | None]
    cancel_requested: Mapped[bool]
    claimed_by: Mapped[UUID | None]
    lease_until: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))
    attempts: Mapped[int]
    started_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))
    ended_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))
    expires_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))
