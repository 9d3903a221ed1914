"""What a connector is: a description that needs nothing but Python, and for most of them a way to send.

A connector knows no web server, database or broker. It is given plain requests and the channel's configuration, and
says for each request either what the provider accepted or which `SendError` it ran into; whoever called it writes
statuses, schedules retries and keeps the log, from the flags of that error alone.
"""

from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import ClassVar, Literal
from uuid import UUID

import msgspec


class ErrorClass(StrEnum):
    """Why a message was not delivered, as customers see it."""

    RECIPIENT = "recipient"
    MESSAGE = "message"
    OPTED_OUT = "opted_out"
    CHANNEL = "channel"
    THROTTLED = "throttled"
    TRANSIENT = "transient"
    UNKNOWN = "unknown"


class AddressKind(StrEnum):
    """Which recipients a connector takes: telephone numbers with a leading plus, or whatever it understands."""

    E164 = "e164"
    ANY = "any"


class Capabilities(msgspec.Struct, frozen=True):
    """What a connector can do, for clients and for the checks before a message is accepted.

    `sms_text` means that text is counted and split in SMS segments (3GPP TS 23.038); `sender` that a message may choose
    its own sender address; `receipts` and `inbound` that delivery receipts and messages from contacts come back.
    """

    recipients: AddressKind
    sms_text: bool
    sender: bool
    receipts: bool
    inbound: bool


class SendRequest(msgspec.Struct, frozen=True):
    """One message for the provider: `message_id` is 16 bytes, `attempt` counts from 1, `validity_seconds` from now."""

    message_id: bytes
    attempt: int
    to: str
    sender: str | None
    text: str
    validity_seconds: int | None = None


class ReceiptStatus(StrEnum):
    """What a receipt says; `sent` is an intermediate state."""

    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class ReceiptNow(msgspec.Struct, frozen=True):
    """A receipt that came together with the provider's acceptance; `provider_status` is the provider's own word."""

    provider_message_id: str
    status: ReceiptStatus
    provider_status: str | None = None
    provider_code: str | None = None


class InboundNow(msgspec.Struct, frozen=True):
    """A message from a contact that came together with the provider's acceptance.

    `dedupe_key` is the same whenever the same message is reported again.
    """

    dedupe_key: str
    sender: str
    to: str
    text: str


class SendResult(msgspec.Struct, frozen=True):
    """The provider accepted the message.

    `provider_message_ids` holds one id for each part the provider counts, in order. `receipts` are in the order in
    which they happened.
    """

    provider_message_ids: tuple[str, ...]
    receipts: tuple[ReceiptNow, ...] = ()
    inbound: tuple[InboundNow, ...] = ()


class SendError(Exception):
    """The provider did not accept the message, or nobody knows whether it did: use one of the subclasses.

    `kind` is the public class, `retryable` says that another attempt may succeed, `outcome_known` that the message was
    certainly not sent. `code` is ours and stable, `detail` plain words without any secret, `provider_code` verbatim,
    `retry_after` seconds, `advice` what the customer can do about it.
    """

    kind: ClassVar[ErrorClass]
    retryable: ClassVar[bool] = False
    outcome_known: ClassVar[bool] = True

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        provider_code: str | None = None,
        retry_after: float | None = None,
        advice: str | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.provider_code = provider_code
        self.retry_after = retry_after
        self.advice = advice


class RecipientError(SendError):
    """The recipient does not exist, is switched off for good, or cannot be reached through this provider."""

    kind = ErrorClass.RECIPIENT


class MessageError(SendError):
    """The provider refuses this text, sender or option; the same message would be refused again."""

    kind = ErrorClass.MESSAGE


class OptedOutError(SendError):
    """The recipient does not want messages; nothing more may be sent until they opt in again."""

    kind = ErrorClass.OPTED_OUT


class ChannelError(SendError):
    """The channel is not usable: wrong credentials, no credit, configuration refused. Every message would fail."""

    kind = ErrorClass.CHANNEL


class ThrottledError(SendError):
    """The provider asks to go slower; nothing was sent."""

    kind = ErrorClass.THROTTLED
    retryable = True


class TransientError(SendError):
    """Something that passes: no connection, a busy or failing provider. Nothing was sent."""

    kind = ErrorClass.TRANSIENT
    retryable = True


class OutcomeUnknownError(SendError):
    """The message was handed over and never answered. Not retryable: sending again could deliver it twice."""

    kind = ErrorClass.UNKNOWN
    outcome_known = False


Outcome = SendResult | SendError


class SendingChannel(msgspec.Struct, frozen=True):
    """The channel to send through: instances of the connector's own `config_type` and `credentials_type`."""

    id: UUID
    config: msgspec.Struct
    credentials: msgspec.Struct


def hidden_repr(credentials: object) -> str:
    """The `__repr__` of every credentials struct: no log line, assertion or traceback may show what it holds."""
    return f"<{type(credentials).__name__} hidden>"


StructType = type[msgspec.Struct]

Send = Callable[[Sequence[SendRequest], SendingChannel], Awaitable[list[Outcome]]]
"""Hands over each request; gives one outcome per request, in the same order, and never raises for one of them.

The caller bounds the time, and treats every request of a call it cancelled as unknown.
"""


class Connector(msgspec.Struct, frozen=True, kw_only=True):
    """The description of a channel type, and how to send through it.

    `config_type` and `credentials_type` are keyword-only structs that forbid unknown fields; their JSON Schema is
    published, so constraints and descriptions live in their annotations. Credentials structs use `hidden_repr`. A
    config field `default_from` is the sender of messages that do not name one. `send` is None when another process
    than the worker sends.
    """

    type: str
    title: str
    capabilities: Capabilities
    config_type: StructType
    credentials_type: StructType
    send: Send | None

    @property
    def sent_by(self) -> Literal["worker", "smppd"]:
        """The process that takes this type's messages from their queues."""
        return "smppd" if self.send is None else "worker"
