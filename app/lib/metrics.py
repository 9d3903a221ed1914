"""Prometheus metrics. No ids in labels: a series per tenant or channel would outgrow any Prometheus."""

import os
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest, start_http_server
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
dispatched = Counter("turumba_dispatched_total", "Attempts finished by the worker", ["type", "outcome"])
retries_due = Counter("turumba_retries_total", "Messages put back for another attempt")
leader = Gauge("turumba_scheduler_leader", "1 while this scheduler leads")


def render() -> bytes:
    """All metrics in the exposition format; of every worker process when `PROMETHEUS_MULTIPROC_DIR` is set."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
    return generate_latest(REGISTRY)


def serve(host: str, port: int) -> Any:
    """Serve `/metrics` of this process from a thread; port 0 means no listener at all."""
    return start_http_server(port, host) if port else None
