"""Gauges of what operators look at in `smppctl status`: all accounts of the process together."""

from collections.abc import Sequence

from smpp_daemon import metrics
from smpp_daemon.account import OperatorAccount
from smpp_daemon.bind_health import BindState
from smpp_daemon.control import Hold
from smpp_daemon.health import AccountState


def measure(accounts: Sequence[OperatorAccount], now: float, wall: float) -> None:
    """Set them; `now` is the loop's clock, `wall` seconds since 1970."""
    states = dict.fromkeys(AccountState, 0)
    holds = dict.fromkeys((hold for hold in Hold if hold is not Hold.NONE), 0)
    rate = oldest = 0.0
    window = 0
    for account in accounts:
        states[account.state] += 1
        if account.control.hold is not Hold.NONE:
            holds[account.control.hold] += 1
        rate += account.counters.rate(now)
        window += sum(
            keeper.connection.session.link.window.limit
            for keeper in account.keepers
            if keeper.state is BindState.BOUND and keeper.connection is not None
        )
        if account.oldest_at is not None:
            oldest = max(oldest, wall - account.oldest_at)
    for state, count in states.items():
        metrics.accounts.labels(state.value).set(count)
    for hold, count in holds.items():
        metrics.accounts_held.labels(hold.value).set(count)
    metrics.rate_now.set(rate)
    metrics.window_size.set(window)
    metrics.oldest_seconds.set(oldest)
