"""What the operator's answers to the parts of a message mean for the message."""

from app.domain.messages.events import Failure, Outcome, SubmitResult, SubmittedPart
from connectors.smpp.options import OnUnknown
from smpp_daemon.backlog import NOT_ANSWERED, Item
from smpp_daemon.protocol.status import StatusClass, describe

_RECIPIENT = frozenset({0x0B, 0xFE})
_MESSAGE = frozenset({0x01, 0x0A, 0x43, 0x65, 0x66, 0x104})

NO_ANSWER = "no_answer"
EXPIRED = Failure("transient", "validity_expired", "The validity period ended before it could be sent.")
INTERRUPTED = Failure(
    "transient", "interrupted", "The operator took some parts; the channel was stopped before it took the others."
)


def failure_of(status: int) -> Failure:
    """A command_status that is not ROK, as customers see it; `code` is `smpp_` and the name of the status."""
    known = describe(status)
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


def conclude(item: Item, policy: OnUnknown, at: float, *, late: bool = False) -> SubmitResult:
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
    final = [status for status in refused if not _passes(status)]
    if not final and lost:
        return unanswered(item, policy, at, _parts(item))
    status = (final or refused)[0]
    failure = failure_of(status)
    if final or late or item.accepted:
        return SubmitResult(message.id, message.attempt, Outcome.FAILED, at, _parts(item), failure)
    return SubmitResult(message.id, message.attempt, Outcome.RETRY, at, failure=failure)


def is_open(item: Item) -> bool:
    """Whether a part is still unanswered after its deadline: a late answer may come for it."""
    return any(answer is not None and answer[0] == NOT_ANSWERED for answer in item.answers)


def _passes(status: int) -> bool:
    return describe(status).status_class in (StatusClass.TRANSIENT, StatusClass.THROTTLE, StatusClass.SESSION)


def _parts(item: Item) -> list[SubmittedPart]:
    return [
        SubmittedPart(number, (answer[1] or None) if answer[0] == 0 else None)
        for number, answer in enumerate(item.answers, 1)
        if answer is not None
    ]
