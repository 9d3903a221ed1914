"""Prometheus metrics of the SMPP daemon. No ids in labels."""

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate

from prometheus_client import REGISTRY, Counter, Gauge
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

binds = Gauge("turumba_smpp_binds", "Binds by state", ["state"])
window_used = Gauge("turumba_smpp_window_used", "Requests that wait for an answer, in all binds")
in_memory = Gauge("turumba_smpp_messages_in_memory", "Messages taken from RabbitMQ whose outcome is not published")
submitted = Counter("turumba_smpp_submit_sm_total", "submit_sm written")
responses = Counter("turumba_smpp_responses_total", "Answers to submit_sm by class of command_status", ["class"])
receipts = Counter("turumba_smpp_receipts_total", "Delivery receipts received")
inbound = Counter("turumba_smpp_inbound_total", "Messages from contacts received")
unknown = Counter("turumba_smpp_unknown_total", "submit_sm whose answer never came")
throttled = Counter("turumba_smpp_throttled_total", "submit_sm refused for speed (RTHROTTLED, RMSGQFUL)")
late = Counter("turumba_smpp_late_answers_total", "Answers that came after their deadline")
reconnects = Counter("turumba_smpp_reconnects_total", "Binds that were lost")
violations = Counter("turumba_smpp_protocol_violations_total", "PDUs of operators that could not be used")
unpublished = Gauge("turumba_smpp_results_unpublished", "Results and receipts that RabbitMQ has not confirmed yet")

LATENCY_BOUNDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class ResponseSeconds(Collector):
    """Time from submit_sm to its answer: a histogram that costs a bisection an answer, on the hottest path there is."""

    def __init__(self) -> None:
        self._counts = [0] * (len(LATENCY_BOUNDS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one answer."""
        self._counts[bisect_left(LATENCY_BOUNDS, seconds)] += 1
        self._sum += seconds

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Called by the thread that serves the metrics."""
        bounds = [*map(str, LATENCY_BOUNDS), "+Inf"]
        family = HistogramMetricFamily("turumba_smpp_response_seconds", "Time from submit_sm to its answer")
        family.add_metric([], list(zip(bounds, accumulate(list(self._counts)), strict=True)), self._sum)
        yield family


response_seconds = ResponseSeconds()
REGISTRY.register(response_seconds)
