"""How long a bind waits after each kind of failure, and what people are told."""

from collections.abc import Callable
from enum import StrEnum

import msgspec

from smpp_daemon.protocol.status import RALYBND, RBINDFAIL, StatusClass, describe


class Cause(StrEnum):
    """Why a bind is not up.

    `link`: no connection, or it was lost. `unbound`: the operator said good-bye. `ghost`: it still holds an old
    session. `credentials`: it will not let us in until somebody changes something. `bind_failed`: RBINDFAIL, which
    hides anything from a spent credit to a wrong password. `refused`: any other command_status. `certificate`: TLS
    found something that passes only when somebody acts.
    """

    LINK = "link"
    UNBOUND = "unbound"
    GHOST = "ghost"
    CREDENTIALS = "credentials"
    BIND_FAILED = "bind_failed"
    REFUSED = "refused"
    CERTIFICATE = "certificate"


NEEDS_SOMEBODY = frozenset({Cause.CREDENTIALS, Cause.CERTIFICATE})
"""What time alone does not heal."""

_LINK = frozenset({Cause.LINK, Cause.UNBOUND})


class Delays(msgspec.Struct, frozen=True):
    """Seconds between tries: the first wait, doubled with each failure in a row up to `…_most`.

    `base` is for lost connections and `unbound` for the operator's unbind, both up to `most`. `fatal` is for refused
    credentials, where fast retries lock accounts out. `ghost` is for an old session that the operator has not noticed
    to be dead: SMSCs drop it after 15 s to 2 min. `returning` is how long a bind stays away from its own host before it
    asks whether that one is back.
    """

    base: float = 0.2
    most: float = 10.0
    unbound: float = 1.0
    refused: float = 2.0
    refused_most: float = 30.0
    bind_failed: float = 15.0
    bind_failed_most: float = 300.0
    fatal: float = 60.0
    fatal_most: float = 300.0
    ghost: float = 30.0
    ghost_most: float = 180.0
    returning: float = 300.0
    returning_most: float = 3600.0


class Ending(msgspec.Struct, frozen=True):
    """How a try or a bind ended, in words without a final point."""

    cause: Cause
    reason: str


def refusal(status: int) -> Ending:
    """The command_status of a bind_resp → what it means for the next try."""
    known = describe(status)
    words = f"{known.name}: {known.advice}".rstrip(".")
    if known.status_class is StatusClass.BIND_FATAL:
        return Ending(Cause.CREDENTIALS, words)
    if status == RALYBND:
        return Ending(Cause.GHOST, words)
    return Ending(Cause.BIND_FAILED if status == RBINDFAIL else Cause.REFUSED, words)


def same_trouble(one: Cause | None, other: Cause) -> bool:
    """Whether a failure continues a row of failures, so that the wait goes on growing."""
    return one is other or (one in _LINK and other in _LINK)


def wait_for(cause: Cause, tries: int, delays: Delays, jitter: Callable[[], float]) -> float:
    """Seconds until the next try after `tries` failures in a row, at least 1. `jitter` gives 0 to 1.

    Waits that exist for the operator's sake (locks, timers, limits) are only made longer by the jitter.
    """
    first, most = {
        Cause.LINK: (delays.base, delays.most),
        Cause.UNBOUND: (delays.unbound, delays.most),
        Cause.GHOST: (delays.ghost, delays.ghost_most),
        Cause.CREDENTIALS: (delays.fatal, delays.fatal_most),
        Cause.BIND_FAILED: (delays.bind_failed, delays.bind_failed_most),
        Cause.REFUSED: (delays.refused, delays.refused_most),
        Cause.CERTIFICATE: (delays.fatal, delays.fatal_most),
    }[cause]
    wait = min(most, first * 2.0 ** min(tries - 1, 16))
    if cause is Cause.LINK:
        return wait * (0.5 + jitter() / 2)
    return wait * (1.0 + jitter() / 4)


def in_words(ending: Ending, wait: float, tries: int) -> str:
    """`RALYBND, retry in 95 s (try 4). The operator still holds …`; short waits are not worth mentioning."""
    if wait < 1:
        return f"{ending.reason}."
    what, colon, advice = ending.reason.partition(": ")
    if ending.cause in (Cause.LINK, Cause.UNBOUND, Cause.CERTIFICATE):
        what, colon, advice = ending.reason, "", ""
    said = f"{what}, retry in {wait:.0f} s (try {tries})."
    return f"{said} {advice}." if colon else said
