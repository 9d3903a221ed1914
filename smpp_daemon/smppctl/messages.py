"""The commands about single messages: `query`, `cancel`, `orphans`."""

import sys

import click
import msgspec
from rich.table import Table
from rich.text import Text

from smpp_daemon.reports import OperatorSaid, OrphanReceipt, Replay
from smpp_daemon.smppctl.client import Daemons, ask
from smpp_daemon.smppctl.options import (
    NOT_DONE,
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
from smpp_daemon.smppctl.words import milliseconds

LONGEST_ANSWER_SECONDS = 630.0
"""A channel may allow 600 s for an answer, and the request waits 10 s for its turn."""

_sender = click.option(
    "--from", "sender", metavar="ADDRESS", help="Sender as it was submitted; the channel's own if it is left out."
)


@click.command(
    epilog="Example: smppctl query operator-a 4F2A91", short_help="Ask the operator what became of a message."
)
@with_account
@click.argument("message_id")
@_sender
@with_json
@with_socket
def query(daemons: Daemons, account: str, message_id: str, sender: str | None, as_json: bool) -> None:
    """Ask the operator what became of a message (query_sm).

    MESSAGE_ID is the operator's, as the answer to submit_sm gave it. Few operators answer this. Exit codes: 0 answered,
    1 refused or silent.
    """
    arguments = {"message_id": message_id} | ({} if sender is None else {"sender": sender})
    _ask(daemons, "query", account, arguments, as_json)


@click.command(
    epilog="Example: smppctl cancel operator-a 4F2A91 +251911000001",
    short_help="Ask the operator to drop a message.",
)
@with_account
@click.argument("message_id")
@click.argument("to")
@_sender
@with_json
@with_socket
def cancel(daemons: Daemons, account: str, message_id: str, to: str, sender: str | None, as_json: bool) -> None:
    """Ask the operator to drop a message that it has not delivered yet (cancel_sm).

    MESSAGE_ID is the operator's and TO the recipient. What the operator says is shown; our own record of the message
    changes only with its receipt. Exit codes: 0 cancelled, 1 not.
    """
    arguments = {"message_id": message_id, "to": to} | ({} if sender is None else {"sender": sender})
    _ask(daemons, "cancel", account, arguments, as_json)


@click.group(short_help="Receipts that match no message: list or replay them.")
def orphans() -> None:
    """Receipts that match no message: list them, or have them looked up again."""


@orphans.command("list", epilog="Example: smppctl orphans list operator-a")
@with_optional_account
@click.option(
    "--limit",
    type=click.IntRange(1, 500),
    default=50,
    show_default=True,
    metavar="NUMBER",
    help="How many of each account.",
)
@with_json
@with_socket
def list_(daemons: Daemons, account: str | None, limit: int, as_json: bool) -> None:
    """List receipts that match no message, the newest first."""
    found: list[OrphanReceipt] = []
    if account is not None:
        found = decoded(ask_about(daemons, "orphans", account, {"limit": limit}), list[OrphanReceipt])
    else:
        for path in reachable(daemons):
            with ending_well():
                found += decoded(ask(path, "orphans", {"limit": limit}), list[OrphanReceipt])
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    screen = console()
    if not found:
        screen.print("No orphans.")
        return
    for each in found:
        words = Text(each.received_at[:19].replace("T", " "), "dim")
        words.append(f"  {each.name}", "bold")
        words.append(f"  id {each.message_id or '(none)'}  {each.state or each.status}")
        words.append(f"  {each.recipient or ''}")
        screen.print(words)
        rest = Table.grid(padding=(0, 1))
        rest.add_column(overflow="fold", style="dim")
        rest.add_row(f"  {each.id}")
        if each.raw:
            rest.add_row(f"  {each.raw}")
        screen.print(rest)


@orphans.command(epilog="Example: smppctl orphans replay operator-a")
@with_account
@click.option("--id", "ids", type=click.UUID, multiple=True, help="Only this one; may be given several times.")
@with_json
@with_socket
def replay(daemons: Daemons, account: str, ids: tuple[object, ...], as_json: bool) -> None:
    """Look receipts up again, all of an account (at most 500 at a time) or those with --id.

    Useful after the channel's message_id_format was corrected. Those that find their message settle it.
    """
    arguments = {"ids": [str(each) for each in ids]} if ids else {}
    answer = ask_about(daemons, "replay", account, arguments, timeout=60)
    if as_json:
        click.echo(answer.decode())
        return
    done = decoded(answer, Replay)
    click.echo(f"{done.name}: {done.matched} found their message, {done.unmatched} did not.")


def _ask(daemons: Daemons, verb: str, account: str, arguments: dict[str, str], as_json: bool) -> None:
    answer = ask_about(daemons, verb, account, arguments, timeout=LONGEST_ANSWER_SECONDS)
    said = decoded(answer, OperatorSaid)
    if as_json:
        click.echo(answer.decode())
    else:
        words = Text(f"{said.name}, message {said.message_id}: ")
        words.append(said.status_name or "no answer", "green" if said.status == 0 else "red")
        if said.state is not None:
            words.append(f" {said.state}", "bold")
            words.append(f", final {said.final_date}" if said.final_date else "")
            words.append(f", error {said.error_code}" if said.error_code else "")
        else:
            words.append(f" {said.advice}")
        words.append(f" ({milliseconds(said.latency_ms)})", "dim")
        console().print(words)
    sys.exit(0 if said.status == 0 else NOT_DONE)
