"""The status as a table that fits 80 columns."""

from datetime import datetime

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from smpp_daemon.bind import BindHealth, BindState
from smpp_daemon.status import AccountStatus, DaemonStatus

_COLOURS = {
    BindState.BOUND: "green",
    BindState.ERROR: "red",
    BindState.WAITING: "yellow",
    BindState.CONNECTING: "yellow",
    BindState.BINDING: "yellow",
}
_SHORT_MODES = {"transceiver": "TRX", "transmitter": "TX", "receiver": "RX"}


def show(status: DaemonStatus, console: Console) -> None:
    """Print all accounts."""
    console.print(_summary(status))
    for account in status.accounts:
        console.print()
        console.print(Group(*_account(account, _parse(status.at))))


def _summary(status: DaemonStatus) -> Text:
    binds = [bind for account in status.accounts for bind in account.binds]
    bound = sum(bind.state is BindState.BOUND for bind in binds)
    words = Text(f"smppd up {age(_parse(status.started_at), _parse(status.at))}, ")
    words.append(f"{bound} of {len(binds)} binds up", "green" if bound == len(binds) else "red")
    words.append(f", {len(status.accounts)} account{'' if len(status.accounts) == 1 else 's'}")
    if not status.database:
        words.append(", PostgreSQL not connected", "red")
    if not status.rabbitmq:
        words.append(", RabbitMQ not connected", "red")
    return words


def _account(account: AccountStatus, now: datetime) -> list[Text | Table]:
    title = Text(account.name, "bold")
    title.append(f"  {account.system_id}  {account.channel_id}", "dim")
    binds = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    for name, justify in (("#", "right"), ("host", "left"), ("mode", "left"), ("state", "left")):
        binds.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    binds.add_column("window", justify="right", no_wrap=True)
    for bind in account.binds:
        binds.add_row(str(bind.id), bind.host, _SHORT_MODES.get(bind.mode, bind.mode), _state(bind, now), _window(bind))
    numbers = Table.grid(padding=(0, 2))
    for _ in range(3):
        numbers.add_column(no_wrap=True)
    numbers.add_row(
        f"rate {account.rate.now:g}/{_limit(account)} per s",
        f"resp p50 {_ms(account.response_p50_ms)}  p99 {_ms(account.response_p99_ms)}",
        f"in memory {account.queued}",
    )
    numbers.add_row(f"sent {account.accepted}", f"receipts {account.receipts}", f"inbound {account.inbound}")
    numbers.add_row(f"unknown {account.unknown}", f"throttled {account.throttled}", f"reconnects {account.reconnects}")
    errors = [Text(f"bind {bind.id}: {bind.last_error}", "red") for bind in account.binds if bind.last_error]
    return [title, binds, numbers, *errors]


def _state(bind: BindHealth, now: datetime) -> Text:
    return Text(f"{bind.state.value} {age(_parse(bind.since), now)}", _COLOURS.get(bind.state, ""))


def _window(bind: BindHealth) -> str:
    return f"{bind.window['used']}/{bind.window['size']}"


def _limit(account: AccountStatus) -> str:
    if account.rate.limit is None:
        return "unlimited"
    if account.rate.configured is not None and account.rate.limit < account.rate.configured:
        return f"{account.rate.limit:g} (of {account.rate.configured:g})"
    return f"{account.rate.limit:g}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:g} ms"


def age(since: datetime, now: datetime) -> str:
    """`12s`, `5m`, `3h`, `2d`: the largest unit only."""
    seconds = max(0, int((now - since).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _parse(moment: str) -> datetime:
    return datetime.fromisoformat(moment.replace("Z", "+00:00"))
