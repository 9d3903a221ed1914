"""Outbox → RabbitMQ. The only publisher of what the API accepted.

A row is locked, published, confirmed and deleted in one transaction: killed at any instant, the relay leaves the row
behind and publishes it again, and consumers drop the repetition.
"""

import asyncio
import time

from app.domain.outbox.repository import OUTBOX_CHANNEL, claim_outbox, delete_outbox
from app.lib.broker import Outgoing, Publisher
from app.lib.db import Database
from app.lib.errors import Unavailable
from app.lib.listen import listen
from app.lib.logging import get_logger
from app.lib.metrics import outbox_failures, outbox_published
from app.lib.service import Stop, backoff
from app.lib.tasks import end_tasks

log = get_logger(__name__)

MOST_ROWS = 200
"""Rows in one transaction: each may carry 500 messages."""

QUEUE_SHARE = 50
"""Rows of one queue in one transaction."""

POLL_SECONDS = 0.5
GATHER_SECONDS = 0.01
"""Pause after a round that found some work: under load, fewer and larger transactions; an idle relay never waits."""

BLOCKED_SECONDS = 2.0
"""How long a queue that is full is left alone, so that it delays nobody else's."""


class Relay:
    """One relay; several may run, each row goes to one of them."""

    def __init__(self, database: Database, publisher: Publisher) -> None:
        self._database = database
        self._publisher = publisher
        self._wake = asyncio.Event()
        self._blocked: dict[str, float] = {}

    async def run(self, stop: Stop) -> None:
        """Publish until `stop`; outages of either side are waited out."""
        listener = asyncio.create_task(
            listen(self._database, OUTBOX_CHANNEL, lambda _: self._wake.set()), name="relay-listener"
        )
        stop.needs(listener)
        failures = 0
        try:
            while not stop.requested:
                self._wake.clear()
                try:
                    published = await self.publish_some()
                    failures = 0
                    stop.working("Publishing.")
                except Unavailable as error:
                    failures += 1
                    wait = backoff(failures, most=5.0)
                    log.warning("cannot relay", reason=error.detail, retry_in=round(wait, 2))
                    outbox_failures.labels("unavailable").inc()
                    stop.working(f"Waiting: {error.detail}")
                    await stop.wait(wait)
                    continue
                if published == 0:
                    await stop.wait_or(self._wake, POLL_SECONDS)
                elif published < MOST_ROWS:
                    await stop.wait(GATHER_SECONDS)
        finally:
            await end_tasks(listener)
            await self._publisher.close()

    async def publish_some(self) -> int:
        """Publish what is oldest; returns the number of rows published. Raises `Unavailable`."""
        now = time.monotonic()
        self._blocked = {queue: until for queue, until in self._blocked.items() if until > now}
        async with self._database.unit_of_work() as session:
            rows = await claim_outbox(session, MOST_ROWS, QUEUE_SHARE, list(self._blocked))
            if not rows:
                return 0
            refused = await self._publisher.publish(Outgoing(row.queue, row.body, str(row.event_id)) for row in rows)
            for refusal in refused:
                queue = rows[refusal.index].queue
                outbox_failures.labels(refusal.reason).inc()
                if queue not in self._blocked:
                    log.warning("queue does not take more", queue=queue, reason=refusal.reason)
                self._blocked[queue] = now + BLOCKED_SECONDS
            kept = {refusal.index for refusal in refused}
            done = [row.id for index, row in enumerate(rows) if index not in kept]
            await delete_outbox(session, done)
        outbox_published.inc(len(done))
        return len(done)
