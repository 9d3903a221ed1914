"""What people see of an account: the channel's status and health, and the rows of `smppctl status`."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec

from connectors.smpp.config import Bind, SmppConfig
from smpp_daemon.bind_health import BindHealth, BindState
from smpp_daemon.pace import UNLIMITED_RATE
from smpp_daemon.protocol.throttle import Throttle


class AccountState(StrEnum):
    """`active`: at least one bind can send (or receive, on a channel that only receives)."""

    CONNECTING = "connecting"
    ACTIVE = "active"
    ERROR = "error"


def account_state(config: SmppConfig, binds: Sequence[BindHealth]) -> AccountState:
    """The binds' states → the account's. One refused bind is an error only while none is bound that counts."""
    if any(bind.state is BindState.BOUND and _counts(config, bind) for bind in binds):
        return AccountState.ACTIVE
    if any(bind.state is BindState.ERROR for bind in binds):
        return AccountState.ERROR
    return AccountState.CONNECTING


def account_health(config: SmppConfig, binds: Sequence[BindHealth], throttle: Throttle, held: bool) -> dict[str, Any]:
    """`detail` in words, the binds, and the rate in PDUs a second: the limit and what is used of it now."""
    return {
        "detail": in_words(config, binds, held),
        "binds": [_stored(bind) for bind in binds],
        "rate_limit": rate_limit(throttle),
    }


def rate_limit(throttle: Throttle) -> dict[str, float | None]:
    """The configured limit (None: unlimited) and the current one, lower while the operator's refusals weigh on it."""
    unlimited = throttle.rate >= UNLIMITED_RATE
    current = None if unlimited and throttle.current_rate >= throttle.rate else round(throttle.current_rate, 1)
    return {"configured": None if unlimited else throttle.rate, "current": current}


def in_words(config: SmppConfig, binds: Sequence[BindHealth], held: bool) -> str:
    """One sentence for people."""
    bound = sum(bind.state is BindState.BOUND for bind in binds)
    total = len(binds)
    problem = next((bind.last_error for bind in binds if bind.last_error), None)
    if held:
        return "Sending pauses: the lease of this channel is in doubt because the database is not reachable."
    if bound == total and total:
        receiving = "" if config.bind is not Bind.RECEIVER else " It only receives."
        warning = next((f" {bind.warning}" for bind in binds if bind.warning), "")
        return (f"{bound} of {total} binds are up." if total > 1 else "Bound.") + receiving + warning
    if bound:
        return f"{bound} of {total} binds are up. {problem or ''}".rstrip()
    return problem or "Connecting."


def _counts(config: SmppConfig, bind: BindHealth) -> bool:
    """A receiver alone sends nothing, so it makes only a channel active that wants nothing else."""
    return config.bind is Bind.RECEIVER or bind.mode != "receiver"


def _stored(bind: BindHealth) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(bind)
    # Changes with every enquire_link, and the row would be written for nothing else.
    del shown["enquire_rtt_ms"]
    return shown
