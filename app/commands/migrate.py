"""`turumba migrate`: the schema of this release."""

import asyncio
import sys

import click

from app.lib.db import Database, unavailable_errors
from app.lib.errors import Unavailable
from app.lib.logging import get_logger
from app.lib.migrate import migrate as apply_migrations
from app.lib.service import backoff
from app.settings import settings_for

log = get_logger(__name__)


@click.command()
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
