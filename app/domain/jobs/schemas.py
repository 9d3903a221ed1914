"""What clients see of jobs."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from app.domain.jobs.states import JobStatus


class JobCreatorOut(msgspec.Struct, frozen=True):
    """Who asked for it: `id` is a user's or an API key's, null for the system."""

    type: Literal["user", "api_key", "system"]
    id: UUID | None


class JobOut(msgspec.Struct, frozen=True, kw_only=True):
    """Long work.

    `total` is null while nobody knows it. `done` and `failed` count what has been worked on, well and not. `error` says
    why the whole job failed; `error_file` and `result_file` are paths to download from, once there is something.
    `cancel_requested` on a running job says that it ends at its next step. At `expires_at` all of it is removed.
    """

    id: UUID
    account_id: UUID
    kind: str
    status: JobStatus
    total: int | None
    done: int
    failed: int
    error: str | None
    error_file: str | None
    result: dict[str, Any] | None
    result_file: str | None
    cancel_requested: bool
    created_by: JobCreatorOut
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    expires_at: datetime | None
