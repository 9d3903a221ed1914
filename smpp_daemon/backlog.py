"""Dispatch batches in memory: which messages they hold, which of them are done, and what to acknowledge when.

A delivery is acknowledged only after every message of its batch has a confirmed published outcome. Batches are known
by their event id, so whatever RabbitMQ delivers again (a lost connection, a repeated publish) finds its batch here and
only adds one more delivery to acknowledge.
"""

from collections import deque
from collections.abc import Iterable
from typing import Any, Generic, TypeVar
from uuid import UUID

from app.domain.messages.events import DispatchBatch, DispatchMessage, Lane

MAX_PAST = 4096
"""Batches still remembered after they were acknowledged or given back."""

BULK_EVERY = 10
"""Every tenth message comes from `bulk` while both lanes wait, so that it never starves."""

Key = tuple[bytes, int]
"""Message id and attempt."""

NOT_ANSWERED = -1
"""In place of a command_status: the part was written and its deadline passed, or its session was lost."""


class Item:
    """A message on its way. `order` is its place in the line once it is claimed; it keeps it when it must wait again.

    `bodies` has one submit_sm body for each part; `unsent` are the indexes still to be written (again), `waiting`
    counts parts written and not answered, `answers` holds (command_status, operator's id) for each part.
    """

    __slots__ = ("answers", "batch", "bodies", "concluded", "message", "order", "queued", "unsent", "waiting")

    bodies: list[bytes]
    answers: list[tuple[int, str] | None]
    unsent: list[int]

    def __init__(self, message: DispatchMessage, batch: "Batch") -> None:
        # The lists come with `prepare`: hundreds of thousands of items wait in memory only to be made for nothing.
        self.message = message
        self.batch = batch
        self.waiting = 0
        self.order = 0
        self.queued = False
        self.concluded = False

    @property
    def key(self) -> Key:
        """What tells this attempt from every other."""
        return self.message.id, self.message.attempt

    def prepare(self, bodies: list[bytes]) -> None:
        """Takes the PDUs that make up the message."""
        self.bodies = bodies
        if len(bodies) == 1:
            self.answers = [None]
            self.unsent = [0]
        else:
            self.answers = [None] * len(bodies)
            self.unsent = list(range(len(bodies)))

    @property
    def accepted(self) -> bool:
        """Whether the operator took at least one part."""
        return any(answer is not None and answer[0] == 0 for answer in self.answers)

    @property
    def parts(self) -> int:
        """How many PDUs are still to be written."""
        return len(self.unsent)


class Batch:
    """One dispatch event; `open` counts messages without a published outcome, `deliveries` are to be acknowledged."""

    __slots__ = ("delivered_at", "deliveries", "done", "event_id", "items", "lane", "open")

    def __init__(self, event_id: UUID, lane: Lane, delivered_at: float) -> None:
        self.event_id = event_id
        self.lane = lane
        self.delivered_at = delivered_at
        self.deliveries: list[Any] = []
        self.items: list[Item] = []
        self.done: set[Key] = set()
        self.open = 0


D = TypeVar("D")


class Backlog(Generic[D]):
    """The batches of one account and its two lanes of messages that nobody has claimed yet.

    Bounded by the prefetch of the consumers: nothing is taken that was not delivered and unacknowledged. `D` is
    whatever stands for a delivery.
    """

    def __init__(self) -> None:
        self._batches: dict[UUID, Batch] = {}
        self._known: dict[Key, Item] = {}
        self._lanes: dict[Lane, deque[Item]] = {Lane.HIGH: deque(), Lane.BULK: deque()}
        self._past: dict[UUID, frozenset[Key] | None] = {}

    def __len__(self) -> int:
        return len(self._known)

    @property
    def unclaimed(self) -> int:
        """Messages that wait to be claimed."""
        return sum(map(len, self._lanes.values()))

    @property
    def oldest_at(self) -> float | None:
        """When the oldest batch of which something is open was published, in seconds since 1970; None without one."""
        for batch in self._batches.values():
            # The id of a batch is a UUIDv7 and tells its milliseconds (RFC 9562 §5.7).
            return (batch.event_id.int >> 80) / 1000
        return None

    def add(self, event: DispatchBatch, delivery: D, now: float) -> bool:
        """Takes a delivery; False when there is nothing (left) to do for it and it can be acknowledged at once."""
        known = self._batches.get(event.event_id)
        if known is not None:
            known.deliveries.append(delivery)
            known.delivered_at = now
            return True
        done: frozenset[Key] = frozenset()
        if event.event_id in self._past:
            past = self._past[event.event_id]
            if past is None:
                return False
            done = past
        batch = Batch(event.event_id, event.lane, now)
        batch.done.update(done)
        known_items = self._known
        items = batch.items
        for message in event.messages:
            key = (message.id, message.attempt)
            # A copy in another batch is that batch's business.
            if key not in known_items and key not in done:
                known_items[key] = item = Item(message, batch)
                items.append(item)
        self._lanes[event.lane].extend(items)
        batch.open = len(items)
        if not batch.open:
            return False
        batch.deliveries.append(delivery)
        self._batches[event.event_id] = batch
        return True

    def take(self, high: int, bulk: int) -> list[Item]:
        """The next messages to claim: at most so many of each lane, those of `high` first."""
        return self._take_from(Lane.HIGH, high) + self._take_from(Lane.BULK, bulk)

    def waiting(self, lane: Lane) -> int:
        """Messages of a lane that wait to be claimed."""
        return len(self._lanes[lane])

    def _take_from(self, lane: Lane, most: int) -> list[Item]:
        waiting = self._lanes[lane]
        return [waiting.popleft() for _ in range(min(most, len(waiting)))]

    def put_back(self, items: Iterable[Item]) -> None:
        """Messages that are not claimed after all go to the front of their lanes, in the order given."""
        for item in reversed(list(items)):
            self._lanes[item.batch.lane].appendleft(item)

    def done(self, items: Iterable[Item]) -> list[D]:
        """The outcomes of these messages are published: what can be acknowledged now."""
        ready: list[D] = []
        known = self._known
        for item in items:
            batch = item.batch
            message = item.message
            key = (message.id, message.attempt)
            if known.get(key) is not item:
                continue
            del known[key]
            batch.done.add(key)
            batch.open -= 1
            if not batch.open:
                del self._batches[batch.event_id]
                self._remember(batch.event_id, None)
                ready += batch.deliveries
                batch.deliveries = []
                # Items name their batch: a circle would keep all of it until the garbage collector's rare full round.
                batch.items.clear()
        return ready

    def forget_deliveries(self) -> None:
        """The AMQP channel is gone: nothing can be acknowledged on it, and everything open is delivered again."""
        for batch in self._batches.values():
            batch.deliveries.clear()

    def stale_deliveries(self, before: float) -> list[D]:
        """Deliveries of batches that were last delivered before that moment; they are no longer kept here."""
        stale: list[D] = []
        for batch in self._batches.values():
            if batch.delivered_at < before and batch.deliveries:
                stale += batch.deliveries
                batch.deliveries = []
        return stale

    def give_back(self) -> list[D]:
        """Forgets every unclaimed message and returns the deliveries to hand back to the broker.

        What was done of those batches is remembered, for when they are delivered again. Only batches of which nothing
        else is open are given back; call it when no message is claimed and all outcomes are published.
        """
        waiting: dict[UUID, int] = {}
        for lane in self._lanes.values():
            for item in lane:
                waiting[item.batch.event_id] = waiting.get(item.batch.event_id, 0) + 1
        returned: list[D] = []
        gone: set[UUID] = set()
        for event_id, count in waiting.items():
            batch = self._batches[event_id]
            if count != batch.open:
                continue
            gone.add(event_id)
            del self._batches[event_id]
            for item in batch.items:
                if self._known.get(item.key) is item:
                    del self._known[item.key]
            if batch.done:
                self._remember(event_id, frozenset(batch.done))
            returned += batch.deliveries
            batch.items.clear()
        for lane in self._lanes.values():
            kept = [item for item in lane if item.batch.event_id not in gone]
            lane.clear()
            lane.extend(kept)
        return returned

    def _remember(self, event_id: UUID, done: frozenset[Key] | None) -> None:
        self._past[event_id] = done
        while len(self._past) > MAX_PAST:
            del self._past[next(iter(self._past))]
