"""The way out: receipts and mobile-originated messages wait here for their time, for a session, and for its answer."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import TYPE_CHECKING

import msgspec

from smpp_daemon.simulator.accounts import Accounts
from smpp_daemon.simulator.answers import Answer, Malformations, Waiting
from smpp_daemon.simulator.journal import Accepted, Acknowledged, Originated, OriginatedAcknowledged
from smpp_daemon.simulator.originated import originated_body
from smpp_daemon.simulator.receipts import Copy, Delivery, Mailbox, ReceiptWriter, receipt_body
from smpp_daemon.simulator.records import Records
from smpp_daemon.simulator.script import Script
from smpp_daemon.simulator.statistics import Statistics

if TYPE_CHECKING:
    from smpp_daemon.simulator.connection import Connection


class Post:
    """Mailboxes by system_id. `arm` is asked to call `wake` at a moment of the loop's clock."""

    def __init__(
        self,
        accounts: Accounts,
        records: Records,
        statistics: Statistics,
        random: Random,
        arm: Callable[[float], None],
    ) -> None:
        self._accounts = accounts
        self._records = records
        self._statistics = statistics
        self._random = random
        self._arm = arm
        self._mailboxes: dict[str, Mailbox] = {}
        self._held: dict[int, tuple[Answer, float]] = {}
        self._avoids = False
        self.answers = Waiting()
        self.follow(Script())

    def follow(self, script: Script) -> None:
        """From now on deliveries look as `script` says."""
        self._writer = ReceiptWriter(script.receipts)
        self._malformations = Malformations(script.malformed)

    # -- what is owed ---------------------------------------------------------------------------------------------

    def owe(self, message: Accepted, due: float) -> None:
        """The receipt of a message, once."""
        self._statistics.owed += 1
        self.put(Delivery(message), due)

    def originate(self, part: Originated, due: float, duplicate: bool = False) -> None:
        """One deliver_sm of a mobile-originated message."""
        if not duplicate:
            self._statistics.waiting += 1
        self.put(Delivery(part, Copy.DUPLICATE if duplicate else Copy.FINAL), due)

    def put(self, delivery: Delivery, due: float) -> None:
        """Anything for a session of its account, from `due` on."""
        self._avoids = self._avoids or delivery.avoid != 0
        system_id = delivery.message.system_id
        mailbox = self._mailboxes.get(system_id)
        if mailbox is None:
            mailbox = self._mailboxes[system_id] = Mailbox()
        mailbox.put(delivery, due)
        self._arm(due)

    def hold(self, message: Accepted, answer: Answer, delay: float) -> None:
        """The answer follows, `delay` seconds after a receipt of `message` went out."""
        self._held[message.number] = (answer, delay)

    def answer_at(self, answer: Answer, due: float) -> None:
        """The answer is given at `due` if its connection is still there."""
        self.answers.put(answer, due)
        self._arm(due)

    def waiting(self, system_id: str) -> Iterator[Delivery]:
        """Deliveries of an account that are in no session's window."""
        return iter(self._mailboxes.get(system_id, ()))

    def change(self, old: Delivery, message: Accepted, due: float | None = None) -> None:
        """Another message in the place of one that waits, and at another time if `due` says so."""
        self._mailboxes[message.system_id].replace(old, msgspec.structs.replace(old, message=message), due)
        if due is not None:
            self._arm(due)

    # -- what becomes of it ---------------------------------------------------------------------------------------

    def acknowledged(self, deliveries: Sequence[Delivery]) -> None:
        """The ESME took these."""
        statistics, records = self._statistics, self._records
        at = time.time()
        for delivery in deliveries:
            message, copy = delivery.message, delivery.copy
            if isinstance(message, Originated):
                if copy is Copy.FINAL:
                    statistics.messages_acknowledged += 1
                    statistics.waiting -= 1
                if records.on:
                    records.add(OriginatedAcknowledged(message.number, at, str(copy)))
                continue
            statistics.receipts_acknowledged += 1
            if copy is Copy.FINAL:
                statistics.owed -= 1
            if records.on:
                records.add(Acknowledged(message.id, at, message.number, str(copy)))

    def refused(self, deliveries: Sequence[Delivery], delay: float) -> None:
        """The ESME refused these or did not answer: again after `delay` seconds."""
        for delivery in deliveries:
            if isinstance(delivery.message, Originated):
                self._statistics.messages_refused += 1
            else:
                self._statistics.receipts_refused += 1
        self.take_back(deliveries, delay)

    def take_back(self, deliveries: Sequence[Delivery], delay: float = 0.0) -> None:
        """These were sent and not acknowledged: they are tried again after `delay` seconds."""
        if not deliveries:
            return
        due = asyncio.get_running_loop().time() + delay
        for delivery in deliveries:
            self.put(delivery, due)

    def pump(self, system_id: str, now: float) -> None:
        """Sends what is due to the sessions that have room."""
        mailbox = self._mailboxes.get(system_id)
        receivers = self._accounts.receivers(system_id)
        if mailbox is None or not receivers:
            return
        for connection in list(receivers):
            due = mailbox.take_due(now, connection.room)
            if due and self._avoids and len(receivers) > 1:
                due = self._set_aside(mailbox, due, connection, now)
            if due:
                self._deliver(connection, due, now)
        if not mailbox:
            del self._mailboxes[system_id]
            return
        # Sessions rotate so that several binds share the load; a full one is pumped again by its own answers.
        if receivers:
            receivers.append(receivers.pop(0))
        next_due = mailbox.next_due()
        if next_due is not None and next_due > now:
            self._arm(next_due)

    def wake(self, now: float) -> "set[Connection]":
        """Everything whose time has come; the connections that must be flushed."""
        touched: set[Connection] = set()
        for answer in self.answers.take_due(now):
            if answer.connection.answerable:
                answer.give()
                touched.add(answer.connection)
        next_due = self.answers.next_due()
        if next_due is not None:
            self._arm(next_due)
        for system_id in list(self._mailboxes):
            self.pump(system_id, now)
        return touched

    # -- inside ---------------------------------------------------------------------------------------------------

    def _set_aside(self, mailbox: Mailbox, due: list[Delivery], connection: "Connection", now: float) -> list[Delivery]:
        kept: list[Delivery] = []
        for delivery in due:
            if delivery.avoid == connection.number:
                mailbox.put(delivery, now)
            else:
                kept.append(delivery)
        return kept

    def _deliver(self, connection: "Connection", due: list[Delivery], now: float) -> None:
        done_at = time.time()
        bodies: list[bytes] = []
        first = 0
        for place, delivery in enumerate(due):
            if delivery.data_sm and isinstance(delivery.message, Accepted):
                connection.deliver(bodies, due[first:place], now)
                bodies, first = [], place + 1
                connection.deliver_data(self._writer.data_sm(delivery, delivery.message, done_at), delivery, now)
            else:
                bodies.append(self._body(delivery, done_at))
        connection.deliver(bodies, due[first:], now)
        connection.flush()
        self._count(due)
        if self._held:
            self._release(due, now)

    def _body(self, delivery: Delivery, done_at: float) -> bytes:
        message = delivery.message
        if isinstance(message, Originated):
            body = originated_body(message)
        elif self._writer.plain and delivery.copy is not Copy.INTERMEDIATE:
            body = receipt_body(message, done_at)
        else:
            body = self._writer.deliver_sm(delivery, message, done_at)
        return self._malformations.message(body, self._random) if self._malformations else body

    def _count(self, due: Sequence[Delivery]) -> None:
        originated = sum(isinstance(delivery.message, Originated) for delivery in due)
        self._statistics.messages_sent += originated
        self._statistics.receipts_sent += len(due) - originated

    def _release(self, due: Sequence[Delivery], now: float) -> None:
        touched: set[Connection] = set()
        for delivery in due:
            held = self._held.pop(delivery.message.number, None)
            if held is None:
                continue
            answer, delay = held
            if delay:
                self.answers.put(answer, now + delay)
                self._arm(now + delay)
            elif answer.connection.answerable:
                answer.give()
                touched.add(answer.connection)
        for connection in touched:
            connection.flush()
