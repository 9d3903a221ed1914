"""What the operator sends to one account: receipts and messages, published before they are answered."""

import asyncio
from collections.abc import Callable

from app.lib.ids import NewId
from smpp_daemon import metrics
from smpp_daemon.inbound import Reassembly, Repetitions, Whole, inbound_message, read_receipt, read_text
from smpp_daemon.pace import Counters
from smpp_daemon.protocol.events import DeliverReceived
from smpp_daemon.protocol.status import RX_T_APPN
from smpp_daemon.reporter import Owed, Reporter
from smpp_daemon.transport import Connection

MAX_UNPUBLISHED = 15_000
"""Entries waiting for RabbitMQ above which a deliver_sm is refused for now, so that the operator keeps it."""


class Inbox:
    """One for each account. `tick` about once a second."""

    def __init__(
        self,
        reporter: Reporter,
        counters: Counters,
        loop: asyncio.AbstractEventLoop,
        wall: Callable[[], float],
        new_id: NewId,
    ) -> None:
        self._reporter = reporter
        self._counters = counters
        self._loop = loop
        self._wall = wall
        self._new_id = new_id
        self._repetitions = Repetitions(new_id)
        self._parts: Reassembly[Owed] = Reassembly()

    def received(self, connection: Connection, event: DeliverReceived) -> None:
        """A deliver_sm or data_sm."""
        if self._reporter.pending >= MAX_UNPUBLISHED:
            connection.answer_deliver(event.sequence, RX_T_APPN)
            return
        at = self._wall()
        receipt = read_receipt(event.pdu, at)
        if receipt is not None:
            self._counters.receipts += 1
            metrics.receipts.inc()
            self._reporter.receipt(receipt, Owed(connection, event.sequence))
            return
        self._counters.inbound += 1
        metrics.inbound.inc()
        text = read_text(event.pdu)
        owed = Owed(connection, event.sequence)
        if text.total == 1:
            self._publish(Whole(text, [owed]))
            return
        for whole in self._parts.add(text, owed, self._loop.time()):
            self._publish(whole)

    def tick(self) -> None:
        """What time alone brings: parts that must be answered, messages that stay incomplete."""
        now = self._loop.time()
        for owed in self._parts.overdue_answers(now):
            if owed.connection.answer_deliver(owed.sequence):
                owed.connection.flush()
        for whole in self._parts.due(now):
            self._publish(whole)

    def end(self) -> None:
        """Publish what the operator believes to be delivered."""
        for whole in self._parts.end():
            self._publish(whole)

    def answer(self, owed: list[Owed]) -> None:
        """These are durable now."""
        connections: set[Connection] = set()
        for each in owed:
            if each.connection.answer_deliver(each.sequence):
                connections.add(each.connection)
            elif each.key is not None:
                self._repetitions.not_answered(each.key)
        for connection in connections:
            connection.flush()

    def _publish(self, whole: Whole[Owed]) -> None:
        key = self._repetitions.key(whole.text.digest)
        owed = [each._replace(key=key) for each in whole.answers]
        self._reporter.inbound(inbound_message(whole.text, key, self._new_id, self._wall()), owed)
