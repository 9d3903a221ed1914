"""The columns of the list: the important ones fit 80 characters, the others come with the width."""

from collections.abc import Callable
from typing import NamedTuple

from smpp_daemon.bind_health import BindState
from smpp_daemon.reports import AccountStatus
from smpp_daemon.smppctl.words import (
    CERTIFICATE_CRITICAL_DAYS,
    CERTIFICATE_WARNING_DAYS,
    bound,
    certificate_days,
    count,
    duration,
    enquire_rtt,
    queued,
)

Cell = tuple[str, str]
"""Text and style."""

SLOW_MS = 1000.0
OLD_SECONDS = 300.0
NAME_WIDTH = 12
WIDE = 99
WIDE_NAME = 16
WIDEST_NAME = 28


class Column(NamedTuple):
    """`width` in characters; a cell that is longer is cut."""

    title: str
    width: int
    cell: Callable[[AccountStatus], Cell]
    left: bool = False


def fitting(width: int) -> tuple[int, list[Column]]:
    """How wide the name may be, and the columns after it that fit into so many characters."""
    shortest = NAME_WIDTH if width < WIDE else WIDE_NAME
    taken = shortest
    chosen: list[Column] = []
    for column in COLUMNS:
        if taken + 1 + column.width > width:
            break
        taken += 1 + column.width
        chosen.append(column)
    return min(WIDEST_NAME, shortest + max(0, width - taken)), chosen


def state(account: AccountStatus) -> Cell:
    """One word for the whole account, and how many of its binds are up."""
    up, total = bound(account), len(account.binds)
    if account.hold:
        return account.hold if account.hold != "paused" else f"paused {up}/{total}", "bold magenta"
    if up and up == total:
        return f"up {up}/{total}", "green"
    if up:
        return f"part {up}/{total}", "yellow"
    if any(bind.state is BindState.ERROR for bind in account.binds):
        return f"error 0/{total}", "bold red"
    return f"down 0/{total}", "bold red"


def _rate(account: AccountStatus) -> Cell:
    limit = "∞" if account.rate.limit is None else count(round(account.rate.limit))
    backed_off = account.rate.configured is not None and (account.rate.limit or 0) < account.rate.configured
    return f"{count(round(account.rate.now))}/{limit}", "yellow" if backed_off else "bold" if account.overrides else ""


def _window(account: AccountStatus) -> Cell:
    size = sum(bind.window["size"] for bind in account.binds if bind.state is BindState.BOUND)
    full = size and account.in_flight >= size
    return f"{count(account.in_flight)}/{count(size)}", "yellow" if full else ""


def _latency(account: AccountStatus) -> Cell:
    if account.response_p50_ms is None or account.response_p99_ms is None:
        return "-", "dim"
    slow = account.response_p99_ms >= SLOW_MS
    return f"{count(round(account.response_p50_ms))}/{count(round(account.response_p99_ms))}", "yellow" if slow else ""


def _queue(account: AccountStatus) -> Cell:
    waiting = queued(account)
    if waiting is None:
        return "-", "dim"
    unattended = waiting and account.queue is not None and not account.queue.consumers
    return count(waiting), "red" if unattended else ""


def _age(account: AccountStatus) -> Cell:
    if account.oldest_seconds is None:
        return "-", "dim"
    return duration(account.oldest_seconds), "yellow" if account.oldest_seconds >= OLD_SECONDS else ""


def _certificate(account: AccountStatus) -> Cell:
    days = certificate_days(account)
    if days is None:
        return "-", "dim"
    colour = "red" if days < CERTIFICATE_CRITICAL_DAYS else "yellow" if days < CERTIFICATE_WARNING_DAYS else ""
    return f"{days}d", colour


def _short(milliseconds: float | None) -> Cell:
    if milliseconds is None:
        return "-", "dim"
    return (f"{milliseconds:.0f}ms", "") if milliseconds < 1000 else (duration(milliseconds / 1000), "")


def _noticed(value: int, colour: str) -> Cell:
    return count(value), colour if value else "dim"


COLUMNS = (
    Column("STATE", 10, state, left=True),
    Column("RATE/LIM", 9, _rate),
    Column("WINDOW", 8, _window),
    Column("P50/99", 7, _latency),
    Column("QUEUE", 5, _queue),
    Column("AGE", 4, _age),
    Column("UNK", 4, lambda account: _noticed(account.unknown, "red")),
    Column("THR/m", 5, lambda account: _noticed(account.throttled_per_minute, "yellow")),
    Column("DLR/m", 5, lambda account: _noticed(account.receipts_per_minute, "")),
    Column("MEM", 5, lambda account: _noticed(account.queued, "")),
    Column("LAG", 5, lambda account: _short(account.receipt_lag_p50_ms)),
    Column("RTT", 6, lambda account: _short(enquire_rtt(account))),
    Column("LOST/d", 6, lambda account: _noticed(sum(bind.reconnects_24h for bind in account.binds), "yellow")),
    Column("CERT", 5, _certificate),
    Column("IN/m", 5, lambda account: _noticed(account.inbound_per_minute, "")),
    Column("SYSTEM_ID", 16, lambda account: (account.system_id, "dim"), left=True),
)
"""The most important first."""
