"""One account in full: `smppctl show`, and the details of `smppctl watch`."""

from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from smpp_daemon.reports import AccountReport, AccountStatus, BindHistory
from smpp_daemon.smppctl.table import binds, title
from smpp_daemon.smppctl.words import (
    STATE_COLOURS,
    age,
    certificate_days,
    count,
    duration,
    limit,
    milliseconds,
    overrides,
    parse,
    retry_in,
)

SHOWN_EVENTS = 5
_NOT_SHOWN = frozenset({"hosts", "receiver_hosts", "tls_ca"})
_DEFAULTS: tuple[Any, ...] = (None, "", [], {}, False)


def details(report: AccountReport) -> RenderableType:
    """Everything about an account, 80 columns wide."""
    account, now = report.status, parse(report.at)
    parts: list[RenderableType] = [title(account), _sentence(account)]
    if account.overrides:
        parts.append(Text(f"Set by hand: {overrides(account)}.", "yellow"))
    parts += [Text(), binds(account, now), *_troubles(account, now), Text(), _numbers(report), Text()]
    parts += [_history(history, now) for history in report.history if history.events]
    parts += [Text(), _settings(report)]
    return Group(*parts)


def _sentence(account: AccountStatus) -> Text:
    colour = "yellow" if account.hold else {"active": "green", "error": "red"}.get(account.state, "yellow")
    return Text(f"{account.hold or account.state}: {account.detail}", colour)


def _troubles(account: AccountStatus, now: datetime) -> list[Text]:
    told: list[Text] = []
    for bind in account.binds:
        if bind.last_error:
            left = retry_in(bind, now)
            told.append(Text(f"bind {bind.id}: {bind.last_error}", "red"))
            if left:
                told.append(Text(f"        next try in {left}", "red"))
        if bind.warning:
            told.append(Text(f"bind {bind.id}: {bind.warning}", "yellow"))
    return told


def _numbers(report: AccountReport) -> Table:
    account = report.status
    queue = account.queue
    days = certificate_days(account)
    pairs = [
        ("rate now / limit", f"{account.rate.now:g} / {limit(account)} per s"),
        ("window used", f"{account.in_flight}"),
        ("response p50 / p99", f"{milliseconds(account.response_p50_ms)} / {milliseconds(account.response_p99_ms)}"),
        ("in memory", f"{account.queued}"),
        ("queue high / bulk", "-" if queue is None else f"{count(queue.high)} / {count(queue.bulk)} batches"),
        ("queue consumers", "-" if queue is None else str(queue.consumers)),
        ("oldest waits", "-" if account.oldest_seconds is None else duration(account.oldest_seconds)),
        ("results unpublished", str(account.unpublished)),
        ("accepted", str(account.accepted)),
        ("refused", str(account.refused)),
        ("throttled", f"{account.throttled} ({account.throttled_per_minute}/min)"),
        ("unknown", f"{account.unknown} ({account.unknown_hour} in 1 h)"),
        ("late answers", str(account.late)),
        ("receipts", f"{account.receipts} ({account.receipts_per_minute}/min)"),
        ("inbound", f"{account.inbound} ({account.inbound_per_minute}/min)"),
        (
            "receipt lag p50 / p99",
            f"{milliseconds(account.receipt_lag_p50_ms)} / {milliseconds(account.receipt_lag_p99_ms)}",
        ),
        ("orphan receipts", "-" if report.orphans is None else str(report.orphans)),
        ("reconnects", f"{account.reconnects} ({sum(bind.reconnects_24h for bind in account.binds)} in 24 h)"),
        ("certificate ends in", "-" if days is None else f"{days} d"),
    ]
    return _in_pairs(pairs)


def _in_pairs(pairs: list[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for style in ("dim", "", "dim", ""):
        table.add_column(style=style, overflow="fold")
    half = (len(pairs) + 1) // 2
    for left, right in zip(pairs[:half], [*pairs[half:], ("", "")], strict=False):
        table.add_row(*left, *right)
    return table


def _history(history: BindHistory, now: datetime) -> Group:
    table = Table.grid(padding=(0, 1))
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for event in history.events[-SHOWN_EVENTS:]:
        ago = f"{age(parse(event.at), now)} ago"
        table.add_row("", ago, Text(event.state.value, STATE_COLOURS.get(event.state, "")), event.reason)
    return Group(Text(f"bind {history.id}, last states", "dim"), table)


def _settings(report: AccountReport) -> Table:
    shown = [
        (name, _plain(value))
        for name, value in report.settings.items()
        if name not in _NOT_SHOWN and value not in _DEFAULTS
    ]
    hosts = ", ".join(f"{each['host']}:{each['port']}" for each in report.settings.get("hosts", ()))
    return _in_pairs([("hosts", hosts), *shown])


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={_plain(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
