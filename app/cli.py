"""`turumba`: the API, the relay, the worker, and what an installation needs once in a while."""

import asyncio
import os
import shutil
import signal
import socket
import sys
import tempfile
from types import FrameType
from typing import Any
from uuid import UUID

import click
from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops

from app.cli_accounts import accounts
from app.cli_contacts import contacts
from app.cli_orphans import orphans
from app.domain.channels.directory import ChannelDirectory
from app.domain.channels.rewrap import rewrap_channels
from app.domain.idempotency.rewrap import rewrap_answers
from app.domain.identity.rewrap import rewrap_identity
from app.domain.mails.rewrap import rewrap_mails
from app.domain.messages.requeue import FIRST, requeue_some
from app.domain.outbox.relay import Relay
from app.lib.broker import Publisher
from app.lib.crypto import CryptoError, Envelope, parse_keys
from app.lib.db import Database, unavailable_errors
from app.lib.environment import variable_names
from app.lib.errors import Unavailable
from app.lib.ids import new_id
from app.lib.logging import get_logger
from app.lib.migrate import migrate as apply_migrations
from app.lib.notify import ServiceManager
from app.lib.service import Stop, backoff, run_process
from app.lib.worker_watch import WorkerWatch
from app.settings import PREFIX, Settings, settings_for
from app.workers.main import run_worker

log = get_logger(__name__)

_METRICS_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"

WORKERS_END_SECONDS = 20
"""How long the API's workers may take to finish their requests."""


@click.group()
@click.version_option(package_name="turumba")
def main() -> None:
    """Turumba: message automation for organizations.

    Every setting is an environment variable, see `turumba settings`.
    """


@main.command()
def api() -> None:
    """Serve the HTTP API until SIGTERM."""
    settings = settings_for("api")
    directory = os.environ.get(_METRICS_DIRECTORY)
    if settings.api.workers > 1 and directory is None:
        # Every worker process writes its counters to files there, and whichever is scraped adds them up. The client
        # library looks for it when it is imported, which it is already: begin again with it set.
        os.environ[_METRICS_DIRECTORY] = tempfile.mkdtemp(prefix="turumba-metrics-")
        os.execv(sys.executable, [sys.executable, *sys.argv])
    api_settings = settings.api
    watch = WorkerWatch(
        ServiceManager.of(os.environ, os.getpid()),
        api_settings.workers,
        lambda: _accepts(api_settings.host, api_settings.port),
    )
    # Workers tell the watch, and only the watch tells the service manager.
    os.environ.update(watch.environment())
    os.environ.pop("WATCHDOG_PID", None)
    try:
        server = Granian(
            "app.main:create_app",
            factory=True,
            interface=Interfaces.ASGI,
            address=api_settings.host,
            port=api_settings.port,
            workers=api_settings.workers,
            loop=Loops.uvloop,
            http=HTTPModes.http1,
            log_enabled=False,
            respawn_failed_workers=True,
            workers_kill_timeout=WORKERS_END_SECONDS,
        )
        server.on_startup(lambda: _begin_watch(watch))
        server.serve()
    finally:
        watch.close()
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)


def _begin_watch(watch: WorkerWatch) -> None:
    """Called when Granian has set its signal handlers and not started a worker yet."""
    watch.start()
    for number in (signal.SIGTERM, signal.SIGINT):
        end = signal.getsignal(number)

        def tell_and_end(number: int, frame: FrameType | None, end: Any = end) -> None:
            watch.stopping(WORKERS_END_SECONDS + 10.0)
            end(number, frame)

        signal.signal(number, tell_and_end)


def _accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


@main.command()
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


@main.command()
def worker() -> None:
    """Apply results and send through HTTP connectors until SIGTERM."""
    settings = settings_for("worker")
    run_process(lambda stop: run_worker(settings, stop), metrics=(settings.metrics.host, settings.metrics.port))


@main.command()
@click.option("--wait", is_flag=True, help="Wait for a database that cannot be reached, for as long as it takes.")
def migrate(wait: bool) -> None:
    """Bring the database to this release's schema. Safe while the previous release is serving."""
    settings = settings_for("migrate")

    async def body() -> None:
        database = Database(settings.database.url, process="migrate", pool_size=1, statement_timeout=3600)
        failures = 0
        try:
            while True:
                try:
                    with unavailable_errors():
                        return await apply_migrations(database)
                except Unavailable as error:
                    if not wait:
                        raise
                    failures += 1
                    log.warning("the database cannot be reached yet", cause=repr(error.__cause__))
                    await asyncio.sleep(backoff(failures))
        finally:
            await database.close()

    try:
        asyncio.run(body())
    except Unavailable as error:
        sys.exit(
            f"The database cannot be reached: {error.__cause__}. Is TURUMBA_DATABASE_URL right, and the server up?"
        )


@main.command()
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


@main.group()
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


@main.command("settings")
def show_settings() -> None:
    """List every environment variable, its type, and whether it is required.

    TURUMBA_DATABASE_URL, TURUMBA_BROKER_URL and TURUMBA_ENCRYPTION_KEYS can be in files: name them with _FILE appended.
    """
    for name, kind, required in variable_names(Settings, PREFIX):
        click.echo(f"{name:44} {kind:24} {'required' if required else 'optional'}")


main.add_command(accounts)
main.add_command(contacts)
main.add_command(orphans)
