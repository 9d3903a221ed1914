"""The command `trace`: PDUs as they pass."""

import contextlib
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.text import Text

from smpp_daemon.reports import TracedPdu
from smpp_daemon.smppctl.client import Daemons, RefusedError, UnreachableError, follow
from smpp_daemon.smppctl.options import (
    Failure,
    console,
    ending_well,
    locate,
    reachable,
    with_json,
    with_socket,
)

_OCTETS = 16
_QUIET = frozenset({"tlvs"})
_NOTHING: tuple[Any, ...] = ("", 0, [], None)


@click.command(
    short_help="Show the PDUs of a number as they pass.",
    epilog="Examples: smppctl trace +251911000001 --seconds 60 · smppctl trace --account operator-a --limit 20 --json",
)
@click.argument("number", required=False)
@click.option("--account", metavar="ACCOUNT", help="Only PDUs of this account; without NUMBER all of them, binds too.")
@click.option(
    "--seconds",
    type=click.FloatRange(0, 3600, min_open=True),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="End after so long.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="PDUS", help="End after so many PDUs.")
@with_json
@with_socket
def trace(
    daemons: Daemons, number: str | None, account: str | None, seconds: float, limit: int | None, as_json: bool
) -> None:
    """Show the PDUs to and from a number as they pass, decoded and in octets.

    Both directions, and the answers with the time they took; passwords are masked. Ctrl-C ends it. Nothing is shown of
    what has passed before. A reader that is too slow loses PDUs and is told how many.
    """
    if number is None and account is None:
        raise click.UsageError("Name a NUMBER, or an account with --account.")
    arguments: dict[str, Any] = {"seconds": seconds}
    if number is not None:
        arguments["number"] = number
    if limit is not None:
        arguments["limit"] = limit
    if account is not None:
        path, found = locate(daemons, account)
        paths = [path]
        arguments["account"] = found.channel_id
    else:
        paths = reachable(daemons)
    screen = console()
    shown = 0
    with contextlib.suppress(KeyboardInterrupt), ending_well():
        for line in _together(paths, arguments):
            if as_json:
                click.echo(line.decode())
            else:
                _print(msgspec.json.decode(line, type=TracedPdu), screen)
            shown += 1
            if shown == limit:
                break
    if not shown:
        raise Failure("Nothing passed.")


def _together(paths: list[Path], arguments: dict[str, Any]) -> Iterator[bytes]:
    """The lines of all daemons as they come. The first daemon that fails ends it."""
    if len(paths) == 1:
        yield from follow(paths[0], "trace", arguments)
        return
    lines: queue.Queue[bytes | Exception | None] = queue.Queue(1000)

    def read(path: Path) -> None:
        try:
            for line in follow(path, "trace", arguments):
                lines.put(line)
            lines.put(None)
        except (UnreachableError, RefusedError) as error:
            lines.put(error)

    for path in paths:
        threading.Thread(target=read, args=(path,), daemon=True).start()
    left = len(paths)
    while left:
        line = lines.get()
        if line is None:
            left -= 1
        elif isinstance(line, Exception):
            raise line
        else:
            yield line


def _print(pdu: TracedPdu, screen: Console) -> None:
    if pdu.dropped:
        screen.print(f"[{pdu.dropped} PDUs are missing here: they came faster than they were read]", style="red")
    ours = pdu.direction == "out"
    head = Text(f"{pdu.at[11:-1]} ")
    head.append("→ " if ours else "← ", "cyan" if ours else "green")
    head.append(pdu.command, "bold")
    head.append(f" {pdu.sequence} ", "dim")
    if pdu.command.endswith("_resp") or pdu.command == "generic_nack":
        head.append(pdu.status_name, "green" if pdu.status == 0 else "red")
        head.append(f" {pdu.latency_ms:g} ms" if pdu.latency_ms is not None else "")
    head.append(f"  {pdu.account} bind {pdu.bind} {pdu.host}", "dim")
    screen.print(head, soft_wrap=True)
    words = "  ".join(f"{name}={value}" for name, value in pdu.fields.items() if value not in _NOTHING)
    if words:
        screen.print(Text(f"  {words}"), soft_wrap=True)
    if pdu.text is not None:
        screen.print(Text(f"  {pdu.text!r}", "italic"), soft_wrap=True)
    for line in _dump(bytes.fromhex(pdu.hex)):
        screen.print(Text(f"  {line}", "dim"), soft_wrap=True)


def _dump(octets: bytes) -> Iterator[str]:
    for offset in range(0, len(octets), _OCTETS):
        row = octets[offset : offset + _OCTETS]
        shown = "".join(chr(octet) if 32 <= octet < 127 else "." for octet in row)
        yield f"{offset:04x}  {row.hex(' '):<47}  {shown}"
