"""The one transition table of message statuses. A status never goes back; what is not listed does not happen."""

from enum import StrEnum


class MessageStatus(StrEnum):
    """The public statuses (api.md, "Message status")."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELED = "canceled"
    UNKNOWN = "unknown"
    RECEIVED = "received"


_S = MessageStatus

TRANSITIONS: dict[MessageStatus, frozenset[MessageStatus]] = {
    _S.SCHEDULED: frozenset({_S.QUEUED, _S.CANCELED, _S.FAILED, _S.EXPIRED}),
    # A receipt may overtake the answer to the submission, so `queued` can end anywhere.
    _S.QUEUED: frozenset({_S.SENT, _S.DELIVERED, _S.READ, _S.FAILED, _S.EXPIRED, _S.CANCELED, _S.UNKNOWN}),
    _S.SENT: frozenset({_S.DELIVERED, _S.READ, _S.FAILED, _S.EXPIRED}),
    # Handed over and never answered: late evidence settles it either way.
    _S.UNKNOWN: frozenset({_S.SENT, _S.DELIVERED, _S.READ, _S.FAILED, _S.EXPIRED}),
    _S.DELIVERED: frozenset({_S.READ}),
    _S.READ: frozenset(),
    _S.FAILED: frozenset(),
    _S.EXPIRED: frozenset(),
    _S.CANCELED: frozenset(),
    _S.RECEIVED: frozenset(),
}

FINAL = frozenset(status for status, following in TRANSITIONS.items() if not following - {_S.READ})
"""Statuses after which nothing but `read` can follow."""


def may_become(current: MessageStatus, following: MessageStatus) -> bool:
    """Whether the change is allowed."""
    return following in TRANSITIONS[current]


def transition_pairs() -> tuple[list[str], list[str]]:
    """The table as two parallel lists (from, to), for set-based SQL to join with."""
    pairs = [(current.value, to.value) for current, following in TRANSITIONS.items() for to in sorted(following)]
    return [current for current, _ in pairs], [to for _, to in pairs]
