"""Collects what an account learns and publishes it as result batches; tells when RabbitMQ has confirmed them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple
from uuid import UUID

from app.domain.messages.events import Inbound, Receipt, ResultBatch, SubmitResult, encode
from app.lib.broker import RESULTS_QUEUE, Outgoing, Publisher
from app.lib.errors import Unavailable
from app.lib.ids import NewId
from app.lib.logging import get_logger
from app.lib.service import backoff
from smpp_daemon.backlog import Item
from smpp_daemon.transport import Connection

log = get_logger(__name__)

BATCH_SIZE = 500
COLLECT_SECONDS = 0.02
QUIET_SECONDS = 0.002
WINDOWFUL = 10
"""Unanswered deliver_sm that, when no more come, are taken for an operator's whole window."""

MAX_PENDING = 10_000
"""Entries that may wait for RabbitMQ. Above it nothing is submitted, so what can still arrive is one window a bind."""

BATCHES_AT_ONCE = 8


class Owed(NamedTuple):
    """A deliver_sm that is answered once it is durable; `key` is its key when it is a message from a contact.

    `number` tells it from every other: some operators number several requests alike.
    """

    connection: Connection
    sequence: int
    key: str | None = None
    number: int = 0


class Confirmed(NamedTuple):
    """What RabbitMQ has stored: messages that are done and PDUs that can be answered."""

    items: list[Item]
    owed: list[Owed]


class Reporter:
    """One for each account: everything of a batch belongs to one channel, and one publish is under way at a time.

    Nothing is ever dropped: while RabbitMQ is away the entries wait, and the same batches (with the same event ids)
    are published again until they are confirmed.
    """

    def __init__(
        self,
        publisher: Publisher,
        account_id: UUID,
        channel_id: UUID,
        new_id: NewId,
        confirmed: Callable[[Confirmed], Awaitable[None]],
    ) -> None:
        self._publisher = publisher
        self._account_id = account_id
        self._channel_id = channel_id
        self._new_id = new_id
        self._confirmed = confirmed
        self._results: list[SubmitResult] = []
        self._receipts: list[Receipt] = []
        self._inbound: list[Inbound] = []
        self._items: list[Item] = []
        self._owed: list[Owed] = []
        self._publishing = 0
        # What the operator's windows seem to hold: learnt, because nobody tells it.
        self._windowful = BATCH_SIZE
        self._some = asyncio.Event()
        self._many = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def pending(self) -> int:
        """Entries that RabbitMQ has not confirmed yet."""
        return len(self._results) + len(self._receipts) + len(self._inbound) + self._publishing

    @property
    def full(self) -> bool:
        """Whether nothing more should be started."""
        return self.pending >= MAX_PENDING

    def result(self, result: SubmitResult, item: Item | None) -> None:
        """The end of an attempt; `item` becomes done when it is confirmed."""
        self._results.append(result)
        if item is not None:
            self._items.append(item)
        self._wake()

    def sent(self, results: list[SubmitResult], items: list[Item]) -> None:
        """Messages that the operator accepted whole."""
        self._results += results
        self._items += items
        self._wake()

    def receipt(self, receipt: Receipt, owed: Owed) -> None:
        """A delivery receipt."""
        self._receipts.append(receipt)
        self._owed.append(owed)
        self._wake()

    def inbound(self, message: Inbound, owed: list[Owed]) -> None:
        """A message from a contact, with every PDU it came in."""
        self._inbound.append(message)
        self._owed += owed
        self._wake()

    def settled(self, items: list[Item]) -> None:
        """Messages of which there is nothing to publish: done with the next batch."""
        self._items += items
        self._wake()

    async def flush(self, seconds: float) -> bool:
        """Wait until everything is confirmed, at most so long; whether it is."""
        self._many.set()
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await self._some.wait()
            await self._collect()
            await self._publish_all()
            if not self.pending and not self._items:
                self._some.clear()
                self._empty.set()
            if self.pending < BATCH_SIZE and len(self._owed) < self._windowful:
                self._many.clear()

    async def _collect(self) -> None:
        """Wait for more: every batch costs its consumer a transaction."""
        loop = asyncio.get_running_loop()
        until = loop.time() + COLLECT_SECONDS
        while not self._many.is_set() and loop.time() < until:
            before = self.pending
            with suppress(TimeoutError):
                async with asyncio.timeout(QUIET_SECONDS):
                    await self._many.wait()
            # The operator's window is used up: it waits for our answers, so waiting for more is waiting for nothing.
            if self.pending == before and len(self._owed) >= WINDOWFUL:
                self._windowful = min(BATCH_SIZE, len(self._owed))
                return

    def _wake(self) -> None:
        self._some.set()
        self._empty.clear()
        if len(self._results) + len(self._receipts) >= BATCH_SIZE or len(self._owed) >= self._windowful:
            self._many.set()

    async def _publish_all(self) -> None:
        items, self._items = self._items, []
        owed, self._owed = self._owed, []
        bodies = self._cut()
        failures = 0
        for start in range(0, len(bodies), BATCHES_AT_ONCE):
            left = bodies[start : start + BATCHES_AT_ONCE]
            while left:
                try:
                    refused = await self._publisher.publish(left)
                except Unavailable as error:
                    failures += 1
                    wait = backoff(failures, most=5.0)
                    if failures in (1, 10) or failures % 100 == 0:
                        log.warning("results wait", reason=error.detail, entries=self.pending)
                    await asyncio.sleep(wait)
                except Exception:
                    # A defect must not end the account's only publisher.
                    failures += 1
                    log.exception("publishing results failed", entries=self.pending)
                    await asyncio.sleep(backoff(failures, most=5.0))
                else:
                    left = [left[each.index] for each in refused]
                    if left:
                        failures += 1
                        log.warning("results are refused", reason=refused[0].reason, entries=self.pending)
                        await asyncio.sleep(backoff(failures, most=5.0))
        self._publishing = 0
        # More came before anything was answered: the windows hold more than was thought.
        self._windowful = min(BATCH_SIZE, self._windowful + len(self._owed))
        await self._confirmed(Confirmed(items, owed))

    def _cut(self) -> list[Outgoing]:
        """Everything collected, as bodies of at most `BATCH_SIZE` entries."""
        results, self._results = self._results, []
        receipts, self._receipts = self._receipts, []
        inbound, self._inbound = self._inbound, []
        self._publishing = len(results) + len(receipts) + len(inbound)
        bodies: list[Outgoing] = []
        while results or receipts or inbound:
            some, results = results[:BATCH_SIZE], results[BATCH_SIZE:]
            room = BATCH_SIZE - len(some)
            more, receipts = receipts[:room], receipts[room:]
            room -= len(more)
            texts, inbound = inbound[:room], inbound[room:]
            event_id = self._new_id()
            batch = ResultBatch(event_id, self._account_id, self._channel_id, some, more, texts)
            bodies.append(Outgoing(RESULTS_QUEUE, encode(batch), str(event_id)))
        return bodies
