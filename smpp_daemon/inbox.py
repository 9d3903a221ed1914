"""What the operator sends to one account: receipts and messages, published before they are answered."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from app.domain.messages.events import Receipt
from app.lib.ids import NewId
from app.lib.logging import get_logger
from connectors.smpp.config import SmppConfig
from smpp_daemon import metrics
from smpp_daemon.inbound import InboundReader, Repetitions, inbound_message
from smpp_daemon.pace import Counters
from smpp_daemon.protocol.events import DeliverReceived
from smpp_daemon.protocol.pdu import AlertNotification
from smpp_daemon.protocol.status import RX_T_APPN
from smpp_daemon.reporter import Owed, Reporter
from smpp_daemon.transport import Connection

log = get_logger(__name__)

MAX_UNPUBLISHED = 15_000
"""Entries waiting for RabbitMQ above which a deliver_sm is refused for now, so that the operator keeps it."""

ANSWER_SECONDS = 8.0
"""How long a deliver_sm waits for RabbitMQ; then it is refused for now, before the operator's own patience ends."""


class _Waiting(NamedTuple):
    """An answer that is owed, and until when (seconds of the loop's clock)."""

    until: float
    owed: Owed


class Inbox:
    """One for each account. `tick` about once a second. A receipt that `intercept` takes goes no further."""

    def __init__(
        self,
        config: SmppConfig,
        reporter: Reporter,
        counters: Counters,
        loop: asyncio.AbstractEventLoop,
        wall: Callable[[], float],
        new_id: NewId,
    ) -> None:
        self.reader = InboundReader(config)
        self.intercept: Callable[[Receipt, Connection, int], bool] | None = None
        self._reporter = reporter
        self._counters = counters
        self._loop = loop
        self._wall = wall
        self._new_id = new_id
        self._repetitions = Repetitions(new_id)
        self._waiting: dict[int, _Waiting] = {}
        self._numbers = 0

    def received(self, connection: Connection, event: DeliverReceived) -> None:
        """A deliver_sm or data_sm."""
        if self._reporter.pending >= MAX_UNPUBLISHED:
            connection.answer_deliver(event.sequence, RX_T_APPN)
            return
        at = self._wall()
        receipt = self.reader.receipt(event.pdu, at)
        if receipt is not None:
            self._counters.receipts += 1
            metrics.receipts.inc()
            if self.intercept is None or not self.intercept(receipt, connection, event.sequence):
                self.forward(receipt, connection, event.sequence)
            return
        self._counters.inbound += 1
        metrics.inbound.inc()
        text = self.reader.text(event.pdu)
        key = self._repetitions.key(text.digest)
        self._reporter.inbound(
            inbound_message(text, key, self._new_id, at), [self._owe(connection, event.sequence, key)]
        )

    def forward(self, receipt: Receipt, connection: Connection, sequence: int) -> None:
        """A receipt that nobody here wanted is published, and its PDU answered afterwards."""
        self._counters.receipt_lag.received(receipt.provider_message_id, self._wall())
        self._reporter.receipt(receipt, self._owe(connection, sequence, None))

    def alert(self, pdu: AlertNotification) -> None:
        """A handset can be reached again (SMPP 3.4 §4.12); nothing here waits for that."""
        metrics.alerts.inc()
        log.info("alert_notification", address=pdu.source_addr, channel=pdu.esme_addr)

    def tick(self) -> None:
        """Refuses for now what waits for RabbitMQ too long; it is published all the same, and known when it is
        repeated.
        """
        now = self._loop.time()
        connections: set[Connection] = set()
        while self._waiting:
            number = next(iter(self._waiting))
            until, owed = self._waiting[number]
            if until > now:
                break
            del self._waiting[number]
            metrics.unanswered_inbound.inc()
            if owed.key is not None:
                self._repetitions.not_answered(owed.key)
            if owed.connection.answer_deliver(owed.sequence, RX_T_APPN):
                connections.add(owed.connection)
        for connection in connections:
            connection.flush()

    def answer(self, owed: list[Owed]) -> None:
        """These are durable now."""
        connections: set[Connection] = set()
        for each in owed:
            if self._waiting.pop(each.number, None) is None:
                continue
            if each.connection.answer_deliver(each.sequence):
                connections.add(each.connection)
            elif each.key is not None:
                self._repetitions.not_answered(each.key)
        for connection in connections:
            connection.flush()

    def _owe(self, connection: Connection, sequence: int, key: str | None) -> Owed:
        self._numbers += 1
        owed = Owed(connection, sequence, key, self._numbers)
        self._waiting[self._numbers] = _Waiting(self._loop.time() + ANSWER_SECONDS, owed)
        return owed
