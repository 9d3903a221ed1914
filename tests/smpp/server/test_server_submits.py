"""What applications may ask for, and how it is answered."""

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit

import msgspec
import pytest

from app.settings import Settings
from smpp_daemon.protocol.codec import encode_body
from smpp_daemon.protocol.constants import BindMode, MessageState, Tag
from smpp_daemon.protocol.errors import LocalProtocolError
from smpp_daemon.protocol.pdu import (
    CancelSm,
    DataSm,
    DataSmResp,
    QuerySm,
    QuerySmResp,
    ReplaceSm,
    SmeAddress,
    SubmitMulti,
    SubmitMultiResp,
    UnsuccessSme,
)
from smpp_daemon.protocol.status import RINVDSTADR, RMSGQFUL, RSUBMITFAIL, RSYSERR, RTHROTTLED
from smpp_daemon.server.refusals import RCANCELFAIL, RINVDLNAME, RINVMSGID, RREPLACEFAIL
from tests.smpp.server.conftest import serving
from tests.smpp.server.harness import Tenant, dashed, submit


async def test_what_is_answered_is_stored(port: int, tenant: Tenant) -> None:
    app = await tenant.bind(port, BindMode.TRANSMITTER, window=200)
    answers = await app.send(*(submit(f"Number {n}", to=f"2519110{n:05d}") for n in range(150)))
    assert {status for status, _ in answers} == {0}
    stored = {each["id"]: each["text"] for each in await tenant.messages()}
    assert [stored[dashed(message_id)] for _, message_id in answers] == [f"Number {n}" for n in range(150)]
    await app.close()


async def test_each_message_is_judged_by_itself(port: int, tenant: Tenant) -> None:
    app = await tenant.bind(port)
    answers = await app.send(submit(), submit(to="12"), submit(schedule_delivery_time="000001000000000R"), submit())
    assert [status for status, _ in answers] == [0, RINVDSTADR, 0x61, 0]
    assert len(await tenant.messages()) == 2
    await app.close()


async def test_the_sender_of_the_account_is_taken_when_there_is_none(port: int, tenant: Tenant) -> None:
    await tenant.change(default_from="OURS")
    app = await tenant.bind(port)
    await app.send(submit(source_addr="", source_addr_ton=0))
    assert [each["from"] for each in await tenant.messages()] == ["OURS"]
    await app.close()


async def test_the_rate_is_kept_and_no_rebind_earns_another_burst(port: int, tenant: Tenant) -> None:
    """Field problems 10 and 13: every PDU counts, and the limit belongs to the account, not to its binds."""
    await tenant.change(rate_per_second=0.01, burst=3)
    app = await tenant.bind(port)
    answers = await app.send(*(submit() for _ in range(5)))
    assert [status for status, _ in answers] == [0, 0, 0, RTHROTTLED, RTHROTTLED]
    await app.close()
    again = await tenant.bind(port)
    assert [status for status, _ in await again.send(submit())] == [RTHROTTLED]
    await again.close()


async def test_unanswered_submits_are_limited_for_each_bind(port: int, tenant: Tenant) -> None:
    """Field problems 7 and 37: who sends more than its window is refused for now, and costs no memory."""
    await tenant.change(inbound_limit=4)
    app = await tenant.bind(port)
    # One write, so that the server reads them together, before any of them can be answered.
    for token in range(10):
        app.session.submit_many([encode_body(submit())], [token], app.loop.time())
    app.flush()
    await app.until(lambda: len(app.answers) == 10)
    statuses = [app.answers[token].status for token in range(10)]
    assert statuses == [0] * 4 + [RTHROTTLED] * 6
    assert [status for status, _ in await app.send(submit())] == [0]
    await app.close()


async def test_a_receiver_cannot_submit(port: int, tenant: Tenant) -> None:
    app = await tenant.bind(port, BindMode.RECEIVER)
    with pytest.raises(LocalProtocolError):
        app.submit(submit(), 1)
    await app.close()


async def test_without_its_channel_an_account_cannot_send(port: int, tenant: Tenant) -> None:
    app = await tenant.bind(port)
    await tenant.api.delete(f"/v1/channels/{tenant.account['channel_id']}", headers=tenant.headers)
    async with asyncio.timeout(10):
        while [status for status, _ in await app.send(submit())] != [RSUBMITFAIL]:
            pass
    await app.close()


async def test_data_sm(port: int, tenant: Tenant) -> None:
    """Field problem 42: data_sm is served in both roles."""
    app = await tenant.bind(port)
    pdu = DataSm(dest_addr_ton=1, destination_addr="251911000100", tlvs=((Tag.MESSAGE_PAYLOAD, b"Hello"),))
    answer = await app.ask(pdu)
    assert isinstance(answer.pdu, DataSmResp)
    assert (await tenant.message(answer.pdu.message_id))["text"] == "Hello"
    await app.close()


async def test_submit_multi(port: int, tenant: Tenant) -> None:
    """Field problem 42: each destination becomes a message; those that cannot are named."""
    app = await tenant.bind(port)
    good = [SmeAddress(1, 1, f"25191100010{n}") for n in range(3)]
    pdu = SubmitMulti(destinations=(good[0], SmeAddress(1, 1, "12"), "list", *good[1:]), short_message=b"Hello")
    answer = await app.ask(pdu)
    assert (answer.status, type(answer.pdu)) == (0, SubmitMultiResp)
    assert isinstance(answer.pdu, SubmitMultiResp)
    assert answer.pdu.unsuccessful == (
        UnsuccessSme(1, 1, "12", RINVDSTADR),
        UnsuccessSme(0, 0, "list", RINVDLNAME),
    )
    stored = await tenant.messages()
    assert sorted(each["to"] for each in stored) == [f"+25191100010{n}" for n in range(3)]
    assert dashed(answer.pdu.message_id) == min(each["id"] for each in stored)
    nobody = await app.ask(SubmitMulti(destinations=(SmeAddress(1, 1, "12"),), short_message=b"x"))
    assert nobody.status == RINVDSTADR
    assert (await app.ask(SubmitMulti(short_message=b"x"))).status == 0x33
    await app.close()


async def test_query_and_cancel(port: int, tenant: Tenant) -> None:
    app = await tenant.bind(port)
    # Without a relay it stays queued.
    [(_, message_id)] = await app.send(submit())
    answer = await app.ask(QuerySm(message_id.upper()))
    assert isinstance(answer.pdu, QuerySmResp)
    assert (answer.pdu.message_state, answer.pdu.final_date) == (MessageState.ENROUTE, "")
    assert (await app.ask(CancelSm(message_id=message_id))).status == 0
    assert (await app.ask(CancelSm(message_id=message_id))).status == RCANCELFAIL
    answer = await app.ask(QuerySm(message_id))
    assert isinstance(answer.pdu, QuerySmResp)
    assert answer.pdu.message_state == MessageState.DELETED
    assert answer.pdu.final_date.endswith("00+")
    stored = await tenant.message(message_id)
    assert (stored["status"], [event["status"] for event in stored["events"]]) == ("canceled", ["queued", "canceled"])
    for unknown in ("", "x", "0" * 32, message_id[:-1]):
        assert (await app.ask(QuerySm(unknown))).status == RINVMSGID
        assert (await app.ask(CancelSm(message_id=unknown))).status == RCANCELFAIL
    assert (await app.ask(ReplaceSm(message_id=message_id, short_message=b"x"))).status == RREPLACEFAIL
    await app.close()


@pytest.mark.usefixtures("pipeline")
async def test_what_was_handed_over_cannot_be_canceled(port: int, tenant: Tenant) -> None:
    app = await tenant.bind(port)
    [(_, message_id)] = await app.send(submit(to="251911000106"))
    await tenant.message_until(message_id, lambda message: message["status"] == "sent")
    assert (await app.ask(CancelSm(message_id=message_id))).status == RCANCELFAIL
    assert (await tenant.message(message_id))["status"] == "sent"
    await app.close()


async def test_another_tenant_can_neither_ask_nor_cancel(port: int, tenant: Tenant, stranger: Tenant) -> None:
    app, other = await tenant.bind(port), await stranger.bind(port)
    [(_, message_id)] = await app.send(submit())
    assert (await other.ask(QuerySm(message_id))).status == RINVMSGID
    assert (await other.ask(CancelSm(message_id=message_id))).status == RCANCELFAIL
    assert (await tenant.message(message_id))["status"] == "queued"
    assert await stranger.messages() == []
    await app.close()
    await other.close()


class Road:
    """A TCP connection to PostgreSQL that can be cut and mended."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, out = await asyncio.open_connection(*self._target)
        self._writers |= {writer, out}
        await asyncio.gather(_pump(reader, out), _pump(there, writer))
        self._writers -= {writer, out}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def test_while_the_database_is_away_messages_are_refused_for_now(
    server_settings: Settings, tenant: Tenant
) -> None:
    url = urlsplit(server_settings.database.url)
    assert url.hostname is not None
    assert url.port is not None
    road = Road(url.hostname, url.port)
    await road.mend()
    there = url._replace(netloc=f"{url.username}:{url.password}@127.0.0.1:{road.port}").geturl()
    database = msgspec.structs.replace(server_settings.database, url=there)
    async with serving(msgspec.structs.replace(server_settings, database=database)) as daemon:
        assert daemon.server is not None
        app = await tenant.bind(daemon.server.ports[0])
        assert [status for status, _ in await app.send(submit())] == [0]
        await road.cut()
        assert [status for status, _ in await app.send(submit("lost"))] == [RMSGQFUL]
        late = await tenant.bind(daemon.server.ports[0])
        assert late.refused == RSYSERR
        await road.mend()
        async with asyncio.timeout(30):
            while (answers := await app.send(submit("back")))[0][0] != 0:
                assert answers[0][0] == RMSGQFUL
                await asyncio.sleep(0.05)
        assert sorted(each["text"] for each in await tenant.messages()) == ["Hello", "back"]
        assert (await tenant.message(answers[0][1]))["text"] == "back"
        await app.close()
    await road.cut()
