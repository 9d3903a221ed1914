"""The commands that make an account do something: `pause`, `resume`, `drain`, `rebind`, `set`."""

from collections.abc import Mapping
from typing import Any

import click

from smpp_daemon.reports import Done
from smpp_daemon.smppctl.client import Daemons
from smpp_daemon.smppctl.options import ask_about, console, decoded, with_account, with_json, with_socket

_bind = click.option("--bind", type=click.IntRange(min=0), metavar="NUMBER", help="Only the bind with this number.")


@click.command(
    short_help="Send nothing more on an account or bind.", epilog="Example: smppctl pause operator-a --bind 1"
)
@with_account
@_bind
@with_json
@with_socket
def pause(daemons: Daemons, account: str, bind: int | None, as_json: bool) -> None:
    """Send nothing more on an account, or on one bind of it.

    Binds stay up, answers and receipts are taken; messages wait in RabbitMQ. It lasts until `resume`, and no longer
    than the account runs in this process: a restart, another daemon taking over, or a pause by the channel's owner
    (which is another thing, and stored) ends it.
    """
    _do(daemons, "pause", account, _with_bind(bind), as_json)


@click.command(short_help="End a pause or a drain.", epilog="Example: smppctl resume operator-a")
@with_account
@_bind
@with_json
@with_socket
def resume(daemons: Daemons, account: str, bind: int | None, as_json: bool) -> None:
    """End a pause or a drain; after a drain the account binds again."""
    _do(daemons, "resume", account, _with_bind(bind), as_json)


@click.command(
    short_help="Stop sending, unbind, and stay unbound.", epilog="Example: smppctl drain operator-a --seconds 60"
)
@with_account
@click.option(
    "--seconds",
    type=click.FloatRange(0, 600),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for answers.",
)
@with_json
@with_socket
def drain(daemons: Daemons, account: str, seconds: float, as_json: bool) -> None:
    """Stop sending, wait for answers, hand back the rest, unbind, and stay unbound.

    For work at the operator's side. `resume` binds again. What is not answered in time is reported as unknown.
    """
    _do(daemons, "drain", account, {"seconds": seconds}, as_json, timeout=seconds + 30)


@click.command(short_help="Bind again, one bind after the other.", epilog="Example: smppctl rebind operator-a --bind 0")
@with_account
@_bind
@with_json
@with_socket
def rebind(daemons: Daemons, account: str, bind: int | None, as_json: bool) -> None:
    """Bind again, one bind after the other, each after the answers it waits for.

    A bind that waits for its next try makes it now.
    """
    _do(daemons, "rebind", account, _with_bind(bind), as_json)


@click.group(name="set", short_help="Set another rate or window for now.")
def set_() -> None:
    """Set another rate or window, until the channel is changed or the account ends here."""


@set_.command(epilog="Example: smppctl set rate operator-a 50/10")
@with_account
@click.argument("value", metavar="RATE[/BURST]")
@with_json
@with_socket
def rate(daemons: Daemons, account: str, value: str, as_json: bool) -> None:
    """Send at most RATE segments a second, at most BURST of them at once."""
    per_second, slash, burst = value.partition("/")
    try:
        arguments: dict[str, Any] = {"rate": float(per_second)} | ({"burst": int(burst)} if slash else {})
    except ValueError:
        raise click.BadParameter("give a number a second, and after a slash a burst: 50/10") from None
    _do(daemons, "set", account, arguments, as_json)


@set_.command(epilog="Example: smppctl set window operator-a 20")
@with_account
@click.argument("value", metavar="WINDOW", type=click.IntRange(1, 1000))
@with_json
@with_socket
def window(daemons: Daemons, account: str, value: int, as_json: bool) -> None:
    """Let at most WINDOW requests of each bind wait for their answer."""
    _do(daemons, "set", account, {"window": value}, as_json)


@set_.command(epilog="Example: smppctl set reset operator-a")
@with_account
@with_json
@with_socket
def reset(daemons: Daemons, account: str, as_json: bool) -> None:
    """Take back what was set: the channel's own rate and window count again."""
    _do(daemons, "set", account, {"reset": True}, as_json)


def _with_bind(bind: int | None) -> dict[str, Any]:
    return {} if bind is None else {"bind": bind}


def _do(
    daemons: Daemons, verb: str, account: str, arguments: Mapping[str, Any], as_json: bool, *, timeout: float = 5.0
) -> None:
    answer = ask_about(daemons, verb, account, arguments, timeout=timeout)
    if as_json:
        click.echo(answer.decode())
        return
    done = decoded(answer, Done)
    console().print(f"{done.name}: {done.detail}", markup=False)
