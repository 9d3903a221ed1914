"""The admin socket and smppctl against a running daemon."""

import asyncio
import json
import os
import stat
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import pytest

from app.domain.messages.events import Outcome
from smpp_daemon import admin
from smpp_daemon.admin import AdminServer, BadRequestError, SocketInUseError
from smpp_daemon.daemon import Daemon
from smpp_daemon.simulator import Simulator
from tests.smpp.daemon_harness import World, bound, eventually, running
from tests.smpp.smppctl_process import smppctl


async def test_status_shows_what_the_daemon_does(world: World) -> None:
    path = world.settings.smppd.admin_socket
    async with Simulator() as operator:
        await world.make_channel(operator.port, rate={"per_second": 500, "burst": 50})
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            await world.send(20)
            await eventually(lambda: len(world.results.receipts) >= 20 and not account.in_memory)
            code, out, err = await smppctl("status", "--json", socket=path)
            assert (code, err) == (0, "")
            (shown,) = json.loads(out)["accounts"]
            assert shown["channel_id"] == str(world.channel_id)
            assert (shown["accepted"], shown["receipts"], shown["unknown"], shown["queued"]) == (20, 20, 0, 0)
            assert [(bind["state"], bind["mode"]) for bind in shown["binds"]] == [("bound", "transceiver")]
            assert shown["rate"]["configured"] == 500
            assert shown["response_p50_ms"] is not None
            assert "secret" not in out
            code, out, _ = await smppctl("status", socket=path)
            assert code == 0
            assert max(map(len, out.splitlines())) <= 80
            assert f"127.0.0.1:{operator.port}" in out
            assert "bound" in out
            await operator.stop()
            await eventually(lambda: account.keepers[0].last_error)
            code, out, _ = await smppctl("status", socket=path)
            assert code == 1
            assert "cannot connect" in out or "closed" in out or "unbind" in out
            assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
        assert world.results.outcomes(Outcome.SENT)
    code, _, err = await smppctl("status", socket=path)
    assert code == 2
    assert "TURUMBA_SMPPD_ADMIN_SOCKET" in err


async def test_a_second_daemon_does_not_take_the_socket(world: World) -> None:
    async with running(world.settings):
        with pytest.raises(SocketInUseError, match="Another smppd"):
            await Daemon(world.settings).start()


async def test_stale_sockets_are_replaced_and_bad_requests_answered(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "admin.sock"
    first = AdminServer(path, {})
    await first.start()
    os.link(path, tmp_path / "kept")
    await first.stop()
    (tmp_path / "kept").rename(path)
    server = AdminServer(path, {})
    await server.start()
    reader, writer = await asyncio.open_unix_connection(str(path))
    for request, words in ((b"nonsense\n", "not a request"), (b'{"verb": "dance"}\n', "unknown verb 'dance'")):
        writer.write(request)
        answer = json.loads(await reader.readline())
        assert answer["ok"] is False
        assert words in answer["error"]
    writer.close()
    await writer.wait_closed()
    await server.stop()
    assert not path.exists()
    path.write_text("something else")
    with pytest.raises(SocketInUseError, match="not a socket"):
        await AdminServer(path, {}).start()


async def test_a_stream_has_a_beginning_an_end_and_ends_with_its_client(tmp_path: Path) -> None:
    ended: list[str] = []

    async def numbers(arguments: Mapping[str, Any]) -> AsyncGenerator[Any, None]:
        if "limit" not in arguments:
            raise BadRequestError("how many?")
        try:
            yield None
            for number in range(arguments["limit"]):
                yield {"number": number}
            if arguments.get("forever"):
                await asyncio.Event().wait()
            if arguments.get("broken"):
                raise RuntimeError("defect")
        finally:
            ended.append("numbers")

    server = AdminServer(tmp_path / "admin.sock", {}, {"numbers": numbers})
    await server.start()

    async def ask(**arguments: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "admin.sock"))
        writer.write(json.dumps({"verb": "numbers", "arguments": arguments}).encode() + b"\n")
        return reader, writer

    async def told(reader: asyncio.StreamReader) -> list[Any]:
        return [json.loads(line) for line in (await reader.read()).splitlines()]

    reader, writer = await ask(limit=2)
    first, *others = await told(reader)
    assert (first["ok"], first["stream"]) == (True, True)
    assert others == [{"number": 0}, {"number": 1}, {"end": True}]
    writer.close()
    reader, writer = await ask()
    assert [(line["ok"], line["error"]) for line in await told(reader)] == [(False, "how many?")]
    writer.close()
    reader, writer = await ask(limit=1, broken=True)
    assert (await told(reader))[-1]["error"].startswith("The request failed")
    writer.close()
    ended.clear()
    reader, writer = await ask(limit=1, forever=True)
    assert json.loads(await reader.readline())["stream"]
    writer.close()
    await eventually(lambda: ended)
    reader, writer = await ask(limit=1, forever=True)
    assert json.loads(await reader.readline())["stream"]
    await server.stop()
    assert (await told(reader))[-1] == {"number": 0}
    writer.close()


async def test_a_reader_that_does_not_read_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "STALL_SECONDS", 0.05)
    ended = asyncio.Event()

    async def much(_: Mapping[str, Any]) -> AsyncGenerator[Any, None]:
        try:
            while True:
                yield "x" * 10_000
        finally:
            ended.set()

    server = AdminServer(tmp_path / "admin.sock", {}, {"much": much})
    await server.start()
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "admin.sock"), limit=1024)
    writer.write(b'{"verb": "much"}\n')
    await asyncio.wait_for(ended.wait(), 10)
    assert json.loads((await reader.read()).splitlines()[-1])["error"] == "The reader was too slow."
    writer.close()
    await server.stop()
