"""Is this process alive, can it work, and how is it doing."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal
from urllib.parse import urlsplit

import msgspec
from litestar import Controller, MediaType, Response, get
from litestar.di import NamedDependency

from app.api.deps import Container
from app.domain.contacts.stores.opening import is_mongo
from app.lib import metrics
from app.lib.errors import Unavailable

State = Literal["up", "down"]


class Health(msgspec.Struct):
    """`status` is down only when messages cannot be accepted; RabbitMQ being down only delays them."""

    status: State
    dependencies: dict[str, State]


class HealthController(Controller):
    """Probes and metrics, open to whoever reaches this port."""

    path = "/"
    tags = ["health"]
    opt = {"public": True, "unlimited": True}

    @get("/health/live", operation_id="GetLiveness", summary="The process answers")
    async def live(self) -> Health:
        """Nothing but this process is asked."""
        return Health("up", {})

    @get(
        "/health/ready",
        operation_id="GetReadiness",
        summary="Each dependency and its state",
        opt={"answers": {503: Health}},
    )
    async def ready(self, container: NamedDependency[Container]) -> Response[Health]:
        """503 while the database is down; a broker that is down is named, but messages are accepted and sent later.

        `contacts` is named where contacts are in a database of their own: messages to addresses go on without it.
        """
        database, broker = await asyncio.gather(_answers(container.database.ping), _broker(container))
        dependencies = {"database": database, "broker": broker}
        if is_mongo(container.settings.contacts.url):
            dependencies["contacts"] = await _answers(container.contact_stores.ping)
        health = Health(database, dependencies)
        return Response(health, status_code=200 if database == "up" else 503)

    @get("/metrics", media_type=MediaType.TEXT, include_in_schema=False)
    async def metrics(self) -> Response[bytes]:
        """Prometheus exposition of all workers of this API."""
        return Response(metrics.render(), media_type=metrics.CONTENT_TYPE)


async def _answers(ping: Callable[[], Awaitable[None]]) -> State:
    try:
        async with asyncio.timeout(3):
            await ping()
    except (Unavailable, TimeoutError):
        return "down"
    return "up"


async def _broker(container: Container) -> State:
    url = urlsplit(container.settings.broker.url)
    default_port = 5671 if url.scheme == "amqps" else 5672
    try:
        async with asyncio.timeout(2):
            _, writer = await asyncio.open_connection(url.hostname, url.port or default_port)
            writer.close()
            await writer.wait_closed()
    except (OSError, TimeoutError):
        return "down"
    return "up"
