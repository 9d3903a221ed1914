"""`turumba worker`: results, connectors over HTTP, group messages and jobs."""

import click

from app.lib.service import run_process
from app.settings import settings_for
from app.workers.main import run_worker


@click.command()
def worker() -> None:
    """Apply results and send through HTTP connectors until SIGTERM."""
    settings = settings_for("worker")
    run_process(lambda stop: run_worker(settings, stop), metrics=(settings.metrics.host, settings.metrics.port))
