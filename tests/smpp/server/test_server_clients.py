"""Clients that other people wrote, bound to our server."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import smpp34
import smpplib.client
import smpplib.consts
import smpplib.exceptions
import smpplib.gsm

from smpp_daemon.protocol.constants import Tag
from tests.smpp.server.harness import Tenant


@contextlib.contextmanager
def smpplib_client(port: int) -> Iterator[Any]:
    client = smpplib.client.Client("127.0.0.1", port, timeout=10, allow_unknown_opt_params=True)
    client.connect()
    try:
        yield client
    finally:
        client.disconnect()


@pytest.mark.usefixtures("pipeline")
async def test_smpplib_sends_a_long_text_and_gets_every_receipt(port: int, tenant: Tenant) -> None:
    """Field problem 33: receipts for all parts, each with the id of its own part."""
    ids: list[str] = []
    receipts: list[str] = []

    def work() -> None:
        with smpplib_client(port) as client:
            client.set_message_sent_handler(lambda pdu: ids.append(pdu.message_id.decode()))

            def received(pdu: Any) -> int:
                receipts.append(pdu.receipted_message_id.decode())
                return 0

            client.set_message_received_handler(received)
            client.bind_transceiver(system_id=tenant.account["system_id"], password=tenant.password)
            parts, coding, esm_class = smpplib.gsm.make_parts("Selam " * 40)
            for part in parts:
                client.send_message(
                    source_addr_ton=smpplib.consts.SMPP_TON_ALNUM,
                    source_addr="DEMO",
                    dest_addr_ton=smpplib.consts.SMPP_TON_INTL,
                    dest_addr_npi=smpplib.consts.SMPP_NPI_ISDN,
                    destination_addr="251911000100",
                    short_message=part,
                    data_coding=coding,
                    esm_class=esm_class,
                    registered_delivery=True,
                )
            while len(receipts) < len(parts) or len(ids) < len(parts):
                client.read_once()
            client.unbind()

    await asyncio.to_thread(work)
    assert len(ids) == 2
    assert sorted(receipts) == sorted(ids)
    texts = [(await tenant.message(message_id))["text"] for message_id in ids]
    assert "".join(texts) == "Selam " * 40


async def test_smpplib_is_refused_with_the_status_it_understands(port: int, tenant: Tenant) -> None:
    def work() -> None:
        with smpplib_client(port) as client, pytest.raises(smpplib.exceptions.PDUError) as raised:
            client.bind_transceiver(system_id=tenant.account["system_id"], password="wrong")
        assert raised.value.args[1] == smpplib.consts.SMPP_ESME_RINVPASWD

    await asyncio.to_thread(work)


@pytest.mark.usefixtures("pipeline")
async def test_smpp34_submits_and_gets_its_receipt(port: int, tenant: Tenant) -> None:
    client = smpp34.Client(
        "127.0.0.1", port, tenant.account["system_id"], tenant.password, bind_type="TRX", window_size=10
    )
    try:
        peer = await client.connect()
        answer = await peer.submit_sm(
            "251911000100", b"Hello", source_addr="DEMO", source_addr_ton=5, dest_addr_ton=1, registered_delivery=1
        )
        assert answer.command_status == 0
        receipt = await peer.next()
        assert isinstance(receipt, smpp34.DeliverSmEvent)
        tlvs = {tlv.tag: tlv for tlv in receipt.tlvs}
        assert tlvs[Tag.RECEIPTED_MESSAGE_ID].as_string() == answer.message_id
        await peer.unbind()
    finally:
        await client.stop()
