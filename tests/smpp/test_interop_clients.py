"""Clients that others wrote against our SMSC side, over real TCP.

smpplib 2.2.4 and aiosmpplib 0.7.4 are clients only; smpp34 1.5.0 is in `test_interop_servers.py` as a server too.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import smpp34
import smpplib.client
import smpplib.exceptions
import smpplib.gsm
import smpplib.smpp
from aiosmpplib import ESME, AbstractHook
from aiosmpplib import protocol as aio
from aiosmpplib.broker import SimpleBroker
from aiosmpplib.state import BindMode as AioBindMode
from aiosmpplib.state import SmppCommandStatus

from app.lib.tasks import end_tasks
from smpp_daemon.protocol.constants import BindMode, EsmClass, Tag
from smpp_daemon.protocol.events import (
    BindRequested,
    DeliverAnswered,
    EnquireLatency,
    PeerUnbound,
    ProtocolViolation,
    SessionFailed,
    Unbound,
)
from smpp_daemon.protocol.pdu import DeliverSm
from smpp_daemon.protocol.status import RINVPASWD
from smpp_daemon.protocol.timers import TimerSettings
from smpp_daemon.protocol.tlv import find_integer
from smpp_daemon.simulator import Simulator, SimulatorSettings
from tests.smpp.interop import Server, Smsc, serving

MODES = [BindMode.TRANSCEIVER, BindMode.TRANSMITTER, BindMode.RECEIVER]
by_mode = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
LONG = "A text that does not fit into one segment. " * 8
ENQUIRING = TimerSettings(enquire_link_interval=0.2, enquire_link_timeout=5)
INBOUND = DeliverSm(source_addr="251911000100", source_addr_ton=1, destination_addr="8080", short_message=b"Yes please")


def settled(smsc: Smsc) -> bool:
    return not len(smsc.session.link.window)


# -- smpplib ---------------------------------------------------------------------------------------------------------


class SmppLib:
    """smpplib blocks, so that every call runs in a thread."""

    def __init__(self, port: int, password: str = "secret") -> None:
        self.client = smpplib.client.Client("127.0.0.1", port, timeout=5, allow_unknown_opt_params=True)
        self.password = password
        self.sent: list[Any] = []
        self.received: list[Any] = []
        self.client.set_message_sent_handler(self.was_sent)
        self.client.set_message_received_handler(self.was_received)

    def was_sent(self, pdu: Any) -> None:
        self.sent.append(pdu)

    def was_received(self, pdu: Any) -> None:
        self.received.append(pdu)

    def bind(self, mode: BindMode) -> None:
        self.client.connect()
        getattr(self.client, f"bind_{mode.name.lower()}")(system_id="user", password=self.password)

    def send(self, part: bytes, esm_class: int = 0, data_coding: int = 0) -> None:
        self.client.send_message(
            source_addr="SENDER",
            source_addr_ton=5,
            destination_addr="251911000100",
            dest_addr_ton=1,
            dest_addr_npi=1,
            short_message=part,
            esm_class=esm_class,
            data_coding=data_coding,
            registered_delivery=True,
        )

    def read(self, condition: Callable[[], object]) -> None:
        while not condition():
            self.client.read_once()


@by_mode
async def test_smpplib_binds_in_every_mode_and_unbinds(mode: BindMode) -> None:
    async with serving() as server:
        peer = SmppLib(server.port)
        await asyncio.to_thread(peer.bind, mode)
        smsc = await server.connection()
        assert [event.request.mode for event in smsc.of(BindRequested)] == [mode]
        if mode is not BindMode.TRANSMITTER:
            smsc.deliver(INBOUND, "mo")
            await asyncio.to_thread(peer.read, lambda: peer.received)
            assert peer.received[0].short_message == b"Yes please"
            await smsc.until(lambda: smsc.of(DeliverAnswered))
        await asyncio.to_thread(peer.client.unbind)
        peer.client.disconnect()
        await smsc.until(lambda: smsc.lost)
        assert smsc.of(PeerUnbound)
        assert not smsc.of(ProtocolViolation)


async def test_smpplib_sends_a_long_message_and_gets_its_receipts() -> None:
    async with Simulator(SimulatorSettings(system_id="user", password="secret")) as simulator:
        peer = SmppLib(simulator.port)
        await asyncio.to_thread(peer.bind, BindMode.TRANSCEIVER)
        parts, data_coding, esm_class = smpplib.gsm.make_parts(LONG)
        assert len(parts) > 1
        for part in parts:
            await asyncio.to_thread(peer.send, part, esm_class, data_coding)
        done = lambda: len(peer.sent) == len(parts) and len(peer.received) == len(parts)  # noqa: E731
        await asyncio.to_thread(peer.read, done)
        assert {pdu.message_id.decode() for pdu in peer.sent} == {message.id for message in simulator.recent}
        assert {pdu.receipted_message_id.decode() for pdu in peer.received} == {
            message.id for message in simulator.recent
        }
        assert all(message.esm_class & EsmClass.UDHI for message in simulator.recent)
        await asyncio.to_thread(peer.client.unbind)
        peer.client.disconnect()


async def test_smpplib_is_refused_with_a_wrong_password() -> None:
    async with Simulator(SimulatorSettings(system_id="user", password="secret")) as simulator:
        peer = SmppLib(simulator.port, password="wrong")
        with pytest.raises(smpplib.exceptions.PDUError) as caught:
            await asyncio.to_thread(peer.bind, BindMode.TRANSCEIVER)
        assert caught.value.args[1] == RINVPASWD
        peer.client.disconnect()
        assert simulator.statistics.binds_refused == 1


async def test_smpplib_and_we_ask_each_other_whether_we_live() -> None:
    async with serving(ENQUIRING) as server:
        peer = SmppLib(server.port)
        await asyncio.to_thread(peer.bind, BindMode.TRANSCEIVER)
        smsc = await server.connection()
        reading = asyncio.create_task(asyncio.to_thread(peer.read, lambda: smsc.of(EnquireLatency)))
        await smsc.until(lambda: len(smsc.of(EnquireLatency)) >= 1)
        asked = smpplib.smpp.make_pdu("enquire_link", client=peer.client)
        peer.client.send_pdu(asked)
        await reading
        await asyncio.to_thread(peer.client.read_once)
        smsc.session.unbind(smsc.loop.time())
        smsc.flush()
        await asyncio.to_thread(peer.client.read_once)
        # smpplib reads an unbind and leaves the answer to its user.
        peer.client.disconnect()
        await smsc.until(lambda: smsc.lost)
        assert not smsc.of(SessionFailed)


# -- smpp34 ----------------------------------------------------------------------------------------------------------

SMPP34_MODES = {BindMode.TRANSCEIVER: "TRX", BindMode.TRANSMITTER: "TX", BindMode.RECEIVER: "RX"}


@asynccontextmanager
async def smpp34_client(
    port: int, mode: BindMode = BindMode.TRANSCEIVER, password: str = "secret"
) -> AsyncIterator[smpp34.Smsc]:
    client = smpp34.Client("127.0.0.1", port, "user", password, bind_type=SMPP34_MODES[mode], window_size=10)
    try:
        yield await client.connect()
    finally:
        await client.stop()


@by_mode
async def test_smpp34_binds_in_every_mode_and_unbinds(mode: BindMode) -> None:
    async with serving() as server, smpp34_client(server.port, mode) as peer:
        smsc = await server.connection()
        assert [event.request.mode for event in smsc.of(BindRequested)] == [mode]
        if mode is not BindMode.TRANSMITTER:
            smsc.deliver(INBOUND, "mo")
            event = await peer.next()
            assert isinstance(event, smpp34.DeliverSmEvent)
            assert event.short_message == b"Yes please"
            await smsc.until(lambda: settled(smsc))
            assert [answer.status for answer in smsc.of(DeliverAnswered)] == [0]
        if mode is not BindMode.RECEIVER:
            answer = await peer.submit_sm("251911000100", b"Hello", source_addr="SENDER")
            assert (answer.command_status, answer.message_id) == (0, "1")
        await peer.unbind()
        await smsc.until(lambda: smsc.lost)
        assert smsc.of(PeerUnbound)
        assert not smsc.of(ProtocolViolation)


async def test_smpp34_sends_a_long_message_and_gets_its_receipt() -> None:
    async with serving() as server, smpp34_client(server.port) as peer:
        payload = smpp34.Tlv(int(Tag.MESSAGE_PAYLOAD), LONG.encode())
        answer = await peer.submit_sm(
            "251911000100", b"", source_addr="SENDER", source_addr_ton=5, registered_delivery=1, tlvs=[payload]
        )
        receipt = await peer.next()
        assert isinstance(receipt, smpp34.DeliverSmEvent)
        assert receipt.esm_class == EsmClass.DELIVERY_RECEIPT
        tlvs = {tlv.tag: tlv for tlv in receipt.tlvs}
        assert tlvs[Tag.RECEIPTED_MESSAGE_ID].as_string() == answer.message_id
        smsc = await server.connection()
        assert smsc.messages[0].content == LONG.encode()
        await smsc.until(lambda: settled(smsc))


async def test_smpp34_is_refused_with_a_wrong_password() -> None:
    async with Simulator(SimulatorSettings(system_id="user", password="secret")) as simulator:
        with pytest.raises(smpp34.SmppError):
            async with smpp34_client(simulator.port, password="wrong"):
                pass
        assert simulator.statistics.binds_refused >= 1


async def test_smpp34_answers_our_enquiries_and_our_unbind() -> None:
    async with serving(ENQUIRING) as server, smpp34_client(server.port) as peer:
        smsc = await server.connection()
        await smsc.until(lambda: len(smsc.of(EnquireLatency)) >= 2)
        smsc.session.unbind(smsc.loop.time())
        smsc.flush()
        # With or without an answer: that it ends is what counts.
        assert isinstance(await peer.next(), smpp34.Disconnected)
        await smsc.until(lambda: smsc.lost)


# -- aiosmpplib ------------------------------------------------------------------------------------------------------

AIO_MODES = {
    BindMode.TRANSCEIVER: AioBindMode.TRANSCEIVER,
    BindMode.TRANSMITTER: AioBindMode.TRANSMITTER,
    BindMode.RECEIVER: AioBindMode.RECEIVER,
}


class Hook(AbstractHook):  # type: ignore[misc]
    def __init__(self) -> None:
        self.received_messages: list[aio.SmppMessage | None] = []
        self.pdus: list[bytes] = []
        self.changed = asyncio.Event()

    async def sending(self, smpp_message: aio.SmppMessage, pdu: bytes, client_id: str) -> None:
        pass

    async def received(self, smpp_message: aio.SmppMessage | None, pdu: bytes, client_id: str) -> None:
        self.received_messages.append(smpp_message)
        self.pdus.append(pdu)
        self.changed.set()

    async def send_error(self, smpp_message: aio.SmppMessage, error: Exception, client_id: str) -> None:
        raise AssertionError(error)

    def of(self, kind: type[aio.SmppMessage]) -> list[Any]:
        # deliver_sm is a kind of submit_sm there.
        return [message for message in self.received_messages if type(message) is kind]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def aiosmpplib_client(
    port: int, mode: BindMode = BindMode.TRANSCEIVER, password: str = "secret"
) -> AsyncIterator[tuple[Hook, SimpleBroker]]:
    hook, broker = Hook(), SimpleBroker()
    esme = ESME(
        "127.0.0.1",
        port,
        "user",
        password,
        bind_mode=AIO_MODES[mode],
        hook=hook,
        broker=broker,
        log_level="CRITICAL",
        enquire_link_interval=0.3,
    )
    running = asyncio.create_task(esme.start())
    try:
        yield hook, broker
    finally:
        writer = esme._writer
        await end_tasks(running)
        if writer is not None:
            # It writes an end of file and drops the stream.
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def bound(server: Server) -> Smsc:
    smsc = await server.connection()
    await smsc.until(lambda: smsc.of(BindRequested))
    return smsc


@by_mode
async def test_aiosmpplib_binds_in_every_mode_and_unbinds(mode: BindMode) -> None:
    async with serving() as server:
        async with aiosmpplib_client(server.port, mode) as (hook, _):
            smsc = await bound(server)
            assert [event.request.mode for event in smsc.of(BindRequested)] == [mode]
            await hook.until(lambda: hook.received_messages)
            if mode is not BindMode.TRANSMITTER:
                smsc.deliver(INBOUND, "mo")
                await hook.until(lambda: hook.of(aio.DeliverSm))
                assert hook.of(aio.DeliverSm)[0].short_message == "Yes please"
                await smsc.until(lambda: settled(smsc))
                assert [answer.status for answer in smsc.of(DeliverAnswered)] == [0]
            # Its enquire_link, answered by us, keeps it bound.
            await hook.until(lambda: hook.of(aio.EnquireLinkResp))
        await smsc.until(lambda: smsc.lost)
        assert not smsc.of(ProtocolViolation)


# It drops the streams of its reconnections without closing them.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
async def test_aiosmpplib_sends_a_long_message_and_gets_its_receipt() -> None:
    async with serving() as server, aiosmpplib_client(server.port) as (hook, broker):
        message = aio.SubmitSm(
            short_message=LONG,
            source=aio.PhoneNumber("SENDER", aio.TON.ALPHANUMERIC, aio.NPI.UNKNOWN),
            destination=aio.PhoneNumber("251911000100", aio.TON.INTERNATIONAL, aio.NPI.ISDN),
            log_id="first",
        )
        await broker.enqueue(message)
        await hook.until(lambda: hook.of(aio.DeliverSm))
        (answer,) = hook.of(aio.SubmitSmResp)
        assert (answer.message_id, answer.command_status) == ("1", SmppCommandStatus.ESME_ROK)
        assert hook.of(aio.DeliverSm)[0].parse_receipt()["id"] == "1"
        smsc = await bound(server)
        assert smsc.messages[0].content == LONG.encode()
        assert find_integer(smsc.messages[0].tlvs, Tag.MESSAGE_PAYLOAD) is not None
        await smsc.until(lambda: settled(smsc))


# It drops the streams of its reconnections without closing them.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
async def test_aiosmpplib_is_refused_with_a_wrong_password() -> None:
    async with Simulator(SimulatorSettings(system_id="user", password="secret")) as simulator:
        async with aiosmpplib_client(simulator.port, password="wrong") as (hook, _):
            await hook.until(lambda: hook.pdus)
        assert hook.pdus[0][8:12] == RINVPASWD.to_bytes(4, "big")
        assert simulator.statistics.binds_refused >= 1


# It drops the streams of its reconnections without closing them.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
async def test_aiosmpplib_answers_our_enquiries_and_our_unbind() -> None:
    async with serving(ENQUIRING) as server, aiosmpplib_client(server.port):
        smsc = await bound(server)
        await smsc.until(lambda: smsc.of(EnquireLatency))
        smsc.session.unbind(smsc.loop.time())
        smsc.flush()
        await smsc.until(lambda: smsc.lost)
        assert smsc.of(Unbound)
        # It binds again at once, on a new connection.
        again = await server.connection(1)
        await again.until(lambda: again.of(BindRequested))
