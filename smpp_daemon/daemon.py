"""Everything of one daemon process, built once from its settings."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.domain.channels.directory import ChannelDirectory
from app.domain.messages.handover import Handover
from app.lib.broker import Publisher, Topology
from app.lib.crypto import Envelope, parse_keys
from app.lib.db import Database
from app.lib.ids import new_id
from app.lib.logging import get_logger
from app.settings import Settings
from smpp_daemon.account import OperatorAccount, Shared
from smpp_daemon.admin import AdminServer
from smpp_daemon.bind import Delays
from smpp_daemon.bridge import BrokerLink
from smpp_daemon.lease import Leases
from smpp_daemon.status import DaemonStatus, daemon_status
from smpp_daemon.supervisor import Supervisor

log = get_logger(__name__)


class Daemon:
    """`start` returns at once whatever is down; `stop` drains, hands back and unbinds."""

    def __init__(self, settings: Settings, *, delays: Delays | None = None) -> None:
        self._started_at = datetime.now(UTC)
        self._database = Database(
            settings.database.url,
            process="smppd",
            pool_size=settings.database.pool_size,
            connect_timeout=settings.database.connect_timeout_seconds,
            statement_timeout=settings.database.statement_timeout_seconds,
        )
        topology = Topology(settings.broker.queue_max_mebibytes * 2**20)
        self._publisher = Publisher(
            settings.broker.url,
            name="turumba-smppd-results",
            confirm_timeout=settings.broker.confirm_timeout_seconds,
        )
        self._link = BrokerLink(settings.broker.url, topology, name="turumba-smppd")
        self._directory = ChannelDirectory(self._database, Envelope(parse_keys(settings.encryption_keys)))
        self._leases = Leases(self._database, ready=self._leases_ready, lost=self._leases_lost)
        self._supervisor = Supervisor(
            self._directory,
            self._leases,
            Shared(Handover(self._database), self._publisher, self._link, new_id, delays or Delays()),
            poll_seconds=settings.smppd.poll_seconds,
            drain_seconds=settings.smppd.drain_seconds,
        )
        self._admin = AdminServer(Path(settings.smppd.admin_socket), {"status": self._status})
        self._following: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def accounts(self) -> list[OperatorAccount]:
        """The accounts that run here."""
        return self._supervisor.accounts

    async def start(self) -> None:
        """Begin; PostgreSQL and RabbitMQ are waited for. Raises `SocketInUseError`."""
        await self._admin.start()
        self._tasks = [
            asyncio.create_task(self._directory.listen(), name="channel-changes"),
            asyncio.create_task(self._link.run(), name="rabbitmq"),
            asyncio.create_task(self._leases.run(), name="leases"),
        ]
        self._following = asyncio.create_task(self._supervisor.run(), name="supervisor")
        log.info("smppd started")

    async def stop(self) -> None:
        """End in order: accounts first, then what they use."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self._supervisor.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._admin.stop()
        await self._link.close()
        await self._publisher.close()
        await self._leases.close()
        await self._database.close()
        log.info("smppd stopped")

    def status(self) -> DaemonStatus:
        """What `smppctl status` shows."""
        return daemon_status(
            self._supervisor.accounts,
            now=asyncio.get_running_loop().time(),
            started_at=self._started_at,
            database=self._leases.connected,
            rabbitmq=self._link.connected,
        )

    async def _status(self, _: Mapping[str, Any]) -> DaemonStatus:
        return self.status()

    def _leases_ready(self) -> None:
        self._supervisor.look()

    def _leases_lost(self) -> None:
        self._supervisor.leases_lost()
