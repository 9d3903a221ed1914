"""`turumba keys`: the keys that stored secrets are under."""

import asyncio
import sys

import click

from app.domain.channels.rewrap import rewrap_channels
from app.domain.idempotency.rewrap import rewrap_answers
from app.domain.identity.rewrap import rewrap_identity
from app.domain.mails.rewrap import rewrap_mails
from app.lib.crypto import CryptoError, Envelope, parse_keys
from app.lib.db import Database
from app.lib.errors import Unavailable
from app.settings import settings_for


@click.group()
def keys() -> None:
    """Keys of this installation."""


@keys.command()
def rewrap() -> None:
    """Put all stored secrets under the first key of TURUMBA_ENCRYPTION_KEYS. The processes may keep running."""
    settings = settings_for("keys")

    async def body() -> int:
        database = Database(settings.database.url, process="keys", pool_size=1)
        try:
            envelope = Envelope(parse_keys(settings.encryption_keys))
            return (
                await rewrap_identity(database, envelope)
                + await rewrap_mails(database, envelope)
                + await rewrap_channels(database, envelope)
                + await rewrap_answers(database, envelope)
            )
        finally:
            await database.close()

    try:
        changed = asyncio.run(body())
    except (Unavailable, CryptoError, ValueError) as error:
        sys.exit(f"Not finished: {error}. What was done stays done; run it again when that is mended.")
    click.echo(f"{changed} secrets are under the active key now.")
