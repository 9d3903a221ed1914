"""What users see of their sessions."""

from datetime import datetime
from uuid import UUID

import msgspec

from app.domain.identity.models import LoginSession


class SessionOut(msgspec.Struct):
    """One log-in: from where it began, and when it was last refreshed. `current` is the one that is asking."""

    id: UUID
    current: bool
    ip: str | None
    user_agent: str | None
    last_used_at: datetime
    expires_at: datetime
    created_at: datetime
    updated_at: datetime


def session_out(session: LoginSession, current: UUID | None) -> SessionOut:
    """The stored row as its user sees it."""
    return SessionOut(
        session.id,
        session.id == current,
        session.ip,
        session.user_agent,
        session.last_used_at,
        session.expires_at,
        session.created_at,
        session.updated_at,
    )
