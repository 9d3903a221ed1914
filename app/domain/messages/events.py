"""What travels between the API, the senders and the results consumer: batches, encoded as MessagePack.

Structs are `array_like` because a batch holds up to `MAX_BATCH` of them: field names on the wire would cost more than
the fields. Adding a field therefore means appending it with a default, so that a process of the previous release still
reads it.
"""

from enum import StrEnum
from uuid import UUID

import msgspec

MAX_BATCH = 500
"""Most messages in one dispatch event: RabbitMQ moves a batch for the price of a message."""


class Lane(StrEnum):
    """`high` for single messages, `bulk` for batches and groups: separate queues of one channel."""

    HIGH = "high"
    BULK = "bulk"


class SmsOptions(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a short message asks for beyond its text; connectors that are not SMS know nothing of it.

    `data` is user data that goes out as it is instead of the text, with `data_coding` (SMPP 3.4 §5.2.19), and `udh` the
    header in front of it, its length octet included (3GPP TS 23.040 §9.2.3.24). `flash` shows a text without storing
    it. `tlvs` are (tag, value), and `metadata_tlvs` those that the channel makes of the message's metadata. None leaves
    to the channel what it says.
    """

    data: bytes | None = None
    udh: bytes = b""
    data_coding: int | None = None
    flash: bool = False
    priority: int | None = None
    service_type: str | None = None
    protocol_id: int | None = None
    tlvs: tuple[tuple[int, bytes], ...] = ()
    metadata_tlvs: tuple[tuple[int, bytes], ...] = ()


class DispatchMessage(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One message to hand to a provider. `id` is the 16 bytes of the message's UUIDv7, `attempt` counts from 1.

    `sms` is an encoded `SmsOptions` (`decode_sms_options`), None for nearly every message.
    """

    id: bytes
    attempt: int
    to: str
    sender: str | None
    text: str
    validity_seconds: int | None = None
    sms: bytes | None = None


class DispatchBatch(msgspec.Struct, array_like=True, frozen=True):
    """Up to `MAX_BATCH` messages of one channel and lane, in the order in which they were accepted."""

    event_id: UUID
    account_id: UUID
    channel_id: UUID
    lane: Lane
    messages: list[DispatchMessage]


class Outcome(StrEnum):
    """What a sender knows after trying: `retry` is "known not sent", `unknown` is "written, never answered"."""

    SENT = "sent"
    FAILED = "failed"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    RETRY = "retry"


class Failure(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Why a message was not sent.

    `kind` is the public error class: recipient, message, opted_out, channel, throttled, transient, unknown.
    """

    kind: str
    code: str
    detail: str
    provider_code: str | None = None


class SubmittedPart(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One segment the provider answered: `number` from 1; `provider_message_id` is None when it was refused."""

    number: int
    provider_message_id: str | None


class SubmitResult(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The end of one attempt. `at` is seconds since the epoch; `retry_after` is seconds, for `retry` only."""

    message_id: bytes
    attempt: int
    outcome: Outcome
    at: float
    parts: list[SubmittedPart] = []
    failure: Failure | None = None
    retry_after: float | None = None


class ReceiptStatus(StrEnum):
    """A delivery receipt's verdict. `sent` is an intermediate state (ENROUTE, ACCEPTED), kept as an event only."""

    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class Receipt(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A delivery receipt as a sender parsed it.

    `provider_message_id` is verbatim; the consumer tries its hexadecimal and decimal readings. `recipient` is the
    handset's address as the provider wrote it (national or international), used to confirm a doubtful match.
    `message_id` is set only by providers that echo our own id. `raw` is the receipt's text, cut to 500 characters, for
    operators who look at orphans. `second_id` is another id of the same message in the same receipt, `id_format` how
    the channel's ids are to be read (`connectors.sms_text.receipts.match_keys`). `whole` says that a receipt for one
    part speaks for the whole text.
    """

    provider_message_id: str
    status: ReceiptStatus
    at: float
    recipient: str | None = None
    provider_status: str | None = None
    provider_code: str | None = None
    message_id: bytes | None = None
    raw: str | None = None
    second_id: str | None = None
    id_format: str = "auto"
    whole: bool = False


class Inbound(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A message from a contact. `id` is the 16 bytes of the UUIDv7 it will be stored under.

    `dedupe_key` makes a redelivered one a no-op: the provider's id, or a digest of what came. With a `total` above 1 it
    is part `number`, from 1, of a text whose parts have the same addresses, total and `reference`; text of `binary` is
    hexadecimal.
    """

    id: bytes
    dedupe_key: str
    sender: str
    to: str
    text: str
    at: float
    encoding: str = "gsm7"
    provider_message_id: str | None = None
    reference: int = 0
    total: int = 1
    number: int = 1


class ResultBatch(msgspec.Struct, array_like=True, frozen=True):
    """What one sender learnt about one channel: the only thing a sender ever publishes."""

    event_id: UUID
    account_id: UUID
    channel_id: UUID
    results: list[SubmitResult] = []
    receipts: list[Receipt] = []
    inbound: list[Inbound] = []


_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode
"""Either batch → MessagePack bytes."""

decode_sms_options = msgspec.msgpack.Decoder(SmsOptions).decode
"""Bytes → `SmsOptions`; raises `msgspec.DecodeError` on anything else. `encode` is the way back."""

decode_dispatch = msgspec.msgpack.Decoder(DispatchBatch).decode
"""Bytes → `DispatchBatch`; raises `msgspec.DecodeError` on anything else."""

decode_results = msgspec.msgpack.Decoder(ResultBatch).decode
"""Bytes → `ResultBatch`; raises `msgspec.DecodeError` on anything else."""
