"""What all commands share: the options, which daemon has an account, and how a failure ends the command."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar

import click
import msgspec
from click.shell_completion import CompletionItem
from rich.console import Console

from smpp_daemon.reports import Found
from smpp_daemon.smppctl.client import Daemons, RefusedError, UnreachableError, ask, ask_for

DONE = 0
NOT_DONE = 1
UNREACHABLE = 2

DEFAULT_SOCKET = Path("/run/turumba/smppd.sock")
SOCKET_VARIABLE = "TURUMBA_SMPPD_ADMIN_SOCKET"
COMPLETION_SECONDS = 1.0

C = TypeVar("C", bound=Callable[..., Any])
T = TypeVar("T")


class Failure(click.ClickException):
    """Ends a command with words on standard error, as not done."""

    exit_code = NOT_DONE

    def show(self, file: IO[Any] | None = None) -> None:
        """Without click's "Error:" before it: the words stand for themselves."""
        click.echo(self.message, file=file, err=file is None)


class NotReachable(Failure):
    """Ends a command because no daemon could be asked."""

    exit_code = UNREACHABLE


def _daemons(_: click.Context, __: click.Parameter, paths: tuple[Path, ...]) -> Daemons:
    return Daemons(paths)


def with_socket(command: C) -> C:
    """Adds `--socket`; the command gets `daemons`."""
    return click.option(
        "--socket",
        "daemons",
        type=click.Path(path_type=Path),
        envvar=SOCKET_VARIABLE,
        multiple=True,
        default=[DEFAULT_SOCKET],
        show_default=str(DEFAULT_SOCKET),
        show_envvar=True,
        callback=_daemons,
        help="A daemon's admin socket, or a directory of sockets; may be given several times.",
    )(command)


def with_json(command: C) -> C:
    """Adds `--json`; the command gets `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print the daemon's answer as one line of JSON.")(
        command
    )


def with_account(command: C, *, required: bool = True) -> C:
    """Adds the argument ACCOUNT; the command gets `account`."""
    return click.argument("account", required=required, shell_complete=_complete_account)(command)


def with_optional_account(command: C) -> C:
    """Adds the argument ACCOUNT, which may be left out."""
    return with_account(command, required=False)


@contextlib.contextmanager
def ending_well() -> Iterator[None]:
    """Turns what a daemon or its absence says into the end of the command."""
    try:
        yield
    except UnreachableError as error:
        raise NotReachable(str(error)) from None
    except RefusedError as error:
        raise Failure(str(error)) from None


def console() -> Console:
    """Where tables go: as wide as the terminal, and without colours when it is none."""
    return Console(highlight=False, soft_wrap=False)


def reachable(daemons: Daemons) -> list[Path]:
    """The sockets to ask. Raises `Failure` when there is none at all."""
    sockets = daemons.sockets
    if not sockets:
        raise NotReachable(
            "There is no socket in that directory: no smppd runs here. Start one (systemctl start turumba-smppd@1)."
        )
    return sockets


def locate(daemons: Daemons, word: str) -> tuple[Path, Found]:
    """The daemon that has the one account meant by `word`. Raises `Failure` that names the candidates."""
    found: list[tuple[Path, Found]] = []
    silent: list[UnreachableError] = []
    answered: list[Path] = []
    with ending_well():
        for path in reachable(daemons):
            try:
                found += [(path, each) for each in ask_for(path, "find", list[Found], {"account": word})]
                answered.append(path)
            except UnreachableError as error:
                silent.append(error)
        if not answered:
            raise silent[0]
        if len(found) == 1:
            return found[0]
        if found:
            raise Failure(f"{word!r} may be any of these; name one by its id:\n{_listed(found)}")
        known = [(path, each) for path in answered for each in ask_for(path, "find", list[Found])]
    there = f"There are:\n{_listed(known)}" if known else "No account runs here: every channel is paused, or elsewhere."
    raise Failure(f"No account here is called {word!r}. {there}")


def ask_about(
    daemons: Daemons, verb: str, account: str, arguments: Mapping[str, Any] | None = None, *, timeout: float = 5.0
) -> bytes:
    """The answer of the daemon that has the account, as JSON. Raises `Failure`."""
    path, found = locate(daemons, account)
    with ending_well():
        return ask(path, verb, {"account": found.channel_id, **(arguments or {})}, timeout=timeout)


def decoded(answer: bytes, kind: type[T]) -> T:
    """An answer as a value. Raises `Failure` for a daemon of another release."""
    try:
        return msgspec.json.decode(answer, type=kind)
    except msgspec.ValidationError as error:
        raise NotReachable(f"The smppd is of another release than this smppctl: {error}") from None


def _listed(found: list[tuple[Path, Found]]) -> str:
    several = len({path for path, _ in found}) > 1
    return "\n".join(
        f"  {each.channel_id}  {each.name}  {each.system_id}{f'  {path}' if several else ''}" for path, each in found
    )


def _complete_account(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    daemons = context.params.get("daemons") or Daemons([DEFAULT_SOCKET])
    names: list[CompletionItem] = []
    for path in daemons.sockets:
        # A shell that waits for a daemon that is away would be worse than one that completes nothing.
        with contextlib.suppress(UnreachableError, RefusedError):
            names += [
                CompletionItem(each.name, help=f"{each.system_id} {each.channel_id}")
                for each in ask_for(path, "find", list[Found], timeout=COMPLETION_SECONDS)
            ]
    return [item for item in names if str(item.value).casefold().startswith(incomplete.casefold())]
