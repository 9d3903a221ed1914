"""The `status` verb: everything `smppctl status` shows, for all accounts of this process."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from smpp_daemon.bind import BindHealth
from smpp_daemon.health import rate_limit

if TYPE_CHECKING:
    # smppctl reads these structs too, and must not load a database and a broker for it.
    from smpp_daemon.account import OperatorAccount


class RateStatus(msgspec.Struct, frozen=True):
    """PDUs a second: now (over the last seconds), the limit of the moment, the configured one; None is unlimited."""

    now: float
    limit: float | None
    configured: float | None


class AccountStatus(msgspec.Struct, frozen=True):
    """One account. Latencies are milliseconds of the last thousand answers, None before the first one."""

    channel_id: str
    account_id: str
    name: str
    system_id: str
    state: str
    detail: str
    binds: list[BindHealth]
    rate: RateStatus
    response_p50_ms: float | None
    response_p99_ms: float | None
    queued: int
    in_flight: int
    unpublished: int
    submitted: int
    accepted: int
    refused: int
    unknown: int
    late: int
    throttled: int
    receipts: int
    inbound: int
    reconnects: int


class DaemonStatus(msgspec.Struct, frozen=True):
    """`at` and `started_at` are RFC 3339; `database` and `rabbitmq` say whether each is connected."""

    at: str
    started_at: str
    database: bool
    rabbitmq: bool
    accounts: list[AccountStatus]


def account_status(account: "OperatorAccount", now: float) -> AccountStatus:
    """An account now; `now` is the loop's clock."""
    counters = account.counters
    limits = rate_limit(account.throttle)
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
    )


def daemon_status(
    accounts: "Iterable[OperatorAccount]", *, now: float, started_at: datetime, database: bool, rabbitmq: bool
) -> DaemonStatus:
    """The whole process now."""
    ordered = sorted(accounts, key=lambda account: (account.record.name, account.id))
    return DaemonStatus(
        at=_moment(datetime.now(UTC)),
        started_at=_moment(started_at),
        database=database,
        rabbitmq=rabbitmq,
        accounts=[account_status(account, now) for account in ordered],
    )


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
