"""The operator's end of links in a few lines, for what is about the connection and not about messages."""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self, cast

from smpp_daemon.bind import BindKeeper, Links
from smpp_daemon.bind_pace import BindPace
from smpp_daemon.bind_settings import BindSettings
from smpp_daemon.caution import Caution
from smpp_daemon.protocol.events import BindRequested, Event, PeerUnbound, SubmitReceived, Unanswered, Unbound
from smpp_daemon.protocol.pdu import BindRequest
from smpp_daemon.protocol.session import SmscConfig, SmscSession
from smpp_daemon.retry import Delays
from smpp_daemon.transport import Connection

SWIFT = Delays(
    base=0.01, most=0.05, unbound=0.01, refused=0.02, bind_failed=0.02, fatal=0.02, fatal_most=0.1, ghost=0.02
)


class Peer(asyncio.Protocol):
    """One connection. Binds and submit_sm are answered as the `Smsc` says."""

    def __init__(self, smsc: "Smsc") -> None:
        self._smsc = smsc
        self._loop = asyncio.get_running_loop()
        self.session = SmscSession(SmscConfig(name="smsc", system_id="SMSC"), self._loop.time())
        self.transport: asyncio.Transport | None = None
        self.received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._smsc.peers.append(self)
        self._smsc.connections += 1

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        if self._smsc.silent:
            return
        now = self._loop.time()
        over = False
        for event in self.session.receive(data, now):
            if isinstance(event, BindRequested):
                self._smsc.binds.append(event.request)
                self.session.answer_bind(event.sequence, self._smsc.verdict(event.request), now)
            elif isinstance(event, SubmitReceived):
                self._smsc.submits += 1
                if self._smsc.answers:
                    self.session.answer_submit(event.sequence, 0, f"{self._smsc.submits:x}")
            over = over or isinstance(event, PeerUnbound | Unbound)
        self.flush()
        if over and self.transport is not None:
            self.transport.close()

    def flush(self) -> None:
        if self.transport is not None and (output := self.session.take_output()):
            self.transport.write(output)

    def unbind(self) -> None:
        self.session.unbind(self._loop.time())
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        with suppress(ValueError):
            self._smsc.peers.remove(self)


class Smsc:
    """`verdict` answers binds; `answers` False leaves submit_sm without an answer, `silent` everything."""

    def __init__(
        self,
        *,
        verdict: Callable[[BindRequest], int] = lambda _: 0,
        context: ssl.SSLContext | None = None,
        port: int = 0,
    ) -> None:
        self.verdict = verdict
        self.answers = True
        self.silent = False
        self.port = port
        self.peers: list[Peer] = []
        self.binds: list[BindRequest] = []
        self.connections = 0
        self.submits = 0
        self._context = context
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Peer(self), "127.0.0.1", self.port, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for peer in list(self.peers):
                if peer.transport is not None:
                    peer.transport.abort()
            await self._server.wait_closed()
            self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()


class Holder:
    """Owns one bind as an account does."""

    def __init__(
        self,
        settings: BindSettings,
        *,
        delays: Delays = SWIFT,
        caution: Caution | None = None,
        links: Links | None = None,
        index: int = 0,
    ) -> None:
        self.events: list[Event] = []
        self.unanswered: list[Unanswered] = []
        self.losses: list[str] = []
        self.links = links or Links(BindPace(1000, per_host=1000), delays)
        self.keeper = BindKeeper(index, settings, caution or Caution(), self, lambda: None, self.links)

    async def __aenter__(self) -> BindKeeper:
        self.keeper.start()
        return self.keeper

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.keeper.stop()

    def received(self, connection: Connection, events: list[Event]) -> None:
        assert connection is self.keeper.connection
        self.events += events
        for event in events:
            self.keeper.observe(event)

    def writable(self, connection: Connection) -> None:
        pass

    def lost(self, connection: Connection, unanswered: list[Unanswered], reason: str) -> None:
        assert connection is self.keeper.connection
        self.unanswered += unanswered
        self.losses.append(reason)
        self.keeper.ended()
