"""`turumba relay`: the outbox to RabbitMQ."""

import click

from app.domain.outbox.relay import Relay
from app.lib.broker import Publisher
from app.lib.db import Database
from app.lib.logging import get_logger
from app.lib.service import Stop, run_process
from app.settings import settings_for

log = get_logger(__name__)


@click.command()
def relay() -> None:
    """Publish the outbox to RabbitMQ until SIGTERM."""
    settings = settings_for("relay")

    async def body(stop: Stop) -> None:
        database = Database(settings.database.url, process="relay", pool_size=2)
        publisher = Publisher(
            settings.broker.url,
            name="turumba-relay",
            confirm_timeout=settings.broker.confirm_timeout_seconds,
        )
        log.info("relay started")
        try:
            await Relay(database, publisher).run(stop)
        finally:
            await database.close()
            log.info("relay stopped")

    run_process(body, metrics=(settings.metrics.host, settings.metrics.port))
