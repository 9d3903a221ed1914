"""Mails leave through the SMTP server, or are told about where there is none."""

from uuid import UUID

from app.domain.mails.delivery import deliver_due
from app.domain.mails.repository import newest_waiting
from app.domain.mails.service import open_body
from app.domain.mails.smtp import Mailer
from app.lib.crypto import CryptoError, Envelope
from app.lib.db import Database
from app.lib.logging import get_logger
from app.settings import MailSettings

log = get_logger(__name__)


class MailDelivery:
    """The leader's way to the SMTP server.

    Without one every mail stays in the table, and a line in the log tells of it. The line shows the text as well where
    `outbox_page` shows it anyway, so that who runs Turumba at a terminal sees the code; nowhere else is it logged.
    """

    def __init__(self, settings: MailSettings, envelope: Envelope, mailer: Mailer | None = None) -> None:
        self._show_text = settings.outbox_page
        self._envelope = envelope
        self._mailer = mailer or Mailer(settings)
        self._told: frozenset[UUID] = frozenset()

    async def deliver_mails(self, database: Database) -> None:
        """Send what is due, or tell of what waits. Raises `Unavailable`."""
        if self._mailer.configured:
            await deliver_due(database, self._envelope, self._mailer)
        else:
            await self._tell(database)

    async def _tell(self, database: Database) -> None:
        async with database.reading() as session:
            waiting = await newest_waiting(session)
        for mail in waiting:
            if mail.id in self._told:
                continue
            text = {}
            if self._show_text:
                try:
                    text = {"text": open_body(self._envelope, mail)}
                except CryptoError as error:
                    text = {"text": f"({error})"}
            log.info("mail waits in the local outbox", to=mail.recipient, subject=mail.subject, **text)
        self._told = frozenset(mail.id for mail in waiting)
