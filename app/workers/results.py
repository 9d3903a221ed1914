"""Consumes what senders learnt and applies it: what waits for one channel, in one transaction."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import msgspec
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitMessage

from app.domain.messages.events import ResultBatch, decode_results
from app.domain.messages.people import People
from app.domain.messages.results import apply_results
from app.lib.broker import RESULTS_QUEUE, Topology
from app.lib.db import Database
from app.lib.errors import Unavailable
from app.lib.ids import NewId
from app.lib.logging import get_logger
from app.lib.service import Stop, backoff
from app.workers.topology import as_it_is, rabbit_queue

log = get_logger(__name__)

PREFETCH = 100
"""Batches in hand."""

MOST_ENTRIES = 5_000
"""Results, receipts and messages in one transaction, unless one batch has more."""

GATHER_SECONDS = 0.1
"""From one transaction of a channel to the next, at least: of a channel that is not busy each would have a few only."""

CHANNELS_AT_ONCE = 6
"""Transactions at once, so that connections are left for others."""

MAX_DEFECTS = 3


def subscribe_results(
    broker: RabbitBroker, topology: Topology, database: Database, people: People, new_id: NewId, stop: Stop
) -> None:
    """Attach the consumer of the results queue to `broker`."""
    lines = ResultLines(database, people, new_id, stop)

    @broker.subscriber(
        rabbit_queue(topology.spec(RESULTS_QUEUE)),
        channel=Channel(prefetch_count=PREFETCH),
        ack_policy=AckPolicy.MANUAL,
        decoder=as_it_is,
    )
    async def consume(message: RabbitMessage) -> None:
        try:
            batch = decode_results(message.body)
        except msgspec.DecodeError:
            log.exception("unreadable result batch")
            await message.reject(requeue=False)
            return
        if await lines.apply(batch):
            await message.ack()
        elif stop.requested:
            await message.nack(requeue=True)
        else:
            await message.reject(requeue=False)


Line = list[tuple[ResultBatch, "asyncio.Future[bool]"]]


class ResultLines:
    """Batches in line to be applied, one line a channel.

    The batches of a channel are applied one after the other anyway, so those that come while one transaction runs are
    the next one's: the busier a channel is, the larger its sets become.
    """

    def __init__(self, database: Database, people: People, new_id: NewId, stop: Stop) -> None:
        self._database = database
        self._people = people
        self._new_id = new_id
        self._stop = stop
        self._lines: dict[tuple[UUID, UUID], Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(CHANNELS_AT_ONCE)

    async def apply(self, batch: ResultBatch) -> bool:
        """Wait until the batch is applied; an outage of the database is waited out, so that nothing spins in the queue.

        False when the process ends first, or when the batch fails for another reason again and again.
        """
        key = (batch.account_id, batch.channel_id)
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = []
            task = asyncio.create_task(self._work_off(key, line), name=f"results-{batch.channel_id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        line.append((batch, done))
        return await done

    async def _work_off(self, key: tuple[UUID, UUID], line: Line) -> None:
        loop = asyncio.get_running_loop()
        while line:
            begun = loop.time()
            some = _first_of(line)
            async with self._room:
                applied = await self._apply([batch for batch, _ in some])
            for (_, done), success in zip(some, applied, strict=True):
                done.set_result(success)
            del line[: len(some)]
            # Whatever comes meanwhile waits for it together.
            await asyncio.sleep(max(0.0, begun + GATHER_SECONDS - loop.time()))
        del self._lines[key]

    async def _apply(self, batches: Sequence[ResultBatch]) -> list[bool]:
        """Whether each was applied."""
        outages = defects = 0
        while not self._stop.requested and defects < MAX_DEFECTS:
            try:
                async with self._database.unit_of_work() as session:
                    await apply_results(session, batches, self._new_id, self._people)
            except Unavailable as error:
                outages += 1
                wait = backoff(outages, most=5.0)
                log.warning("cannot apply results", reason=error.detail, retry_in=round(wait, 2))
                await self._stop.wait(wait)
            except Exception:
                if len(batches) > 1:
                    # Whichever it is must not take the others with it.
                    return [(await self._apply([batch]))[0] for batch in batches]
                defects += 1
                log.exception("result batch failed", event_id=str(batches[0].event_id), defects=defects)
                await self._stop.wait(backoff(defects))
            else:
                return [True] * len(batches)
        return [False] * len(batches)


def _first_of(line: Line) -> Line:
    """The batches at the front that fit into one transaction, one at least."""
    entries = 0
    for place, (batch, _) in enumerate(line):
        entries += len(batch.results) + len(batch.receipts) + len(batch.inbound)
        if entries > MOST_ENTRIES and place:
            return line[:place]
    return line[:]
