"""`smsc-sim`: the simulated SMSC as a command."""

import asyncio
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import click
import msgspec
import uvloop

from smpp_daemon.protocol.status import parse_status
from smpp_daemon.simulator.script import CompiledScript, Script, read_script
from smpp_daemon.simulator.server import Simulator, SimulatorSettings

EPILOG = """
\b
A script (YAML) says what happens to which recipient; the longest suffix wins:
  bind_status: ROK            # command_status of every bind, a name or a number
  response_delay: 0.02        # seconds before every answer
  rules:
    - {suffix: "01", status: RINVDSTADR}           # refused
    - {suffix: "07", answer: never}                # accepted, never answered
    - {suffix: "05", response_delay: 2.5}          # answered late
    - {suffix: "02", receipt: UNDELIV, error: "21b"}
    - {suffix: "06", receipt: none}
\b
Examples:
  smsc-sim --listen 127.0.0.1:0 --receipt-delay 0.5
  smsc-sim --system-id demo --password secret --journal /var/tmp/smsc.jsonl --stats 5
  smsc-sim --refuse-binds RINVPASWD
"""


@click.command(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--listen", default="127.0.0.1:2775", show_default=True, help="HOST:PORT; port 0 takes a free one.")
@click.option("--system-id", default=None, help="The only system_id that may bind (default: any).")
@click.option("--password", default=None, help="Its password (default: any).")
@click.option("--receipt-delay", default="0", show_default=True, help="Seconds from acceptance to receipt, or `none`.")
@click.option(
    "--journal",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="Append every accepted message and acknowledged receipt here (JSON lines); after a kill, receipts still owed "
    "are sent again from it.",
)
@click.option(
    "--ids", type=click.Choice(["hex", "decimal"]), default="hex", show_default=True, help="How message ids look."
)
@click.option("--refuse-binds", default="ROK", metavar="STATUS", help="Answer every bind with this command_status.")
@click.option("--throttle-above", type=float, default=None, metavar="N", help="RTHROTTLED above N submit_sm a second.")
@click.option(
    "--receipt-window", type=click.IntRange(1), default=100, show_default=True, help="Unanswered deliver_sm a session."
)
@click.option(
    "--script",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    help="Behaviour by recipient, in YAML; see below.",
)
@click.option("--stats", type=float, default=None, metavar="SECONDS", help="Print a statistics line this often.")
def main(
    listen: str,
    system_id: str | None,
    password: str | None,
    receipt_delay: str,
    journal: Path | None,
    ids: str,
    refuse_binds: str,
    throttle_above: float | None,
    receipt_window: int,
    script: Path | None,
    stats: float | None,
) -> None:
    """An SMSC to develop and test against: takes binds, answers submit_sm, sends receipts.

    Prints one JSON line {"listening": "HOST:PORT"} on stdout when it is ready. SIGTERM or Ctrl-C unbinds and ends.
    """
    try:
        host, port = _address(listen)
        settings = SimulatorSettings(
            host=host,
            port=port,
            system_id=system_id,
            password=password,
            receipt_delay=_delay(receipt_delay),
            journal=journal,
            ids="hex" if ids == "hex" else "decimal",
            refuse_binds=parse_status(refuse_binds),
            throttle_above=throttle_above,
            receipt_window=receipt_window,
            keep=0,
            script=read_script(script) if script is not None else Script(),
        )
        CompiledScript(settings.script)
        if throttle_above is not None and throttle_above <= 0:
            raise ValueError("--throttle-above must be more than 0")
        if stats is not None and stats <= 0:
            raise ValueError("--stats must be more than 0")
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, stats))
    except (OSError, ValueError) as error:
        raise click.ClickException(f"cannot serve on {listen}: {error}") from None


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"--listen wants HOST:PORT, not {listen!r}")
    return host.strip("[]"), int(port)


def _delay(text: str) -> float | None:
    if text == "none":
        return None
    try:
        delay = float(text)
    except ValueError:
        delay = -1.0
    if not 0 <= delay < 1e9:
        raise ValueError(f"--receipt-delay wants seconds or `none`, not {text!r}")
    return delay


async def _serve(settings: SimulatorSettings, stats: float | None) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with Simulator(settings) as simulator:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        click.echo(msgspec.json.encode({"listening": f"{host}:{simulator.port}"}))
        sys.stdout.flush()
        if stats is None:
            await stopping.wait()
            return
        await _report(simulator, stats, stopping)


async def _report(simulator: Simulator, interval: float, stopping: asyncio.Event) -> None:
    accepted, acknowledged, since = 0, 0, time.monotonic()
    while not stopping.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), interval)
        now = time.monotonic()
        statistics = simulator.statistics
        elapsed = max(now - since, 1e-6)
        click.echo(
            f"sessions {statistics.sessions}  accepted {statistics.accepted}"
            f" ({(statistics.accepted - accepted) / elapsed:.0f}/s)  refused {statistics.refused}"
            f"  receipts {statistics.receipts_acknowledged}"
            f" ({(statistics.receipts_acknowledged - acknowledged) / elapsed:.0f}/s)  owed {statistics.owed}"
            f"  binds {statistics.binds} refused {statistics.binds_refused}  violations {statistics.violations}",
            err=True,
        )
        accepted, acknowledged, since = statistics.accepted, statistics.receipts_acknowledged, now


if __name__ == "__main__":
    main()
