"""PostgreSQL and RabbitMQ of one installation, together; a server named in the environment is left to its owner."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from deploy.local.errors import LocalError
from deploy.local.installation import Installation
from deploy.local.postgres import Postgres
from deploy.local.rabbitmq import RabbitMQ

DATABASE_VARIABLE = "TURUMBA_DATABASE_URL"
BROKER_VARIABLE = "TURUMBA_BROKER_URL"


class Servers:
    """The pair. `given` holds the URLs of servers that already run elsewhere: these are neither started nor stopped."""

    def __init__(self, installation: Installation, given: Mapping[str, str], report: Callable[[str], None]) -> None:
        self.postgres = None if DATABASE_VARIABLE in given else Postgres(installation, report)
        self.rabbitmq = None if BROKER_VARIABLE in given else RabbitMQ(installation, report)
        self._given = given

    @property
    def own(self) -> list[Postgres | RabbitMQ]:
        """Those that are ours to start and stop."""
        return [server for server in (self.postgres, self.rabbitmq) if server is not None]

    @property
    def environment(self) -> dict[str, str]:
        """`TURUMBA_DATABASE_URL` and `TURUMBA_BROKER_URL`; true of our own ones after `prepare`."""
        return {
            DATABASE_VARIABLE: self.postgres.url if self.postgres is not None else self._given[DATABASE_VARIABLE],
            BROKER_VARIABLE: self.rabbitmq.url if self.rabbitmq is not None else self._given[BROKER_VARIABLE],
        }

    async def prepare(self) -> None:
        """End leftovers of an earlier run and settle the ports."""
        await gather_all(*(server.prepare() for server in self.own))

    async def start(self) -> None:
        """Start both at once. When one does not start, the other is stopped and the `LocalError` raised."""
        await self.prepare()
        try:
            await gather_all(*(server.start() for server in self.own))
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop both at once."""
        await asyncio.gather(*(server.stop() for server in self.own))


async def gather_all(*jobs: Coroutine[Any, Any, None]) -> None:
    """Run the jobs together; the first failure cancels the others. A `LocalError` is raised bare, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(job)
    except ExceptionGroup as failures:
        for failure in failures.exceptions:
            if isinstance(failure, LocalError):
                raise failure from None
        raise


def given_servers() -> dict[str, str]:
    """The servers that the environment names for the product."""
    return {name: os.environ[name] for name in (DATABASE_VARIABLE, BROKER_VARIABLE) if os.environ.get(name)}
