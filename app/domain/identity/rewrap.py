"""Rotation of the encryption key for the keys that sign access tokens."""

from sqlalchemy import text

from app.domain.identity.keys import sealing_context
from app.lib.crypto import Envelope
from app.lib.db import Database

_KEYS = text("SELECT id, private_key FROM signing_keys FOR UPDATE")
_CHANGE = text("UPDATE signing_keys SET private_key = :sealed WHERE id = :id")


async def rewrap_signing_keys(database: Database, envelope: Envelope) -> int:
    """Put every signing key under the active encryption key; returns how many changed. Raises `CryptoError`."""
    changed = 0
    async with database.unit_of_work() as session:
        for row in list(await session.execute(_KEYS)):
            moved = envelope.rewrap(row.private_key, sealing_context(row.id))
            if moved is not None:
                await session.execute(_CHANGE, {"id": row.id, "sealed": moved})
                changed += 1
    return changed
