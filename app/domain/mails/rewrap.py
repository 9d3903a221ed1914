"""Rotation of the encryption key for the bodies of mails."""

from sqlalchemy import text

from app.domain.mails.service import body_context
from app.lib.crypto import Envelope
from app.lib.db import Database

_WAITING = text("SELECT id FROM mails WHERE sent_at IS NULL AND failed_at IS NULL ORDER BY id")
_LOCK = text("SELECT body FROM mails WHERE id = :id AND sent_at IS NULL FOR UPDATE")
_CHANGE = text("UPDATE mails SET body = :sealed WHERE id = :id")


async def rewrap_mails(database: Database, envelope: Envelope) -> int:
    """Put the bodies of mails that are still to be sent under the active key; returns how many changed.

    What was sent is not opened any more, and deleted within a week. Raises `CryptoError` and `Unavailable`.
    """
    async with database.reading() as session:
        ids = list((await session.execute(_WAITING)).scalars())
    changed = 0
    for mail_id in ids:
        async with database.unit_of_work() as session:
            sealed = await session.scalar(_LOCK, {"id": mail_id})
            moved = None if sealed is None else envelope.rewrap(sealed, body_context(mail_id))
            if moved is not None:
                await session.execute(_CHANGE, {"id": mail_id, "sealed": moved})
                changed += 1
    return changed
