"""Prometheus metrics. No ids in labels: a series per tenant or channel would outgrow any Prometheus."""

import os
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE = CONTENT_TYPE_LATEST

http_requests = Counter("turumba_http_requests_total", "Requests answered", ["method", "route", "status"])
http_seconds = Histogram(
    "turumba_http_request_seconds",
    "Time from request to answer",
    ["route"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
messages_accepted = Counter("turumba_messages_accepted_total", "Messages stored for sending", ["lane"])
group_commit_size = Histogram(
    "turumba_group_commit_messages", "Messages stored by one transaction", buckets=(1, 2, 5, 10, 20, 50, 100, 500)
)
outbox_published = Counter("turumba_outbox_published_total", "Outbox rows published and confirmed")
outbox_failures = Counter("turumba_outbox_failures_total", "Outbox rows that could not be published", ["reason"])
results_applied = Counter("turumba_results_applied_total", "Status changes applied", ["status"])
receipts_unmatched = Counter("turumba_receipts_unmatched_total", "Receipts parked because no part is known yet")
receipts_rerouted = Counter(
    "turumba_receipts_rerouted_total", "Receipts that came on another channel of the same operator login"
)
inbound_incomplete = Counter("turumba_inbound_incomplete_total", "Long messages delivered without some of their parts")
dispatched = Counter("turumba_dispatched_total", "Attempts finished by the worker", ["type", "outcome"])
retries_due = Counter("turumba_retries_total", "Messages put back for another attempt")
jobs_running = Gauge("turumba_jobs_running", "Jobs that this process works on", ["kind"])
jobs_ended = Counter("turumba_jobs_ended_total", "Jobs that came to an end here", ["kind", "status"])
leader = Gauge("turumba_scheduler_leader", "1 while this scheduler leads")
queues_without_consumer = Gauge(
    "turumba_queues_without_consumer",
    "Queues with messages that nobody consumes",
)


def render() -> bytes:
    """All metrics in the exposition format; of every worker process when `PROMETHEUS_MULTIPROC_DIR` is set."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
    return generate_latest(REGISTRY)


def serve(host: str, port: int, alive: Callable[[], bool]) -> None:
    """Serve `/metrics` and `/health/live` of this process from a thread; port 0 means no listener at all.

    `alive` is asked in that thread, which itself goes on when the event loop is stuck: 503 then. Raises `OSError` when
    the address cannot be had.
    """
    if not port:
        return
    server = _Server(host, port, alive)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()


class _Server(ThreadingTCPServer):
    """Not the library's HTTP server, which looks its own name up in the DNS before it listens."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, host: str, port: int, alive: Callable[[], bool]) -> None:
        self.address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        self.alive = alive
        super().__init__((host, port), _Handler)

    def handle_error(self, *_: Any) -> None:
        """Who scrapes may go away in the middle."""


class _Handler(BaseHTTPRequestHandler):
    """Two pages."""

    server: _Server
    timeout = 10.0

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/metrics":
                self._answer(200, CONTENT_TYPE, render())
            case "/health/live" if self.server.alive():
                self._answer(200, "application/json", b'{"status":"up","dependencies":{}}')
            case "/health/live":
                self._answer(503, "application/json", b'{"status":"down","dependencies":{}}')
            case _:
                self._answer(404, "text/plain", b"There are /metrics and /health/live.\n")

    def log_message(self, *_: Any) -> None:
        """A scrape is not news."""

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
