"""The command `check`: for a monitoring system."""

import sys
from typing import Any

import click
import msgspec

from smpp_daemon.reports import DaemonStatus
from smpp_daemon.smppctl.assessment import Assessment, Level, Problem, Thresholds, assess
from smpp_daemon.smppctl.client import Daemons, RefusedError, UnreachableError, ask_for
from smpp_daemon.smppctl.options import Failure, locate, with_json, with_optional_account, with_socket


class WrongUsage(click.UsageError):
    """The command line is wrong, and so nothing is known."""

    exit_code = int(Level.UNKNOWN)


class CheckCommand(click.Command):
    """A plugin must say UNKNOWN for a wrong command line: click's own 2 would mean that the operator is down."""

    def make_context(self, *arguments: Any, **more: Any) -> click.Context:
        """As click does it, with another exit code."""
        try:
            return super().make_context(*arguments, **more)
        except click.UsageError as error:
            raise WrongUsage(error.message, error.ctx) from None


class Pair(click.ParamType[tuple[float, float]]):
    """`WARNING:CRITICAL`, two numbers."""

    name = "warning:critical"

    def __init__(self, kind: type[int] | type[float]) -> None:
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        """Text → numbers; ends the command for anything else."""
        if isinstance(value, tuple):
            return value
        warning, _, critical = str(value).partition(":")
        try:
            return self._kind(warning), self._kind(critical)
        except ValueError:
            self.fail(f"{value!r} is not two numbers with a colon between them", param, ctx)


@click.command(
    cls=CheckCommand,
    short_help="Say in one line whether all is well.",
    epilog="Example: smppctl check --socket /run/turumba --queue-age 60:600",
)
@with_optional_account
@click.option(
    "--no-bind", type=float, default=60.0, show_default=True, metavar="SECONDS", help="Without any bind: CRITICAL."
)
@click.option(
    "--unknown", type=Pair(int), default="1:50", show_default=True, help="Messages never answered within 10 minutes."
)
@click.option(
    "--queue-age", type=Pair(float), default="300:1800", show_default=True, help="Seconds the oldest message waits."
)
@click.option("--certificate", type=Pair(int), default="30:7", show_default=True, help="Days until a certificate ends.")
@with_json
@with_socket
def check(
    daemons: Daemons,
    account: str | None,
    no_bind: float,
    unknown: tuple[int, int],
    queue_age: tuple[float, float],
    certificate: tuple[int, int],
    as_json: bool,
) -> None:
    """Say in one line whether all is well, for Nagios, Icinga, Zabbix or a script.

    Exit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN. WARNING when some binds are down or an operator paused an
    account; CRITICAL when an account has no bind for --no-bind seconds, when messages wait that nobody consumes, when
    PostgreSQL or RabbitMQ is away, or when no smppd runs; for the rest see the options. UNKNOWN when the daemon cannot
    be asked.
    """
    thresholds = Thresholds(no_bind, unknown, queue_age, certificate)
    seen: list[DaemonStatus] = []
    problems: list[Problem] = []
    for path in daemons.sockets:
        try:
            seen.append(ask_for(path, "status", DaemonStatus))
        except UnreachableError as error:
            level = Level.UNKNOWN if error.running else Level.CRITICAL
            problems.append(Problem(level, str(error).partition("\n")[0]))
        except RefusedError as error:
            problems.append(Problem(Level.UNKNOWN, str(error)))
    if not seen and not problems:
        problems.append(Problem(Level.CRITICAL, "no smppd runs here"))
    try:
        only = None if account is None or not seen else locate(daemons, account)[1].channel_id
    except Failure as failure:
        # A channel that is paused, or that no daemon here has: whether that is bad nobody can say from here.
        only, problems = "", [*problems, Problem(Level.UNKNOWN, failure.message.partition("\n")[0])]
    found = assess(seen, thresholds, only)
    if problems:
        # What is certainly down outweighs what is not known.
        worst = max((problem.level for problem in problems), key=lambda level: (level is Level.CRITICAL, level))
        level = Level.CRITICAL if Level.CRITICAL in (worst, found.level) else Level(max(worst, found.level))
        found = Assessment(level, [*problems, *found.problems], found.figures, found.summary)
    if as_json:
        click.echo(msgspec.json.encode({"state": found.level.name, **msgspec.to_builtins(found)}).decode())
    else:
        click.echo(found.line(thresholds))
    sys.exit(found.level)
