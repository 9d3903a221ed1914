"""The status as tables that fit 80 columns."""

from datetime import datetime

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from smpp_daemon.bind_health import BindHealth, BindState
from smpp_daemon.reports import AccountStatus, DaemonStatus
from smpp_daemon.smppctl.words import (
    SHORT_MODES,
    STATE_COLOURS,
    age,
    count,
    duration,
    limit,
    milliseconds,
    overrides,
    parse,
    queued,
    window,
)


def show(status: DaemonStatus, console: Console, *, several: bool = False) -> None:
    """Print all accounts of one daemon; `several`: say which daemon it is."""
    console.print(summary(status, several=several))
    for account in status.accounts:
        console.print()
        console.print(Group(*_account(account, parse(status.at))))


def summary(status: DaemonStatus, *, several: bool = False) -> Text:
    """One line about the process."""
    binds = [bind for account in status.accounts for bind in account.binds]
    up = sum(bind.state is BindState.BOUND for bind in binds)
    who = f"smppd {status.host}[{status.pid}]" if several else "smppd"
    words = Text(f"{who} up {age(parse(status.started_at), parse(status.at))}, ")
    words.append(f"{up} of {len(binds)} binds up", "green" if up == len(binds) else "red")
    words.append(f", {len(status.accounts)} account{'' if len(status.accounts) == 1 else 's'}")
    if status.others and not several:
        words.append(f", {status.others} other daemon{'' if status.others == 1 else 's'}")
    if not status.database:
        words.append(", PostgreSQL not connected", "red")
    if not status.rabbitmq:
        words.append(", RabbitMQ not connected", "red")
    return words


def title(account: AccountStatus) -> Text:
    """Name, system_id and id."""
    words = Text(account.name, "bold")
    words.append(f"  {account.system_id}  {account.channel_id}", "dim")
    return words


def binds(account: AccountStatus, now: datetime) -> Table:
    """A row for each bind."""
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    for name, justify in (("#", "right"), ("host", "left"), ("mode", "left"), ("state", "left")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for name in ("window", "rtt", "lost/24h", "cert"):
        table.add_column(name, justify="right", no_wrap=True)
    for bind in account.binds:
        table.add_row(
            str(bind.id),
            f"{bind.host}{' TLS' if bind.tls else ''}{' (away)' if bind.away else ''}",
            SHORT_MODES.get(bind.mode, bind.mode),
            state(bind, now, paused=bind.id in account.paused_binds),
            window(bind),
            milliseconds(bind.enquire_rtt_ms),
            str(bind.reconnects_24h),
            "-" if bind.certificate_days is None else f"{bind.certificate_days}d",
        )
    return table


def state(bind: BindHealth, now: datetime, *, paused: bool) -> Text:
    """State and for how long."""
    words = Text(f"{bind.state.value} {age(parse(bind.since), now)}", STATE_COLOURS.get(bind.state, ""))
    if paused:
        words.append(" paused", "yellow")
    return words


def _account(account: AccountStatus, now: datetime) -> list[Text | Table]:
    numbers = Table.grid(padding=(0, 2))
    for _ in range(3):
        numbers.add_column(no_wrap=True)
    waiting = queued(account)
    numbers.add_row(
        f"rate {account.rate.now:g}/{limit(account)} per s",
        f"resp p50 {milliseconds(account.response_p50_ms)}  p99 {milliseconds(account.response_p99_ms)}",
        f"in memory {account.queued}",
    )
    numbers.add_row(
        f"sent {account.accepted}",
        f"receipts {account.receipts} ({account.receipts_per_minute}/min)",
        f"queued batches {'-' if waiting is None else count(waiting)}",
    )
    numbers.add_row(
        f"unknown {account.unknown}",
        f"throttled {account.throttled} ({account.throttled_per_minute}/min)",
        f"oldest {'-' if account.oldest_seconds is None else duration(account.oldest_seconds)}",
    )
    numbers.add_row(f"inbound {account.inbound}", f"reconnects {account.reconnects}", f"refused {account.refused}")
    told: list[Text | Table] = [title(account)]
    if account.hold:
        told.append(Text(account.detail, "yellow"))
    if account.overrides:
        told.append(Text(f"set by hand: {overrides(account)}", "yellow"))
    told += [binds(account, now), numbers]
    told += [Text(f"bind {bind.id}: {bind.last_error}", "red") for bind in account.binds if bind.last_error]
    told += [Text(f"bind {bind.id}: {bind.warning}", "yellow") for bind in account.binds if bind.warning]
    return told
