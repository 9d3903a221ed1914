"""Every statement on the table of mails. Nothing here commits."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_INSERT = text("INSERT INTO mails (id, recipient, subject, body) VALUES (:id, :recipient, :subject, :body)")

# The row stays locked while its mail is on the way: another scheduler passes it by, and a crash gives it back.
_DUE = text(
    """
    SELECT id, recipient, subject, body, attempts, created_at, sent_at, failed_at, error FROM mails
    WHERE sent_at IS NULL AND failed_at IS NULL AND next_attempt_at <= now()
    ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED
    """
)
_SENT = text(
    """
    UPDATE mails SET sent_at = now(), updated_at = now(), attempts = attempts + 1, error = NULL WHERE id = :id
    """
)
_POSTPONED = text(
    """
    UPDATE mails SET attempts = attempts + 1, error = :error, updated_at = now(),
        next_attempt_at = now() + make_interval(secs => :seconds)
    WHERE id = :id
    """
)
_FAILED = text(
    """
    UPDATE mails SET attempts = attempts + 1, error = :error, updated_at = now(), failed_at = now() WHERE id = :id
    """
)
_NEWEST = text(
    """
    SELECT id, recipient, subject, body, attempts, created_at, sent_at, failed_at, error FROM mails
    ORDER BY created_at DESC, id DESC LIMIT :most
    """
)
# Only the last minutes: a scheduler that starts again need not tell everything again.
_WAITING = text(
    """
    SELECT id, recipient, subject, body, attempts, created_at, sent_at, failed_at, error FROM mails
    WHERE sent_at IS NULL AND failed_at IS NULL AND created_at > now() - interval '5 minutes'
    ORDER BY created_at, id LIMIT 500
    """
)


class Mail(msgspec.Struct, frozen=True):
    """A mail as stored: `body` is sealed; `error` is the last server's or the last attempt's."""

    id: UUID
    recipient: str
    subject: str
    body: bytes
    attempts: int
    created_at: datetime
    sent_at: datetime | None
    failed_at: datetime | None
    error: str | None

    def __repr__(self) -> str:
        return f"<Mail {self.id}>"


async def insert_mail(session: AsyncSession, mail_id: UUID, recipient: str, subject: str, sealed_body: bytes) -> None:
    """Store a mail that is due at once."""
    values = {"id": mail_id, "recipient": recipient, "subject": subject, "body": sealed_body}
    await session.execute(_INSERT, values)


async def take_due(session: AsyncSession) -> Mail | None:
    """The mail that has been due longest and that nobody is sending, locked until the transaction ends."""
    row = (await session.execute(_DUE)).one_or_none()
    return None if row is None else Mail(*row)


async def mark_sent(session: AsyncSession, mail_id: UUID) -> None:
    """The server took it."""
    await session.execute(_SENT, {"id": mail_id})


async def postpone(session: AsyncSession, mail_id: UUID, error: str, seconds: float) -> None:
    """An attempt failed for `error`; the next one is in `seconds`."""
    await session.execute(_POSTPONED, {"id": mail_id, "error": error, "seconds": seconds})


async def mark_failed(session: AsyncSession, mail_id: UUID, error: str) -> None:
    """The last attempt failed for `error`; there is no other."""
    await session.execute(_FAILED, {"id": mail_id, "error": error})


async def newest_mails(session: AsyncSession, most: int) -> Sequence[Mail]:
    """The newest mails, sent or not, newest first."""
    return [Mail(*row) for row in await session.execute(_NEWEST, {"most": most})]


async def newest_waiting(session: AsyncSession) -> Sequence[Mail]:
    """What was queued within the last five minutes and was not sent, oldest first."""
    return [Mail(*row) for row in await session.execute(_WAITING)]
