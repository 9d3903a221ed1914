"""`turumba requeue`: what RabbitMQ lost goes through the relay again."""

import asyncio
import sys
from uuid import UUID

import click

from app.domain.channels.directory import ChannelDirectory
from app.domain.messages.requeue import FIRST, requeue_some
from app.lib.crypto import Envelope, parse_keys
from app.lib.db import Database
from app.lib.errors import Unavailable
from app.lib.ids import new_id
from app.settings import settings_for


@click.command()
@click.argument("channel", type=click.UUID)
def requeue(channel: UUID) -> None:
    """Send again through the relay what is queued for CHANNEL and was never handed over.

    For when RabbitMQ lost a queue. Harmless otherwise: a message that is dispatched twice is claimed once.
    """
    settings = settings_for("requeue")

    async def body() -> int:
        database = Database(settings.database.url, process="requeue", pool_size=1)
        try:
            directory = ChannelDirectory(database, Envelope(parse_keys(settings.encryption_keys)))
            record = await directory.find(channel)
            if record is None:
                sys.exit(f"There is no channel {channel}.")
            total, after = 0, FIRST
            while True:
                async with database.unit_of_work() as session:
                    count, after = await requeue_some(session, record, after, new_id)
                if not count:
                    return total
                total += count
        finally:
            await database.close()

    try:
        total = asyncio.run(body())
    except Unavailable as error:
        sys.exit(f"Not finished: {error} Run it again.")
    click.echo(f"{total} messages are in the outbox again.")
