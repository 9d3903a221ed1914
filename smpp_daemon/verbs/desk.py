"""Every verb there is, by name: what the admin socket can do."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

from app.domain.channels.directory import ChannelDirectory
from app.lib.db import Database
from app.lib.errors import Unavailable
from app.lib.ids import NewId
from app.lib.tasks import end_tasks
from smpp_daemon.account import OperatorAccount
from smpp_daemon.admin import Stream, Verb
from smpp_daemon.bridge import BrokerLink
from smpp_daemon.lease import Leases
from smpp_daemon.queue_depth import QueueDepths
from smpp_daemon.server.status import ServerStatus
from smpp_daemon.supervisor import Supervisor
from smpp_daemon.verbs.channels import Reloading
from smpp_daemon.verbs.looking import Looking
from smpp_daemon.verbs.messages import Messages
from smpp_daemon.verbs.steering import Steering
from smpp_daemon.verbs.testing import Testing
from smpp_daemon.verbs.tracing import Tracing

COUNT_SECONDS = 60.0
"""How often orphans are counted for the metrics."""


class TenantServer(Protocol):
    """Where applications bind to us."""

    def status(self) -> ServerStatus:
        """Its listeners and binds."""


class Desk:
    """Built once from what the daemon is made of, and to be run. `server` gives None while there is none."""

    def __init__(
        self,
        *,
        supervisor: Supervisor,
        directory: ChannelDirectory,
        database: Database,
        leases: Leases,
        link: BrokerLink,
        server: Callable[[], TenantServer | None],
        new_id: NewId,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._leases = leases
        self._link = link
        self._server = server

        def accounts() -> list[OperatorAccount]:
            return supervisor.accounts

        self._depths = QueueDepths(link, lambda: [account.id for account in accounts()], wall)
        self._messages = messages = Messages(accounts, database, new_id)
        looking = Looking(accounts, self, self._depths, messages.count, self._server_status, wall)
        steering = Steering(accounts, looking, wall)
        self.verbs: Mapping[str, Verb] = {
            "status": looking.status,
            "find": looking.find,
            "show": looking.show,
            "errors": looking.errors,
            "server": looking.server,
            "pause": steering.pause,
            "resume": steering.resume,
            "drain": steering.drain,
            "rebind": steering.rebind,
            "set": steering.set,
            "reload": Reloading(accounts, directory, supervisor.look).reload,
            "send": Testing(accounts, new_id).send,
            "query": messages.query,
            "cancel": messages.cancel,
            "orphans": messages.orphans,
            "replay": messages.replay,
        }
        self.streams: Mapping[str, Stream] = {"trace": Tracing(accounts).trace}

    async def run(self) -> None:
        """Look now and then at what only the metrics ask for, until cancelled."""
        depths = asyncio.create_task(self._depths.run(), name="queue-depths")
        try:
            while True:
                await asyncio.sleep(COUNT_SECONDS)
                with suppress(Unavailable):
                    await self._messages.measure()
        finally:
            await end_tasks(depths)

    @property
    def database(self) -> bool:
        """Whether PostgreSQL is connected."""
        return self._leases.connected

    @property
    def rabbitmq(self) -> bool:
        """Whether RabbitMQ is connected."""
        return self._link.connected

    @property
    def others(self) -> int:
        """How many other daemons share the channels."""
        return len(self._leases.peers.others)

    def _server_status(self) -> ServerStatus | None:
        server = self._server()
        return None if server is None else server.status()
