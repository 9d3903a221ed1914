"""An application's message through the whole product and its receipt back."""

import pytest

from smpp_daemon.protocol.constants import MessageState, Tag
from smpp_daemon.protocol.tlv import find_integer, find_text
from tests.smpp.server.harness import Tenant, submit


@pytest.mark.usefixtures("pipeline")
async def test_a_message_is_delivered_and_its_receipt_comes_back(port: int, tenant: Tenant) -> None:
    app = await tenant.bind(port)
    [(status, message_id)] = await app.send(submit("Hello", to="251911000100"))
    assert status == 0
    assert len(message_id) == 32
    await app.until(lambda: bool(app.receipts))
    [receipt] = app.receipts
    assert find_text(receipt.tlvs, Tag.RECEIPTED_MESSAGE_ID) == message_id
    assert find_integer(receipt.tlvs, Tag.MESSAGE_STATE) == MessageState.DELIVERED
    assert receipt.short_message.startswith(f"id:{message_id} sub:001 dlvrd:001 submit date:".encode())
    assert b"stat:DELIVRD err:000 text:Hello" in receipt.short_message
    assert (receipt.source_addr, receipt.destination_addr) == ("251911000100", "DEMO")
    stored = await tenant.message(message_id)
    assert (stored["status"], stored["text"], stored["from"]) == ("delivered", "Hello", "DEMO")
    await app.close()
