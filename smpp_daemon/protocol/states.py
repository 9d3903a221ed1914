"""The states of a session, and everything that changes them (SMPP 3.4 §2.2).

Two rules: a state changes only through `TRANSITIONS`, and nothing here knows which side of the link it is on.
"""

from enum import Enum

from smpp_daemon.protocol.constants import BindMode, CommandId
from smpp_daemon.protocol.errors import LocalProtocolError


class State(Enum):
    """OPEN: connected, not bound. ERROR: the stream or the peer is lost; only closing is left. CLOSED: over."""

    OPEN = "open"
    BINDING = "binding"
    BOUND_TX = "bound_tx"
    BOUND_RX = "bound_rx"
    BOUND_TRX = "bound_trx"
    UNBINDING = "unbinding"
    CLOSED = "closed"
    ERROR = "error"


class Signal(Enum):
    """What happened, seen from neither side."""

    BIND_REQUESTED = "bind_requested"
    BOUND_TX = "bound_tx"
    BOUND_RX = "bound_rx"
    BOUND_TRX = "bound_trx"
    BIND_REFUSED = "bind_refused"
    UNBIND_REQUESTED = "unbind_requested"
    UNBIND_ANSWERED = "unbind_answered"
    FAILED = "failed"
    CLOSED = "closed"


BOUND = frozenset({State.BOUND_TX, State.BOUND_RX, State.BOUND_TRX})
FINISHED = frozenset({State.CLOSED, State.ERROR})
_SENDERS = frozenset({State.BOUND_TX, State.BOUND_TRX})
_RECEIVERS = frozenset({State.BOUND_RX, State.BOUND_TRX})

_END = {Signal.FAILED: State.ERROR, Signal.CLOSED: State.CLOSED}
# Both sides may ask to unbind at once, so UNBIND_REQUESTED is legal while UNBINDING.
_BOUND = {Signal.UNBIND_REQUESTED: State.UNBINDING, **_END}

TRANSITIONS: dict[State, dict[Signal, State]] = {
    State.OPEN: {Signal.BIND_REQUESTED: State.BINDING, Signal.UNBIND_REQUESTED: State.UNBINDING, **_END},
    State.BINDING: {
        Signal.BOUND_TX: State.BOUND_TX,
        Signal.BOUND_RX: State.BOUND_RX,
        Signal.BOUND_TRX: State.BOUND_TRX,
        Signal.BIND_REFUSED: State.OPEN,
        Signal.UNBIND_REQUESTED: State.UNBINDING,
        **_END,
    },
    State.BOUND_TX: _BOUND,
    State.BOUND_RX: _BOUND,
    State.BOUND_TRX: _BOUND,
    State.UNBINDING: {
        Signal.UNBIND_REQUESTED: State.UNBINDING,
        Signal.UNBIND_ANSWERED: State.CLOSED,
        **_END,
    },
    State.ERROR: {Signal.FAILED: State.ERROR, Signal.CLOSED: State.CLOSED},
    State.CLOSED: {Signal.CLOSED: State.CLOSED},
}

BOUND_SIGNAL: dict[BindMode, Signal] = {
    BindMode.TRANSMITTER: Signal.BOUND_TX,
    BindMode.RECEIVER: Signal.BOUND_RX,
    BindMode.TRANSCEIVER: Signal.BOUND_TRX,
}
"""Which signal an accepted bind of a mode raises."""

_ESME_REQUESTS = (
    CommandId.SUBMIT_SM,
    CommandId.SUBMIT_MULTI,
    CommandId.QUERY_SM,
    CommandId.CANCEL_SM,
    CommandId.REPLACE_SM,
)
_ANY_BIND = frozenset({State.OPEN})

ESME_MAY_SEND: dict[int, frozenset[State]] = {
    **dict.fromkeys(_ESME_REQUESTS, _SENDERS),
    CommandId.DATA_SM: _SENDERS,
    CommandId.BIND_TRANSMITTER: _ANY_BIND,
    CommandId.BIND_RECEIVER: _ANY_BIND,
    CommandId.BIND_TRANSCEIVER: _ANY_BIND,
}
"""States in which an ESME may send each request (SMPP 3.4 §2.3, table 2-1)."""

SMSC_MAY_SEND: dict[int, frozenset[State]] = {
    CommandId.DELIVER_SM: _RECEIVERS,
    CommandId.DATA_SM: _RECEIVERS,
    CommandId.ALERT_NOTIFICATION: _RECEIVERS,
    CommandId.OUTBIND: frozenset({State.OPEN}),
}
"""States in which an SMSC may send each request (SMPP 3.4 §2.3, table 2-1)."""


def advance(state: State, signal: Signal) -> State:
    """The state after `signal`. Raises `LocalProtocolError` when the table has no such step."""
    try:
        return TRANSITIONS[state][signal]
    except KeyError:
        raise LocalProtocolError(f"{signal.name} is not possible in {state.name}") from None
