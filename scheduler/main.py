"""`turumba-scheduler`: ticks; the leader's ticks do the work."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import click
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from app.domain.contacts.correspondence import Correspondence
from app.domain.contacts.stores.opening import open_contact_stores
from app.lib.clock import utc_now
from app.lib.crypto import Envelope, parse_keys
from app.lib.db import Database
from app.lib.errors import Unavailable
from app.lib.ids import new_id
from app.lib.logging import get_logger
from app.lib.service import Stop, run_process
from app.settings import Settings, settings_for
from scheduler.jobs.contacts import ContactJobs
from scheduler.jobs.inbound import InboundParts, rematch_receipts
from scheduler.jobs.long_work import expire_long_work
from scheduler.jobs.mails import MailDelivery
from scheduler.jobs.queues import QueueWatch
from scheduler.jobs.retries import enqueue_retries
from scheduler.jobs.upkeep import declare_orphans, make_partitions, prune
from scheduler.leader import Leader

log = get_logger(__name__)

Job = Callable[[Database], Awaitable[None]]

JOBS: tuple[tuple[Job, float], ...] = (
    (enqueue_retries, 0.5),
    (rematch_receipts, 15.0),
    (declare_orphans, 30.0),
    (make_partitions, 3600.0),
    (prune, 3600.0),
    (expire_long_work, 60.0),
)
"""Each job and the seconds between its ticks."""

QUEUE_LOOK_SECONDS = 30.0
MAIL_SECONDS = 2.0
PARTS_SECONDS = 5.0
PURGE_SECONDS = 300.0
GROUP_SECONDS = 30.0


async def run_scheduler(settings: Settings, stop: Stop) -> None:
    """Run until `stop`."""
    database = Database(settings.database.url, process="scheduler", pool_size=4)
    leader = Leader(database)
    queues = QueueWatch(settings.broker.url)
    stores = open_contact_stores(settings.contacts.url)
    contacts = ContactJobs(stores)
    parts = InboundParts(Correspondence(stores, utc_now, new_id))
    mails = MailDelivery(settings.mail, Envelope(parse_keys(settings.encryption_keys)))
    # APScheduler only ticks here: what is due, and to whom, is decided by rows and locks in PostgreSQL.
    ticker = AsyncIOScheduler(timezone=UTC)
    lock = asyncio.Lock()

    async def tick(job: Job) -> None:
        async with lock:
            leading = await leader.ensure()
        stop.working("Leading." if leading else "Standing by: another scheduler leads, or PostgreSQL is away.")
        if not leading:
            queues.forget()
            return
        try:
            await job(database)
        except Unavailable as error:
            log.warning("job postponed", job=job.__name__, reason=error.detail)
        except Exception:
            log.exception("job failed", job=job.__name__)

    for job, seconds in (
        *JOBS,
        (queues.find_deserted, QUEUE_LOOK_SECONDS),
        (mails.deliver_mails, MAIL_SECONDS),
        (parts.deliver_overdue_parts, PARTS_SECONDS),
        (contacts.drop_deleted_groups, GROUP_SECONDS),
        (contacts.finish_merges, GROUP_SECONDS),
        (contacts.forget_merges, PURGE_SECONDS),
        (contacts.purge_accounts, PURGE_SECONDS),
    ):
        ticker.add_job(
            tick,
            "interval",
            seconds=seconds,
            args=[job],
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
            next_run_time=datetime.now(UTC),
        )
    ticker.start()
    log.info("scheduler started")
    try:
        await stop.wait()
    finally:
        ticker.shutdown(wait=False)
        await leader.resign()
        await stores.close()
        await database.close()
        log.info("scheduler stopped")


@click.command()
def main() -> None:
    """Run the scheduler: retries, partitions and retention. Several may run; one of them leads."""
    settings = settings_for("scheduler")
    run_process(lambda stop: run_scheduler(settings, stop), metrics=(settings.metrics.host, settings.metrics.port))
