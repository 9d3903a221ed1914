"""Receipts that are owed: which there are, when they are due, and how they look on the wire."""

import heapq
from collections.abc import Iterator
from enum import StrEnum

import msgspec

from smpp_daemon.protocol.codec import encode_body
from smpp_daemon.protocol.constants import EsmClass, MessageState, Tag
from smpp_daemon.protocol.pdu import DataSm, DeliverSm
from smpp_daemon.protocol.tlv import Tlvs
from smpp_daemon.simulator.journal import Accepted, Originated
from smpp_daemon.simulator.receipt_text import minutes, template_of, write
from smpp_daemon.simulator.script import STATES, Receipts

_FAILED = frozenset({"EXPIRED", "DELETED", "UNDELIV", "REJECTD"})

FORM = (
    "form",
    "text",
    "spelling",
    "text_id",
    "tlv_id",
    "payload",
    "trailing_nul",
    "esm_class",
    "network_error_code",
)
"""Keys of `receipts` that decide how a receipt looks, and nothing else."""


class Copy(StrEnum):
    """Which of several deliver_sm about one message this is; only `final` is owed."""

    FINAL = "final"
    INTERMEDIATE = "intermediate"
    DUPLICATE = "duplicate"


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """One deliver_sm that waits for a session. `avoid`: number of a session that shall not get it while others are."""

    message: Accepted | Originated
    copy: Copy = Copy.FINAL
    data_sm: bool = False
    avoid: int = 0


def owes_receipt(registered_delivery: int, stat: str) -> bool:
    """Whether registered_delivery asks for this receipt (§5.2.17): 1 always, 2 on failure, 3 on success (SMPP 5.0)."""
    wanted = registered_delivery & 0x03
    if wanted == 2:
        return stat in _FAILED
    if wanted == 3:
        return stat == "DELIVRD"
    return wanted == 1


def receipt_body(message: Accepted, done_at: float) -> bytes:
    """Body of the deliver_sm that reports on `message` (SMPP 3.4 appendix B); `done_at` in seconds since the epoch."""
    stat = message.receipt or "UNKNOWN"
    state = STATES.get(stat, MessageState.UNKNOWN)
    message_id = message.id.encode("latin-1")
    content = b"id:%b sub:001 dlvrd:%b submit date:%b done date:%b stat:%b err:%b text:%b" % (
        message_id,
        b"001" if state is MessageState.DELIVERED else b"000",
        minutes(int(message.at) // 60),
        minutes(int(done_at) // 60),
        stat.encode("ascii"),
        message.error.encode("ascii", "replace"),
        _beginning(message),
    )
    return encode_body(
        DeliverSm(
            source_addr_ton=message.destination_ton,
            source_addr_npi=message.destination_npi,
            source_addr=message.destination,
            dest_addr_ton=message.source_ton,
            dest_addr_npi=message.source_npi,
            destination_addr=message.source,
            esm_class=EsmClass.DELIVERY_RECEIPT,
            short_message=content,
            tlvs=((Tag.RECEIPTED_MESSAGE_ID, message_id + b"\0"), (Tag.MESSAGE_STATE, bytes((state,)))),
        )
    )


def _beginning(message: Accepted) -> bytes:
    # The first 20 octets of the text can be repeated as they are only in the default alphabet and without a header.
    plain = message.data_coding == 0 and not message.esm_class & EsmClass.UDHI
    return bytes.fromhex(message.message[:40]) if plain else b""


class ReceiptWriter:
    """Receipts as a script wants them; `plain` when that is how `receipt_body` writes them."""

    __slots__ = ("_error_code", "_template", "plain", "receipts")

    def __init__(self, receipts: Receipts) -> None:
        self.receipts = receipts
        self._template = template_of(receipts.text)
        self._error_code = bytes.fromhex(receipts.network_error_code or "")
        default = Receipts()
        self.plain = all(getattr(receipts, name) == getattr(default, name) for name in FORM)

    def deliver_sm(self, delivery: Delivery, message: Accepted, done_at: float) -> bytes:
        """Body of the deliver_sm that reports on `message`; `done_at` in seconds since the epoch."""
        content, tlvs = self._content(delivery, message, done_at)
        payload = self.receipts.payload
        if payload and content:
            tlvs = (*tlvs, (Tag.MESSAGE_PAYLOAD, content + b"\0" * self.receipts.trailing_nul))
        return encode_body(
            DeliverSm(
                source_addr_ton=message.destination_ton,
                source_addr_npi=message.destination_npi,
                source_addr=message.destination,
                dest_addr_ton=message.source_ton,
                dest_addr_npi=message.source_npi,
                destination_addr=message.source,
                esm_class=self._esm_class(delivery),
                short_message=b"" if payload else content[:255],
                tlvs=tlvs,
            )
        )

    def data_sm(self, delivery: Delivery, message: Accepted, done_at: float) -> DataSm:
        """The same as data_sm, whose text can only travel in message_payload (§4.7.1)."""
        content, tlvs = self._content(delivery, message, done_at)
        if content:
            tlvs = (*tlvs, (Tag.MESSAGE_PAYLOAD, content + b"\0" * self.receipts.trailing_nul))
        return DataSm(
            source_addr_ton=message.destination_ton,
            source_addr_npi=message.destination_npi,
            source_addr=message.destination,
            dest_addr_ton=message.source_ton,
            dest_addr_npi=message.source_npi,
            destination_addr=message.source,
            esm_class=self._esm_class(delivery),
            tlvs=tlvs,
        )

    def _esm_class(self, delivery: Delivery) -> int:
        esm_class = self.receipts.esm_class
        if delivery.copy is Copy.INTERMEDIATE and esm_class == EsmClass.DELIVERY_RECEIPT:
            return EsmClass.INTERMEDIATE_NOTIFICATION
        return esm_class

    def _content(self, delivery: Delivery, message: Accepted, done_at: float) -> tuple[bytes, Tlvs]:
        receipts = self.receipts
        stat = "ENROUTE" if delivery.copy is Copy.INTERMEDIATE else message.receipt or "UNKNOWN"
        state = STATES.get(stat, MessageState.UNKNOWN)
        content = b""
        if receipts.form != "tlv":
            content = write(
                self._template,
                message_id=message.id if receipts.text_id is None else receipts.text_id.write(message.number),
                delivered=state is MessageState.DELIVERED,
                submitted=message.at,
                done=done_at,
                stat=receipts.spelling.get(stat, stat),  # type: ignore[call-overload]
                error=message.error,
                text=str(_beginning(message), "latin-1"),
            )
        tlvs: Tlvs = ()
        if receipts.form != "text":
            tlv_id = message.id if receipts.tlv_id is None else receipts.tlv_id.write(message.number)
            tlvs = (
                (Tag.RECEIPTED_MESSAGE_ID, tlv_id.encode("latin-1") + b"\0"),
                (Tag.MESSAGE_STATE, bytes((state,))),
            )
            if self._error_code:
                tlvs = (*tlvs, (Tag.NETWORK_ERROR_CODE, self._error_code))
        return content, tlvs


class Mailbox:
    """Deliveries of one system_id that wait for their time or for a session, earliest first."""

    __slots__ = ("_order", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Delivery]] = []
        self._order = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, delivery: Delivery, due: float) -> None:
        """Owes a delivery from `due` (seconds of the loop's clock) on."""
        self._order += 1
        heapq.heappush(self._waiting, (due, self._order, delivery))

    def take_due(self, now: float, limit: int) -> list[Delivery]:
        """At most `limit` deliveries whose time has come."""
        taken: list[Delivery] = []
        waiting = self._waiting
        while waiting and len(taken) < limit and waiting[0][0] <= now:
            taken.append(heapq.heappop(waiting)[2])
        return taken

    def next_due(self) -> float | None:
        """When the next delivery is due; None when none waits."""
        return self._waiting[0][0] if self._waiting else None

    def __iter__(self) -> Iterator[Delivery]:
        return (delivery for _, _, delivery in self._waiting)

    def replace(self, old: Delivery, new: Delivery, due: float | None = None) -> None:
        """Puts another delivery in the place of one that waits, and at another time if `due` says so."""
        for place, (moment, order, delivery) in enumerate(self._waiting):
            if delivery is old:
                self._waiting[place] = (moment if due is None else due, order, new)
                heapq.heapify(self._waiting)
                return
