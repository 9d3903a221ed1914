"""The words a channel's configuration is written in: choices about text, addresses and receipts."""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

_PRINTABLE = r"^[ -~]*$(?!\n)"


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


class StatusClass(StrEnum):
    """What a command_status asks of the sender: give up, try later, slow down, or count it as accepted."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    THROTTLE = "throttle"
    OK = "ok"


class Alphabet(StrEnum):
    """What data_coding 0, the "SMSC default alphabet" (SMPP 3.4 §5.2.19), is at an operator."""

    GSM7 = "gsm7"
    LATIN1 = "latin1"
    ASCII = "ascii"
    UCS2 = "ucs2"


class ByteOrder(StrEnum):
    """Of UCS-2 text; `little` is against every standard and seen all the same."""

    BIG = "big"
    LITTLE = "little"


class NationalLanguage(StrEnum):
    """Languages with shift tables of their own (3GPP TS 23.038 §6.2.1.2.4-5)."""

    TURKISH = "turkish"
    SPANISH = "spanish"
    PORTUGUESE = "portuguese"
    BENGALI = "bengali"
    GUJARATI = "gujarati"
    HINDI = "hindi"
    KANNADA = "kannada"
    MALAYALAM = "malayalam"
    ORIYA = "oriya"
    PUNJABI = "punjabi"
    TAMIL = "tamil"
    TELUGU = "telugu"
    URDU = "urdu"


class Flash(StrEnum):
    """How a message for the display only is marked: class 0 in data_coding (3GPP TS 23.038 §4), or dest_addr_subunit 1
    (SMPP 3.4 §5.3.2.1).

    `data_coding` writes 0x10 and 0x18, `message_class` 0xF0 in place of 0x10.
    """

    DATA_CODING = "data_coding"
    MESSAGE_CLASS = "message_class"
    SUBUNIT = "subunit"


class ReceiptRequest(StrEnum):
    """registered_delivery (§5.2.17). `last_part` asks for one receipt for a text of several parts."""

    ALL = "all"
    FAILURES = "failures"
    LAST_PART = "last_part"
    NONE = "none"


class Validity(StrEnum):
    """How a validity period is written (§7.1.1): from now, or as a moment in UTC."""

    RELATIVE = "relative"
    ABSOLUTE = "absolute"


class ReceiptState(StrEnum):
    """What a `stat` means. `sent` is on its way, `unknown` decides nothing."""

    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class AddressSide(StrEnum):
    """Which address a rule is about."""

    SOURCE = "source"
    DESTINATION = "destination"


class AddressRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Applies to addresses whose digits (without a plus) or text begin with `prefix` and that are no longer than
    `longest`. `replace` is written in place of the prefix; TON and NPI are kept when they are not named.
    """

    side: Annotated[AddressSide, Meta(description="Whether senders or recipients are meant.")]
    prefix: Annotated[str, Meta(max_length=20, pattern=_PRINTABLE, description="How the address begins.")] = ""
    longest: Annotated[int, Meta(ge=1, le=21, description="Longer addresses are left alone.")] = 21
    replace: (
        Annotated[str, Meta(max_length=20, pattern=_PRINTABLE, description="Written in place of the prefix.")] | None
    ) = None
    ton: Annotated[int, Meta(ge=0, le=255, description="Type of number of these addresses.")] | None = None
    npi: Annotated[int, Meta(ge=0, le=255, description="Numbering plan of these addresses.")] | None = None
