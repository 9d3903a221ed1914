"""Prometheus metrics of the SMPP daemon. No ids in labels."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

binds = Gauge("turumba_smpp_binds", "Binds by state", ["state"])
window_used = Gauge("turumba_smpp_window_used", "Requests that wait for an answer, in all binds")
in_memory = Gauge("turumba_smpp_messages_in_memory", "Messages taken from RabbitMQ whose outcome is not published")
submitted = Counter("turumba_smpp_submit_sm_total", "submit_sm written")
responses = Counter("turumba_smpp_responses_total", "Answers to submit_sm by class of command_status", ["class"])
receipts = Counter("turumba_smpp_receipts_total", "Delivery receipts received")
inbound = Counter("turumba_smpp_inbound_total", "Messages from contacts received")
alerts = Counter("turumba_smpp_alert_notifications_total", "Handsets that operators reported as reachable again")
unanswered_inbound = Counter(
    "turumba_smpp_inbound_refused_total", "deliver_sm refused for now because RabbitMQ did not confirm them in time"
)
unknown = Counter("turumba_smpp_unknown_total", "submit_sm whose answer never came")
throttled = Counter("turumba_smpp_throttled_total", "submit_sm refused for speed (RTHROTTLED, RMSGQFUL)")
late = Counter("turumba_smpp_late_answers_total", "Answers that came after their deadline")
reconnects = Counter("turumba_smpp_reconnects_total", "Binds that were lost")
bind_attempts = Counter("turumba_smpp_bind_attempts_total", "Tries to bind by how they ended", ["outcome"])
certificate_days = Gauge("turumba_smpp_certificate_days", "Days until the first certificate expires", ["whose"])
violations = Counter("turumba_smpp_protocol_violations_total", "PDUs of operators that could not be used")
unpublished = Gauge("turumba_smpp_results_unpublished", "Results and receipts that RabbitMQ has not confirmed yet")

command_status = Counter("turumba_smpp_command_status_total", "Refusals of submit_sm by command_status", ["status"])
accounts = Gauge("turumba_smpp_accounts", "Accounts of this process by state", ["state"])
accounts_held = Gauge("turumba_smpp_accounts_held", "Accounts that an operator paused or drained", ["hold"])
rate_now = Gauge("turumba_smpp_rate", "submit_sm a second over the last seconds, all accounts")
window_size = Gauge("turumba_smpp_window_size", "Requests that may wait for an answer, in all bound sessions")
oldest_seconds = Gauge("turumba_smpp_oldest_message_seconds", "Age of the oldest message in memory")
queue_messages = Gauge("turumba_smpp_queue_messages", "Deliveries (batches) ready in the accounts' queues")
queue_consumers = Gauge("turumba_smpp_queue_consumers", "Consumers of the accounts' queues")
queues_unattended = Gauge("turumba_smpp_queues_unattended", "Accounts whose queues hold something nobody consumes")
orphan_receipts = Gauge("turumba_smpp_orphan_receipts", "Receipts of this process's accounts that match no message")
enquire_link_seconds = Histogram(
    "turumba_smpp_enquire_link_seconds",
    "Round trip of enquire_link",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
)
receipt_lag_seconds = Histogram(
    "turumba_smpp_receipt_lag_seconds",
    "Time from submit_sm_resp to the receipt, of a sample of the messages",
    buckets=(0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0),
)

LATENCY_BOUNDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class ResponseSeconds(Collector):
    """Time from submit_sm to its answer: a histogram that costs a bisection an answer, on the hottest path there is."""

    def __init__(self) -> None:
        self._counts = [0] * (len(LATENCY_BOUNDS) + 1)
        self._sum = 0.0

    def observe(self, latencies: Sequence[float]) -> None:
        """Count answers."""
        counts = self._counts
        for seconds in latencies:
            counts[bisect_left(LATENCY_BOUNDS, seconds)] += 1
        self._sum += sum(latencies)

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Called by the thread that serves the metrics."""
        bounds = [*map(str, LATENCY_BOUNDS), "+Inf"]
        family = HistogramMetricFamily("turumba_smpp_response_seconds", "Time from submit_sm to its answer")
        family.add_metric([], list(zip(bounds, accumulate(list(self._counts)), strict=True)), self._sum)
        yield family


response_seconds = ResponseSeconds()
REGISTRY.register(response_seconds)
