"""Rotation of the encryption key for identity: keys that sign access tokens, second factors, codes by e-mail."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import TextClause, text

from app.domain.identity.codes.service import code_context
from app.domain.identity.keys import sealing_context
from app.domain.identity.second_factor.service import totp_context
from app.lib.crypto import Envelope
from app.lib.db import Database

_KEYS = text("SELECT id, private_key FROM signing_keys")
_LOCK_KEY = text("SELECT private_key FROM signing_keys WHERE id = :id FOR UPDATE")
_CHANGE_KEY = text("UPDATE signing_keys SET private_key = :sealed WHERE id = :id")

_USERS = text("SELECT id, totp_secret FROM users WHERE totp_secret IS NOT NULL")
_LOCK_USER = text("SELECT totp_secret FROM users WHERE id = :id FOR NO KEY UPDATE")
_CHANGE_USER = text("UPDATE users SET totp_secret = :sealed WHERE id = :id")

_CODES = text("SELECT id, code FROM email_codes WHERE used_at IS NULL AND expires_at > now()")
_LOCK_CODE = text("SELECT code FROM email_codes WHERE id = :id FOR UPDATE")
_CHANGE_CODE = text("UPDATE email_codes SET code = :sealed WHERE id = :id")


async def rewrap_identity(database: Database, envelope: Envelope) -> int:
    """Put every sealed value of identity under the active encryption key; returns how many changed.

    A transaction for each, so that it can be stopped and run again. Codes that are used or too old stay as they are:
    nobody opens them any more. Raises `CryptoError` and `Unavailable`.
    """
    return (
        await _rewrap(database, envelope, _KEYS, _LOCK_KEY, _CHANGE_KEY, sealing_context)
        + await _rewrap(database, envelope, _USERS, _LOCK_USER, _CHANGE_USER, totp_context)
        + await _rewrap(database, envelope, _CODES, _LOCK_CODE, _CHANGE_CODE, code_context)
    )


async def _rewrap(
    database: Database,
    envelope: Envelope,
    find: TextClause,
    lock: TextClause,
    change: TextClause,
    context_of: Callable[[Any], str],
) -> int:
    changed = 0
    async with database.reading() as session:
        found = [(id_, sealed) for id_, sealed in await session.execute(find)]
    stale = [id_ for id_, sealed in found if envelope.key_id_of(sealed) != envelope.active_key_id]
    for id_ in stale:
        async with database.unit_of_work() as session:
            sealed = await session.scalar(lock, {"id": id_})
            moved = None if sealed is None else envelope.rewrap(sealed, context_of(id_))
            if moved is not None:
                await session.execute(change, {"id": id_, "sealed": moved})
                changed += 1
    return changed
