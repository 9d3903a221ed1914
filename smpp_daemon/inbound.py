"""deliver_sm and data_sm → a receipt or a message from a contact; parts of a long message → the whole."""

import hashlib
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

import msgspec

from app.domain.messages.events import Inbound, Receipt, ReceiptStatus
from app.lib.ids import NewId
from connectors.sms_text.encoding import alphabet_of, decode_text
from connectors.sms_text.receipts import ParsedReceipt, Verdict, looks_like_receipt, parse_receipt
from connectors.sms_text.udh import split_user_data
from smpp_daemon.addresses import written_address
from smpp_daemon.protocol.constants import EsmClass, Tag
from smpp_daemon.protocol.pdu import DataSm, DeliverSm
from smpp_daemon.protocol.tlv import find_integer, find_text, find_tlv

RAW_CHARACTERS = 500
MAX_TEXTS = 1000
MAX_REPEATABLE = 10_000
PARTS_SECONDS = 180.0
"""How long the rest of a long message may take; then what came is delivered."""

ANSWER_SECONDS = 1.0
"""How long the answer to a part waits for the other parts."""

_TYPE_MASK = 0x3C
_RECEIPT_TYPES = frozenset({EsmClass.DELIVERY_RECEIPT, EsmClass.INTERMEDIATE_NOTIFICATION})


class Text(NamedTuple):
    """A message from a contact, or one part of it. `total` is 1 for a message of one part; `encoding` as stored."""

    sender: str
    to: str
    text: str
    encoding: str
    reference: int
    total: int
    number: int
    digest: str


def read_receipt(pdu: DeliverSm | DataSm, at: float) -> Receipt | None:
    """The receipt that a PDU is, or None when it is a message.

    A PDU is a receipt when esm_class says so (SMPP 3.4 §5.2.12), when it names the message it is about
    (receipted_message_id, §5.3.2.12), or when an unflagged text reads like one. A flagged one that says nothing usable
    is kept with an empty id, so that an operator finds it among the orphans.
    """
    flagged = pdu.esm_class & _TYPE_MASK in _RECEIPT_TYPES
    named = find_text(pdu.tlvs, Tag.RECEIPTED_MESSAGE_ID)
    content = pdu.content
    if not flagged and not named and not (pdu.esm_class & _TYPE_MASK == 0 and looks_like_receipt(content)):
        return None
    if pdu.esm_class & EsmClass.UDHI:
        content = split_user_data(content)[1]
    parsed = parse_receipt(
        content,
        receipted_message_id=named,
        message_state=find_integer(pdu.tlvs, Tag.MESSAGE_STATE),
        network_error_code=find_tlv(pdu.tlvs, Tag.NETWORK_ERROR_CODE),
    ) or ParsedReceipt((), Verdict.UNKNOWN, None, None, None, None, None, {})
    return Receipt(
        parsed.message_ids[0] if parsed.message_ids else "",
        ReceiptStatus(parsed.verdict.value),
        # The dates in the text are in a time zone nobody names.
        at,
        pdu.source_addr or None,
        parsed.state,
        parsed.error,
        raw=str(content[:RAW_CHARACTERS], "latin-1").replace("\0", ""),
    )


def read_text(pdu: DeliverSm | DataSm) -> Text:
    """The message that a PDU carries, by its data_coding and its header or sar_* parameters."""
    data = pdu.content
    reference, total, number = 0, 1, 1
    if pdu.esm_class & EsmClass.UDHI:
        header, data = split_user_data(data)
        if header is not None and header.concatenation is not None:
            parts = header.concatenation
            # The width of the reference belongs to its identity.
            reference, total, number = parts.reference + (parts.width << 16), parts.total, parts.number
    else:
        sar = [find_integer(pdu.tlvs, tag) for tag in _SAR]
        if sar[0] is not None and sar[1] and sar[2] and sar[2] <= sar[1]:
            reference, total, number = sar[0], sar[1], sar[2]
    alphabet = alphabet_of(pdu.data_coding)
    return Text(
        written_address(pdu.source_addr_ton, pdu.source_addr),
        written_address(pdu.dest_addr_ton, pdu.destination_addr),
        decode_text(data, alphabet),
        "ucs2" if alphabet == "ucs2" else "gsm7",
        reference,
        total,
        number,
        hashlib.blake2b(msgspec.msgpack.encode(pdu), digest_size=16).hexdigest(),
    )


_SAR = (Tag.SAR_MSG_REF_NUM, Tag.SAR_TOTAL_SEGMENTS, Tag.SAR_SEGMENT_SEQNUM)


class Repetitions:
    """Keys by which the consumer of inbound messages knows a repeated one.

    Nothing in a deliver_sm tells a repetition from a contact who writes "ok" twice, except that the operator repeats
    only what was not answered. So each message gets a key of its own, and only one whose answer never left gets the
    same key again when it comes again.
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


A = TypeVar("A", bound=Hashable)


class Whole(NamedTuple, Generic[A]):
    """A complete message (or what came of it in time) and the answers its PDUs wait for."""

    text: Text
    answers: list[A]


class _Gathered(Generic[A]):
    def __init__(self, due: float) -> None:
        self.due = due
        self.parts: dict[int, Text] = {}
        self.answers: list[tuple[float, A]] = []
        self.answered = False


class Reassembly(Generic[A]):
    """Parts of long messages until they are complete, told apart by both addresses, reference and total.

    At most `MAX_TEXTS` messages wait; the oldest is delivered as it is to make room. `A` stands for an answer owed.
    """

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str, int, int], _Gathered[A]] = {}

    def add(self, part: Text, answer: A, now: float) -> list[Whole[A]]:
        """Takes a part; returns the messages that are ready because of it."""
        key = (part.sender, part.to, part.reference, part.total)
        gathered = self._waiting.get(key)
        ready: list[Whole[A]] = []
        if gathered is None:
            if len(self._waiting) >= MAX_TEXTS:
                ready.append(self._deliver(next(iter(self._waiting))))
            gathered = self._waiting[key] = _Gathered(now + PARTS_SECONDS)
        gathered.answers.append((now, answer))
        gathered.parts.setdefault(part.number, part)
        if len(gathered.parts) == part.total:
            ready.append(self._deliver(key))
        return ready

    def due(self, now: float) -> list[Whole[A]]:
        """Messages whose other parts did not come in time, as they are."""
        return [self._deliver(key) for key in [key for key, each in self._waiting.items() if each.due <= now]]

    def overdue_answers(self, now: float) -> list[A]:
        """Answers to parts that waited long enough: some operators send the next part only after the answer.

        Until the message is complete such a part lives in memory alone.
        """
        overdue: list[A] = []
        for gathered in self._waiting.values():
            late = [answer for since, answer in gathered.answers if since + ANSWER_SECONDS <= now]
            if late:
                overdue += late
                gathered.answered = True
                gathered.answers = [each for each in gathered.answers if each[0] + ANSWER_SECONDS > now]
        return overdue

    def end(self) -> list[Whole[A]]:
        """What the operator believes to be delivered; parts that were not answered come again elsewhere."""
        return [self._deliver(key) for key in [key for key, each in self._waiting.items() if each.answered]]

    def _deliver(self, key: tuple[str, str, int, int]) -> Whole[A]:
        gathered = self._waiting.pop(key)
        parts = [gathered.parts[number] for number in sorted(gathered.parts)]
        digest = hashlib.blake2b("".join(part.digest for part in parts).encode(), digest_size=16).hexdigest()
        encoding = "ucs2" if any(part.encoding == "ucs2" for part in parts) else "gsm7"
        text = parts[0]._replace(
            text="".join(part.text for part in parts), encoding=encoding, total=1, number=1, digest=digest
        )
        return Whole(text, [answer for _, answer in gathered.answers])


def inbound_message(text: Text, key: str, new_id: NewId, at: float) -> Inbound:
    """A whole message as it is published."""
    return Inbound(new_id().bytes, key, text.sender, text.to, text.text, at, text.encoding)
