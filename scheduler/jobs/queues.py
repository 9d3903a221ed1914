"""Looks for queues that hold messages while nobody consumes them: how a consumer that silently went away shows."""

from contextlib import suppress

from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity
from sqlalchemy import text

from app.domain.messages.events import Lane
from app.lib.broker import RESULTS_QUEUE, connect_broker, dispatch_queue, unavailable_broker
from app.lib.db import Database
from app.lib.errors import Unavailable
from app.lib.logging import get_logger
from app.lib.metrics import queues_without_consumer

log = get_logger(__name__)

CONNECT_SECONDS = 10.0
CALL_SECONDS = 10.0

# Only an active channel must be consumed: a paused one is not, nor is any of a suspended account, and a sender without
# a bind takes nothing either.
_ACTIVE = text(
    """
    SELECT c.id FROM channels c JOIN accounts a ON a.id = c.account_id
    WHERE c.status = 'active' AND c.deleted_at IS NULL AND NOT a.suspended ORDER BY c.id
    """
)


class QueueWatch:
    """Asks RabbitMQ about the results queue and the queues of all active channels, on a connection for each look.

    A queue is deserted when two looks in a row found messages in it and no consumer, so that a consumer that moves to
    another process is no alarm. The gauge `turumba_queues_without_consumer` counts them, the log names them once.
    """

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url
        self._suspects: set[str] = set()
        self._deserted: set[str] = set()

    async def find_deserted(self, database: Database) -> None:
        """Look once. Raises `Unavailable`."""
        async with database.reading() as session:
            channels = (await session.execute(_ACTIVE)).scalars().all()
        names = [RESULTS_QUEUE, *(dispatch_queue(channel, lane) for channel in channels for lane in Lane)]
        with unavailable_broker():
            connection = await connect_broker(self._broker_url, name="turumba-scheduler", seconds=CONNECT_SECONDS)
            try:
                found = await _unconsumed(connection, names)
            finally:
                with suppress(Unavailable), unavailable_broker():
                    await connection.close()
        deserted = set(found) & self._suspects
        for name in sorted(deserted - self._deserted):
            log.warning("queue has messages and no consumer", queue=name, messages=found[name])
        for name in sorted(self._deserted - deserted):
            log.info("queue is no longer deserted", queue=name)
        self._suspects, self._deserted = set(found), deserted
        queues_without_consumer.set(len(deserted))

    def forget(self) -> None:
        """Somebody else looks now."""
        self._suspects.clear()
        self._deserted.clear()
        queues_without_consumer.set(0)


async def _unconsumed(connection: AbstractConnection, names: list[str]) -> dict[str, int]:
    """Those with ready messages and no consumer, and how many messages. Queues that do not exist hold nothing."""
    found = {}
    channel = await connection.channel()
    for name in names:
        try:
            queue = await channel.declare_queue(name, passive=True, timeout=CALL_SECONDS)
        except ChannelNotFoundEntity:
            # RabbitMQ closes the channel that asked for a queue that is not there (AMQP 0-9-1, queue.declare).
            channel = await connection.channel()
            continue
        answer = queue.declaration_result
        if answer.message_count and not answer.consumer_count:
            found[name] = answer.message_count
    return found
