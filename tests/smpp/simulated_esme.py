"""A client for the simulator's tests: the real `EsmeSession` over a real socket, waiting on conditions."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Self, cast

from smpp_daemon.protocol.codec import encode_body
from smpp_daemon.protocol.constants import BindMode
from smpp_daemon.protocol.events import (
    BindFailed,
    Bound,
    DeliverReceived,
    Event,
    LateAnswer,
    PeerUnbound,
    SubmitAnswered,
    SubmitExpired,
)
from smpp_daemon.protocol.pdu import CancelSm, DataSm, DeliverSm, QuerySm, ReplaceSm, SubmitMulti, SubmitSm
from smpp_daemon.protocol.session import EsmeConfig, EsmeSession
from smpp_daemon.protocol.timers import TimerSettings

DEADLINE = 10.0


class Esme(asyncio.Protocol):
    """Every event is in `events`, in order; deliver_sm is in `receipts`, data_sm in `data`, each read in `reads`."""

    def __init__(self, config: EsmeConfig, answer_receipts: bool) -> None:
        self.loop = asyncio.get_running_loop()
        self.session = EsmeSession(config, self.loop.time())
        self.answer_receipts = answer_receipts
        self.answers: dict[object, SubmitAnswered] = {}
        self.expired: list[object] = []
        self.late: list[LateAnswer] = []
        self.receipts: list[DeliverSm] = []
        self.data: list[DataSm] = []
        self.events: list[Event] = []
        self.reads: list[bytes] = []
        self.bound: Bound | None = None
        self.refused: int | None = None
        self.unbound = False
        self.lost = False
        self.changed = asyncio.Event()
        self.transport: asyncio.Transport | None = None

    @classmethod
    async def connect(
        cls,
        port: int,
        *,
        system_id: str = "demo",
        password: str = "secret",
        mode: BindMode = BindMode.TRANSCEIVER,
        window: int = 100,
        response: float = 10.0,
        answer_receipts: bool = True,
        timers: TimerSettings | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Self:
        """Binds; returns when the bind is answered or the connection lost."""
        config = EsmeConfig(
            "sim", system_id, password, mode=mode, window=window, timers=timers or TimerSettings(response=response)
        )
        _, esme = await asyncio.get_running_loop().create_connection(
            lambda: cls(config, answer_receipts), "127.0.0.1", port, ssl=tls
        )
        await esme.until(lambda: esme.bound is not None or esme.refused is not None or esme.lost)
        return esme

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self.transport = cast("asyncio.Transport", transport)
        self.session.bind(self.loop.time())
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.changed.set()

    def data_received(self, data: bytes) -> None:
        self.reads.append(data)
        self.handle(self.session.receive(data, self.loop.time()))

    def handle(self, events: list[Event]) -> None:
        self.events += events
        for event in events:
            if isinstance(event, SubmitAnswered):
                self.answers[event.token] = event
            elif isinstance(event, SubmitExpired):
                self.expired.append(event.token)
            elif isinstance(event, LateAnswer):
                self.late.append(event)
            elif isinstance(event, DeliverReceived):
                if isinstance(event.pdu, DeliverSm):
                    self.receipts.append(event.pdu)
                else:
                    self.data.append(event.pdu)
                if self.answer_receipts:
                    self.session.answer_deliver(event.sequence)
            elif isinstance(event, Bound):
                self.bound = event
            elif isinstance(event, BindFailed):
                self.refused = event.status
            elif isinstance(event, PeerUnbound):
                self.unbound = True
        self.flush()
        self.changed.set()

    def flush(self) -> None:
        assert self.transport is not None
        self.transport.write(self.session.take_output())

    def submit(self, pdu: SubmitSm, token: object) -> None:
        assert self.session.submit(encode_body(pdu), token, self.loop.time()) is not None
        self.flush()

    def request(self, pdu: DataSm | SubmitMulti | QuerySm | CancelSm | ReplaceSm, token: object) -> None:
        assert self.session.request(pdu, token, self.loop.time()) is not None
        self.flush()

    async def submit_all(self, pdus: list[SubmitSm]) -> None:
        """Submits within the window until every one is answered; the token is the place in the list."""
        sent = 0
        bodies = [encode_body(pdu) for pdu in pdus]
        while len(self.answers) < len(pdus):
            room = self.session.room
            tokens = range(sent, min(sent + room, len(pdus)))
            sent += self.session.submit_many([bodies[token] for token in tokens], tokens, self.loop.time())
            self.flush()
            known = len(self.answers)
            await self.until(lambda known=known: len(self.answers) > known)  # type: ignore[misc]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                self.changed.clear()
                deadline = self.session.next_deadline()
                try:
                    async with asyncio.timeout_at(deadline):
                        await self.changed.wait()
                except TimeoutError:
                    self.handle(self.session.tick(self.loop.time()))

    async def close(self) -> None:
        assert self.transport is not None
        self.transport.close()
        await self.until(lambda: self.lost)
