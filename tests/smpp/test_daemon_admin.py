"""The admin socket and smppctl against a running daemon."""

import asyncio
import json
import os
import stat
import sys
from pathlib import Path

import pytest

from app.domain.messages.events import Outcome
from smpp_daemon.admin import AdminServer, SocketInUseError
from smpp_daemon.daemon import Daemon
from smpp_daemon.simulator import Simulator
from tests.smpp.daemon_harness import World, bound, eventually, running


async def smppctl(*arguments: str, socket: str) -> tuple[int, str, str]:
    """Exit code and output; 80 columns, as a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "smpp_daemon.smppctl.main",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"TURUMBA_SMPPD_ADMIN_SOCKET": socket, "COLUMNS": "80", "NO_COLOR": "1"},
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode or 0, out.decode(), err.decode()


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
