"""Accounts and daemon → what `smppctl` shows of them."""

import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from smpp_daemon.account import OperatorAccount
from smpp_daemon.bind_health import BindState
from smpp_daemon.health import rate_limit
from smpp_daemon.reports import (
    MASK,
    AccountErrors,
    AccountReport,
    AccountStatus,
    BindHistory,
    DaemonStatus,
    QueueStatus,
    RateStatus,
)

TEN_MINUTES = 600.0
HOUR = 3600.0


def account_status(
    account: OperatorAccount, now: float, wall: float, queue: QueueStatus | None = None
) -> AccountStatus:
    """An account now; `now` is the loop's clock, `wall` seconds since 1970, `queue` what RabbitMQ said last."""
    counters = account.counters
    limits = rate_limit(account.throttle)
    minute = account.trend.last_minute(wall)
    oldest = account.oldest_at
    return AccountStatus(
        channel_id=str(account.id),
        account_id=str(account.record.account_id),
        name=account.record.name,
        system_id=account.credentials.system_id,
        state=account.state.value,
        detail=str(account.health()["detail"]),
        binds=[keeper.health() for keeper in account.keepers],
        rate=RateStatus(round(counters.rate(now), 1), limits["current"], limits["configured"]),
        response_p50_ms=_milliseconds(counters.percentile(0.50)),
        response_p99_ms=_milliseconds(counters.percentile(0.99)),
        queued=account.in_memory,
        in_flight=account.in_flight,
        unpublished=account.unpublished,
        submitted=counters.submitted,
        accepted=counters.accepted,
        refused=counters.refused,
        unknown=counters.unknown,
        late=counters.late,
        throttled=counters.throttled,
        receipts=counters.receipts,
        inbound=counters.inbound,
        reconnects=sum(keeper.reconnects for keeper in account.keepers),
        hold=account.control.hold.value,
        held_since=account.control.since,
        paused_binds=[keeper.index for keeper in account.keepers if keeper.paused],
        overrides=account.control.overrides,
        oldest_seconds=None if oldest is None else round(max(0.0, wall - oldest), 1),
        queue=queue,
        throttled_per_minute=minute.throttled,
        receipts_per_minute=minute.receipts,
        inbound_per_minute=minute.inbound,
        unknown_10_minutes=account.trend.within(TEN_MINUTES, wall).unknown,
        unknown_hour=account.trend.within(HOUR, wall).unknown,
        unbound_seconds=_unbound_seconds(account, wall),
        receipt_lag_p50_ms=_milliseconds(counters.receipt_lag.percentile(0.50)),
        receipt_lag_p99_ms=_milliseconds(counters.receipt_lag.percentile(0.99)),
    )


def account_report(status: AccountStatus, account: OperatorAccount, at: float, orphans: int | None) -> AccountReport:
    """Everything about one account; `at` is seconds since 1970."""
    record = account.record
    settings = msgspec.to_builtins(account.config) | {
        "rate_per_second": record.rate_per_second,
        "burst": record.burst,
        "system_id": account.credentials.system_id,
        "password": MASK,
    }
    return AccountReport(
        moment(datetime.fromtimestamp(at, UTC)),
        status,
        [BindHistory(keeper.index, keeper.events) for keeper in account.keepers],
        settings,
        orphans,
    )


def account_errors(account: OperatorAccount, wall: float) -> AccountErrors:
    """What the operator answered to submit_sm."""
    hour = account.trend.within(HOUR, wall)
    return AccountErrors(
        str(account.id),
        account.record.name,
        account.counters.accepted,
        hour.accepted,
        account.counters.unknown,
        hour.unknown,
        account.counters.refusals.counts(wall),
    )


def daemon_status(
    accounts: Iterable[AccountStatus],
    *,
    at: datetime,
    started_at: datetime,
    database: bool,
    rabbitmq: bool,
    others: int,
) -> DaemonStatus:
    """The whole process now."""
    return DaemonStatus(
        at=moment(at),
        started_at=moment(started_at),
        database=database,
        rabbitmq=rabbitmq,
        accounts=sorted(accounts, key=lambda account: (account.name, account.channel_id)),
        pid=os.getpid(),
        host=platform.node(),
        others=others,
    )


def moment(at: datetime) -> str:
    """RFC 3339 in UTC, to the second."""
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _unbound_seconds(account: OperatorAccount, wall: float) -> float | None:
    # It is noted once a second when the last bind went.
    since = account.trend.unbound_since
    if since is None or any(keeper.state is BindState.BOUND for keeper in account.keepers):
        return None
    return round(wall - since, 1)


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
