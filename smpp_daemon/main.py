"""`smppd`: binds to SMPP operators and moves messages, receipts and replies between them and RabbitMQ."""

import sys

import click

from app.lib.garbage import calm_garbage_collector
from app.lib.service import Stop, run_process
from app.settings import Settings, settings_for
from smpp_daemon import metrics as _metrics  # noqa: F401 - registers them
from smpp_daemon.admin import SocketInUseError
from smpp_daemon.bind_health import BindState
from smpp_daemon.daemon import Daemon
from smpp_daemon.server.server import CannotListenError

STATUS_SECONDS = 5.0
UNBIND_SECONDS = 45.0
"""What ending may take beside the drain: handing back, publishing the last results, unbinding."""


async def run_daemon(settings: Settings, stop: Stop) -> None:
    """Run until `stop`, then drain."""
    daemon = Daemon(settings)
    await daemon.start()
    stop.needs(*daemon.parts)
    calm_garbage_collector()
    try:
        stop.working(_in_words(daemon))
        while not await stop.wait(STATUS_SECONDS):
            stop.working(_in_words(daemon))
    finally:
        await daemon.stop()


def _in_words(daemon: Daemon) -> str:
    states = [keeper.state for account in daemon.accounts for keeper in account.keepers]
    return f"{states.count(BindState.BOUND)} of {len(states)} binds to operators are up."


@click.command()
def main() -> None:
    """Serve every SMPP channel: sessions to operators, messages out, receipts and replies in.

    Settings come from TURUMBA_* variables. SIGTERM drains and unbinds first. Several daemons share the channels, and a
    survivor takes over within seconds. Ask a running one with smppctl.
    """
    settings = settings_for("smppd")
    try:
        run_process(
            lambda stop: run_daemon(settings, stop),
            metrics=(settings.metrics.host, settings.metrics.port),
            end_seconds=settings.smppd.drain_seconds + UNBIND_SECONDS,
        )
    except (SocketInUseError, CannotListenError, PermissionError) as error:
        sys.exit(f"smppd cannot start: {error}")


if __name__ == "__main__":
    main()
