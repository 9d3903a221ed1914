"""The screen as lines of text, for any width and height."""

from collections.abc import Iterable
from datetime import datetime

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.text import Text

from smpp_daemon.bind_health import BindHealth, BindState
from smpp_daemon.reports import AccountReport, AccountStatus, DaemonStatus
from smpp_daemon.smppctl.details import details
from smpp_daemon.smppctl.watch.columns import fitting
from smpp_daemon.smppctl.watch.model import Mode, Model, Row, View
from smpp_daemon.smppctl.words import (
    SHORT_MODES,
    STATE_COLOURS,
    age,
    count,
    milliseconds,
    overrides,
    parse,
    queued,
    retry_in,
    window,
)

KEYS = "q quit · ↑↓ select · enter details · p pause/resume · / filter · ? help"
_HELP = (
    ("q, Ctrl-C", "quit"),
    ("up, down, j, k", "select an account; scroll the details"),
    ("page up, page down, g, G", "by ten; to the first and to the last"),
    ("enter, s", "everything about the account, and back"),
    ("p", "pause or resume the account, after a question"),
    ("/", "show only accounts with this in their name, system_id or id"),
    ("escape", "back; in the list, without a filter again"),
    ("?", "this page, and back"),
)
_COLUMNS = (
    "RATE/LIM  submit_sm a second, and how many are allowed (∞: no limit)",
    "WINDOW    requests without an answer, and how many there may be",
    "P50/99    milliseconds to submit_sm_resp   QUEUE  batches waiting in RabbitMQ",
    "AGE       of the oldest message in memory    UNK  never answered",
    "THR/m, DLR/m  refused for speed, receipts in the last minute",
    "MEM  messages in memory   LAG  submit to receipt   RTT  enquire_link",
    "LOST/d  binds lost in a day   CERT  days until a certificate ends",
)


class Picture:
    """Rich draws it: exactly as wide and high as the terminal."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """All lines of the screen."""
        width, height = options.max_width, options.height or console.height
        rows = lines(self._model, console, width, height)
        for number, line in enumerate(rows):
            segments = line if isinstance(line, list) else list(line.render(console))
            yield from Segment.adjust_line_length(segments, width)
            if number < len(rows) - 1:
                yield Segment.line()


Line = Text | list[Segment]


def lines(model: Model, console: Console, width: int, height: int) -> list[Line]:
    """Exactly `height` of them, the first is the title and the last says what keys do."""
    room = max(1, height - 3)
    body: list[Line]
    if model.view is View.HELP:
        body = [*_help()]
    elif model.view is View.DETAILS:
        body = _details(model, console, width, room)
    else:
        body = [*_list(model, width, room)]
    body = body[:room]
    body += [Text() for _ in range(room - len(body))]
    return [_title(model, width), _totals(model, width), *body, _footer(model, width)][:height]


def _title(model: Model, width: int) -> Text:
    daemons = list(model.seen.daemons.values())
    binds = [bind for daemon in daemons for account in daemon.accounts for bind in account.binds]
    up = sum(bind.state is BindState.BOUND for bind in binds)
    words = Text(" smppctl watch", "bold")
    if daemons:
        words.append(f"  {up} of {len(binds)} binds up", "bold" if up == len(binds) else "bold yellow")
        words.append(f"  {'PostgreSQL ok' if all(each.database for each in daemons) else ''}")
        words.append("" if all(each.database for each in daemons) else "PostgreSQL AWAY", "bold red")
        words.append(f"  {'RabbitMQ ok' if all(each.rabbitmq for each in daemons) else ''}")
        words.append("" if all(each.rabbitmq for each in daemons) else "RabbitMQ AWAY", "bold red")
    clock = _clock(daemons)
    words.truncate(max(0, width - len(clock) - 1))
    words.pad_right(max(0, width - words.cell_len - len(clock) - 1))
    words.append(f"{clock} ")
    words.stylize("reverse")
    return words


def _clock(daemons: list[DaemonStatus]) -> str:
    return max((daemon.at for daemon in daemons), default="")[11:19]


def _totals(model: Model, width: int) -> Text:
    if model.seen.failures:
        words = Text(" " + next(iter(model.seen.failures.values())).partition("\n")[0], "bold red")
    elif not model.fresh:
        words = Text(" asking …", "dim")
    else:
        accounts = [row.account for row in model.rows]
        words = Text()
        if model.filter and model.mode is not Mode.FILTER:
            words.append(f" filter /{model.filter} ", "cyan")
        words.append(
            f" {len(accounts)} account{'' if len(accounts) == 1 else 's'}"
            f"  {count(round(sum(each.rate.now for each in accounts)))}/s"
            f"  queue {count(sum(queued(each) or 0 for each in accounts))}"
            f"  unknown {count(sum(each.unknown for each in accounts))}"
            f"  throttled {count(sum(each.throttled_per_minute for each in accounts))}/min"
            f"  receipts {count(sum(each.receipts_per_minute for each in accounts))}/min",
            "dim",
        )
    words.truncate(width)
    return words


def _list(model: Model, width: int, room: int) -> Iterable[Text]:
    rows, current = model.rows, model.current
    name_width, columns = fitting(width - 1)
    head = " " + "ACCOUNT".ljust(name_width)
    for column in columns:
        head += " " + (column.title.ljust(column.width) if column.left else column.title.rjust(column.width))
    yield Text(head, "bold dim")
    panel = [] if current is None else _panel(current, parse(model.seen.daemons[current.path].at), width)
    shown = max(1, room - 2 - min(len(panel), max(3, room // 2)))
    place = rows.index(current) if current is not None else 0
    first = max(0, min(place - shown // 2, len(rows) - shown))
    for row in rows[first : first + shown]:
        line = Text(">" if row == current else " ", "bold")
        line.append(_cut(row.account.name, name_width).ljust(name_width))
        for column in columns:
            text, style = column.cell(row.account)
            text = _cut(text, column.width)
            line.append(" ")
            line.append(text.ljust(column.width) if column.left else text.rjust(column.width), style)
        if row == current:
            line.stylize("on grey19")
        yield line
    if not rows:
        yield Text(" No account passes the filter." if model.filter else " No account runs here.", "dim")
    more = len(rows) - first - shown
    yield Text(f"── {more} more below ".ljust(width, "─") if more > 0 else "─" * width, "dim")
    yield from panel


def _panel(row: Row, now: datetime, width: int) -> list[Text]:
    account = row.account
    told = Text(f" {account.name}", "bold")
    told.append(f"  {account.system_id}  {account.channel_id}", "dim")
    panel = [told]
    if account.hold:
        panel += _wrapped(account.detail, width, "magenta")
    if account.overrides:
        panel.append(Text(f" set by hand: {overrides(account)}", "magenta"))
    panel.append(
        Text(
            f" accepted {count(account.accepted)}  refused {count(account.refused)}  unknown {count(account.unknown)}"
            f" ({account.unknown_10_minutes} in 10 min)  in memory {count(account.queued)}"
            f"  receipt lag {milliseconds(account.receipt_lag_p50_ms)}"
        )
    )
    for bind in account.binds:
        panel.append(_bind(bind, account, now))
        if bind.last_error:
            left = retry_in(bind, now)
            words = bind.last_error + (f" Next try in {left}." if left else "")
            panel += _wrapped(words, width, "red")
        if bind.warning:
            panel += _wrapped(bind.warning, width, "yellow")
    for line in panel:
        line.truncate(width)
    return panel


def _bind(bind: BindHealth, account: AccountStatus, now: datetime) -> Text:
    line = Text(f" #{bind.id} {bind.host} ")
    line.append(f"{'TLS ' if bind.tls else ''}{SHORT_MODES.get(bind.mode, bind.mode)} ", "dim")
    line.append(f"{bind.state.value} {age(parse(bind.since), now)}", STATE_COLOURS.get(bind.state, ""))
    line.append(" paused" if bind.id in account.paused_binds else "", "magenta")
    line.append(f"  win {window(bind)}  rtt {milliseconds(bind.enquire_rtt_ms)}  lost/d {bind.reconnects_24h}")
    if bind.certificate_days is not None:
        line.append(f"  cert {bind.certificate_days}d")
    return line


def _wrapped(words: str, width: int, style: str) -> list[Text]:
    room = max(10, width - 5)
    wrapped: list[Text] = []
    line = ""
    for word in words.split():
        if line and len(line) + 1 + len(word) > room:
            wrapped.append(Text(f"    {line}", style))
            line = word
        else:
            line = f"{line} {word}".strip()
    return [*wrapped, Text(f"    {line}", style)]


def _details(model: Model, console: Console, width: int, room: int) -> list[Line]:
    report: AccountReport | None = model.seen.report
    if report is None:
        return [Text(" asking …", "dim")]
    drawn = console.render_lines(details(report), console.options.update(width=width, height=None), pad=False)
    model.scroll = max(0, min(model.scroll, len(drawn) - room))
    return [*drawn[model.scroll : model.scroll + room]]


def _help() -> Iterable[Text]:
    yield Text()
    for keys, words in _HELP:
        line = Text(f"  {keys:<26}", "bold")
        line.append(words, "not bold")
        yield line
    yield Text()
    for words in _COLUMNS:
        yield Text(f"  {words}", "dim")


def _footer(model: Model, width: int) -> Text:
    if model.mode is Mode.FILTER:
        words = Text(f" /{model.filter}█", "bold cyan")
    elif model.mode is Mode.CONFIRM and model.wish is not None:
        words = Text(f" {model.wish.verb.capitalize()} {model.wish.name}? y/n", "bold yellow")
    elif model.message:
        words = Text(f" {model.message}", "bold")
    else:
        words = Text(f" {KEYS}", "dim")
    words.truncate(width)
    return words


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
