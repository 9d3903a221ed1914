"""Rotation of the encryption key for all channels: the wrapping changes, the credentials are not looked at."""

from sqlalchemy import select, update

from app.domain.channels.credentials import credentials_context
from app.domain.channels.models import Channel
from app.lib.crypto import Envelope
from app.lib.db import Database


async def rewrap_channels(database: Database, envelope: Envelope) -> int:
    """Put every channel's credentials under the active key; returns how many changed.

    One transaction for each channel, so that it can be stopped and run again. Raises `CryptoError` when a value is
    under a key that is not configured any more, and `Unavailable`.
    """
    async with database.reading() as session:
        ids = list((await session.execute(select(Channel.id).where(Channel.credentials.is_not(None)))).scalars())
    changed = 0
    for channel_id in ids:
        async with database.unit_of_work() as session:
            row = await session.execute(select(Channel.credentials).where(Channel.id == channel_id).with_for_update())
            sealed = row.scalar_one_or_none()
            moved = envelope.rewrap(sealed, credentials_context(channel_id)) if sealed is not None else None
            if moved is not None:
                # `updated_at` is the version of what the owner decided, and the owner decided nothing.
                values = {"credentials": moved, "updated_at": Channel.updated_at}
                await session.execute(update(Channel).where(Channel.id == channel_id).values(values))
                changed += 1
    return changed
