"""Several channels at once, for daemons that share them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
import asyncpg

from app.domain.messages.events import decode_results
from app.lib.broker import RESULTS_QUEUE
from app.settings import Settings
from smpp_daemon.bind_health import BindState
from smpp_daemon.daemon import Daemon
from smpp_daemon.lease import MEMBERS
from tests.smpp.daemon_harness import World


@asynccontextmanager
async def fleet(settings: Settings, count: int) -> AsyncIterator[list[World]]:
    """So many worlds that share a connection each to the database and the broker."""
    connection = await asyncpg.connect(settings.database.url)
    amqp = await aio_pika.connect(settings.broker.url)
    try:
        channel = await amqp.channel()
        worlds = [World(settings, connection, channel) for _ in range(count)]
        by_channel = {world.channel_id: world for world in worlds}

        async def collect(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            batch = decode_results(message.body)
            await message.ack()
            if (world := by_channel.get(batch.channel_id)) is not None:
                world.results.results += batch.results
                world.results.receipts += batch.receipts

        queue = await worlds[0].topology.declare(channel, RESULTS_QUEUE)
        tag = await queue.consume(collect)
        yield worlds
        await queue.cancel(tag)
        for world in worlds:
            await world.close()
    finally:
        await amqp.close()
        await connection.close()


async def daemons_there_are(world: World, count: int) -> None:
    """Wait until so many daemons have announced themselves."""
    async with asyncio.timeout(30):
        while count != await world.database.fetchval(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' AND granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            f" AND objsubid = 2 AND classid = {MEMBERS[0]} AND objid = {MEMBERS[1]}"
        ):
            await asyncio.sleep(0.05)


def serving(daemon: Daemon, worlds: list[World]) -> list[int]:
    """Which of the worlds' channels have a bind up in this daemon."""
    found = {
        account.id for account in daemon.accounts if any(keeper.state is BindState.BOUND for keeper in account.keepers)
    }
    return [number for number, world in enumerate(worlds) if world.channel_id in found]
