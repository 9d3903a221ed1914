"""The daemon's own connection against a server that others wrote, over real TCP.

smpp34 1.5.0 is the only peer with a server side; its Python interface cannot refuse a bind, so wrong passwords are
tested against our own SMSC side. smpplib 2.2.4 and aiosmpplib 0.7.4 have no server.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import smpp34

from smpp_daemon.protocol.codec import SubmitTemplate
from smpp_daemon.protocol.constants import BindMode, Tag
from smpp_daemon.protocol.events import (
    BindFailed,
    Bound,
    DeliverReceived,
    EnquireLatency,
    ProtocolViolation,
    SubmitAnswered,
    UnexpectedResponse,
)
from smpp_daemon.protocol.pdu import DeliverSm, SubmitSm
from smpp_daemon.protocol.status import RINVDSTADR, RINVPASWD, RTHROTTLED
from smpp_daemon.protocol.timers import TimerSettings
from smpp_daemon.protocol.tlv import encode_tlvs
from smpp_daemon.simulator import Simulator, SimulatorSettings
from tests.smpp.interop import Esme

TEMPLATE = SubmitTemplate(SubmitSm(source_addr="SENDER", source_addr_ton=5, registered_delivery=1))
NUMBER = b"251911000100"


class Peer:
    """smpp34's server: what it saw, and the sessions that it may push to."""

    def __init__(self, server: smpp34.Server) -> None:
        self.server = server
        self.sessions: list[smpp34.Esme] = []
        self.submitted: list[smpp34.SubmitSmEvent] = []
        self.unbound = 0
        self.changed = asyncio.Event()

    async def run(self) -> None:
        while True:
            event = await self.server.next()
            match event:
                case smpp34.Esme():
                    self.sessions.append(event)
                case smpp34.SubmitSmEvent():
                    self.submitted.append(event)
                    if event.destination_addr == "1":
                        event.reject(RTHROTTLED)
                    elif event.destination_addr == "2":
                        event.reject(RINVDSTADR)
                    else:
                        event.accept(f"{len(self.submitted):x}")
                case smpp34.Unbound():
                    self.unbound += 1
            self.changed.set()

    async def session(self) -> smpp34.Esme:
        async with asyncio.timeout(10):
            while not self.sessions:
                self.changed.clear()
                await self.changed.wait()
        return self.sessions[0]


@asynccontextmanager
async def smpp34_server() -> AsyncIterator[tuple[Peer, int]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = smpp34.Server("127.0.0.1", port, system_id="peer")
    await server.start()
    peer = Peer(server)
    running = asyncio.create_task(peer.run())
    try:
        yield peer, port
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await server.stop()


@pytest.mark.parametrize("mode", list(BindMode), ids=lambda mode: mode.name)
async def test_we_bind_in_every_mode_and_unbind(mode: BindMode) -> None:
    async with smpp34_server() as (peer, port):
        esme = Esme()
        connection = await esme.connect(port, mode)
        (bound,) = esme.of(Bound)
        assert (bound.mode, bound.system_id) == (mode, "peer")
        session = await peer.session()
        assert session.system_id == "user"
        if mode is not BindMode.RECEIVER:
            assert connection.submit([TEMPLATE.body(NUMBER, b"Hello")], ["t"]) == 1
            await esme.until(lambda: esme.of(SubmitAnswered))
            assert [(answer.token, answer.status, answer.message_id) for answer in esme.of(SubmitAnswered)] == [
                ("t", 0, "1")
            ]
        assert session.can_receive is (mode is not BindMode.TRANSMITTER)
        # To a receiver smpp34's server pushes nothing: its own call ends with RSYSERR.
        if mode is BindMode.TRANSCEIVER:
            answer = await session.deliver_sm("8080", b"Yes please", source_addr="251911000100")
            assert answer.is_success
            (received,) = esme.of(DeliverReceived)
            assert isinstance(received.pdu, DeliverSm)
            assert received.pdu.content == b"Yes please"
        connection.unbind()
        await esme.until(lambda: esme.reason is not None)
        assert esme.reason == "unbound"
        assert esme.unanswered == []
        assert not esme.of(ProtocolViolation)
        assert not esme.of(UnexpectedResponse)


async def test_a_long_message_and_custom_parameters_arrive_as_they_were_sent() -> None:
    async with smpp34_server() as (peer, port):
        esme = Esme()
        connection = await esme.connect(port, BindMode.TRANSCEIVER)
        text = b"long " * 100
        tlvs = ((int(Tag.MESSAGE_PAYLOAD), text), (0x1400, b"1101"), (0x1401, b"2202"))
        part = b"\x05\x00\x03\x07\x02\x01" + b"x" * 134
        udhi = SubmitTemplate(SubmitSm(source_addr="SENDER", esm_class=0x40))
        connection.submit([TEMPLATE.body(NUMBER, b"", encode_tlvs(tlvs)), udhi.body(NUMBER, part)], ["payload", "udh"])
        await esme.until(lambda: len(esme.of(SubmitAnswered)) == 2)
        # The peer hands out what came together in any order.
        payload, udh = sorted(peer.submitted, key=lambda event: event.esm_class)
        assert [(tlv.tag, tlv.value) for tlv in payload.tlvs] == list(tlvs)
        assert (udh.esm_class, udh.short_message) == (0x40, part)
        connection.unbind()
        await esme.until(lambda: esme.reason is not None)


async def test_refusals_come_back_with_their_status_and_the_window_stays_hard() -> None:
    async with smpp34_server() as (_, port):
        esme = Esme()
        connection = await esme.connect(port, BindMode.TRANSCEIVER, window=4)
        bodies = [TEMPLATE.body(to, b"Hello") for to in (b"1", b"2", NUMBER, NUMBER, NUMBER)]
        assert connection.submit(bodies, "abcde") == 4
        await esme.until(lambda: len(esme.of(SubmitAnswered)) == 4)
        assert {answer.token: answer.status for answer in esme.of(SubmitAnswered)} == {
            "a": RTHROTTLED,
            "b": RINVDSTADR,
            "c": 0,
            "d": 0,
        }
        assert connection.room == 4
        connection.unbind()
        await esme.until(lambda: esme.reason is not None)


async def test_our_enquiries_are_answered_and_their_unbind_too() -> None:
    async with smpp34_server() as (peer, port):
        esme = Esme()
        timers = TimerSettings(enquire_link_interval=0.2, enquire_link_timeout=5)
        await esme.connect(port, BindMode.TRANSCEIVER, timers)
        await esme.until(lambda: len(esme.of(EnquireLatency)) >= 2)
        session = await peer.session()
        await session.unbind()
        await esme.until(lambda: esme.reason is not None)
        assert esme.reason == "the operator sent unbind"
        assert esme.unanswered == []


async def test_a_thousand_messages_and_receipts_cross() -> None:
    async with smpp34_server() as (peer, port):
        esme = Esme()
        connection = await esme.connect(port, BindMode.TRANSCEIVER, window=50)
        session = await peer.session()
        pushing = asyncio.gather(
            *(session.deliver_sm("8080", b"receipt %d" % number, source_addr="1") for number in range(500))
        )
        sent = 0
        while sent < 1000:
            room = connection.room
            numbers = range(sent, min(1000, sent + room))
            sent += connection.submit([TEMPLATE.body(NUMBER, b"%d" % number) for number in numbers], numbers)
            await esme.until(lambda: connection.room)
        assert all(answer.is_success for answer in await pushing)
        await esme.until(lambda: len(esme.of(SubmitAnswered)) == 1000)
        assert sorted(answer.token for answer in esme.of(SubmitAnswered)) == list(range(1000))  # type: ignore[type-var]
        assert len(esme.of(DeliverReceived)) == 500
        connection.unbind()
        await esme.until(lambda: esme.reason is not None)


async def test_a_wrong_password_is_said_in_the_status() -> None:
    async with Simulator(SimulatorSettings(system_id="user", password="other")) as simulator:
        esme = Esme()
        await esme.connect(simulator.port, BindMode.TRANSCEIVER)
        assert [failed.status for failed in esme.of(BindFailed)] == [RINVPASWD]
        await esme.until(lambda: esme.reason is not None)
