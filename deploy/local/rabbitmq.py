"""A private RabbitMQ node from the system's package: own ports, own data, own credentials, no plugins."""

import asyncio
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import aio_pika
import aiormq.exceptions
from aio_pika.connection import make_url

from deploy.local.children import Child, eventually
from deploy.local.errors import LocalError
from deploy.local.installation import Installation
from deploy.local.ports import LOOPBACK

# The script itself: the wrapper in /usr/sbin changes to the user `rabbitmq` or refuses to run.
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
USER = "turumba"
VHOST = "turumba"
_START_SECONDS = 90.0
_STOP_SECONDS = 30.0
_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"  # AMQP 0-9-1 §4.2.2
_METHOD_FRAME = b"\x01"
MISSING = f"""RabbitMQ is not installed (there is no {SERVER}). Either install it:
    sudo apt-get update && sudo apt-get install -y --no-install-recommends rabbitmq-server
or name a running server:
    TURUMBA_BROKER_URL=amqp://user:password@host:5672/vhost make run"""


class RabbitMQ:
    """One broker node and the epmd that it registers with."""

    name = "rabbitmq"

    def __init__(self, installation: Installation, report: Callable[[str], None]) -> None:
        self._installation = installation
        self._report = report
        self._home = installation.root / self.name
        self._node = Child(installation, self.name)
        self._epmd = Child(installation, "epmd")

    @property
    def url(self) -> str:
        """The product's `TURUMBA_BROKER_URL`."""
        place = self._installation
        return f"amqp://{USER}:{place.secret('broker')}@{LOOPBACK}:{place.port('broker')}/{VHOST}"

    @property
    def running(self) -> bool:
        """Whether the node that this object started lives."""
        return self._node.running

    @property
    def pid(self) -> int | None:
        """The Erlang machine's pid."""
        return self._node.pid

    def last_words(self) -> str:
        """How the node ended and its last log lines."""
        return self._node.last_words()

    async def prepare(self) -> None:
        """End leftovers of an earlier run and settle the ports, for the start of the stack, not a restart within it.

        Raises `LocalError` when RabbitMQ is not installed.
        """
        _epmd()
        if await self._node.stop_leftover(_STOP_SECONDS):
            self._report("Stopped the RabbitMQ that an earlier run left behind.")
        await self._epmd.stop_leftover(5)
        for port in ("broker", "broker_dist", "epmd"):
            self._installation.usable_port(port)

    async def start(self) -> None:
        """Start and wait until the broker speaks AMQP and knows our user. Raises `LocalError`."""
        epmd = _epmd()
        self._configure()
        environment = self._environment()
        # Our own epmd, in the foreground: the one that a node starts is a daemon that nothing ends, and costs 3 s.
        if not self._epmd.running:
            port = self._installation.port("epmd")
            self._epmd.spawn([epmd, "-port", str(port), "-address", LOOPBACK], environment, self._home)
            if not await eventually(lambda: _accepts(port) or not self._epmd.running, 10) or not self._epmd.running:
                raise LocalError(f"RabbitMQ's name server does not start: {self._epmd.last_words()}")
        self._node.spawn([str(SERVER)], environment, self._home)
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not await self._speaks_amqp():
                    if not self._node.running:
                        raise LocalError(f"RabbitMQ does not start: {self.last_words()}")
                    await asyncio.sleep(0.05)
                await self._log_in()
        except TimeoutError:
            raise LocalError(f"RabbitMQ did not answer within {_START_SECONDS:.0f} s: {self.last_words()}") from None

    async def stop(self) -> None:
        """Stop the node, then epmd."""
        if not await self._node.stop(_STOP_SECONDS):
            self._report(
                f"RabbitMQ did not stop within {_STOP_SECONDS:.0f} s and was killed; confirmed messages are kept."
            )
        await self._epmd.stop(5)

    async def kill(self) -> None:
        """`kill -9` for the node; epmd lives on, as it would."""
        await self._node.kill()

    def _configure(self) -> None:
        place = self._installation
        for folder in ("mnesia", "log", "gen", "schema"):
            (self._home / folder).mkdir(parents=True, exist_ok=True)
        self._home.chmod(0o700)
        (self._home / "none.conf").write_text("")
        (self._home / "enabled_plugins").write_text("[].\n")
        (self._home / "rabbitmq.conf").write_text(
            f"default_user = {USER}\n"
            f"default_pass = {place.secret('broker')}\n"
            f"default_vhost = {VHOST}\n"
            f"listeners.tcp.1 = {LOOPBACK}:{place.port('broker')}\n"
            "log.console = true\n"
            "log.console.level = info\n"
            "disk_free_limit.absolute = 50MB\n"
            "vm_memory_high_watermark.absolute = 512MB\n"
        )
        cookie = self._home / ".erlang.cookie"
        if not cookie.exists():
            cookie.touch(mode=0o600)
            cookie.write_text(place.secret("erlang_cookie"))
            cookie.chmod(0o400)

    def _environment(self) -> dict[str, str]:
        home, place = str(self._home), self._installation
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LC_ALL": "C.UTF-8",
            "HOME": home,  # where Erlang looks for the cookie
            "RABBITMQ_NODENAME": "turumba@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": str(place.port("broker")),
            "RABBITMQ_DIST_PORT": str(place.port("broker_dist")),
            "RABBITMQ_MNESIA_BASE": f"{home}/mnesia",
            "RABBITMQ_LOG_BASE": f"{home}/log",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/enabled_plugins",
            "RABBITMQ_CONFIG_FILE": f"{home}/rabbitmq.conf",
            "RABBITMQ_CONF_ENV_FILE": f"{home}/none.conf",
            "RABBITMQ_PID_FILE": f"{home}/node.pid",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{home}/gen",
            "RABBITMQ_SCHEMA_DIR": f"{home}/schema",
            "RABBITMQ_FEATURE_FLAGS_FILE": f"{home}/feature_flags",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            # Makes the script become the Erlang machine instead of its parent, so that signals reach the node itself.
            "RUNNING_UNDER_SYSTEMD": "true",
            "ERL_EPMD_PORT": str(place.port("epmd")),
            "ERL_EPMD_ADDRESS": LOOPBACK,
        }

    async def _speaks_amqp(self) -> bool:
        """Whether the port answers a protocol header with a method frame (Connection.Start): TCP alone says nothing."""
        try:
            async with asyncio.timeout(2):
                reader, writer = await asyncio.open_connection(LOOPBACK, self._installation.port("broker"))
                try:
                    writer.write(_PROTOCOL_HEADER)
                    return await reader.read(1) == _METHOD_FRAME
                finally:
                    writer.close()
        except OSError:  # TimeoutError is one of them
            return False

    async def _log_in(self) -> None:
        # Not `aio_pika.connect`, which leaves a connection that failed to the garbage collector.
        connection = aio_pika.Connection(make_url(self.url))
        try:
            await connection.connect(timeout=10)
        except (aiormq.exceptions.AMQPError, ConnectionError) as error:
            raise LocalError(
                f"The broker in {self._home} refuses the credentials in {self._installation.root}/state.json: {error}\n"
                "`make clean` removes both, with all local data."
            ) from error
        finally:
            await connection.close()


def _epmd() -> str:
    """The path of Erlang's name server, which comes with RabbitMQ; raises `LocalError` when either is missing."""
    epmd = shutil.which("epmd")
    if not SERVER.exists() or epmd is None:
        raise LocalError(MISSING)
    return epmd


def _accepts(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0
