"""The commands that only look: `status`, `show`, `errors`, `server`."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from smpp_daemon.bind_health import BindState
from smpp_daemon.reports import AccountErrors, AccountReport, DaemonStatus
from smpp_daemon.server.status import ServerStatus
from smpp_daemon.smppctl import table
from smpp_daemon.smppctl.client import Daemons, RefusedError, UnreachableError, ask
from smpp_daemon.smppctl.details import details
from smpp_daemon.smppctl.options import (
    NOT_DONE,
    UNREACHABLE,
    Failure,
    ask_about,
    console,
    decoded,
    ending_well,
    reachable,
    with_account,
    with_json,
    with_optional_account,
    with_socket,
)
from smpp_daemon.smppctl.words import SHORT_MODES, age, parse


@click.command(short_help="Show every account and bind.", epilog="Example: smppctl status --socket /run/turumba")
@with_json
@with_socket
def status(daemons: Daemons, as_json: bool) -> None:
    """Show every account and bind.

    With several daemons each follows the other; --json prints one line for each. Exit codes: 0 all binds are up, 1 some
    are not, 2 a daemon is not reachable.
    """
    paths = reachable(daemons)
    down = unreachable = False
    for number, path in enumerate(paths):
        try:
            answer = ask(path, "status")
        except (UnreachableError, RefusedError) as error:
            click.echo(str(error), err=True)
            unreachable = True
            continue
        seen = decoded(answer, DaemonStatus)
        down = down or any(bind.state is not BindState.BOUND for each in seen.accounts for bind in each.binds)
        if as_json:
            click.echo(answer.decode())
            continue
        if number:
            click.echo()
        table.show(seen, console(), several=len(paths) > 1)
    sys.exit(UNREACHABLE if unreachable else NOT_DONE if down else 0)


@click.command(short_help="Show everything about one account.", epilog="Example: smppctl show operator-a")
@with_account
@with_json
@with_socket
def show(daemons: Daemons, account: str, as_json: bool) -> None:
    """Show everything about one account.

    Its binds with their last states and errors, rates, window, latencies, queue, receipts, and settings. ACCOUNT is a
    channel's id, the start of one, a name, or a system_id.
    """
    answer = ask_about(daemons, "show", account)
    if as_json:
        click.echo(answer.decode())
    else:
        console().print(details(decoded(answer, AccountReport)))


@click.command(short_help="Count the operators' answers, in words.", epilog="Example: smppctl errors operator-a --json")
@with_optional_account
@with_json
@with_socket
def errors(daemons: Daemons, account: str | None, as_json: bool) -> None:
    """Show what operators answered to submit_sm: each command_status, how often, and what it means.

    Counts are since the account began to run in this process, and of the last hour. EXAMPLE is the recipient of the
    last message with that answer.
    """
    found: list[AccountErrors] = []
    if account is not None:
        found = decoded(ask_about(daemons, "errors", account), list[AccountErrors])
    else:
        for path in reachable(daemons):
            with ending_well():
                found += decoded(ask(path, "errors"), list[AccountErrors])
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    screen = console()
    for number, each in enumerate(found):
        if number:
            screen.print()
        for part in _errors(each):
            screen.print(part)
    if not found:
        screen.print("No account runs here.")


@click.command(short_help="Show the binds of applications to us.", epilog="Example: smppctl server")
@with_json
@with_socket
def server(daemons: Daemons, as_json: bool) -> None:
    """Show the binds of applications to us: who is bound, from where, and what passes."""
    for path in reachable(daemons):
        with ending_well():
            answer = ask(path, "server")
        if as_json:
            click.echo(answer.decode())
        else:
            _print_server(decoded(answer, ServerStatus), path)


def _errors(account: AccountErrors) -> list[RenderableType]:
    title = Text(account.name, "bold")
    title.append(f"  {account.channel_id}", "dim")
    rows = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    for name in ("1 h", "total"):
        rows.add_column(name, justify="right", no_wrap=True)
    rows.add_column("status", no_wrap=True)
    rows.add_column("last seen", no_wrap=True)
    rows.add_column("meaning", overflow="fold", ratio=1)
    rows.add_row(str(account.accepted_hour), str(account.accepted), Text("ROK", "green"), "", "Accepted.")
    if account.unknown:
        rows.add_row(
            str(account.unknown_hour), str(account.unknown), Text("no answer", "red"), "", "Never answered: unknown."
        )
    for each in account.statuses:
        words = Text(each.advice)
        words.append(f" Example: {each.example}", "dim")
        rows.add_row(
            str(each.last_hour),
            str(each.total),
            Text(each.name, "yellow" if each.status_class in ("throttle", "transient") else "red"),
            each.last_seen[11:19],
            words,
        )
    return [title, rows]


def _print_server(status: ServerStatus, path: Path) -> None:
    if not status.listeners:
        raise Failure(f"The smppd on {path} does not listen.")
    screen = console()
    now = datetime.now(UTC)
    for listener in status.listeners:
        words = f"listens on {listener.address}{' with TLS' if listener.tls else ''}"
        ends = listener.certificate_expires_at
        screen.print(f"{words}{'' if ends is None else f', certificate ends {ends}'}")
    screen.print(
        f"{len(status.binds)} binds, {status.connections} connections, {status.waiting} deliveries wait", end="\n\n"
    )
    rows = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    rows.add_column("system_id", overflow="fold")
    rows.add_column("mode", no_wrap=True)
    rows.add_column("peer", overflow="fold")
    for name in ("since", "open", "in", "refused", "throttled", "out"):
        rows.add_column(name, justify="right", no_wrap=True)
    for bind in sorted(status.binds, key=lambda each: (each.system_id, each.since)):
        rows.add_row(
            bind.system_id,
            SHORT_MODES.get(bind.mode, bind.mode),
            f"{bind.peer}{' TLS' if bind.tls else ''}",
            age(parse(bind.since), now),
            f"{bind.unanswered_submits}+{bind.unanswered_deliveries}/{bind.window}",
            str(bind.submitted),
            str(bind.refused),
            str(bind.throttled),
            str(bind.delivered),
        )
    screen.print(rows)
