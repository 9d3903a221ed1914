"""What a channel to an SMPP operator is made of. The SMPP daemon reads these structs as they are."""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from connectors.contract import hidden_repr
from connectors.smpp.options import (
    AddressRule,
    Alphabet,
    ByteOrder,
    Flash,
    LongMessage,
    MessageIdFormat,
    NationalLanguage,
    OnUnknown,
    ReceiptRequest,
    ReceiptState,
    StatusClass,
    Validity,
)
from connectors.smpp.parameters import TlvSource, TlvValue

PRINTABLE = r"^[ -~]*$(?!\n)"
# Names, IPv4 and IPv6 addresses; what they mean is found out when the daemon connects.
_HOST = r"^[A-Za-z0-9._:-]+$(?!\n)"

Octet = Annotated[int, Meta(ge=0, le=255)]


class Bind(StrEnum):
    """The session the daemon asks for (SMPP 3.4 §4.1). Receipts need `transceiver`, `receiver` or `pair`.

    `pair` holds a transmitter and a receiver for each bind, as operators ask for that do not offer transceivers.
    """

    TRANSCEIVER = "transceiver"
    TRANSMITTER = "transmitter"
    RECEIVER = "receiver"
    PAIR = "pair"


class TlsVerify(StrEnum):
    """How much of the operator's certificate is checked.

    `full`: chain and host name. `chain`: the chain only, for operators reached by address. `none`: nothing, which
    encrypts against nobody who can put himself in between.
    """

    FULL = "full"
    CHAIN = "chain"
    NONE = "none"


class SmppHost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An address of the operator."""

    host: Annotated[str, Meta(min_length=1, max_length=253, pattern=_HOST, description="Host name or IP address.")]
    port: Annotated[int, Meta(ge=1, le=65535, description="TCP port; operators often use 2775.")]


Hosts = tuple[SmppHost, ...]


class SmppConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything about the link except who we are and how fast we may go.

    TON and NPI are one octet each (SMPP 3.4 §5.2.5-6): values beyond the named ones are seen in the field and kept.
    """

    hosts: Annotated[
        Hosts, Meta(min_length=1, max_length=8, description="Addresses of the operator; binds are spread over them.")
    ]
    receiver_hosts: Annotated[
        Hosts, Meta(max_length=8, description="Where the receivers of `pair` bind, when that is elsewhere.")
    ] = ()
    bind: Annotated[Bind, Meta(description="Session type; receipts need all but transmitter.")] = Bind.TRANSCEIVER
    binds: Annotated[int, Meta(ge=1, le=64, description="How many sessions to hold at the same time.")] = 1
    window: Annotated[int, Meta(ge=1, le=1000, description="Unanswered requests allowed in each session.")] = 50
    system_type: Annotated[str, Meta(max_length=12, pattern=PRINTABLE, description="Mostly empty.")] = ""
    interface_version: Annotated[
        str, Meta(pattern=r"^(3\.3|3\.4|5\.0)$", description="What the bind says it speaks.")
    ] = "3.4"
    address_range: Annotated[
        str, Meta(max_length=40, pattern=PRINTABLE, description="Addresses a receiver serves; mostly empty.")
    ] = ""
    tls: Annotated[bool, Meta(description="Encrypt the connection and verify the operator's certificate.")] = False
    tls_verify: Annotated[TlsVerify, Meta(description="How much of its certificate is checked.")] = TlsVerify.FULL
    tls_ca: (
        Annotated[str, Meta(max_length=65536, description="PEM of the only authorities to trust for this operator.")]
        | None
    ) = None
    tls_server_name: (
        Annotated[str, Meta(max_length=253, pattern=_HOST, description="Name to ask and check for, if not the host's.")]
        | None
    ) = None
    source_ton: Annotated[Octet, Meta(description="Type of number of the sender; 5 is alphanumeric.")] = 5
    source_npi: Annotated[Octet, Meta(description="Numbering plan of the sender.")] = 0
    dest_ton: Annotated[Octet, Meta(description="Type of number of the recipient; 1 is international.")] = 1
    dest_npi: Annotated[Octet, Meta(description="Numbering plan of the recipient; 1 is E.164.")] = 1
    address_rules: Annotated[
        tuple[AddressRule, ...],
        Meta(max_length=32, description="Other TON, NPI or form for some addresses; the first rule that fits counts."),
    ] = ()
    default_from: (
        Annotated[
            str,
            Meta(
                min_length=1, max_length=20, pattern=PRINTABLE, description="Sender of messages that do not name one."
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
    status_classes: Annotated[
        dict[Annotated[str, Meta(pattern=r"^(0x[0-9A-Fa-f]{1,8}|R[A-Z0-9_]{2,30})$")], StatusClass],
        Meta(max_length=64, description="What this operator means by a command_status, by name or number."),
    ] = {}

    default_alphabet: Annotated[
        Alphabet, Meta(description="What data_coding 0 means to this operator, in both directions.")
    ] = Alphabet.GSM7
    gsm7_packed: Annotated[bool, Meta(description="GSM 7-bit text travels packed, 8 characters in 7 octets.")] = False
    ucs2_byte_order: Annotated[ByteOrder, Meta(description="Of 16-bit text; big is the standard.")] = ByteOrder.BIG
    national_language: (
        Annotated[NationalLanguage, Meta(description="Language whose shift tables may be used to save segments.")]
        | None
    ) = None
    substitute_characters: Annotated[
        bool, Meta(description="Replace typographic characters that would force 16-bit text by plain ones.")
    ] = False
    data_coding_gsm7: Annotated[Octet, Meta(description="data_coding of GSM 7-bit text.")] = 0x00
    data_coding_ucs2: Annotated[Octet, Meta(description="data_coding of 16-bit text.")] = 0x08
    flash: Annotated[Flash, Meta(description="How a flash message is marked.")] = Flash.DATA_CODING

    service_type: Annotated[str, Meta(max_length=5, pattern=PRINTABLE, description="service_type of submit_sm.")] = ""
    protocol_id: Annotated[Octet, Meta(description="protocol_id of submit_sm.")] = 0
    priority: Annotated[int, Meta(ge=0, le=3, description="priority_flag of submit_sm.")] = 0
    receipts: Annotated[ReceiptRequest, Meta(description="Which receipts are asked for.")] = ReceiptRequest.ALL
    validity: Annotated[Validity, Meta(description="How validity_period is written.")] = Validity.RELATIVE
    default_validity_seconds: (
        Annotated[int, Meta(ge=1, le=604_800, description="Validity of messages that do not name one.")] | None
    ) = None
    tlvs: Annotated[
        tuple[TlvValue, ...], Meta(max_length=16, description="Optional parameters of every submit_sm.")
    ] = ()
    metadata_tlvs: Annotated[
        dict[Annotated[str, Meta(min_length=1, max_length=64)], TlvSource],
        Meta(max_length=16, description="Optional parameters whose value is a message's metadata field of that name."),
    ] = {}
    submit_multi: Annotated[
        int, Meta(ge=0, le=254, description="Recipients of one submit_multi for equal texts; 0 and 1 never use it.")
    ] = 0

    unflagged_receipts: Annotated[
        bool, Meta(description="Take a text that reads like a receipt for one although esm_class does not say so.")
    ] = False
    receipt_labels: Annotated[
        dict[Annotated[str, Meta(min_length=1, max_length=32)], Annotated[str, Meta(pattern=r"^(id|stat|err)$")]],
        Meta(max_length=16, description="This operator's words for `id`, `stat` and `err` in receipts."),
    ] = {}
    receipt_states: Annotated[
        dict[Annotated[str, Meta(min_length=1, max_length=32)], ReceiptState],
        Meta(max_length=64, description="What this operator means by a `stat`."),
    ] = {}


class SmppCredentials(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who we are to the operator.

    SMPP 3.4 §5.2.1-2 allows 15 characters of system_id and 8 of password; operators give out longer ones and a peer
    that cuts them cannot log in, so both go to the wire as they are.
    """

    system_id: Annotated[
        str, Meta(min_length=1, max_length=64, pattern=PRINTABLE, description="The login name the operator gave out.")
    ]
    password: Annotated[str, Meta(max_length=64, pattern=PRINTABLE, description="Its password.")] = ""
    client_certificate: (
        Annotated[str, Meta(max_length=65536, description="PEM of our certificate, for operators that ask for one.")]
        | None
    ) = None
    client_key: Annotated[str, Meta(max_length=65536, description="PEM of its private key.")] | None = None

    __repr__ = hidden_repr
