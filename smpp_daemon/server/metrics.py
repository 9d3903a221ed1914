"""Prometheus metrics of the server side. No ids in labels."""

from prometheus_client import Counter, Gauge

binds = Gauge("turumba_smpp_server_binds", "Binds of applications by mode", ["mode"])
bind_requests = Counter("turumba_smpp_server_bind_requests_total", "Binds asked for, by command_status", ["status"])
submitted = Counter("turumba_smpp_server_submitted_total", "Messages submitted by applications and stored")
refused = Counter(
    "turumba_smpp_server_refused_total", "Requests of applications refused, by command_status", ["status"]
)
delivered = Counter("turumba_smpp_server_delivered_total", "deliver_sm that applications took, by kind", ["kind"])
dropped = Counter("turumba_smpp_server_dropped_total", "Receipts and messages that an application refused for good")
postponed = Counter("turumba_smpp_server_postponed_total", "deliver_sm refused for now or not answered in time")
violations = Counter("turumba_smpp_server_violations_total", "PDUs of applications that could not be used")
