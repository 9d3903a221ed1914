"""Receipts that are owed: when they are due, and how they look on the wire."""

import heapq
from datetime import UTC, datetime

from smpp_daemon.protocol.codec import encode_body
from smpp_daemon.protocol.constants import EsmClass, MessageState, Tag
from smpp_daemon.protocol.pdu import DeliverSm
from smpp_daemon.simulator.journal import Accepted
from smpp_daemon.simulator.script import STATES

_FAILED = frozenset({"EXPIRED", "DELETED", "UNDELIV", "REJECTD"})


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
    delivered = b"001" if state is MessageState.DELIVERED else b"000"
    message_id = message.id.encode("latin-1")
    # The first 20 octets of the text can be repeated as they are only in the default alphabet and without a header.
    plain = message.data_coding == 0 and not message.esm_class & EsmClass.UDHI
    text = bytes.fromhex(message.message[:40]) if plain else b""
    content = b"id:%b sub:001 dlvrd:%b submit date:%b done date:%b stat:%b err:%b text:%b" % (
        message_id,
        delivered,
        _minutes(message.at),
        _minutes(done_at),
        stat.encode("ascii"),
        message.error.encode("ascii", "replace"),
        text,
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


def _minutes(at: float) -> bytes:
    return datetime.fromtimestamp(at, UTC).strftime("%y%m%d%H%M").encode("ascii")


class Mailbox:
    """Receipts of one system_id that wait for their time or for a session, earliest first."""

    __slots__ = ("_order", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Accepted]] = []
        self._order = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: Accepted, due: float) -> None:
        """Owes a receipt from `due` (seconds of the loop's clock) on."""
        self._order += 1
        heapq.heappush(self._waiting, (due, self._order, message))

    def take_due(self, now: float, limit: int) -> list[Accepted]:
        """At most `limit` receipts whose time has come."""
        taken: list[Accepted] = []
        waiting = self._waiting
        while waiting and len(taken) < limit and waiting[0][0] <= now:
            taken.append(heapq.heappop(waiting)[2])
        return taken

    def next_due(self) -> float | None:
        """When the next receipt is due; None when none waits."""
        return self._waiting[0][0] if self._waiting else None
