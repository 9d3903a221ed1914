"""`turumba worker`: results for all channels, and sending for those that are not SMPP."""

import asyncio
from contextlib import suppress

from faststream.rabbit import Channel, RabbitBroker

from app.domain.channels.directory import ChannelDirectory
from app.domain.messages.handover import Handover
from app.lib.broker import DEAD_QUEUE, RESULTS_QUEUE, Publisher, Topology, unavailable_broker
from app.lib.crypto import Envelope, parse_keys
from app.lib.db import Database
from app.lib.errors import Unavailable
from app.lib.ids import new_id
from app.lib.logging import get_logger
from app.lib.service import Stop, backoff
from app.lib.tasks import end_tasks
from app.settings import Settings
from app.workers.dispatch import Dispatcher
from app.workers.results import subscribe_results
from app.workers.topology import declare_one_by_one

log = get_logger(__name__)


async def run_worker(settings: Settings, stop: Stop) -> None:
    """Run until `stop`; RabbitMQ being away at the start or later is waited out."""
    database = Database(
        settings.database.url,
        process="worker",
        pool_size=settings.database.pool_size,
        connect_timeout=settings.database.connect_timeout_seconds,
        statement_timeout=settings.database.statement_timeout_seconds,
    )
    directory = ChannelDirectory(database, Envelope(parse_keys(settings.encryption_keys)))
    listener = asyncio.create_task(directory.listen(), name="channel-changes")
    failures = 0
    try:
        while not stop.requested:
            try:
                with unavailable_broker():
                    await _serve(settings, database, directory, stop)
                failures = 0
            except Unavailable as error:
                failures += 1
                log.warning("cannot consume", reason=error.detail, cause=repr(error.__cause__))
                stop.working(f"Waiting: {error.detail}")
            if not stop.requested:
                await stop.wait(backoff(failures, most=5.0))
    finally:
        await end_tasks(listener)
        await database.close()
        log.info("worker stopped")


async def _serve(settings: Settings, database: Database, directory: ChannelDirectory, stop: Stop) -> None:
    """Consume for as long as one connection lives.

    Consumers that a reconnection restores silently are the classic way to lose one unnoticed: after any loss of the
    connection everything is built again.
    """
    lost = asyncio.Event()
    broker = RabbitBroker(
        settings.broker.url,
        default_channel=Channel(prefetch_count=8),
        graceful_timeout=20,
        logger=None,
        on_close=[lambda *_: lost.set()],
    )
    topology = Topology(settings.broker.queue_max_mebibytes * 2**20)
    publisher = Publisher(
        settings.broker.url, name="turumba-worker", confirm_timeout=settings.broker.confirm_timeout_seconds
    )
    dispatcher = Dispatcher(
        broker, settings.broker.url, topology, publisher, directory, database, Handover(database), new_id, stop
    )
    try:
        async with asyncio.timeout(30):
            await broker.connect()
            await declare_one_by_one(database, settings.broker.url, topology, [DEAD_QUEUE, RESULTS_QUEUE])
            subscribe_results(broker, topology, database, new_id, stop)
            await broker.start()
        log.info("worker started")
        stop.working("Consuming.")
        await dispatcher.run(lost)
    finally:
        await _close(broker)
        await publisher.close()


async def _close(broker: RabbitBroker) -> None:
    with suppress(Unavailable), unavailable_broker():
        async with asyncio.timeout(25):
            await broker.stop()
