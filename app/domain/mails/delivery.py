"""Sends what is queued: each mail in a transaction of its own, which holds its row while the mail is on the way.

A process that is killed between the server's answer and the commit leaves the mail to be sent again: it may arrive
twice, with the same `Message-ID`, but it is not lost.
"""

from enum import Enum

from app.domain.mails.repository import mark_failed, mark_sent, postpone, take_due
from app.domain.mails.service import open_body
from app.domain.mails.smtp import Mailer, NotSentError
from app.lib.crypto import CryptoError, Envelope
from app.lib.db import Database
from app.lib.logging import get_logger

log = get_logger(__name__)

WAITS = (10.0, 60.0, 600.0, 3600.0)
"""Seconds after each failed attempt but the last."""

MAX_ATTEMPTS = len(WAITS) + 1


class _Outcome(Enum):
    SENT = "sent"
    GIVEN_UP = "given up"
    POSTPONED = "postponed"
    NOTHING_DUE = "nothing due"


async def deliver_due(database: Database, envelope: Envelope, mailer: Mailer) -> int:
    """Send what is due until nothing is, or until the server does not work; returns how many were sent.

    Several processes may do it at once. Raises `Unavailable`.
    """
    sent = 0
    while True:
        outcome = await _deliver_one(database, envelope, mailer)
        if outcome is _Outcome.SENT:
            sent += 1
        elif outcome is not _Outcome.GIVEN_UP:
            # One attempt is enough to know that the server is in trouble: the others stay due.
            return sent


async def _deliver_one(database: Database, envelope: Envelope, mailer: Mailer) -> _Outcome:
    async with database.unit_of_work() as session:
        mail = await take_due(session)
        if mail is None:
            return _Outcome.NOTHING_DUE
        try:
            body = open_body(envelope, mail)
            await mailer.send(mail.id, mail.recipient, mail.subject, body, mail.created_at)
        except CryptoError as error:
            failure = NotSentError(str(error), final=True)
        except NotSentError as error:
            failure = error
        else:
            await mark_sent(session, mail.id)
            log.info("mail sent", mail_id=str(mail.id), attempts=mail.attempts + 1)
            return _Outcome.SENT
        attempts = mail.attempts + 1
        if failure.final or attempts >= MAX_ATTEMPTS:
            await mark_failed(session, mail.id, failure.reason)
            log.warning("mail given up", mail_id=str(mail.id), attempts=attempts, reason=failure.reason)
            return _Outcome.GIVEN_UP
        await postpone(session, mail.id, failure.reason, WAITS[attempts - 1])
        log.warning("mail postponed", mail_id=str(mail.id), attempts=attempts, reason=failure.reason)
        return _Outcome.POSTPONED
