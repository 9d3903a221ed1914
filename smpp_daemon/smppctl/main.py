"""`smppctl`: asks a running smppd."""

import sys
from pathlib import Path

import click
import msgspec
from rich.console import Console

from smpp_daemon.bind import BindState
from smpp_daemon.smppctl.client import RefusedError, UnreachableError, ask
from smpp_daemon.smppctl.table import show
from smpp_daemon.status import DaemonStatus

ALL_BOUND = 0
NOT_ALL_BOUND = 1
UNREACHABLE = 2

_socket = click.option(
    "--socket",
    "path",
    type=click.Path(path_type=Path),
    envvar="TURUMBA_SMPPD_ADMIN_SOCKET",
    default=Path("/run/turumba/smppd.sock"),
    show_default=True,
    show_envvar=True,
    help="The daemon's admin socket.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Look at a running smppd."""


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print the daemon's answer as one line of JSON.")
@_socket
def status(path: Path, as_json: bool) -> None:
    """Show every account and bind.

    Exit codes: 0 all binds are up, 1 some are not, 2 the daemon is not reachable.
    """
    answer = _ask(path, "status")
    decoded = msgspec.json.decode(answer, type=DaemonStatus)
    if as_json:
        click.echo(answer.decode())
    else:
        show(decoded, Console())
    binds = [bind for account in decoded.accounts for bind in account.binds]
    sys.exit(ALL_BOUND if all(bind.state is BindState.BOUND for bind in binds) else NOT_ALL_BOUND)


def _ask(path: Path, verb: str) -> bytes:
    try:
        return ask(path, verb)
    except (UnreachableError, RefusedError) as error:
        click.echo(str(error), err=True)
        sys.exit(UNREACHABLE)


if __name__ == "__main__":
    main()
