"""Receipts and messages of contacts on their way to applications."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import aio_pika
import msgspec
import pytest

from app.domain.smpp_accounts.events import SmppDelivery, SmppInbound, SmppReceipt, encode
from app.lib.broker import Outgoing, Publisher, smpp_queue
from app.lib.ids import new_id
from app.settings import Settings
from smpp_daemon.daemon import Daemon
from smpp_daemon.protocol.constants import BindMode, EsmClass, Tag
from smpp_daemon.protocol.events import DeliverReceived, Event
from smpp_daemon.protocol.pdu import DeliverSm
from smpp_daemon.protocol.session import EsmeConfig
from smpp_daemon.protocol.status import RX_T_APPN
from smpp_daemon.protocol.tlv import find_integer
from tests.smpp.daemon_harness import eventually
from tests.smpp.server.conftest import serving
from tests.smpp.server.harness import Application, Tenant, submit

RX_P_APPN = 0x65


class Picky(Application):
    """Answers deliver_sm with `statuses`, one after the other, and then with success; None leaves one unanswered."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.statuses: list[int | None] = []
        self.taken: list[DeliverSm] = []

    def handle(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, DeliverReceived):
                status = self.statuses.pop(0) if self.statuses else 0
                if status is not None:
                    self.session.answer_deliver(event.sequence, status)
                if status == 0:
                    assert isinstance(event.pdu, DeliverSm)
                    self.taken.append(event.pdu)
        super().handle(events)


async def picky(tenant: Tenant, port: int, *statuses: int | None, **more: Any) -> Picky:
    config = EsmeConfig("app", tenant.account["system_id"], tenant.password, window=100, **more)
    _, app = await asyncio.get_running_loop().create_connection(lambda: Picky(config, False), "127.0.0.1", port)
    app.statuses = list(statuses)
    await app.until(lambda: app.bound is not None)
    return app


def receipt(number: int = 0, status: str = "delivered") -> SmppReceipt:
    return SmppReceipt(new_id().bytes, f"+2519110{number:05d}", "DEMO", status, 0.0, 60.0, f"text {number}", 1)


async def post(tenant: Tenant, settings: Settings, *items: SmppReceipt | SmppInbound) -> None:
    """Into the account's queue, as the relay does."""
    event_id, account = new_id(), UUID(tenant.account["id"])
    delivery = SmppDelivery(
        event_id,
        account,
        [each for each in items if isinstance(each, SmppReceipt)],
        [each for each in items if isinstance(each, SmppInbound)],
    )
    publisher = Publisher(settings.broker.url, name="test-post")
    async with asyncio.timeout(10):
        while await publisher.publish([Outgoing(smpp_queue(account), encode(delivery), str(event_id))]):
            await asyncio.sleep(0.02)
    await publisher.close()


async def left(tenant: Tenant, settings: Settings) -> int:
    connection = await aio_pika.connect(settings.broker.url)
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(smpp_queue(UUID(tenant.account["id"])), passive=True)
        return queue.declaration_result.message_count or 0


async def until_left(tenant: Tenant, settings: Settings, count: int) -> None:
    async with asyncio.timeout(20):
        while await left(tenant, settings) != count:
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("pipeline")
async def test_every_outcome_has_its_receipt(port: int, tenant: Tenant) -> None:
    app = await tenant.bind(port)
    sent = {
        "251911000100": b"stat:DELIVRD",
        "251911000101": b"stat:UNDELIV",
        "251911000108": b"stat:EXPIRED",
        "251911000109": b"stat:DELIVRD",
    }
    await app.send(*(submit(to=to) for to in sent))
    await app.until(lambda: len(app.receipts) == len(sent))
    for pdu in app.receipts:
        assert sent[pdu.source_addr] in pdu.short_message
        assert pdu.esm_class == EsmClass.DELIVERY_RECEIPT
    await app.close()


@pytest.mark.usefixtures("pipeline")
async def test_receipts_come_only_to_those_who_asked(port: int, tenant: Tenant) -> None:
    app = await tenant.bind(port)
    silent, failures, both = "251911000201", "251911000100", "251911000106"
    answers = await app.send(
        submit(to=silent, registered_delivery=0),
        submit(to=failures, registered_delivery=2),
        submit(to=both, registered_delivery=0x11),
        submit(to="251911000301", registered_delivery=2),
    )
    for (_, message_id), status in zip(answers, ("failed", "delivered", "sent", "failed"), strict=True):
        await tenant.message_until(message_id, lambda m, status=status: m["status"] == status)  # type: ignore[misc]
    await app.until(lambda: len(app.receipts) == 2)
    told = {pdu.source_addr: pdu for pdu in app.receipts}
    assert told.keys() == {both, "251911000301"}
    assert told[both].esm_class == EsmClass.INTERMEDIATE_NOTIFICATION
    assert b"stat:ENROUTE" in told[both].short_message
    await app.close()


@pytest.mark.usefixtures("pipeline")
async def test_receipts_wait_for_a_receiver(port: int, tenant: Tenant) -> None:
    """Field problems 17 and 32: nothing spins while nobody listens, and any bind of the account gets the receipts."""
    sender = await tenant.bind(port, BindMode.TRANSMITTER)
    [(_, message_id)] = await sender.send(submit())
    await tenant.message_until(message_id, lambda message: message["status"] == "delivered")
    await sender.close()
    receiver = await tenant.bind(port, BindMode.RECEIVER)
    await receiver.until(lambda: bool(receiver.receipts))
    assert receiver.receipts[0].short_message.startswith(f"id:{message_id} ".encode())
    await receiver.close()


@pytest.mark.usefixtures("pipeline")
async def test_messages_of_contacts_come_to_receivers_of_their_channel(
    port: int, tenant: Tenant, stranger: Tenant
) -> None:
    app, other = await tenant.bind(port), await stranger.bind(port)
    await app.send(
        submit(
            "#reply ሰላም",
            to="251911000555",
            data_coding=8,
            registered_delivery=0,
            short_message="#reply ሰላም".encode("utf-16-be"),
        )
    )
    await app.until(lambda: bool(app.receipts))
    [pdu] = app.receipts
    assert (pdu.esm_class, pdu.data_coding) == (0, 8)
    assert (pdu.source_addr_ton, pdu.source_addr, pdu.destination_addr) == (1, "251911000555", "DEMO")
    assert pdu.short_message.decode("utf-16-be") == "ሰላም"
    await tenant.change(receive_inbound=False)
    [(_, message_id)] = await app.send(submit("#reply again", to="251911000556"))
    await app.until(lambda: len(app.receipts) == 2)
    assert f"id:{message_id}".encode() in app.receipts[1].short_message
    assert other.receipts == []
    await app.close()
    await other.close()


async def test_long_messages_come_in_parts(port: int, tenant: Tenant, server_settings: Settings) -> None:
    app = await tenant.bind(port)
    await post(tenant, server_settings, SmppInbound(new_id().bytes, "+251911000555", "8080", "x" * 200))
    await app.until(lambda: len(app.receipts) == 2)
    assert [pdu.esm_class for pdu in app.receipts] == [EsmClass.UDHI] * 2
    headers = [pdu.short_message[:6] for pdu in app.receipts]
    assert [header[4:] for header in headers] == [b"\2\1", b"\2\2"]
    assert headers[0][3] == headers[1][3]
    assert b"".join(pdu.short_message[6:] for pdu in app.receipts) == b"x" * 200
    await until_left(tenant, server_settings, 0)
    await app.close()


async def test_peers_of_version_3_3_get_no_optional_parameters(
    port: int, tenant: Tenant, server_settings: Settings
) -> None:
    app = await tenant.bind(port)
    await post(tenant, server_settings, receipt())
    await app.until(lambda: bool(app.receipts))
    assert find_integer(app.receipts[0].tlvs, Tag.MESSAGE_STATE) == 2
    await app.close()
    old = await picky(tenant, port, interface_version=0x33)
    await post(tenant, server_settings, receipt())
    await old.until(lambda: bool(old.taken))
    assert old.taken[0].tlvs == ()
    await old.close()


async def test_what_is_refused_for_now_comes_again(port: int, tenant: Tenant, server_settings: Settings) -> None:
    """Field problem 37, from the other side: RX_T_APPN pauses that receiver and loses nothing."""
    app = await picky(tenant, port, RX_T_APPN)
    await post(tenant, server_settings, receipt(1), receipt(2))
    await app.until(lambda: len(app.taken) == 2)
    assert sorted(pdu.source_addr for pdu in app.taken) == ["251911000001", "251911000002"]
    await until_left(tenant, server_settings, 0)
    await app.close()


async def test_what_is_refused_for_good_is_dropped(port: int, tenant: Tenant, server_settings: Settings) -> None:
    app = await picky(tenant, port, RX_P_APPN)
    await post(tenant, server_settings, receipt(1), receipt(2))
    await app.until(lambda: bool(app.taken))
    await until_left(tenant, server_settings, 0)
    assert [pdu.source_addr for pdu in app.taken] == ["251911000002"]
    await app.close()


async def test_the_window_of_deliveries_is_hard(
    port: int, daemon: Daemon, tenant: Tenant, server_settings: Settings
) -> None:
    """Field problem 7, from the SMSC's side."""
    await tenant.change(window=3)
    app = await picky(tenant, port, *[None] * 3)
    await post(tenant, server_settings, *(receipt(n) for n in range(5)))
    await app.until(lambda: len(app.receipts) == 3)
    assert daemon.server is not None
    status = daemon.server.status()
    assert [(bind.unanswered_deliveries, bind.window) for bind in status.binds] == [(3, 3)]
    assert status.waiting == 2
    await app.close()


async def test_what_was_not_answered_comes_on_the_next_bind(
    port: int, tenant: Tenant, server_settings: Settings
) -> None:
    """Field problem 9: a session that ends gives back what it did not answer, and only that."""
    first = await picky(tenant, port, 0, None, 0, None, 0)
    await post(tenant, server_settings, *(receipt(n) for n in range(5)))
    await first.until(lambda: len(first.taken) == 3)
    await first.until(lambda: len(first.receipts) == 5)
    await first.close()
    second = await picky(tenant, port)
    await second.until(lambda: len(second.taken) == 2)
    await until_left(tenant, server_settings, 0)
    taken = [pdu.source_addr for pdu in first.taken + second.taken]
    assert sorted(taken) == [f"2519110{n:05d}" for n in range(5)]
    await second.close()


async def test_a_stopping_server_waits_for_answers_and_hands_the_rest_to_the_next(
    server_settings: Settings, tenant: Tenant, tmp_path: Path
) -> None:
    """Field problem 19: the application is unbound in good order, and what it took is not sent again elsewhere."""
    smppd = msgspec.structs.replace(server_settings.smppd, drain_seconds=0.3)
    async with serving(msgspec.structs.replace(server_settings, smppd=smppd)) as daemon:
        assert daemon.server is not None
        first = await picky(tenant, daemon.server.ports[0], 0, 0, None, None)
        await tenant.change(window=4)
        await post(tenant, server_settings, *(receipt(n) for n in range(6)))
        await first.until(lambda: len(first.receipts) == 6 or len(first.taken) == 2)
    await first.until(lambda: first.unbound)
    taken = [pdu.source_addr for pdu in first.taken]
    async with serving(server_settings) as daemon:
        assert daemon.server is not None
        second = await picky(tenant, daemon.server.ports[0])
        await second.until(lambda: len(second.taken) == 6 - len(taken))
        await until_left(tenant, server_settings, 0)
        assert sorted(taken + [pdu.source_addr for pdu in second.taken]) == [f"2519110{n:05d}" for n in range(6)]
        await second.close()


async def test_two_receivers_share_the_work(port: int, tenant: Tenant, server_settings: Settings) -> None:
    await tenant.change(window=2)
    apps = [await picky(tenant, port, None, None), await picky(tenant, port, None, None)]
    await post(tenant, server_settings, *(receipt(n) for n in range(4)))
    await asyncio.gather(*(app.until(lambda app=app: len(app.receipts) == 2) for app in apps))  # type: ignore[misc]
    for app in apps:
        await app.close()


async def test_what_nobody_can_read_does_not_stop_the_rest(
    port: int, tenant: Tenant, server_settings: Settings
) -> None:
    app = await picky(tenant, port)
    publisher = Publisher(server_settings.broker.url, name="test-post")
    await post(tenant, server_settings, receipt(1))
    await publisher.publish([Outgoing(smpp_queue(UUID(tenant.account["id"])), b"\xc1", "x")])
    await post(tenant, server_settings, receipt(2))
    await app.until(lambda: len(app.taken) == 2)
    await until_left(tenant, server_settings, 0)
    await publisher.close()
    await app.close()


async def test_consuming_begins_again_when_the_queue_was_deleted(
    port: int, daemon: Daemon, tenant: Tenant, server_settings: Settings
) -> None:
    """Field problem 16: a consumer that the broker ended is noticed."""
    app = await picky(tenant, port)
    await post(tenant, server_settings, receipt(1))
    await app.until(lambda: len(app.taken) == 1)
    connection = await aio_pika.connect(server_settings.broker.url)
    async with connection:
        channel = await connection.channel()
        await channel.queue_delete(smpp_queue(UUID(tenant.account["id"])))
    await post(tenant, server_settings, receipt(2))
    await app.until(lambda: len(app.taken) == 2)
    assert daemon.server is not None
    server = daemon.server
    await eventually(lambda: server.status().waiting == 0)
    await app.close()
