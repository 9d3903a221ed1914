"""`turumba settings`: what can be set."""

import click

from app.lib.environment import variable_names
from app.settings import PREFIX, Settings


@click.command("settings")
def show_settings() -> None:
    """List every environment variable, its type, and whether it is required.

    TURUMBA_DATABASE_URL, TURUMBA_BROKER_URL and TURUMBA_ENCRYPTION_KEYS can be in files: name them with _FILE appended.
    """
    for name, kind, required in variable_names(Settings, PREFIX):
        click.echo(f"{name:44} {kind:24} {'required' if required else 'optional'}")
