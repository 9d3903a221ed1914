"""`turumba`: the API, the relay, the worker, and what an installation needs once in a while."""

import importlib

import click

COMMANDS = {
    "accounts": "accounts:accounts",
    "api": "api:api",
    "contacts": "contacts:contacts",
    "keys": "keys:keys",
    "migrate": "migrate:migrate",
    "orphans": "orphans:orphans",
    "relay": "relay:relay",
    "requeue": "requeue:requeue",
    "settings": "settings:show_settings",
    "worker": "worker:worker",
}
"""Name → module of `app.commands` and what is called there."""


class CommandsWhenCalled(click.Group):
    """Imports a command only when it is called: a process needs a fraction of what all of them need."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All of them, for the help."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command: click.Command = getattr(importlib.import_module(f"app.commands.{module}"), name)
        return command


@click.group(cls=CommandsWhenCalled)
@click.version_option(package_name="turumba")
def main() -> None:
    """Turumba: message automation for organizations.

    Every setting is an environment variable, see `turumba settings`.
    """
