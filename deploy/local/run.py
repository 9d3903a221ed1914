"""`make run` and `make demo`: the whole product on this machine, and messages on their way through it.

`python -m deploy.local.run` stays until Ctrl-C; with `--demo` it ends after the messages, its last line of output is
the JSON of an `Outcome`, and it fails when not all of them were delivered.
"""

import argparse
import asyncio
import os
import signal
import sys
import time
from typing import Self

import msgspec
import rich.console
import rich.progress

from deploy.local.demo import DELIVERY_SECONDS, TOTAL, Demo, Login, Progress
from deploy.local.environment import DEFAULT_API_PORT, settings_given
from deploy.local.errors import LocalError
from deploy.local.installation import default_root
from deploy.local.processes import LocalStack

_INTERRUPTED = 130
_CONSOLE = rich.console.Console(highlight=False, soft_wrap=True)


class View:
    """The messages' progress: bars on a terminal, a line for each change elsewhere."""

    _ROWS = ("accepted", "sent", "delivered", "others")

    def __init__(self) -> None:
        columns = (
            rich.progress.TextColumn("  {task.description:>10}"),
            rich.progress.BarColumn(bar_width=40),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TimeElapsedColumn(),
        )
        self._bars = rich.progress.Progress(*columns, console=_CONSOLE) if _CONSOLE.is_terminal else None
        self._tasks = {row: self._bars.add_task(row, total=TOTAL) for row in self._ROWS} if self._bars else {}
        self._last = Progress()

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def show(self, progress: Progress) -> None:
        """Bring the terminal up to date."""
        others = sum(progress.others.values())
        if self._bars is not None:
            numbers = (progress.accepted, progress.sent, progress.delivered, others)
            for row, number in zip(self._ROWS, numbers, strict=True):
                self._bars.update(self._tasks[row], completed=number)
        elif progress != self._last:
            say(
                f"  accepted {progress.accepted}, sent {progress.sent}, delivered {progress.delivered}, others {others}"
            )
        self._last = progress


class Outcome(msgspec.Struct, frozen=True):
    """The demo's JSON line. `seconds` run from the first request to the last status."""

    accepted: int
    delivered: int
    seconds: float


def say(text: str) -> None:
    """Print for people: no markup, flushed."""
    _CONSOLE.print(text, markup=False)


async def demonstrate(stack: LocalStack) -> tuple[Login, Outcome, Progress]:
    """Do the customer's part against a running stack."""
    demo = Demo(stack.installation, stack.api_url, stack.operator_port)
    try:
        await demo.sign_in()
        channel_id = await demo.ensure_channel()
        say(f"The channel is bound to the simulated operator. Sending 1 message and a batch of {TOTAL - 1}:")
        started = time.monotonic()
        with View() as view:
            progress = await demo.send_and_follow(channel_id, view.show)
        seconds = round(time.monotonic() - started, 2)
        return demo.login, Outcome(progress.accepted, progress.delivered, seconds), progress
    finally:
        await demo.close()


def shortfall(stack: LocalStack, progress: Progress) -> str:
    """What was missing, and where to look."""
    others = ", ".join(f"{count} {status}" for status, count in progress.others.items()) or "none failed"
    waiting = progress.accepted - progress.delivered - sum(progress.others.values())
    return (
        f"Only {progress.delivered} of {TOTAL} messages were delivered within {DELIVERY_SECONDS:.0f} s: "
        f"{progress.accepted} accepted, {waiting} still on their way, {others}.\n"
        f"The logs are in {stack.installation.root / 'log'}."
    )


def guide(stack: LocalStack, login: Login) -> str:
    """What to do with the running stack."""
    url = stack.environment["TURUMBA_PUBLIC_URL"]
    socket = stack.environment["TURUMBA_SMPPD_ADMIN_SOCKET"]
    return f"""
  API        {url}/v1          docs     {url}/v1/docs
  health     {url}/health/ready   metrics  {url}/metrics
  mails      {url}/local/outbox: codes and invitations, as long as no SMTP server is set
  login      {login.email}   password {login.password}

  curl -s {url}/v1/auth/login -H 'content-type: application/json' \\
       -d '{{"email": "{login.email}", "password": "{login.password}"}}'
  TURUMBA_SMPPD_ADMIN_SOCKET={socket} .venv/bin/smppctl status
  make stop          stops this from another terminal      make clean   deletes the local data
  logs               {stack.installation.root / "log"}

Serving until Ctrl-C."""


async def run(demo_only: bool) -> int:
    """Start, demonstrate, serve or end; returns the exit code. The stack is stopped in any case."""
    given = settings_given(os.environ)
    stack = LocalStack(
        default_root(),
        api_port=_port(given.get("TURUMBA_API_PORT")),
        given=given,
        restart=not demo_only,
        report=say,
    )
    interrupted = _on_signals(stack)
    begun = time.monotonic()
    say("Starting PostgreSQL, RabbitMQ and the product's processes…")
    work = asyncio.create_task(_start_and_demonstrate(stack, demo_only, begun))
    waiting = asyncio.create_task(interrupted.wait())
    try:
        await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            return _INTERRUPTED
        code = work.result()
        if demo_only:
            return code
        await waiting
        return 0
    finally:
        for task in (work, waiting):
            task.cancel()
        await asyncio.gather(work, waiting, return_exceptions=True)
        await stack.stop()


async def _start_and_demonstrate(stack: LocalStack, demo_only: bool, begun: float) -> int:
    await stack.start()
    say(f"Up in {time.monotonic() - begun:.1f} s.")
    login, outcome, progress = await demonstrate(stack)
    complete = outcome.accepted == outcome.delivered == TOTAL
    if not complete:
        print(shortfall(stack, progress), file=sys.stderr)
    if demo_only:
        await stack.stop()
        print(msgspec.json.encode(outcome).decode(), flush=True)
    else:
        say(f"{outcome.delivered} delivered in {outcome.seconds} s." + guide(stack, login))
    return 0 if complete else 1


def _on_signals(stack: LocalStack) -> asyncio.Event:
    """An event that Ctrl-C or SIGTERM sets; a second one kills instead of waiting."""
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()
    killing: set[asyncio.Task[None]] = set()

    def interrupt() -> None:
        if not interrupted.is_set():
            say("\nStopping (once more to kill)…")
            interrupted.set()
        elif not killing:
            killing.add(loop.create_task(stack.kill()))

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    return interrupted


def _port(text: str | None) -> int:
    if text is None:
        return DEFAULT_API_PORT
    if not text.isdigit() or not 0 < int(text) < 65_536:
        raise LocalError(f"TURUMBA_API_PORT={text} is not a port number (1 to 65535).")
    return int(text)


def main() -> None:
    """Run it; a `LocalError` is shown as its text alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--demo", action="store_true", help="end after the messages, with one JSON line as the last output"
    )
    arguments = parser.parse_args()
    try:
        sys.exit(asyncio.run(run(arguments.demo)))
    except LocalError as error:
        sys.exit(f"\n{error}")


if __name__ == "__main__":
    main()
