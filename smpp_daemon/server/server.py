"""The SMPP server: tenants' applications bind to us, submit, and receive receipts and messages of contacts.

`SmppServer.status()` is a `ServerStatus` (`smpp_daemon.server.status`): listeners, and binds with `system_id`, `mode`,
`peer`, `since`, what is unanswered either way, and what was submitted, refused, throttled and delivered.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from app.domain.channels.directory import ChannelDirectory
from app.domain.smpp_accounts.credentials import bind_passwords
from app.domain.smpp_accounts.directory import SmppAccountDirectory
from app.domain.smpp_accounts.gateway import SmppGateway
from app.lib.broker import Publisher
from app.lib.clock import utc_now
from app.lib.db import Database
from app.lib.errors import Unavailable
from app.lib.ids import NewId
from app.lib.logging import get_logger
from app.lib.tasks import end_tasks
from app.settings import SmppdSettings
from smpp_daemon.bridge import BrokerLink
from smpp_daemon.protocol.constants import BindMode
from smpp_daemon.protocol.pdu import BindRequest
from smpp_daemon.protocol.session import SmscConfig
from smpp_daemon.protocol.status import RINVSYSID, RSYSERR
from smpp_daemon.protocol.throttle import Throttle
from smpp_daemon.protocol.timers import TimerSettings
from smpp_daemon.server import metrics
from smpp_daemon.server.account import ServedAccount
from smpp_daemon.server.connection import ServedConnection
from smpp_daemon.server.desk import Desk
from smpp_daemon.server.door import Door
from smpp_daemon.server.listeners import Certificate, split_address
from smpp_daemon.server.queues import QueueDeclarer
from smpp_daemon.server.refusals import RefusedError
from smpp_daemon.server.slots import BindSlots
from smpp_daemon.server.status import ListenerStatus, ServerStatus

log = get_logger(__name__)

SYSTEM_ID = "turumba"
MAX_CONNECTIONS = 5000
MAX_UNBOUND = 500
"""Connections that have not bound yet: whoever opens more is cut off, and no memory goes into them."""

MAX_THROTTLES = 10_000
HARD_INBOUND_LIMIT = 10_000
TOUCH_SECONDS = 60.0
UNBIND_SECONDS = 5.0
TLS_HANDSHAKE_SECONDS = 10.0
BACKLOG = 512


class CannotListenError(Exception):
    """An address or a certificate cannot be used; the text says which."""


class _Held(NamedTuple):
    account_id: UUID
    slot: int
    mode: str


class SmppServer:
    """Runs inside the daemon when it is told where to listen. `start`, then `stop`."""

    def __init__(
        self,
        settings: SmppdSettings,
        database: Database,
        channels: ChannelDirectory,
        link: BrokerLink,
        publisher: Publisher,
        new_id: NewId,
    ) -> None:
        self._settings = settings
        self._publisher = publisher
        self._new_id = new_id
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._directory = SmppAccountDirectory(database)
        self._gateway = SmppGateway(database, channels, utc_now, new_id)
        self._slots = BindSlots(database)
        self._door = Door(self._directory, self._slots, bind_passwords(), self._loop.time)
        self._queues = QueueDeclarer(database, link.topology)
        self.desk = Desk(self._gateway, utc_now)
        self._connections: set[ServedConnection] = set()
        self._unbound: set[ServedConnection] = set()
        self._accounts: dict[UUID, ServedAccount] = {}
        self._held: dict[ServedConnection, _Held] = {}
        self._throttles: OrderedDict[UUID, Throttle] = OrderedDict()
        self._listeners: list[tuple[asyncio.Server, bool]] = []
        self._certificate: Certificate | None = None
        self._changed = asyncio.Event()
        self._moved = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._ending: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._config = SmscConfig(
            "application",
            SYSTEM_ID,
            window=1,
            inbound_limit=HARD_INBOUND_LIMIT,
            timers=TimerSettings(
                enquire_link_interval=settings.listen_enquire_link_seconds,
                response=settings.listen_response_seconds,
                inactivity=settings.listen_inactivity_seconds or None,
            ),
        )

    async def start(self) -> None:
        """Listen; the database and RabbitMQ are waited for. Raises `CannotListenError`."""
        settings = self._settings
        addresses = [
            (address, tls) for address, tls in ((settings.listen, False), (settings.listen_tls, True)) if address
        ]
        if settings.listen_tls:
            files = Path(settings.listen_certificate), Path(settings.listen_key)
            try:
                self._certificate = await asyncio.to_thread(Certificate, *files)
            except (OSError, ValueError) as error:
                raise CannotListenError(
                    f"TURUMBA_SMPPD_LISTEN_TLS needs a certificate and a key in TURUMBA_SMPPD_LISTEN_CERTIFICATE and"
                    f" TURUMBA_SMPPD_LISTEN_KEY: {error}"
                ) from error
        for address, tls in addresses:
            try:
                await self._listen(address, tls)
            except (OSError, ValueError) as error:
                for listener, _ in self._listeners:
                    listener.close()
                raise CannotListenError(f"Applications cannot be listened for on {address}: {error}") from error
        self._gateway.start()
        self._tasks = [
            asyncio.create_task(self._directory.listen(self._changed.set), name="smpp-account-changes"),
            asyncio.create_task(self._slots.run(), name="smpp-bind-slots"),
            asyncio.create_task(self._follow(), name="smpp-accounts"),
        ]

    @property
    def parts(self) -> list["asyncio.Task[None]"]:
        """What runs once it has started, and ends only with it."""
        return self._tasks

    async def stop(self) -> None:
        """Take nothing more, answer what is being stored, unbind, close."""
        self._stopping = True
        for listener, _ in self._listeners:
            listener.close()
        for connection in self._connections:
            connection.drain()
        await self._until(lambda: all(each.idle for each in self._connections), self._settings.drain_seconds)
        await asyncio.gather(*(account.stop() for account in self._accounts.values()))
        for connection in tuple(self._connections):
            connection.end("the server stops")
        await self._until(lambda: not self._connections, UNBIND_SECONDS)
        for connection in tuple(self._connections):
            connection.abort()
        await self._until(lambda: not self._connections, UNBIND_SECONDS)
        await self._gateway.stop()
        await end_tasks(*self._tasks)
        await asyncio.gather(*self._ending, return_exceptions=True)
        await self._slots.close()

    def status(self) -> ServerStatus:
        """What `smppctl server` shows."""
        expires = self._certificate.expires_at if self._certificate is not None else None
        listeners = []
        for server, tls in self._listeners:
            for socket in server.sockets:
                host, port = socket.getsockname()[:2]
                listeners.append(ListenerStatus(f"{host}:{port}", tls, expires if tls else None))
        binds = [bind for each in self._connections if (bind := each.status()) is not None]
        return ServerStatus(
            listeners=listeners,
            connections=len(self._connections),
            waiting=sum(account.mailbox.waiting for account in self._accounts.values()),
            binds=sorted(binds, key=lambda bind: (bind.system_id, bind.since, bind.peer)),
        )

    @property
    def ports(self) -> list[int]:
        """Ports it listens on, plain before TLS."""
        return [int(server.sockets[0].getsockname()[1]) for server, _ in self._listeners]

    # -- for connections ------------------------------------------------------------------------------------------

    def opened(self, connection: ServedConnection) -> bool:
        """See `Host`."""
        if self._stopping or len(self._connections) >= MAX_CONNECTIONS or len(self._unbound) >= MAX_UNBOUND:
            return False
        self._connections.add(connection)
        self._unbound.add(connection)
        return True

    async def admit(self, connection: ServedConnection, request: BindRequest) -> ServedAccount:
        """See `Host`."""
        if self._stopping:
            raise RefusedError(RSYSERR)
        admitted = await self._door.admit(request, connection.address)
        record = admitted.account
        if connection not in self._connections or self._stopping:
            await self._door.release(record.id, admitted.slot)
            raise RefusedError(RINVSYSID)
        try:
            # Before the first message can come: receipts are kept for accounts that were bound.
            await self._directory.touch([record.id])
        except Unavailable as error:
            await self._door.release(record.id, admitted.slot)
            raise RefusedError(RSYSERR) from error
        if connection not in self._connections or self._stopping:
            await self._door.release(record.id, admitted.slot)
            raise RefusedError(RINVSYSID)
        account = self._accounts.get(record.id)
        if account is None:
            account = self._accounts[record.id] = ServedAccount(
                record,
                self._link,
                self._publisher,
                self._queues,
                self._new_id,
                self._throttles.pop(record.id, None),
                self._loop.time(),
            )
        else:
            account.update(record, self._loop.time())
        account.connections.add(connection)
        connection.admitted = record
        mode = BindMode(request.mode).name.lower()
        self._held[connection] = _Held(record.id, admitted.slot, mode)
        self._unbound.discard(connection)
        metrics.binds.labels(mode).inc()
        log.info("application bound", system_id=record.system_id, mode=mode, peer=connection.peer)
        return account

    def moved(self) -> None:
        """See `Host`."""
        self._moved.set()

    def closed(self, connection: ServedConnection) -> None:
        """See `Host`."""
        self._moved.set()
        self._connections.discard(connection)
        self._unbound.discard(connection)
        held = self._held.pop(connection, None)
        if held is None:
            return
        account = self._accounts[held.account_id]
        account.connections.discard(connection)
        metrics.binds.labels(held.mode).dec()
        log.info("application unbound", system_id=account.record.system_id, peer=connection.peer)
        self._end(self._door.release(held.account_id, held.slot))
        if not account.connections:
            del self._accounts[held.account_id]
            self._end(account.stop())
            if account.throttle is not None:
                self._throttles[held.account_id] = account.throttle
                while len(self._throttles) > MAX_THROTTLES:
                    self._throttles.popitem(last=False)

    # -- inside ---------------------------------------------------------------------------------------------------

    async def _listen(self, address: str, tls: bool) -> None:
        host, port = split_address(address)
        context = self._certificate.context if tls and self._certificate is not None else None
        server = await self._loop.create_server(
            lambda: ServedConnection(self, self._config, tls, self._loop),
            host or None,
            port,
            ssl=context,
            backlog=BACKLOG,
            ssl_handshake_timeout=TLS_HANDSHAKE_SECONDS if context is not None else None,
        )
        self._listeners.append((server, tls))
        log.info("listening for applications", address=address, tls=tls)

    async def _follow(self) -> None:
        """Take over what owners change, and say which accounts are bound; notifications are only the fast way."""
        touched_at = self._loop.time()
        while True:
            try:
                async with asyncio.timeout(self._settings.poll_seconds):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()
            now = self._loop.time()
            try:
                if self._accounts:
                    records = await self._directory.read(self._accounts)
                    for account in tuple(self._accounts.values()):
                        account.update(records.get(account.id), now)
                    if now - touched_at >= TOUCH_SECONDS:
                        await self._directory.touch(self._accounts)
                if now - touched_at >= TOUCH_SECONDS:
                    touched_at = now
                    await self._renew()
            except Unavailable as error:
                log.warning("cannot follow the SMPP accounts", reason=error.detail)
            except Exception:
                log.exception("following the SMPP accounts failed")

    async def _renew(self) -> None:
        if self._certificate is None:
            return
        try:
            if await asyncio.to_thread(self._certificate.renew):
                log.info("certificate renewed", expires_at=self._certificate.expires_at)
        except (OSError, ValueError) as error:
            log.error("the new certificate cannot be used", reason=str(error))

    def _end(self, doing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(doing)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    self._moved.clear()
                    await self._moved.wait()
