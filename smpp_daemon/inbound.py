"""deliver_sm and data_sm → a receipt, a message from a contact, or a part of one."""

import hashlib
from typing import NamedTuple

import msgspec

from app.domain.messages.events import Inbound, Receipt, ReceiptStatus
from app.lib.ids import NewId
from connectors.smpp.config import SmppConfig
from connectors.smpp.options import ReceiptRequest
from connectors.sms_text import gsm7
from connectors.sms_text.encoding import Alphabet, ByteOrder, alphabet_of, decode_user_data
from connectors.sms_text.receipts import ParsedReceipt, Verdict, looks_like_receipt, parse_receipt
from connectors.sms_text.udh import split_user_data
from smpp_daemon.addresses import written_address
from smpp_daemon.protocol.constants import EsmClass, Tag
from smpp_daemon.protocol.pdu import DataSm, DeliverSm
from smpp_daemon.protocol.tlv import find_integer

RAW_CHARACTERS = 500
MAX_REPEATABLE = 10_000

_TYPE_MASK = 0x3C
_RECEIPT_TYPES = frozenset({int(EsmClass.DELIVERY_RECEIPT), int(EsmClass.INTERMEDIATE_NOTIFICATION)})
_UDHI = int(EsmClass.UDHI)
_RECEIPTED_MESSAGE_ID = int(Tag.RECEIPTED_MESSAGE_ID)
_MESSAGE_STATE = int(Tag.MESSAGE_STATE)
_NETWORK_ERROR_CODE = int(Tag.NETWORK_ERROR_CODE)
_SAR = (Tag.SAR_MSG_REF_NUM, Tag.SAR_TOTAL_SEGMENTS, Tag.SAR_SEGMENT_SEQNUM)
_STATUSES = {verdict: ReceiptStatus(verdict.value) for verdict in Verdict}
_NOTHING = ParsedReceipt((), Verdict.UNKNOWN, None, None, None, None, None, {})


class Text(NamedTuple):
    """A message from a contact, or one part of it. `total` is 1 for a message of one part.

    `encoding` is as stored; `text` of `binary` is hexadecimal. The width of the reference in bits, 8 or 16, is part of
    its identity and stands above it: a `reference` is 16 bits and the width times 65,536; sar_* have width 0.
    """

    sender: str
    to: str
    text: str
    encoding: str
    reference: int
    total: int
    number: int
    digest: str


class InboundReader:
    """Reads what one channel's operator sends, in the operator's own words and alphabet."""

    def __init__(self, config: SmppConfig) -> None:
        self._default: Alphabet = config.default_alphabet.value
        if config.gsm7_packed and self._default == "gsm7":
            self._default = "gsm7_packed"
        self._byte_order: ByteOrder = config.ucs2_byte_order.value
        self._labels = dict(config.receipt_labels)
        self._states = {word: Verdict(state.value) for word, state in config.receipt_states.items()}
        self._unflagged = config.unflagged_receipts
        self._id_format = config.message_id_format.value
        self._whole = config.receipts is ReceiptRequest.LAST_PART

    def receipt(self, pdu: DeliverSm | DataSm, at: float) -> Receipt | None:
        """The receipt that a PDU is, or None when it is a message. `at` is seconds since the epoch.

        A PDU is a receipt when esm_class says so (SMPP 3.4 §5.2.12), when it names the message it is about
        (receipted_message_id, §5.3.2.12), or, on channels that want it so, when an unflagged text reads like one. A
        flagged one that says nothing usable is kept with an empty id, so that an operator finds it among the orphans.
        """
        named: str | None = None
        state: int | None = None
        network_error: bytes | None = None
        for tag, value in pdu.tlvs:
            if tag == _RECEIPTED_MESSAGE_ID:
                named = str(value.split(b"\0", 1)[0], "latin-1")
            elif tag == _MESSAGE_STATE:
                state = int.from_bytes(value, "big") if value else None
            elif tag == _NETWORK_ERROR_CODE:
                network_error = value
        kind = pdu.esm_class & _TYPE_MASK
        content = pdu.content
        said = kind in _RECEIPT_TYPES or named
        if not said and (kind or not self._unflagged or not looks_like_receipt(content, labels=self._labels)):
            return None
        if pdu.esm_class & _UDHI:
            content = split_user_data(content)[1]
        parsed = (
            parse_receipt(
                content,
                receipted_message_id=named,
                message_state=state,
                network_error_code=network_error,
                labels=self._labels,
                states=self._states,
            )
            or _NOTHING
        )
        ids = parsed.message_ids
        return Receipt(
            ids[0] if ids else "",
            _STATUSES[parsed.verdict],
            # The dates in the text are in a time zone nobody names.
            at,
            pdu.source_addr or None,
            parsed.state,
            parsed.error,
            None,
            str(content[:RAW_CHARACTERS], "latin-1").replace("\0", ""),
            ids[1] if len(ids) > 1 else None,
            self._id_format,
            self._whole,
        )

    def text(self, pdu: DeliverSm | DataSm) -> Text:
        """The message that a PDU carries, by its data_coding and its header or sar_* parameters."""
        data = pdu.content
        reference, total, number = 0, 1, 1
        header = None
        if pdu.esm_class & _UDHI:
            header, data = split_user_data(data)
            if header is not None and header.concatenation is not None:
                parts = header.concatenation
                reference, total, number = parts.reference + (parts.width << 16), parts.total, parts.number
        if total == 1 and pdu.tlvs:
            sar = [find_integer(pdu.tlvs, tag) for tag in _SAR]
            if sar[0] is not None and sar[1] and sar[2] and sar[2] <= sar[1] <= 255:
                reference, total, number = sar[0] & 0xFFFF, sar[1], sar[2]
        alphabet = alphabet_of(pdu.data_coding, self._default, byte_order=self._byte_order)
        text = data.hex() if alphabet == "binary" else decode_user_data(data, header, alphabet)
        return Text(
            written_address(pdu.source_addr_ton, pdu.source_addr),
            written_address(pdu.dest_addr_ton, pdu.destination_addr),
            text,
            _stored_encoding(alphabet, text),
            reference,
            total,
            number,
            hashlib.blake2b(msgspec.msgpack.encode(pdu), digest_size=16).hexdigest(),
        )


def _stored_encoding(alphabet: Alphabet, text: str) -> str:
    if alphabet == "binary":
        return "binary"
    # Whatever the operator wrote it in, over the air it was one of these two.
    return "gsm7" if alphabet in ("gsm7", "gsm7_packed") or gsm7.is_gsm7(text) else "ucs2"


class Repetitions:
    """Keys by which the consumer of inbound messages knows a repeated one.

    Nothing in a deliver_sm tells a repetition from a contact who writes "ok" twice, except that the operator repeats
    only what was not answered. So each message gets a key of its own, and only one whose answer never left, or was a
    refusal for now, gets the same key again when it comes again.
    """

    def __init__(self, new_id: NewId) -> None:
        self._new_id = new_id
        self._unanswered: dict[str, str] = {}

    def key(self, digest: str) -> str:
        """The key of a message with this content."""
        return self._unanswered.pop(digest, None) or f"{digest}-{self._new_id().hex}"

    def not_answered(self, key: str) -> None:
        """The answer to the message with this key did not leave: it will come again."""
        self._unanswered[key.partition("-")[0]] = key
        while len(self._unanswered) > MAX_REPEATABLE:
            del self._unanswered[next(iter(self._unanswered))]


def inbound_message(text: Text, key: str, new_id: NewId, at: float) -> Inbound:
    """A message or a part of one as it is published."""
    if text.total == 1:
        return Inbound(new_id().bytes, key, text.sender, text.to, text.text, at, text.encoding)
    return Inbound(
        new_id().bytes,
        key,
        text.sender,
        text.to,
        text.text,
        at,
        text.encoding,
        reference=text.reference,
        total=text.total,
        number=text.number,
    )
