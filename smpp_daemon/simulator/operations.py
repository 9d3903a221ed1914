"""query_sm, cancel_sm and replace_sm: what an ESME may ask about a message whose receipt it is still owed."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from smpp_daemon.protocol.constants import MessageState
from smpp_daemon.protocol.pdu import (
    CancelSm,
    CancelSmResp,
    QuerySm,
    QuerySmResp,
    ReplaceSm,
    ReplaceSmResp,
)
from smpp_daemon.protocol.status import ROK, parse_status
from smpp_daemon.protocol.times import format_absolute
from smpp_daemon.simulator.journal import Accepted, Cancelled, Replaced, changed
from smpp_daemon.simulator.post import Post
from smpp_daemon.simulator.receipts import Copy, Delivery
from smpp_daemon.simulator.records import Records
from smpp_daemon.simulator.script import STATES
from smpp_daemon.simulator.statistics import Statistics

_RINVMSGID = parse_status("RINVMSGID")
_RCANCELFAIL = parse_status("RCANCELFAIL")
_RREPLACEFAIL = parse_status("RREPLACEFAIL")


class Operations:
    """Looks messages up where they wait: rare requests pay for the search, ordinary messages for no index."""

    __slots__ = ("_post", "_recent", "_records", "_statistics")

    def __init__(self, post: Post, records: Records, statistics: Statistics, recent: Sequence[Accepted]) -> None:
        self._post = post
        self._records = records
        self._statistics = statistics
        self._recent = recent

    def query(self, system_id: str, pdu: QuerySm) -> tuple[int, QuerySmResp]:
        """ENROUTE while the receipt is owed, its final state for one of the last messages, else RINVMSGID (§4.8)."""
        if self._owed(system_id, pdu.message_id, pdu.source_addr):
            return ROK, QuerySmResp(pdu.message_id, "", MessageState.ENROUTE, 0)
        for message in reversed(self._recent):
            if message.id == pdu.message_id and message.source == pdu.source_addr and message.system_id == system_id:
                done = format_absolute(datetime.fromtimestamp(message.at, UTC))
                state = STATES.get(message.receipt or "DELIVRD", MessageState.UNKNOWN)
                return ROK, QuerySmResp(message.id, done, state, 0)
        return _RINVMSGID, QuerySmResp(pdu.message_id)

    def cancel(self, system_id: str, pdu: CancelSm, now: float) -> tuple[int, CancelSmResp]:
        """One message by its id, or all between two addresses without it (§4.9); their receipts say DELETED, at once.

        RCANCELFAIL when there is none that is still owed a receipt.
        """
        found = [
            (delivery, message)
            for delivery, message in self._owed(system_id, pdu.message_id, pdu.source_addr)
            if pdu.message_id or message.destination == pdu.destination_addr
        ]
        for delivery, message in found:
            change = Cancelled(message.number, time.time())
            self._records.add(change)
            self._statistics.cancelled += 1
            self._post.change(delivery, changed(message, change), now)
        return (ROK if found else _RCANCELFAIL), CancelSmResp()

    def replace(self, system_id: str, pdu: ReplaceSm) -> tuple[int, ReplaceSmResp]:
        """Another text for a message whose receipt is still owed (§4.10), else RREPLACEFAIL."""
        found = self._owed(system_id, pdu.message_id, pdu.source_addr)
        for delivery, message in found:
            change = Replaced(message.number, time.time(), pdu.short_message.hex(), pdu.registered_delivery)
            self._records.add(change)
            self._statistics.replaced += 1
            self._post.change(delivery, changed(message, change))
        return (ROK if found else _RREPLACEFAIL), ReplaceSmResp()

    def _owed(self, system_id: str, message_id: str, source: str) -> list[tuple[Delivery, Accepted]]:
        return [
            (delivery, message)
            for delivery, message in self._receipts(system_id)
            if message.source == source and message_id in ("", message.id)
        ]

    def _receipts(self, system_id: str) -> Iterator[tuple[Delivery, Accepted]]:
        for delivery in self._post.waiting(system_id):
            message = delivery.message
            if delivery.copy is Copy.FINAL and isinstance(message, Accepted):
                yield delivery, message
