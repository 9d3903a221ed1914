"""`turumba api`: the HTTP API in one or more worker processes."""

import os
import shutil
import signal
import socket
import sys
import tempfile
from types import FrameType
from typing import Any

import click
from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops

from app.lib.notify import ServiceManager
from app.lib.worker_watch import WorkerWatch
from app.settings import settings_for

_METRICS_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"

WORKERS_END_SECONDS = 20
"""How long the API's workers may take to finish their requests."""


@click.command()
def api() -> None:
    """Serve the HTTP API until SIGTERM."""
    settings = settings_for("api")
    directory = os.environ.get(_METRICS_DIRECTORY)
    if settings.api.workers > 1 and directory is None:
        # Every worker process writes its counters to files there, and whichever is scraped adds them up. The client
        # library looks for it when it is imported, which it is already: begin again with it set.
        os.environ[_METRICS_DIRECTORY] = tempfile.mkdtemp(prefix="turumba-metrics-")
        os.execv(sys.executable, [sys.executable, *sys.argv])
    api_settings = settings.api
    watch = WorkerWatch(
        ServiceManager.of(os.environ, os.getpid()),
        api_settings.workers,
        lambda: _accepts(api_settings.host, api_settings.port),
    )
    # Workers tell the watch, and only the watch tells the service manager.
    os.environ.update(watch.environment())
    os.environ.pop("WATCHDOG_PID", None)
    try:
        server = Granian(
            "app.main:create_app",
            factory=True,
            interface=Interfaces.ASGI,
            address=api_settings.host,
            port=api_settings.port,
            workers=api_settings.workers,
            loop=Loops.uvloop,
            http=HTTPModes.http1,
            log_enabled=False,
            respawn_failed_workers=True,
            workers_kill_timeout=WORKERS_END_SECONDS,
        )
        server.on_startup(lambda: _begin_watch(watch))
        server.serve()
    finally:
        watch.close()
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)


def _begin_watch(watch: WorkerWatch) -> None:
    """Called when Granian has set its signal handlers and not started a worker yet."""
    watch.start()
    for number in (signal.SIGTERM, signal.SIGINT):
        end = signal.getsignal(number)

        def tell_and_end(number: int, frame: FrameType | None, end: Any = end) -> None:
            watch.stopping(WORKERS_END_SECONDS + 10.0)
            end(number, frame)

        signal.signal(number, tell_and_end)


def _accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True
