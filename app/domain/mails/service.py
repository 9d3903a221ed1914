"""Mails of the system itself: codes and invitations. Nothing here commits."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.mails.repository import Mail, insert_mail
from app.lib.crypto import Envelope
from app.lib.ids import NewId


async def queue_mail(
    session: AsyncSession, envelope: Envelope, new_id: NewId, *, to: str, subject: str, body: str
) -> None:
    """Have a plain-text mail sent to the address `to` once the transaction commits.

    The unit of work must be about identity. The body is stored sealed, because it may hold what lets its reader in;
    recipient and subject are not, and are logged: no code or link belongs into the subject.
    """
    mail_id = new_id()
    # Nothing that a person typed may begin another header (RFC 5322 §2.2).
    subject = " ".join(subject.split())
    await insert_mail(session, mail_id, to, subject, envelope.encrypt(body.encode(), body_context(mail_id)))


def body_context(mail_id: UUID) -> str:
    """What the sealed body of a mail is tied to."""
    return f"mail:{mail_id}"


def open_body(envelope: Envelope, mail: Mail) -> str:
    """The text of a mail; raises `CryptoError`."""
    return envelope.decrypt(mail.body, body_context(mail.id)).decode()
