"""`smsc-sim`: the simulated SMSC as a command."""

import asyncio
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import msgspec
import uvloop

from smpp_daemon.protocol.status import parse_status
from smpp_daemon.simulator.behaviour import CompiledScript
from smpp_daemon.simulator.script import Script, read_script
from smpp_daemon.simulator.server import Simulator
from smpp_daemon.simulator.settings import SimulatorSettings, TlsFiles
from smpp_daemon.simulator.statistics import line

EPILOG = """
\b
A script (YAML) says what goes wrong and how often; for a recipient the rule with the longest suffix wins:
  response_delay: {percentiles: {50: 0.02, 99: 0.5, 100: 3}}   # or seconds, {min, max}, {mean, deviation}
  throttle: {rate: 200, burst: 20}                             # RTHROTTLED beyond
  answers: {never: 0.001, twice: 0.01}                         # probabilities
  receipts: {delay: {min: 0.1, max: 2}, duplicate: 0.05, before_response: 0.1, held_back: 0.1}
  drop: {every: 5000, refuse_for: 1}                           # cut without unbind
  binds: {max_binds: 4, ghost: 15}                             # RALYBND while a cut session counts
  traffic: {rate: 5, texts: ["STOP", "Hello"]}                 # mobile-originated
  rules:
    - {suffix: "01", status: RINVDSTADR}                       # refused
    - {suffix: "07", answer: never}                            # accepted, never answered
    - {suffix: "05", response_delay: 2.5}                      # answered late
    - {suffix: "02", receipt: UNDELIV, error: "21b"}
docs/simulator.md explains every key. SIGHUP reads the script again; a wrong one is reported and the old one kept.
\b
Examples:
  smsc-sim --listen 127.0.0.1:0 --receipt-delay 0.5
  smsc-sim --system-id demo --password secret --journal /var/tmp/smsc.jsonl --stats 5
  smsc-sim --script chaos.yaml --seed 7 --drop-every 1000 --ghost 10
  smsc-sim --tls-certificate server.pem --tls-key server.key --tls-client-ca clients.pem
"""

_FILE = click.Path(dir_okay=False, path_type=Path)
_READABLE = click.Path(exists=True, dir_okay=False, path_type=Path)
_POSITIVE = click.IntRange(1)
_SECONDS = click.FloatRange(0)


@click.command(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--listen", default="127.0.0.1:2775", show_default=True, help="HOST:PORT; port 0 takes a free one.")
@click.option("--system-id", default=None, help="The only system_id that may bind (default: any).")
@click.option("--password", default=None, help="Its password (default: any).")
@click.option("--receipt-delay", default="0", show_default=True, help="Seconds from acceptance to receipt, or `none`.")
@click.option(
    "--journal",
    type=_FILE,
    default=None,
    help="Append here (JSON lines) everything seen: messages, answers, receipts, binds, drops; after a kill, what is "
    "still owed is sent again from it.",
)
@click.option(
    "--ids",
    type=click.Choice(["hex", "decimal"]),
    default="hex",
    show_default=True,
    help="How message ids look; `ids` in a script knows more forms.",
)
@click.option("--refuse-binds", default="ROK", metavar="STATUS", help="Answer every bind with this command_status.")
@click.option("--throttle-above", type=float, default=None, metavar="N", help="RTHROTTLED above N submit_sm a second.")
@click.option(
    "--receipt-window", type=_POSITIVE, default=100, show_default=True, help="Unanswered deliver_sm a session."
)
@click.option("--script", type=_READABLE, default=None, help="What goes wrong, in YAML; see below.")
@click.option(
    "--stats", type=float, default=None, metavar="SECONDS", help="Print a statistics line this often, and at the end."
)
@click.option("--seed", type=int, default=None, help="Repeat the same draws in every run.")
@click.option(
    "--response-delay", type=_SECONDS, default=None, metavar="SECONDS", help="Before every answer to a submit."
)
@click.option(
    "--queue-full-above", type=_POSITIVE, default=None, metavar="N", help="RMSGQFUL while N messages are owed."
)
@click.option("--drop-every", type=_POSITIVE, default=None, metavar="N", help="Cut a session at its Nth submit.")
@click.option(
    "--drop-after", type=_SECONDS, default=None, metavar="SECONDS", help="Cut a session this long after its bind."
)
@click.option(
    "--max-binds", type=_POSITIVE, default=None, metavar="N", help="Sessions for each system_id; RALYBND beyond."
)
@click.option(
    "--ghost", type=_SECONDS, default=None, metavar="SECONDS", help="How long a cut session still counts: RALYBND."
)
@click.option(
    "--messages",
    type=click.FloatRange(0, min_open=True),
    default=None,
    metavar="N",
    help="Mobile-originated messages a second.",
)
@click.option("--tls-certificate", type=_READABLE, default=None, help="Speak TLS with this certificate chain (PEM).")
@click.option("--tls-key", type=_READABLE, default=None, help="Its private key, unless it is in the same file.")
@click.option("--tls-client-ca", type=_READABLE, default=None, help="Demand a client certificate signed by this CA.")
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
    tls_certificate: Path | None,
    tls_key: Path | None,
    tls_client_ca: Path | None,
    **overrides: Any,
) -> None:
    """An SMSC to develop and test against: takes binds, answers submit_sm, sends receipts.

    Prints one JSON line {"listening": "HOST:PORT"} on stdout when it is ready. SIGTERM or Ctrl-C unbinds and ends.
    """
    try:
        host, port = _address(listen)
        if throttle_above is not None and throttle_above <= 0:
            raise ValueError("--throttle-above must be more than 0")
        if stats is not None and stats <= 0:
            raise ValueError("--stats must be more than 0")
        if tls_certificate is None and (tls_key is not None or tls_client_ca is not None):
            raise ValueError("--tls-key and --tls-client-ca need --tls-certificate")
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
            script=_script(script, overrides),
            tls=None if tls_certificate is None else TlsFiles(tls_certificate, tls_key, tls_client_ca),
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, stats, script, overrides))
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


def _script(path: Path | None, overrides: dict[str, Any]) -> Script:
    """The script of the file with what the command line says on top. Raises ValueError."""
    script = Script() if path is None else read_script(path)
    data = msgspec.to_builtins(script)
    for key in ("seed", "response_delay", "queue_full_above"):
        if overrides[key] is not None:
            data[key] = overrides[key]
    for section, key, option in (
        ("drop", "every", "drop_every"),
        ("drop", "seconds", "drop_after"),
        ("binds", "max_binds", "max_binds"),
        ("binds", "ghost", "ghost"),
        ("traffic", "rate", "messages"),
    ):
        if overrides[option] is not None:
            data[section] = {**(data[section] or {}), key: overrides[option]}
    script = msgspec.convert(data, Script)
    CompiledScript(script)
    return script


async def _serve(
    settings: SimulatorSettings, stats: float | None, path: Path | None, overrides: dict[str, Any]
) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    simulator = Simulator(settings)
    started_up, wanted = False, False

    def hang_up() -> None:
        nonlocal wanted
        wanted = True
        if started_up:
            _reload(simulator, path, overrides)

    # Before the port opens: whoever sees it open may send the signal, and one that is not expected ends the process.
    loop.add_signal_handler(signal.SIGHUP, hang_up)
    async with simulator:
        started_up = True
        if wanted:
            _reload(simulator, path, overrides)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        click.echo(msgspec.json.encode({"listening": f"{host}:{simulator.port}"}))
        sys.stdout.flush()
        if stats is None:
            await stopping.wait()
            return
        started = time.monotonic()
        await _report(simulator, stats, stopping)
    click.echo("end: " + line(simulator.statistics, type(simulator.statistics)(), time.monotonic() - started), err=True)


def _reload(simulator: Simulator, path: Path | None, overrides: dict[str, Any]) -> None:
    try:
        simulator.set_script(_script(path, overrides))
    except (OSError, ValueError) as error:
        click.echo(f"the old script stays: {error}", err=True)
    else:
        click.echo(f"script read: {path or 'none'}", err=True)


async def _report(simulator: Simulator, interval: float, stopping: asyncio.Event) -> None:
    before, since = msgspec.structs.replace(simulator.statistics), time.monotonic()
    while not stopping.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), interval)
        now = time.monotonic()
        click.echo(line(simulator.statistics, before, max(now - since, 1e-6)), err=True)
        before, since = msgspec.structs.replace(simulator.statistics), now


if __name__ == "__main__":
    main()
