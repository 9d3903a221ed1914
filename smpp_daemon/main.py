"""`smppd`: binds to SMPP operators and moves messages, receipts and replies between them and RabbitMQ."""

import sys

import click

from app.lib.metrics import serve
from app.lib.service import Stop, run_process
from app.settings import Settings, settings_for
from smpp_daemon import metrics as _metrics  # noqa: F401 - registers them
from smpp_daemon.admin import SocketInUseError
from smpp_daemon.daemon import Daemon


async def run_daemon(settings: Settings, stop: Stop) -> None:
    """Run until `stop`, then drain."""
    daemon = Daemon(settings)
    await daemon.start()
    try:
        await stop.wait()
    finally:
        await daemon.stop()


@click.command()
def main() -> None:
    """Serve every SMPP channel: sessions to operators, messages out, receipts and replies in.

    Settings come from TURUMBA_* variables. SIGTERM drains and unbinds first. Several daemons share the channels, and a
    survivor takes over within seconds. Ask a running one with smppctl.
    """
    settings = settings_for("smppd")
    serve(settings.metrics.host, settings.metrics.port)
    try:
        run_process(lambda stop: run_daemon(settings, stop))
    except (SocketInUseError, PermissionError) as error:
        sys.exit(f"smppd cannot start: {error}")


if __name__ == "__main__":
    main()
