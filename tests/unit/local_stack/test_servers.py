"""The two real servers: started, killed, orphaned, found again, and stopped with nothing left."""

import signal
import subprocess
import sys
from pathlib import Path

import aio_pika
import asyncpg
import pytest

from deploy.local import rabbitmq
from deploy.local.children import ProcessRecord, eventually
from deploy.local.errors import LocalError
from deploy.local.installation import REPOSITORY, Installation
from deploy.local.servers import BROKER_VARIABLE, DATABASE_VARIABLE, Servers

NAMES = ("postgres", "rabbitmq", "epmd")


def recorded(installation: Installation) -> list[str]:
    return [name for name in NAMES if ProcessRecord(installation.pid_file(name)).pid() is not None]


async def write(urls: dict[str, str]) -> None:
    """A committed row and a confirmed message."""
    database = await asyncpg.connect(urls[DATABASE_VARIABLE], timeout=10)
    await database.execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)")
    await database.close()
    broker = await aio_pika.connect(urls[BROKER_VARIABLE], timeout=10)
    channel = await broker.channel()
    queue = await channel.declare_queue("kept", durable=True, arguments={"x-queue-type": "quorum"})
    message = aio_pika.Message(b"kept", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    await channel.default_exchange.publish(message, queue.name, timeout=10)
    await broker.close()


def registered(installation: Installation) -> bool:
    """Whether the broker's register of quorum queues is on disk with our queue in it.

    RabbitMQ 3.10 writes that file up to half a second after it has confirmed the declaration; a queue whose node is
    killed before never finds a leader again.
    """
    files = (installation.root / "rabbitmq" / "mnesia").glob("*/quorum/*/names.dets")
    return any(b"turumba_kept" in file.read_bytes() for file in files)


async def read(urls: dict[str, str]) -> tuple[int, bytes]:
    """The row and the message, which stays."""
    database = await asyncpg.connect(urls[DATABASE_VARIABLE], timeout=10)
    row = await database.fetchval("SELECT n FROM kept")
    await database.close()
    broker = await aio_pika.connect(urls[BROKER_VARIABLE], timeout=10)
    queue = await (await broker.channel()).get_queue("kept", ensure=False)
    message = await queue.get(timeout=10)
    await message.nack(requeue=True)
    await broker.close()
    return row, message.body


async def test_servers_survive_kill_9_with_what_was_confirmed(installation: Installation) -> None:
    servers = Servers(installation, {}, report=lambda text: None)
    await servers.start()
    try:
        urls = servers.environment
        await write(urls)
        assert await eventually(lambda: registered(installation), 10)
        for server in servers.own:
            await server.kill()
            assert not server.running
            await server.start()
        assert servers.environment == urls  # the product's processes keep their settings
        assert await read(urls) == (1, b"kept")
    finally:
        await servers.stop()
    assert recorded(installation) == []


async def test_the_products_role_makes_databases_and_is_no_superuser(installation: Installation) -> None:
    servers = Servers(installation, {BROKER_VARIABLE: "amqp://elsewhere"}, report=lambda text: None)
    await servers.start()
    try:
        connection = await asyncpg.connect(servers.environment[DATABASE_VARIABLE], timeout=10)
        assert await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
        await connection.execute("CREATE DATABASE turumba_test")
        await connection.execute("CREATE EXTENSION citext")
        assert await connection.fetchval("SHOW fsync") == "on"
        assert await connection.fetchval("SHOW max_connections") == "200"
        await connection.close()
        wrong = servers.environment[DATABASE_VARIABLE].replace(installation.secret("postgres"), "guess")
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(wrong, timeout=10)
    finally:
        await servers.stop()


async def test_after_a_killed_run_the_next_one_has_its_data(installation: Installation) -> None:
    killed_run = (
        "import asyncio, os, pathlib, signal, sys\n"
        "from deploy.local.installation import Installation\n"
        "from deploy.local.servers import Servers\n"
        "from tests.unit.local_stack.test_servers import write\n"
        "async def main():\n"
        "    servers = Servers(Installation(pathlib.Path(sys.argv[1])), {}, print)\n"
        "    await servers.start()\n"
        "    await write(servers.environment)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", killed_run, str(installation.root)], cwd=REPOSITORY, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL
    servers = Servers(installation, {}, report=lambda text: None)
    await servers.start()
    try:
        assert await read(servers.environment) == (1, b"kept")
    finally:
        await servers.stop()
    assert await eventually(lambda: recorded(installation) == [], 5)


async def test_servers_named_by_a_person_are_not_started(installation: Installation) -> None:
    given = {DATABASE_VARIABLE: "postgresql://elsewhere", BROKER_VARIABLE: "amqp://elsewhere"}
    servers = Servers(installation, given, report=lambda text: None)
    await servers.start()
    assert servers.own == []
    assert servers.environment == given
    await servers.stop()


async def test_without_rabbitmq_a_person_is_told_what_to_do(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq, "SERVER", Path("/nowhere/rabbitmq-server"))
    servers = Servers(installation, {}, report=lambda text: None)
    with pytest.raises(LocalError) as caught:
        await servers.start()
    assert "apt-get install -y --no-install-recommends rabbitmq-server" in str(caught.value)
    assert "TURUMBA_BROKER_URL=" in str(caught.value)
    assert recorded(installation) == []


async def test_a_broker_with_other_credentials_is_explained(installation: Installation) -> None:
    servers = Servers(installation, {DATABASE_VARIABLE: "postgresql://elsewhere"}, report=lambda text: None)
    await servers.start()
    await servers.stop()
    installation.change(lambda state: state.secrets.update(broker="another"))
    with pytest.raises(LocalError, match="make clean"):
        await servers.start()
    assert recorded(installation) == []
