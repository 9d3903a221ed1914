"""`turumba worker`: results for all channels, sending for those that are not SMPP, and long work."""

import asyncio
from contextlib import suppress

from faststream.rabbit import Channel, RabbitBroker

from app.domain.channels.directory import ChannelDirectory
from app.domain.contacts.correspondence import Correspondence
from app.domain.contacts.stores.opening import open_contact_stores
from app.domain.messages.handover import Handover
from app.domain.messages.people import People
from app.domain.outbox.waker import OutboxWaker
from app.domain.templates.directory import TemplateDirectory
from app.lib.broker import DEAD_QUEUE, RESULTS_QUEUE, Publisher, Topology, unavailable_broker
from app.lib.clock import utc_now
from app.lib.crypto import Envelope, parse_keys
from app.lib.db import Database
from app.lib.errors import Unavailable
from app.lib.garbage import calm_garbage_collector
from app.lib.ids import new_id
from app.lib.logging import get_logger
from app.lib.service import Stop, backoff
from app.lib.tasks import end_tasks
from app.settings import Settings
from app.workers.dispatch import Dispatcher
from app.workers.group_messages import GroupMessageSender
from app.workers.jobs import run_jobs
from app.workers.results import subscribe_results
from app.workers.topology import declare_one_by_one

log = get_logger(__name__)


async def run_worker(settings: Settings, stop: Stop) -> None:
    """Run until `stop`; RabbitMQ being away at the start or later is waited out."""
    calm_garbage_collector()
    database = Database(
        settings.database.url,
        process="worker",
        pool_size=settings.database.pool_size,
        connect_timeout=settings.database.connect_timeout_seconds,
        statement_timeout=settings.database.statement_timeout_seconds,
    )
    directory = ChannelDirectory(database, Envelope(parse_keys(settings.encryption_keys)))
    listener = asyncio.create_task(directory.listen(), name="channel-changes")
    stores = open_contact_stores(settings.contacts.url)
    people = Correspondence(stores, utc_now, new_id)
    jobs = asyncio.create_task(run_jobs(settings, stop), name="jobs")
    templates = TemplateDirectory(database)
    template_listener = asyncio.create_task(templates.listen(), name="template-changes")
    sender = GroupMessageSender(database, stores, directory, templates, OutboxWaker(database), utc_now, new_id)
    group_messages = asyncio.create_task(sender.run(stop), name="group-messages")
    stop.needs(listener, jobs, template_listener, group_messages)
    failures = 0
    try:
        while not stop.requested:
            try:
                with unavailable_broker():
                    await _serve(settings, database, directory, people, stop)
                failures = 0
            except Unavailable as error:
                failures += 1
                log.warning("cannot consume", reason=error.detail, cause=repr(error.__cause__))
                stop.working(f"Waiting: {error.detail}")
            if not stop.requested:
                await stop.wait(backoff(failures, most=5.0))
    finally:
        if stop.requested:
            # Whatever is under way comes to the end of its step, and is given back.
            await asyncio.wait([jobs, group_messages])
        await end_tasks(listener, template_listener, jobs, group_messages)
        await stores.close()
        await database.close()
        log.info("worker stopped")


async def _serve(
    settings: Settings, database: Database, directory: ChannelDirectory, people: People, stop: Stop
) -> None:
    """Consume for as long as one connection lives.

    Consumers that a reconnection restores silently are the classic way to lose one unnoticed: after any loss of the
    connection everything is built again.
    """
    lost = asyncio.Event()
    broker = RabbitBroker(
        settings.broker.url,
        default_channel=Channel(prefetch_count=8),
        graceful_timeout=20,
        # Consumers take the message as it is (`topology.as_it_is`): looking for what else they might want costs more
        # than most of them do with it.
        apply_types=False,
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
            subscribe_results(broker, topology, database, people, new_id, stop)
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
