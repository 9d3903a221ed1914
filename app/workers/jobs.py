"""Long work of every domain, in the worker: which kinds there are, and what runs them.

It needs PostgreSQL only, so it goes on while RabbitMQ is away.
"""

from app.domain.contacts.bulk.handler import ContactBulk
from app.domain.contacts.erasure.handler import ContactErasure
from app.domain.contacts.imports.handler import ContactImport
from app.domain.contacts.merging.duplicates_job import ContactDuplicates
from app.domain.contacts.stores.contract import ContactStores
from app.domain.contacts.stores.opening import open_contact_stores
from app.domain.jobs.contract import JobHandler
from app.domain.jobs.runner import JobRunner, RunnerOptions
from app.lib.clock import utc_now
from app.lib.db import Database
from app.lib.ids import new_id
from app.lib.service import Stop
from app.settings import Settings

OPTIONS = RunnerOptions()

STATEMENT_SECONDS = 120.0
"""A statement of a step may take longer than one that somebody waits for."""


def job_handlers(database: Database, settings: Settings, contacts: ContactStores) -> tuple[JobHandler, ...]:
    """Everything that can be asked for as a job. `database` is the jobs' own."""
    return (
        ContactImport(contacts, clock=utc_now, new_id=new_id),
        ContactBulk(contacts, clock=utc_now, new_id=new_id),
        ContactDuplicates(contacts),
        ContactErasure(contacts, clock=utc_now, new_id=new_id),
    )


async def run_jobs(settings: Settings, stop: Stop) -> None:
    """Run until `stop`."""
    # Of its own: sending must not wait for a connection that long work has.
    database = Database(
        settings.database.url,
        process="worker-jobs",
        pool_size=OPTIONS.connections,
        connect_timeout=settings.database.connect_timeout_seconds,
        statement_timeout=max(STATEMENT_SECONDS, settings.database.statement_timeout_seconds),
    )
    contacts = open_contact_stores(settings.contacts.url)
    try:
        handlers = job_handlers(database, settings, contacts)
        await JobRunner(database, handlers, new_id=new_id, options=OPTIONS).run(stop)
    finally:
        await contacts.close()
        await database.close()
