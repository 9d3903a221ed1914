"""The server inside a daemon that is killed or asked to end."""

import asyncio
import signal
import socket
from pathlib import Path

import pytest

from smpp_daemon.protocol.constants import BindMode
from smpp_daemon.protocol.status import RALYBND
from tests.smpp.server.harness import Application, Tenant, dashed, submit
from tests.smpp.test_daemon_process import smppd


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def bind_when_there(tenant: Tenant, port: int) -> Application:
    async with asyncio.timeout(30):
        while True:
            try:
                app = await tenant.bind(port, BindMode.TRANSMITTER)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            if app.bound is not None:
                return app
            # Its slot is counted on a connection that is being made.
            assert app.refused in (0x08, RALYBND)


@pytest.mark.timeout(120)
async def test_what_was_answered_survives_a_kill(
    tenant: Tenant, server_environment: dict[str, str], tmp_path: Path
) -> None:
    """Field problem 38: the answer comes after the commit, so a kill loses nothing that was answered."""
    await tenant.change(max_binds=1)
    port = free_port()
    variables = server_environment | {
        "TURUMBA_SMPPD_LISTEN": f"127.0.0.1:{port}",
        "TURUMBA_SMPPD_ADMIN_SOCKET": str(tmp_path / "smppd.sock"),
    }
    answered: set[str] = set()
    async with smppd(variables) as first:
        app = await bind_when_there(tenant, port)
        for number in range(100):
            app.submit(submit(f"before {number}"), number)
        await app.until(lambda: len(app.answers) >= 20)
        first.kill()
        await first.wait()
        await app.until(lambda: app.lost)
        answered |= {answer.message_id for answer in app.answers.values() if answer.status == 0}
    async with smppd(variables) as second:
        # The only slot of the account is free at once: no ghost of the killed process holds it.
        app = await bind_when_there(tenant, port)
        for number in range(50):
            app.submit(submit(f"after {number}"), number)
        await app.until(lambda: bool(app.answers))
        second.send_signal(signal.SIGTERM)
        await app.until(lambda: app.lost)
        assert app.unbound
        assert await asyncio.wait_for(second.wait(), 20) == 0
        answered |= {answer.message_id for answer in app.answers.values() if answer.status == 0}
    stored = {each["id"] for each in await tenant.messages()}
    assert len(answered) >= 21
    assert {dashed(message_id) for message_id in answered} <= stored
