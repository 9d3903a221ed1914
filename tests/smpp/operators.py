"""The operator's end of a daemon's binds in a few lines, for what the simulator does not do."""

import asyncio
from typing import cast

from smpp_daemon.protocol.constants import EsmClass
from smpp_daemon.protocol.events import BindRequested, DeliverAnswered, RequestAnswered, UnexpectedResponse
from smpp_daemon.protocol.pdu import DataSm, DeliverSm
from smpp_daemon.protocol.session import SmscConfig, SmscSession


def part(number: int, total: int = 3, text: bytes = b"x", reference: int = 7, source: str = "251911") -> DeliverSm:
    header = bytes((5, 0, 3, reference, total, number))
    return DeliverSm(
        source_addr_ton=1,
        source_addr=source,
        destination_addr="8080",
        esm_class=EsmClass.UDHI,
        short_message=header + text,
    )


class Operator(asyncio.Protocol):
    """The least of an SMSC: accepts a bind, sends what it is told to."""

    def __init__(self) -> None:
        self.session = SmscSession(SmscConfig(name="operator"), 0.0)
        self.answers: list[object] = []
        self.statuses: list[int] = []
        self.unexpected: list[int] = []
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for event in self.session.receive(data, 0.0):
            if isinstance(event, BindRequested):
                self.session.answer_bind(event.sequence, 0, 0.0)
            elif isinstance(event, DeliverAnswered | RequestAnswered):
                self.answers.append(event.token)
                self.statuses.append(event.status)
            elif isinstance(event, UnexpectedResponse):
                self.unexpected.append(event.sequence)
        self.flush()

    def deliver(self, pdu: DeliverSm | DataSm, token: object) -> None:
        self.session.deliver(pdu, token, 0.0)
        self.flush()

    def flush(self) -> None:
        assert self.transport is not None
        self.transport.write(self.session.take_output())


class Operators:
    """A listening operator; `of(n)` is its n-th connection."""

    def __init__(self) -> None:
        self.all: list[Operator] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    def _connect(self) -> Operator:
        self.all.append(Operator())
        return self.all[-1]

    async def __aenter__(self) -> "Operators":
        self._server = await asyncio.get_running_loop().create_server(self._connect, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
