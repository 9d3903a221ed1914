"""Sending one mail through an SMTP server (RFC 5321, submission of RFC 6409)."""

import asyncio
import ssl
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from uuid import UUID

import aiosmtplib

from app.settings import MailSettings

SEND_SECONDS = 30.0
"""For the whole conversation; less than a unit of work may be idle for (app.lib.db)."""


class NotSentError(Exception):
    """The server did not take the mail; the text says why. `final` when it never will."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final


class Mailer:
    """The SMTP server of this installation. `tls` replaces the system's trust, for tests."""

    def __init__(self, settings: MailSettings, tls: ssl.SSLContext | None = None) -> None:
        self._settings = settings
        self._tls = tls

    def __repr__(self) -> str:
        return f"<Mailer {self._settings.smtp_host}:{self._settings.smtp_port}>"

    @property
    def configured(self) -> bool:
        """Whether there is a server at all."""
        return bool(self._settings.smtp_host)

    async def send(self, mail_id: UUID, recipient: str, subject: str, body: str, written_at: datetime) -> None:
        """Hand one mail over. Raises `NotSentError`.

        The `Message-ID` follows from `mail_id`: a mail that is sent twice is one mail to whoever looks at it.
        """
        message = compose(self._settings.sender, mail_id, recipient, subject, body, written_at)
        try:
            # The library bounds each step; a server that answers slowly to every one must not hold us either.
            async with asyncio.timeout(SEND_SECONDS):
                await aiosmtplib.send(
                    message,
                    sender=parseaddr(self._settings.sender)[1],
                    recipients=[recipient],
                    hostname=self._settings.smtp_host,
                    port=self._settings.smtp_port,
                    username=self._settings.smtp_username or None,
                    password=self._settings.smtp_password or None,
                    use_tls=self._settings.smtp_security == "tls",
                    # True demands it: without STARTTLS nothing is sent (RFC 8314 §3).
                    start_tls=self._settings.smtp_security == "starttls",
                    tls_context=self._tls,
                    timeout=SEND_SECONDS,
                )
        except aiosmtplib.SMTPRecipientsRefused as error:
            refusal = error.recipients[0]
            raise NotSentError(_words(refusal), final=_is_permanent(refusal)) from error
        except aiosmtplib.SMTPDataError as error:
            raise NotSentError(_words(error), final=_is_permanent(error)) from error
        except TimeoutError as error:
            raise NotSentError(f"no answer within {SEND_SECONDS:.0f} seconds") from error
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            # A refused log-in or sender has a permanent code too, but is ours to mend: it is tried again.
            raise NotSentError(_words(error)) from error


def compose(sender: str, mail_id: UUID, recipient: str, subject: str, body: str, written_at: datetime) -> EmailMessage:
    """The message as it travels: plain text in UTF-8. Raises `ValueError` for a sender that is no address."""
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = subject
    message["Date"] = format_datetime(written_at)
    message["Message-ID"] = f"<{mail_id}@{parseaddr(sender)[1].rpartition('@')[2] or 'localhost'}>"
    # RFC 3834 §5: nobody's holiday notice answers it.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(body)
    return message


def _is_permanent(error: aiosmtplib.SMTPResponseException) -> bool:
    return 500 <= error.code < 600


def _words(error: Exception) -> str:
    if isinstance(error, aiosmtplib.SMTPResponseException):
        words = f"{error.code} {error.message}"
    else:
        words = str(error) or type(error).__name__
    # What a server says is data: one line, and not all of it.
    return "".join(character if character.isprintable() else " " for character in words)[:500]
