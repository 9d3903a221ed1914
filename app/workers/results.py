"""Consumes what senders learnt and applies it, a batch a transaction."""

import msgspec
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitMessage

from app.domain.messages.events import ResultBatch, decode_results
from app.domain.messages.results import apply_results
from app.lib.broker import RESULTS_QUEUE, Topology
from app.lib.db import Database
from app.lib.errors import Unavailable
from app.lib.ids import NewId
from app.lib.logging import get_logger
from app.lib.service import Stop, backoff
from app.workers.topology import rabbit_queue

log = get_logger(__name__)

PREFETCH = 8
"""Batches in hand: one transaction each, so this also bounds the connections in use."""

MAX_DEFECTS = 3


def subscribe_results(broker: RabbitBroker, topology: Topology, database: Database, new_id: NewId, stop: Stop) -> None:
    """Attach the consumer of the results queue to `broker`."""

    @broker.subscriber(
        rabbit_queue(topology.spec(RESULTS_QUEUE)),
        channel=Channel(prefetch_count=PREFETCH),
        ack_policy=AckPolicy.MANUAL,
    )
    async def consume(message: RabbitMessage) -> None:
        try:
            batch = decode_results(message.body)
        except msgspec.DecodeError:
            log.exception("unreadable result batch")
            await message.reject(requeue=False)
            return
        if await _apply(batch, database, new_id, stop):
            await message.ack()
        elif stop.requested:
            await message.nack(requeue=True)
        else:
            await message.reject(requeue=False)


async def _apply(batch: ResultBatch, database: Database, new_id: NewId, stop: Stop) -> bool:
    """Apply until it is done; an outage of the database is waited out here, so that nothing spins in the queue.

    False when the process ends first, or when the batch fails for another reason again and again.
    """
    outages = defects = 0
    while not stop.requested and defects < MAX_DEFECTS:
        try:
            async with database.unit_of_work() as session:
                await apply_results(session, batch, new_id)
        except Unavailable as error:
            outages += 1
            wait = backoff(outages, most=5.0)
            log.warning("cannot apply results", reason=error.detail, retry_in=round(wait, 2))
            await stop.wait(wait)
        except Exception:
            defects += 1
            log.exception("result batch failed", event_id=str(batch.event_id), defects=defects)
            await stop.wait(backoff(defects))
        else:
            return True
    return False
