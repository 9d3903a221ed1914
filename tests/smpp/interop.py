"""Both of our ends over real TCP with everything they report kept: what the interoperability tests drive."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar, cast

from smpp_daemon.protocol.constants import BindMode, EsmClass, Tag
from smpp_daemon.protocol.events import (
    BindRequested,
    Bound,
    DeliverReceived,
    Event,
    PeerUnbound,
    RequestReceived,
    SessionFailed,
    SubmitReceived,
    Unanswered,
    Unbound,
)
from smpp_daemon.protocol.pdu import DataSmResp, DeliverSm, QuerySm, QuerySmResp, SubmitSm
from smpp_daemon.protocol.session import EsmeConfig, SmscConfig, SmscSession
from smpp_daemon.protocol.status import RINVPASWD, ROK
from smpp_daemon.protocol.timers import TimerSettings
from smpp_daemon.transport import Connection

DEADLINE = 10.0
E = TypeVar("E")


class Recorder:
    """Events, and waiting for them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.changed = asyncio.Event()

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


class Smsc(Recorder, asyncio.Protocol):
    """One `SmscSession`: takes the password "secret", stores messages, sends the receipt that was asked for."""

    def __init__(self, timers: TimerSettings) -> None:
        super().__init__()
        self.loop = asyncio.get_running_loop()
        self.session = SmscSession(SmscConfig("test", window=10, timers=timers), self.loop.time())
        self.messages: list[SubmitSm] = []
        self.lost = False
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.flush()

    def data_received(self, data: bytes) -> None:
        self.handle(self.session.receive(data, self.loop.time()))

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.session.close("lost")
        self.lost = True
        self.changed.set()

    def handle(self, events: list[Event]) -> None:
        self.events += events
        for event in events:
            match event:
                case BindRequested(sequence, request):
                    status = ROK if request.password == "secret" else RINVPASWD
                    self.session.answer_bind(sequence, status, self.loop.time())
                case SubmitReceived(sequence, pdu):
                    self.messages.append(pdu)
                    self.session.answer_submit(sequence, ROK, f"{len(self.messages):x}")
                    if pdu.registered_delivery and self.session.room:
                        self.send_receipt(len(self.messages), pdu)
                case RequestReceived(sequence, QuerySm(message_id)):
                    self.session.answer(sequence, ROK, QuerySmResp(message_id, "", 2, 0))
                case RequestReceived(sequence):
                    self.session.answer(sequence, ROK, DataSmResp("d"))
        self.flush()
        if any(isinstance(event, PeerUnbound | Unbound | SessionFailed) for event in events):
            self.transport.close()
        self.changed.set()

    def send_receipt(self, number: int, pdu: SubmitSm) -> None:
        text = b"id:%x sub:001 dlvrd:001 submit date:2611240900 done date:2611240900 stat:DELIVRD err:000 text:"
        receipt = DeliverSm(
            source_addr=pdu.destination_addr,
            source_addr_ton=pdu.dest_addr_ton,
            destination_addr=pdu.source_addr,
            dest_addr_ton=pdu.source_addr_ton,
            esm_class=EsmClass.DELIVERY_RECEIPT,
            short_message=text % number,
            tlvs=((Tag.MESSAGE_STATE, b"\2"), (Tag.RECEIPTED_MESSAGE_ID, b"%x\0" % number)),
        )
        self.deliver(receipt, number)

    def deliver(self, pdu: DeliverSm, token: object) -> None:
        self.session.deliver(pdu, token, self.loop.time())
        self.flush()

    def flush(self) -> None:
        self.transport.write(self.session.take_output())
        if self.timer is not None:
            self.timer.cancel()
        due = self.session.next_deadline()
        self.timer = None if due is None else self.loop.call_at(due + 0.001, self.tick)

    def tick(self) -> None:
        self.handle(self.session.tick(self.loop.time()))


class Server(Recorder):
    """Where clients of others connect; each connection is an `Smsc`."""

    def __init__(self, timers: TimerSettings) -> None:
        super().__init__()
        self.timers = timers
        self.port = 0
        self.connections: list[Smsc] = []

    def connect(self) -> Smsc:
        self.connections.append(Smsc(self.timers))
        self.changed.set()
        return self.connections[-1]

    async def connection(self, number: int = 0) -> Smsc:
        await self.until(lambda: len(self.connections) > number)
        return self.connections[number]


@asynccontextmanager
async def serving(timers: TimerSettings | None = None) -> AsyncIterator[Server]:
    server = Server(timers or TimerSettings())
    listening = await asyncio.get_running_loop().create_server(server.connect, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for connection in server.connections:
            if not connection.lost:
                connection.transport.abort()
                await connection.until(lambda connection=connection: connection.lost)  # type: ignore[misc]


class Esme(Recorder):
    """The owner of one of the daemon's own connections; answers every deliver_sm."""

    def __init__(self) -> None:
        super().__init__()
        self.reason: str | None = None
        self.unanswered: list[Unanswered] = []
        self.connection: Connection | None = None

    def received(self, connection: Connection, events: list[Event]) -> None:
        self.events += events
        for event in events:
            if isinstance(event, DeliverReceived):
                connection.answer_deliver(event.sequence)
        self.changed.set()

    def writable(self, connection: Connection) -> None:
        self.changed.set()

    def lost(self, connection: Connection, unanswered: list[Unanswered], reason: str) -> None:
        self.unanswered = unanswered
        self.reason = reason
        self.changed.set()

    async def connect(
        self, port: int, mode: BindMode, timers: TimerSettings | None = None, *, window: int = 10
    ) -> Connection:
        loop = asyncio.get_running_loop()
        config = EsmeConfig("test", "user", "secret", mode=mode, window=window, timers=timers or TimerSettings())
        _, connection = await loop.create_connection(lambda: Connection(config, self, loop), "127.0.0.1", port)
        self.connection = connection
        await self.until(lambda: self.of(Bound) or self.reason is not None)
        return connection
