"""The command `reload`."""

import click
import msgspec
from rich.table import Table
from rich.text import Text

from smpp_daemon.reports import ChannelChange
from smpp_daemon.smppctl.client import Daemons, ask
from smpp_daemon.smppctl.options import console, decoded, ending_well, reachable, with_json, with_socket

_ACTIONS = {
    "none": ("unchanged", ""),
    "stop": ("ends: its owner paused or deleted it", "yellow"),
    "stopped": ("paused by its owner", "dim"),
    "elsewhere": ("runs in another daemon, or begins here soon", "dim"),
    "in place": ("changes in place, binds do not notice", "green"),
    "rebind": ("binds again", "yellow"),
}


@click.command(short_help="Take over what changed in the database.", epilog="Example: smppctl reload --diff")
@click.option("--diff", is_flag=True, help="Only show what differs; do not ask for it to be taken over.")
@with_json
@with_socket
def reload(daemons: Daemons, diff: bool, as_json: bool) -> None:
    """Read the channels from the database now, and take over what changed.

    A daemon does this by itself within seconds of a change; this is for when you do not want to wait, or to see field
    by field how running and stored settings differ and which binds would have to bind again. Secrets are masked.
    """
    found: list[ChannelChange] = []
    for path in reachable(daemons):
        with ending_well():
            found += decoded(ask(path, "reload", {"diff": diff}, timeout=15), list[ChannelChange])
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    screen = console()
    changed = [change for change in found if change.action in ("stop", "in place", "rebind") or change.changes]
    for change in changed:
        words, colour = _ACTIONS[change.action]
        title = Text(change.name, "bold")
        title.append(f"  {change.channel_id}  ", "dim")
        title.append(words, colour)
        if change.rebinds:
            title.append(f" ({', '.join(map(str, change.rebinds))})", colour)
        screen.print(title)
        screen.print(_fields(change))
    unchanged = len(found) - len(changed)
    screen.print(f"{unchanged} channel{'' if unchanged == 1 else 's'} unchanged.")
    if changed and not diff:
        screen.print("The changes are being taken over.")


def _fields(change: ChannelChange) -> Table:
    rows = Table.grid(padding=(0, 2))
    rows.add_column(no_wrap=True)
    rows.add_column(overflow="fold", style="red")
    rows.add_column(overflow="fold", style="green")
    for each in change.changes:
        rows.add_row(f"  {each.field}", _json(each.running), _json(each.stored))
    return rows


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
