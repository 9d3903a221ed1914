"""What the operator's answers to the parts of a message mean for the message."""

from collections.abc import Mapping

import msgspec

from app.domain.messages.events import Failure, Outcome, SubmitResult, SubmittedPart
from app.lib.logging import get_logger
from connectors.smpp import options
from connectors.smpp.options import OnUnknown
from smpp_daemon.backlog import NOT_ANSWERED, Item
from smpp_daemon.protocol.status import Status, StatusClass, describe, parse_status

log = get_logger(__name__)

_RECIPIENT = frozenset({0x0B, 0xFE})
_MESSAGE = frozenset({0x01, 0x0A, 0x43, 0x65, 0x66, 0x104})
_PASSING = frozenset({StatusClass.TRANSIENT, StatusClass.THROTTLE, StatusClass.SESSION})

NO_ANSWER = "no_answer"
EXPIRED = Failure("transient", "validity_expired", "The validity period ended before it could be sent.")
INTERRUPTED = Failure(
    "transient", "interrupted", "The operator took some parts; the channel was stopped before it took the others."
)


class Statuses:
    """What a command_status means on one channel: the standard, unless its `status_classes` say otherwise.

    Names that are no command_status are logged and left out.
    """

    def __init__(self, classes: Mapping[str, options.StatusClass] | None = None) -> None:
        self._own: dict[int, Status] = {}
        for written, named in (classes or {}).items():
            try:
                known = describe(parse_status(written))
            except ValueError as error:
                log.warning("status_classes", reason=str(error))
                continue
            self._own[known.code] = msgspec.structs.replace(known, status_class=StatusClass(named.value))

    def describe(self, status: int) -> Status:
        """Any 32-bit command_status in words."""
        return self._own.get(status) or describe(status)


STANDARD = Statuses()


def failure_of(status: int, statuses: Statuses = STANDARD) -> Failure:
    """A command_status that is not ROK, as customers see it; `code` is `smpp_` and the name of the status."""
    known = statuses.describe(status)
    match known.status_class:
        case StatusClass.THROTTLE:
            kind = "throttled"
        case StatusClass.TRANSIENT | StatusClass.SESSION:
            kind = "transient"
        case _ if status in _RECIPIENT:
            kind = "recipient"
        case _ if status in _MESSAGE or known.name.startswith("0x"):
            kind = "message"
        case _:
            kind = "channel"
    return Failure(kind, f"smpp_{known.name.lower()}", known.advice, f"0x{status:08X}")


def unsendable(item: Item, reason: str, at: float) -> SubmitResult:
    """The message cannot be put into PDUs."""
    failure = Failure("message", "not_encodable", f"The message cannot be sent over SMPP: {reason}.")
    return SubmitResult(item.message.id, item.message.attempt, Outcome.FAILED, at, failure=failure)


def expired(item: Item, at: float) -> SubmitResult:
    """The validity period is over and nothing was sent."""
    return SubmitResult(item.message.id, item.message.attempt, Outcome.EXPIRED, at, failure=EXPIRED)


def unanswered(item: Item, policy: OnUnknown, at: float, parts: list[SubmittedPart] | None = None) -> SubmitResult:
    """The message was, or may have been, handed over, and nobody knows what became of it."""
    failure = Failure("unknown", NO_ANSWER, "The message was handed over and the operator never answered.")
    outcome = {OnUnknown.HOLD: Outcome.UNKNOWN, OnUnknown.FAIL: Outcome.FAILED, OnUnknown.RESEND: Outcome.RETRY}[policy]
    return SubmitResult(item.message.id, item.message.attempt, outcome, at, parts or [], failure)


def taken(item: Item, policy: OnUnknown, at: float) -> SubmitResult:
    """Another process claimed the message and may have sent and reported it.

    Never `failed`, whatever the channel's policy: its `sent` may be on the way, and `failed` could follow `sent`.
    """
    return unanswered(item, OnUnknown.RESEND if policy is OnUnknown.RESEND else OnUnknown.HOLD, at)


def interrupted(item: Item, at: float) -> SubmitResult:
    """Some parts are accepted and the others will not be sent: sending it again would repeat the accepted ones."""
    return SubmitResult(item.message.id, item.message.attempt, Outcome.FAILED, at, _parts(item), INTERRUPTED)


def conclude(
    item: Item, policy: OnUnknown, at: float, *, late: bool = False, statuses: Statuses = STANDARD
) -> SubmitResult:
    """The result of a message of which nothing more is awaited.

    A part that was refused for good spoils the message; one refused for now makes it `retry`, but only if no part was
    accepted. `late` is for an answer after the message was reported as unknown: it can be settled, not tried again.
    """
    message = item.message
    refused = [answer[0] for answer in item.answers if answer is not None and answer[0] > 0]
    lost = any(answer is not None and answer[0] == NOT_ANSWERED for answer in item.answers)
    if not refused and not lost:
        if any(answer is None for answer in item.answers):
            return interrupted(item, at)
        return SubmitResult(message.id, message.attempt, Outcome.SENT, at, _parts(item))
    final = [status for status in refused if statuses.describe(status).status_class not in _PASSING]
    if not final and lost:
        return unanswered(item, policy, at, _parts(item))
    status = (final or refused)[0]
    failure = failure_of(status, statuses)
    if final or late or item.accepted:
        return SubmitResult(message.id, message.attempt, Outcome.FAILED, at, _parts(item), failure)
    return SubmitResult(message.id, message.attempt, Outcome.RETRY, at, failure=failure)


def is_open(item: Item) -> bool:
    """Whether a part is still unanswered after its deadline: a late answer may come for it."""
    return any(answer is not None and answer[0] == NOT_ANSWERED for answer in item.answers)


def _parts(item: Item) -> list[SubmittedPart]:
    return [
        SubmittedPart(number, (answer[1] or None) if answer[0] == 0 else None)
        for number, answer in enumerate(item.answers, 1)
        if answer is not None
    ]
