"""Everything of one daemon process, built once from its settings."""

import asyncio
from pathlib import Path

from app.domain.channels.directory import ChannelDirectory
from app.domain.messages.handover import Handover
from app.lib.broker import Publisher, Topology
from app.lib.crypto import Envelope, parse_keys
from app.lib.db import Database
from app.lib.ids import new_id
from app.lib.logging import get_logger
from app.lib.tasks import end_tasks
from app.settings import Settings
from smpp_daemon.account import OperatorAccount, Shared
from smpp_daemon.admin import AdminServer
from smpp_daemon.bind import Links
from smpp_daemon.bind_pace import BindPace
from smpp_daemon.bridge import BrokerLink
from smpp_daemon.lease import Leases
from smpp_daemon.retry import Delays
from smpp_daemon.server.server import CannotListenError, SmppServer
from smpp_daemon.sharing import Sharing
from smpp_daemon.supervisor import Supervisor
from smpp_daemon.verbs.desk import Desk

log = get_logger(__name__)


class Daemon:
    """`start` returns at once whatever is down; `stop` drains, hands back and unbinds."""

    def __init__(self, settings: Settings, *, delays: Delays | None = None, sharing: Sharing | None = None) -> None:
        sharing = sharing or Sharing()
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
        self._leases = Leases(self._database, ready=self._leases_ready, lost=self._leases_lost, sharing=sharing)
        links = Links(BindPace(settings.smppd.binds_per_second), delays or Delays())
        self._supervisor = Supervisor(
            self._directory,
            self._leases,
            Shared(Handover(self._database), self._publisher, self._link, new_id, links),
            poll_seconds=settings.smppd.poll_seconds,
            drain_seconds=settings.smppd.drain_seconds,
            sharing=sharing,
        )
        self._server: SmppServer | None = None
        if settings.smppd.listen or settings.smppd.listen_tls:
            self._server = SmppServer(
                settings.smppd, self._database, self._directory, self._link, self._publisher, new_id
            )
        self._desk = Desk(
            supervisor=self._supervisor,
            directory=self._directory,
            database=self._database,
            leases=self._leases,
            link=self._link,
            server=lambda: self._server,
            new_id=new_id,
        )
        self._admin = AdminServer(Path(settings.smppd.admin_socket), self._desk.verbs, self._desk.streams)
        self._following: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def accounts(self) -> list[OperatorAccount]:
        """The accounts that run here."""
        return self._supervisor.accounts

    @property
    def server(self) -> SmppServer | None:
        """Where applications bind to us; None unless it was asked for."""
        return self._server

    @property
    def parts(self) -> list["asyncio.Task[None]"]:
        """What runs once it has started, and ends only with it."""
        following = [] if self._following is None else [self._following]
        return self._tasks + following + ([] if self._server is None else self._server.parts)

    async def start(self) -> None:
        """Begin; PostgreSQL and RabbitMQ are waited for. Raises `SocketInUseError` and `CannotListenError`."""
        await self._admin.start()
        if self._server is not None:
            try:
                await self._server.start()
            except CannotListenError:
                await self._admin.stop()
                raise
        self._tasks = [
            asyncio.create_task(self._directory.listen(), name="channel-changes"),
            asyncio.create_task(self._link.run(), name="rabbitmq"),
            asyncio.create_task(self._leases.run(), name="leases"),
            asyncio.create_task(self._desk.run(), name="desk"),
        ]
        self._following = asyncio.create_task(self._supervisor.run(), name="supervisor")
        log.info("smppd started")

    async def stop(self) -> None:
        """End in order: applications and accounts first, then what they use."""
        if self._server is not None:
            await self._server.stop()
        if self._following is not None:
            await end_tasks(self._following)
        await self._supervisor.stop()
        await end_tasks(*self._tasks)
        await self._admin.stop()
        await self._link.close()
        await self._publisher.close()
        await self._leases.close()
        await self._database.close()
        log.info("smppd stopped")

    def _leases_ready(self) -> None:
        self._supervisor.look()

    def _leases_lost(self) -> None:
        self._supervisor.leases_lost()
