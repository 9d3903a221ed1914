"""What is wrong, for a monitoring system: daemons' states and thresholds → one level, in words and figures."""

from collections.abc import Iterable, Sequence
from enum import IntEnum

import msgspec

from smpp_daemon.reports import AccountStatus, DaemonStatus
from smpp_daemon.smppctl.words import bound, certificate_days, duration, queued, trouble


class Level(IntEnum):
    """Exit codes as monitoring plugins give them."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


class Thresholds(msgspec.Struct, frozen=True):
    """Each pair is (warning, critical). Seconds, messages within ten minutes, and days."""

    no_bind_seconds: float = 60.0
    unknown: tuple[int, int] = (1, 50)
    queue_seconds: tuple[float, float] = (300.0, 1800.0)
    certificate_days: tuple[int, int] = (30, 7)


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong."""

    level: Level
    words: str


class Assessment(msgspec.Struct, frozen=True):
    """The worst level, the problems, worst first, and figures for graphs."""

    level: Level
    problems: list[Problem]
    figures: dict[str, float]
    summary: str

    def line(self, thresholds: Thresholds) -> str:
        """`SMPP CRITICAL - operator-a: no bind for 95 s | binds=0;;;0;2 …` as monitoring plugins write it."""
        words = "; ".join(problem.words for problem in self.problems) or self.summary
        return f"SMPP {self.level.name} - {_plain(words)} | {self._figures(thresholds)}"

    def _figures(self, thresholds: Thresholds) -> str:
        limits: dict[str, tuple[float, float]] = {
            "unknown": thresholds.unknown,
            "oldest": thresholds.queue_seconds,
            "certificate": thresholds.certificate_days,
        }
        told: list[str] = []
        for name, value in self.figures.items():
            if name == "binds_wanted":
                continue
            unit = "s" if name == "oldest" else ""
            tail = ""
            if name == "binds":
                tail = f";;;0;{self.figures['binds_wanted']:g}"
            elif name in limits:
                # Days that are left are bad when they are few: the range of a plugin then ends with a colon.
                colon = ":" if name == "certificate" else ""
                tail = f";{limits[name][0]:g}{colon};{limits[name][1]:g}{colon}"
            told.append(f"{name}={value:g}{unit}{tail}")
        return " ".join(told)


def assess(daemons: Sequence[DaemonStatus], thresholds: Thresholds, only: str | None = None) -> Assessment:
    """The daemons that answered; `only` is one channel's id."""
    problems: list[Problem] = []
    for daemon in daemons:
        where = f" ({daemon.host}[{daemon.pid}])" if len(daemons) > 1 else ""
        if not daemon.database:
            problems.append(Problem(Level.CRITICAL, f"PostgreSQL not connected{where}"))
        if not daemon.rabbitmq:
            problems.append(Problem(Level.CRITICAL, f"RabbitMQ not connected{where}"))
    accounts = [each for daemon in daemons for each in daemon.accounts if only is None or each.channel_id == only]
    for account in accounts:
        problems += _of_account(account, thresholds)
    problems.sort(key=lambda problem: -problem.level)
    level = max((problem.level for problem in problems), default=Level.OK)
    figures = _sums(accounts)
    summary = (
        f"{figures['binds']:g} of {figures['binds_wanted']:g} binds up, "
        f"{len(accounts)} account{'' if len(accounts) == 1 else 's'}"
    )
    return Assessment(level, problems, figures, summary)


def _of_account(account: AccountStatus, thresholds: Thresholds) -> Iterable[Problem]:
    name = account.name
    if account.hold:
        yield Problem(Level.WARNING, f"{name}: {account.hold} by an operator since {account.held_since}")
    else:
        yield from _binds(account, thresholds)
    waiting = queued(account)
    attended = account.queue is None or account.queue.consumers
    if waiting and not attended and not account.hold and account.unbound_seconds is None:
        yield Problem(Level.CRITICAL, f"{name}: {waiting} batches wait and nobody consumes them")
    yield from _above(
        account.unknown_10_minutes, thresholds.unknown, f"{name}: {account.unknown_10_minutes} unknown in 10 min"
    )
    if account.oldest_seconds is not None:
        words = f"{name}: oldest message waits {duration(account.oldest_seconds)}"
        yield from _above(account.oldest_seconds, thresholds.queue_seconds, words)
    days = certificate_days(account)
    if days is not None:
        warning, critical = thresholds.certificate_days
        yield from _above(-days, (-warning, -critical), f"{name}: certificate ends in {days} d")


def _binds(account: AccountStatus, thresholds: Thresholds) -> Iterable[Problem]:
    up, total = bound(account), len(account.binds)
    if up == total:
        return
    why = trouble(account)
    tail = f" ({why})" if why else ""
    if up:
        yield Problem(Level.WARNING, f"{account.name}: {up} of {total} binds up{tail}")
        return
    seconds = account.unbound_seconds or 0.0
    level = Level.CRITICAL if seconds >= thresholds.no_bind_seconds else Level.WARNING
    yield Problem(level, f"{account.name}: no bind for {duration(seconds)}{tail}")


def _above(value: float, limits: tuple[float, float], words: str) -> Iterable[Problem]:
    warning, critical = limits
    if value >= critical:
        yield Problem(Level.CRITICAL, words)
    elif value >= warning:
        yield Problem(Level.WARNING, words)


def _sums(accounts: Sequence[AccountStatus]) -> dict[str, float]:
    days = [each for account in accounts if (each := certificate_days(account)) is not None]
    figures: dict[str, float] = {
        "binds": sum(map(bound, accounts)),
        "binds_wanted": sum(len(account.binds) for account in accounts),
        "rate": round(sum(account.rate.now for account in accounts), 1),
        "queue": sum(queued(account) or 0 for account in accounts),
        "oldest": max((account.oldest_seconds or 0.0 for account in accounts), default=0.0),
        "unknown": sum(account.unknown_10_minutes for account in accounts),
        "throttled": sum(account.throttled_per_minute for account in accounts),
        "receipts": sum(account.receipts_per_minute for account in accounts),
    }
    return figures | ({"certificate": min(days)} if days else {})


def _plain(words: str) -> str:
    """A bar begins the figures, and a line ends the text."""
    return words.replace("|", "/").replace("\n", " ")
