"""A provider that exists nowhere: the last two digits of the recipient script what happens to the message.

It answers at once and always in the same way, so that a whole campaign can be tried, and tested, for nothing.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from connectors.contract import (
    AddressKind,
    Capabilities,
    Connector,
    InboundNow,
    MessageError,
    OptedOutError,
    Outcome,
    OutcomeUnknownError,
    ReceiptNow,
    ReceiptStatus,
    RecipientError,
    SendError,
    SendingChannel,
    SendRequest,
    SendResult,
    ThrottledError,
    TransientError,
    hidden_repr,
)

REPLY_PREFIX = "#reply "
"""A text that starts so comes back from its recipient without the prefix."""

FAILING_ATTEMPTS = 2
RETRY_AFTER_SECONDS = 1.0


class SandboxConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing has to be configured."""

    default_from: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=20,
                pattern=r"^[ -~]*$(?!\n)",
                description="Sender of messages that do not name one.",
            ),
        ]
        | None
    ) = None


class SandboxCredentials(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """There are none."""

    __repr__ = hidden_repr


def _refusal(ending: str, attempt: int) -> SendError | None:
    match ending:
        case "01":
            return RecipientError(
                "unknown_recipient", "The sandbox plays a number that does not exist.", advice="Remove this number."
            )
        case "02":
            return MessageError(
                "rejected", "The sandbox plays a provider that refuses this text.", advice="Change the text."
            )
        case "03":
            return OptedOutError(
                "opted_out", "The sandbox plays a recipient who opted out.", advice="Do not write to this recipient."
            )
        case "04" if attempt <= FAILING_ATTEMPTS:
            return ThrottledError(
                "throttled", "The sandbox plays a provider that asks to go slower.", retry_after=RETRY_AFTER_SECONDS
            )
        case "05" if attempt <= FAILING_ATTEMPTS:
            return TransientError(
                "unavailable", "The sandbox plays a provider that is busy.", retry_after=RETRY_AFTER_SECONDS
            )
        case "07":
            return OutcomeUnknownError("no_answer", "The sandbox plays a provider that never answers.")
        case _:
            return None


_RECEIPTS: dict[str, tuple[ReceiptStatus, ...]] = {
    "06": (),
    "08": (ReceiptStatus.EXPIRED,),
    "09": (ReceiptStatus.DELIVERED, ReceiptStatus.READ),
}


def outcome_of(request: SendRequest) -> Outcome:
    """What the sandbox does with one message: a function of the recipient, the attempt and the text alone."""
    ending = request.to[-2:]
    if refusal := _refusal(ending, request.attempt):
        return refusal
    provider_id = f"sandbox-{request.message_id.hex()}-{request.attempt}"
    statuses = _RECEIPTS.get(ending, (ReceiptStatus.DELIVERED,))
    receipts = tuple(ReceiptNow(provider_id, status, provider_status=status.value.upper()) for status in statuses)
    inbound: tuple[InboundNow, ...] = ()
    if request.text.startswith(REPLY_PREFIX):
        reply = request.text.removeprefix(REPLY_PREFIX)
        inbound = (InboundNow(f"reply-{provider_id}", sender=request.to, to=request.sender or "sandbox", text=reply),)
    return SendResult((provider_id,), receipts, inbound)


async def send(requests: Sequence[SendRequest], channel: SendingChannel) -> list[Outcome]:
    """See `connectors.contract.Send`."""
    return [outcome_of(request) for request in requests]


SANDBOX = Connector(
    type="sandbox",
    title="Sandbox: scripted outcomes, nothing is sent",
    capabilities=Capabilities(recipients=AddressKind.E164, sms_text=True, sender=True, receipts=True, inbound=True),
    config_type=SandboxConfig,
    credentials_type=SandboxCredentials,
    send=send,
)
