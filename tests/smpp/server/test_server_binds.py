"""Who may bind, how often, and when a bind ends."""

import asyncio
import ssl
import subprocess
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import text

from app.lib.db import Database
from app.settings import Settings
from smpp_daemon.daemon import Daemon
from smpp_daemon.protocol.codec import encode
from smpp_daemon.protocol.constants import BindMode, CommandId
from smpp_daemon.protocol.pdu import BindRequest
from smpp_daemon.protocol.session import EsmeConfig
from smpp_daemon.protocol.status import RALYBND, RBINDFAIL, RINVPASWD, RINVSYSID
from smpp_daemon.server.server import CannotListenError
from tests.smpp.daemon_harness import eventually
from tests.smpp.server.conftest import make_tenant, serving
from tests.smpp.server.harness import Application, Tenant, submit


async def refused(port: int, tenant: Tenant, **more: Any) -> int | None:
    app = await tenant.bind(port, **more)
    status = app.refused
    await app.until(lambda: app.lost)
    return status


async def test_names_and_passwords_must_be_right(port: int, tenant: Tenant) -> None:
    assert await refused(port, tenant, system_id="nobody") == RINVSYSID
    assert await refused(port, tenant, password="wrong") == RINVPASWD
    assert await refused(port, tenant, password=tenant.password + "x") == RINVPASWD
    app = await tenant.bind(port)
    assert app.bound is not None
    assert app.bound.system_id == "turumba"
    assert await refused(port, tenant, password="wrong") == RINVPASWD
    await app.close()


async def test_passwords_longer_than_the_standard_are_compared_whole(port: int, api: httpx.AsyncClient) -> None:
    """Field problem 40: nothing is cut to 8 characters."""
    tenant = await make_tenant(api, password="a-password-of-28-characters!")
    assert await refused(port, tenant, password="a-passwo") == RINVPASWD
    app = await tenant.bind(port)
    assert app.bound is not None
    await app.close()


async def test_a_disabled_account_cannot_bind_and_its_binds_end(port: int, tenant: Tenant) -> None:
    app = await tenant.bind(port)
    await tenant.change(enabled=False)
    await app.until(lambda: app.unbound)
    assert await refused(port, tenant) == RINVSYSID
    await tenant.change(enabled=True)
    again = await tenant.bind(port)
    assert again.bound is not None
    await again.close()


async def test_binds_end_when_the_tenant_is_suspended(port: int, tenant: Tenant, server_database: Database) -> None:
    app = await tenant.bind(port)
    async with server_database.unit_of_work() as session:
        await session.execute(
            text("UPDATE accounts SET suspended = true WHERE id = :id"), {"id": tenant.account["account_id"]}
        )
    await app.until(lambda: app.unbound)
    assert await refused(port, tenant) == RINVSYSID


async def test_another_password_ends_the_binds_made_with_the_old_one(port: int, tenant: Tenant) -> None:
    app = await tenant.bind(port)
    rotated = await tenant.api.post(f"{tenant.path}/rotate-password", headers=tenant.headers)
    await app.until(lambda: app.unbound)
    assert await refused(port, tenant) == RINVPASWD
    again = await tenant.bind(port, password=rotated.json()["password"])
    assert again.bound is not None
    await again.close()


async def test_a_deleted_account_is_unbound(port: int, tenant: Tenant) -> None:
    app = await tenant.bind(port)
    assert (await tenant.api.delete(tenant.path, headers=tenant.headers)).status_code == 204
    await app.until(lambda: app.unbound)
    assert await refused(port, tenant) == RINVSYSID


async def test_only_allowed_networks_may_bind(port: int, tenant: Tenant) -> None:
    await tenant.change(allowed_networks=["192.0.2.0/24", "2001:db8::/32"])
    assert await refused(port, tenant) == RBINDFAIL
    await tenant.change(allowed_networks=["127.0.0.0/8"])
    app = await tenant.bind(port)
    assert app.bound is not None
    await tenant.change(allowed_networks=["192.0.2.0/24"])
    await app.until(lambda: app.unbound)


async def test_other_changes_leave_binds_alone(port: int, daemon: Daemon, tenant: Tenant) -> None:
    app = await tenant.bind(port)
    await tenant.change(window=77, rate_per_second=5, name="Renamed")
    assert daemon.server is not None
    server = daemon.server
    await eventually(lambda: [bind.window for bind in server.status().binds] == [77])
    assert [status for status, _ in await app.send(submit())] == [0]
    await app.close()


async def test_binds_are_counted_over_all_daemons(
    daemon: Daemon, server_settings: Settings, tenant: Tenant, tmp_path: Path
) -> None:
    await tenant.change(max_binds=2)
    assert daemon.server is not None
    other_settings = msgspec.structs.replace(
        server_settings,
        smppd=msgspec.structs.replace(server_settings.smppd, admin_socket=str(tmp_path / "other.sock")),
    )
    async with serving(other_settings) as other:
        assert other.server is not None
        here, there = daemon.server.ports[0], other.server.ports[0]
        first = await tenant.bind(here, BindMode.TRANSMITTER)
        second = await tenant.bind(there, BindMode.RECEIVER)
        assert await refused(here, tenant) == RALYBND
        assert await refused(there, tenant) == RALYBND
        await second.close()
        async with asyncio.timeout(10):
            while (third := await tenant.bind(here)).refused == RALYBND:
                await third.until(lambda third=third: third.lost)  # type: ignore[misc]
        assert third.bound is not None
        await first.close()
        await third.close()


async def test_the_server_says_who_is_bound(port: int, daemon: Daemon, tenant: Tenant) -> None:
    app = await tenant.bind(port, BindMode.TRANSMITTER)
    await app.send(submit(), submit(to="12"))
    assert daemon.server is not None
    status = daemon.server.status()
    assert [listener.tls for listener in status.listeners] == [False]
    assert status.listeners[0].address.endswith(f":{port}")
    [bind] = [each for each in status.binds if each.system_id == tenant.account["system_id"]]
    assert (bind.mode, bind.submitted, bind.refused, bind.tls) == ("transmitter", 1, 1, False)
    assert bind.peer.startswith("127.0.0.1:")
    await app.close()


async def test_the_owner_sees_when_it_was_bound_last(port: int, tenant: Tenant) -> None:
    app = await tenant.bind(port)
    shown = (await tenant.api.get(tenant.path, headers=tenant.headers)).json()
    assert shown["last_bound_at"] is not None
    assert shown["updated_at"] == tenant.account["updated_at"]
    await app.close()


async def test_a_bind_that_comes_together_with_its_first_message(port: int, tenant: Tenant) -> None:
    """Field problem 28: one read may hold the bind and what follows it; what comes too early is refused, not lost."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = BindRequest(BindMode.TRANSCEIVER, tenant.account["system_id"], tenant.password)
    writer.write(encode(request, 1) + encode(submit(), 2))
    commands = []
    for _ in range(2):
        header = await reader.readexactly(16)
        length, command, status = (int.from_bytes(header[at : at + 4], "big") for at in (0, 4, 8))
        await reader.readexactly(length - 16)
        commands.append((command, status))
    assert sorted(commands) == sorted(
        [(int(CommandId.SUBMIT_SM_RESP), 0x04), (int(CommandId.BIND_TRANSCEIVER_RESP), 0)]
    )
    writer.close()
    await writer.wait_closed()


async def test_garbage_is_answered_and_cut_off(port: int) -> None:
    """Field problem 27: an HTTP client on this port costs nothing but its own connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    async with asyncio.timeout(10):
        answer = await reader.read()
    assert answer[4:8] == bytes((0x80, 0, 0, 0))
    writer.close()
    await writer.wait_closed()


def certificate(folder: Path) -> tuple[Path, Path]:
    made, key = folder / "server.pem", folder / "server.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(key), "-out", str(made)),
        ],
        check=True,
        capture_output=True,
    )
    return made, key


async def test_applications_may_come_over_tls(server_settings: Settings, tenant: Tenant, tmp_path: Path) -> None:
    made, key = certificate(tmp_path)
    smppd = msgspec.structs.replace(
        server_settings.smppd, listen="", listen_tls="127.0.0.1:0", listen_certificate=str(made), listen_key=str(key)
    )
    async with serving(msgspec.structs.replace(server_settings, smppd=smppd)) as daemon:
        assert daemon.server is not None
        port = daemon.server.ports[0]
        context = ssl.create_default_context(cafile=str(made))
        config = EsmeConfig("app", tenant.account["system_id"], tenant.password)
        _, app = await asyncio.get_running_loop().create_connection(
            lambda: Application(config, True), "127.0.0.1", port, ssl=context, server_hostname="localhost"
        )
        await app.until(lambda: app.bound is not None)
        assert [status for status, _ in await app.send(submit())] == [0]
        status = daemon.server.status()
        assert [bind.tls for bind in status.binds] == [True]
        assert status.listeners[0].certificate_expires_at is not None
        await app.close()


async def test_what_cannot_be_listened_on_is_said(server_settings: Settings, port: int, tmp_path: Path) -> None:
    for change in ({"listen": f"127.0.0.1:{port}"}, {"listen": "nonsense"}, {"listen_tls": "127.0.0.1:0"}):
        smppd = msgspec.structs.replace(server_settings.smppd, admin_socket=str(tmp_path / "x.sock"), **change)
        daemon = Daemon(msgspec.structs.replace(server_settings, smppd=smppd))
        with pytest.raises(CannotListenError):
            await daemon.start()
        await daemon.stop()
