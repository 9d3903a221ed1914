"""What a channel to an SMPP operator is made of. The SMPP daemon reads these structs as they are."""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from connectors.contract import hidden_repr

_PRINTABLE = r"^[ -~]*$(?!\n)"
# Names, IPv4 and IPv6 addresses; what they mean is found out when the daemon connects.
_HOST = r"^[A-Za-z0-9._:-]+$(?!\n)"

Octet = Annotated[int, Meta(ge=0, le=255)]


class Bind(StrEnum):
    """The session the daemon asks for (SMPP 3.4 §4.1). Receipts need `transceiver` or `receiver`."""

    TRANSCEIVER = "transceiver"
    TRANSMITTER = "transmitter"
    RECEIVER = "receiver"


class MessageIdFormat(StrEnum):
    """How the operator writes message ids in receipts, compared with those in its answers to submit_sm.

    `auto` accepts the same text and either base, `exact` the same text only, `hex` and `decimal` say that receipts
    carry the id in that base.
    """

    AUTO = "auto"
    EXACT = "exact"
    HEX = "hex"
    DECIMAL = "decimal"


class LongMessage(StrEnum):
    """How text of more than one segment is sent.

    `udh` and `udh16` put the concatenation element with an 8-bit or 16-bit reference before the text (3GPP TS 23.040
    §9.2.3.24.1 and §9.2.3.24.8), `sar` uses the sar_* parameters (SMPP 3.4 §5.3.2.22-24), `payload` sends all of it in
    message_payload (§5.3.2.32) and leaves splitting to the operator.
    """

    UDH = "udh"
    UDH16 = "udh16"
    SAR = "sar"
    PAYLOAD = "payload"


class OnUnknown(StrEnum):
    """What becomes of a message that was submitted and never answered.

    `hold` leaves it unknown until a receipt settles it, `fail` calls it failed, `resend` submits it again and accepts
    that the recipient may get it twice.
    """

    HOLD = "hold"
    FAIL = "fail"
    RESEND = "resend"


class SmppHost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An address of the operator."""

    host: Annotated[str, Meta(min_length=1, max_length=253, pattern=_HOST, description="Host name or IP address.")]
    port: Annotated[int, Meta(ge=1, le=65535, description="TCP port; operators often use 2775.")]


class SmppConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything about the link except who we are and how fast we may go.

    TON and NPI are one octet each (SMPP 3.4 §5.2.5-6): values beyond the named ones are seen in the field and kept.
    """

    hosts: Annotated[
        tuple[SmppHost, ...],
        Meta(min_length=1, max_length=8, description="Addresses of the operator; binds are spread over them."),
    ]
    bind: Annotated[Bind, Meta(description="Session type; receipts need transceiver or receiver.")] = Bind.TRANSCEIVER
    binds: Annotated[int, Meta(ge=1, le=64, description="How many sessions to hold at the same time.")] = 1
    window: Annotated[int, Meta(ge=1, le=1000, description="Unanswered requests allowed in each session.")] = 50
    system_type: Annotated[str, Meta(max_length=12, pattern=_PRINTABLE, description="Mostly empty.")] = ""
    tls: Annotated[bool, Meta(description="Encrypt the connection and verify the operator's certificate.")] = False
    source_ton: Annotated[Octet, Meta(description="Type of number of the sender; 5 is alphanumeric.")] = 5
    source_npi: Annotated[Octet, Meta(description="Numbering plan of the sender.")] = 0
    dest_ton: Annotated[Octet, Meta(description="Type of number of the recipient; 1 is international.")] = 1
    dest_npi: Annotated[Octet, Meta(description="Numbering plan of the recipient; 1 is E.164.")] = 1
    default_from: (
        Annotated[
            str,
            Meta(
                min_length=1, max_length=20, pattern=_PRINTABLE, description="Sender of messages that do not name one."
            ),
        ]
        | None
    ) = None
    enquire_link_seconds: Annotated[
        int, Meta(ge=1, le=3600, description="Silence after which the link is probed with enquire_link.")
    ] = 30
    response_timeout_seconds: Annotated[
        int, Meta(ge=1, le=600, description="How long the operator may take to answer a request.")
    ] = 10
    message_id_format: Annotated[
        MessageIdFormat, Meta(description="How receipts write the id that the answer to submit_sm gave.")
    ] = MessageIdFormat.AUTO
    long_message: Annotated[LongMessage, Meta(description="How text of several segments is sent.")] = LongMessage.UDH
    on_unknown: Annotated[
        OnUnknown, Meta(description="What to do with a message that was submitted and never answered.")
    ] = OnUnknown.HOLD


class SmppCredentials(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who we are to the operator.

    SMPP 3.4 §5.2.1-2 allows 15 characters of system_id and 8 of password; operators give out longer ones and a peer
    that cuts them cannot log in, so both go to the wire as they are.
    """

    system_id: Annotated[
        str, Meta(min_length=1, max_length=64, pattern=_PRINTABLE, description="The login name the operator gave out.")
    ]
    password: Annotated[str, Meta(max_length=64, pattern=_PRINTABLE, description="Its password.")] = ""

    __repr__ = hidden_repr
