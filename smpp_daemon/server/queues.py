"""Declares the queues of SMPP accounts, one process at a time."""

from aio_pika.abc import AbstractChannel, AbstractQueue
from sqlalchemy import text

from app.lib.broker import Topology
from app.lib.db import Database

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('turumba:declare', 0))")


class QueueDeclarer:
    """Several daemons may serve one account, and RabbitMQ 3.10 does not survive two that create a queue at once: the
    same lock as the workers' (see `Topology`).
    """

    def __init__(self, database: Database, topology: Topology) -> None:
        self._database = database
        self._topology = topology

    async def declare(self, channel: AbstractChannel, name: str) -> AbstractQueue:
        """Declare one queue. Raises what aio-pika raises, and `Unavailable`."""
        async with self._database.unit_of_work() as session:
            await session.execute(_LOCK)
            return await self._topology.declare(channel, name)
