"""Applies the migrations of this installation; the scripts live in the top-level `migrations` package."""

from importlib.resources import files

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from app.lib.db import Database


async def migrate(database: Database, revision: str = "head") -> None:
    """Upgrade the schema to `revision`; does nothing when it is there. Safe to call from several processes at once."""
    config = Config()
    config.set_main_option("script_location", str(files("migrations")))
    config.set_main_option("path_separator", "os")

    def upgrade(connection: Connection) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    async with database.engine.connect() as connection:
        await connection.run_sync(upgrade)
