"""The command `send`: a test message."""

import sys

import click
from rich.text import Text

from smpp_daemon.reports import ProbeResult
from smpp_daemon.smppctl.client import Daemons
from smpp_daemon.smppctl.options import (
    NOT_DONE,
    ask_about,
    console,
    decoded,
    with_account,
    with_json,
    with_socket,
)
from smpp_daemon.smppctl.words import milliseconds

LONGEST_ANSWER_SECONDS = 630.0
"""A channel may allow 600 s for an answer, and the message waits 10 s for its turn."""


@click.command(
    short_help="Send a test message through a bind.",
    epilog='Example: smppctl send operator-a +251911000001 "Test, please ignore" --receipt 60',
)
@with_account
@click.argument("to")
@click.argument("text")
@click.option("--from", "sender", metavar="ADDRESS", help="Sender address; the channel's own if it is left out.")
@click.option(
    "--receipt",
    "receipt_seconds",
    type=click.FloatRange(0, 300),
    default=0.0,
    metavar="SECONDS",
    help="Wait so long for the receipt as well.",
)
@with_json
@with_socket
def send(
    daemons: Daemons, account: str, to: str, text: str, sender: str | None, receipt_seconds: float, as_json: bool
) -> None:
    """Send a test message straight through a bind, past queue and database, and show the operator's answer.

    It costs what a message costs, and counts against the account's rate and window. It is stored nowhere, its receipt
    is shown here only, and nobody is billed for it by us. Exit codes: 0 accepted (and delivered, with --receipt), 1
    not.
    """
    arguments = {"to": to, "text": text, "receipt_seconds": receipt_seconds}
    if sender is not None:
        arguments["sender"] = sender
    answer = ask_about(daemons, "send", account, arguments, timeout=LONGEST_ANSWER_SECONDS + receipt_seconds)
    result = decoded(answer, ProbeResult)
    if as_json:
        click.echo(answer.decode())
    else:
        _print(result, receipt_seconds)
    accepted = all(part.status == 0 for part in result.parts)
    sys.exit(0 if accepted and (not receipt_seconds or result.receipt is not None) else NOT_DONE)


def _print(result: ProbeResult, receipt_seconds: float) -> None:
    screen = console()
    screen.print(Text(f"TEST MESSAGE through {result.name} to {result.to}", "bold"))
    for part in result.parts:
        words = Text(f"part {part.number}: ")
        if part.status is None:
            words.append(part.advice, "red")
        else:
            words.append(part.status_name, "green" if part.status == 0 else "red")
            words.append(f" {part.advice}" if part.status else f" message_id {part.message_id or '(none)'}")
            words.append(f", {milliseconds(part.latency_ms)}", "dim")
        screen.print(words)
    if result.receipt is not None:
        screen.print(
            Text(f"receipt: {result.receipt_state} after {milliseconds(result.receipt_ms)}", "green"),
            Text(f"\n  {result.receipt}", "dim"),
        )
    elif receipt_seconds and all(part.status == 0 for part in result.parts):
        screen.print(Text(f"receipt: none within {receipt_seconds:g} s", "yellow"))
