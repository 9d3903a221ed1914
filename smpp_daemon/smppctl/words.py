"""Numbers and moments the way people read them, short enough for a table."""

from datetime import datetime

from smpp_daemon.bind_health import BindHealth, BindState
from smpp_daemon.reports import AccountStatus

SHORT_MODES = {"transceiver": "TRX", "transmitter": "TX", "receiver": "RX"}

STATE_COLOURS = {
    BindState.BOUND: "green",
    BindState.ERROR: "red",
    BindState.WAITING: "yellow",
    BindState.CONNECTING: "yellow",
    BindState.BINDING: "yellow",
    BindState.UNBINDING: "yellow",
    BindState.STOPPED: "yellow",
}

CERTIFICATE_WARNING_DAYS = 30
CERTIFICATE_CRITICAL_DAYS = 7


def parse(moment: str) -> datetime:
    """RFC 3339 → an aware datetime."""
    return datetime.fromisoformat(moment.replace("Z", "+00:00"))


def age(since: datetime, now: datetime) -> str:
    """`12s`, `5m`, `3h`, `2d`: the largest unit only."""
    return duration((now - since).total_seconds())


def duration(seconds: float) -> str:
    """As `age`, from seconds."""
    whole = max(0, int(seconds))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole >= size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def count(value: float) -> str:
    """`999`, `1.2k`, `35k`, `1.2M`: at most five characters."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            scaled = value / size
            return f"{scaled:.1f}{unit}" if scaled < 10 else f"{scaled:.0f}{unit}"
    return f"{value:g}" if value == int(value) else f"{value:.1f}"


def milliseconds(value: float | None) -> str:
    """`12 ms`, `1.2 s`, `-` when it is not known."""
    if value is None:
        return "-"
    if value >= 60_000:
        return duration(value / 1000)
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.1f} s"


def window(bind: BindHealth) -> str:
    """Used and size."""
    return f"{bind.window['used']}/{bind.window['size']}"


def limit(account: AccountStatus) -> str:
    """The rate that is allowed now, and the configured one when that is higher."""
    if account.rate.limit is None:
        return "unlimited"
    if account.rate.configured is not None and account.rate.limit < account.rate.configured:
        return f"{account.rate.limit:g} (of {account.rate.configured:g})"
    return f"{account.rate.limit:g}"


def overrides(account: AccountStatus) -> str:
    """What was set by hand, or nothing."""
    return ", ".join(f"{name} {value:g}" for name, value in account.overrides.items())


def bound(account: AccountStatus) -> int:
    """How many binds are up."""
    return sum(bind.state is BindState.BOUND for bind in account.binds)


def queued(account: AccountStatus) -> int | None:
    """Batches that wait in RabbitMQ; None while it is not known."""
    return None if account.queue is None else account.queue.high + account.queue.bulk


def enquire_rtt(account: AccountStatus) -> float | None:
    """The slowest bind's last enquire_link, in milliseconds."""
    return max((bind.enquire_rtt_ms for bind in account.binds if bind.enquire_rtt_ms is not None), default=None)


def certificate_days(account: AccountStatus) -> int | None:
    """Days until the first certificate of its binds ends."""
    days = [each for bind in account.binds for each in (bind.certificate_days, bind.client_certificate_days)]
    return min((each for each in days if each is not None), default=None)


def trouble(account: AccountStatus) -> str | None:
    """What is wrong, in words: a hold, the first bind's last error, or a certificate that ends."""
    if account.hold:
        return account.detail
    for bind in account.binds:
        if bind.last_error:
            return f"bind {bind.id}: {bind.last_error}"
    return next((bind.warning for bind in account.binds if bind.warning), None)


def retry_in(bind: BindHealth, now: datetime) -> str:
    """`95 s`: how long until the next try; empty while it is not waiting."""
    if bind.retry_at is None:
        return ""
    seconds = max(0, round((parse(bind.retry_at) - now).total_seconds()))
    return f"{seconds} s"
