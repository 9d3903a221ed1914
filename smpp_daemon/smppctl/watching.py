"""The command `watch`: a live picture of all accounts."""

import queue
import sys

import click
from rich.console import Console
from rich.live import Live

from smpp_daemon.smppctl.client import Daemons
from smpp_daemon.smppctl.options import Failure, with_socket
from smpp_daemon.smppctl.watch.feed import Feed
from smpp_daemon.smppctl.watch.keys import keys
from smpp_daemon.smppctl.watch.model import Model, Row, Seen, View
from smpp_daemon.smppctl.watch.picture import Picture
from smpp_daemon.smppctl.watch.terminal import Keyboard, keyboard


@click.command(short_help="Watch all accounts live.", epilog="Example: smppctl watch --socket /run/turumba")
@click.option(
    "--interval",
    type=click.FloatRange(0.2, 60),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two looks.",
)
@with_socket
def watch(daemons: Daemons, interval: float) -> None:
    """Watch all accounts live, on the whole screen.

    Keys: q quit, arrows or j and k select, enter details, p pause and resume, / filter, ? help. For a script, use
    `smppctl status --json`.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Failure("`smppctl watch` needs a terminal; `smppctl status` does not.")
    model = Model()

    def wanted() -> Row | None:
        return model.current if model.view is View.DETAILS else None

    feed = Feed(daemons, interval, wanted)
    screen = Console(highlight=False)
    with (
        keyboard() as board,
        Live(
            Picture(model),
            console=screen,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        ) as live,
    ):
        feed.start()
        try:
            _run(model, feed, board, live)
        except EOFError:
            return
        finally:
            feed.stop()


def _run(model: Model, feed: Feed, board: Keyboard, live: Live) -> None:
    while not model.over:
        live.update(Picture(model), refresh=True)
        for key in keys(board.wait(feed.wake, 1.0)):
            before = model.view
            wish = model.key(key)
            if wish is not None or model.view is not before:
                feed.do(wish)
        while True:
            try:
                brought = feed.brought.get_nowait()
            except queue.Empty:
                break
            if isinstance(brought, Seen):
                model.take(brought)
            else:
                model.told(brought)
