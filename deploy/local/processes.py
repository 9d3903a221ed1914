"""The whole private stack: two servers, the migrations, and the product's processes, each killable and restartable."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx

from deploy.local.children import ProcessRecord
from deploy.local.environment import product_environment
from deploy.local.errors import LocalError
from deploy.local.installation import Installation
from deploy.local.ports import LOOPBACK, require_free
from deploy.local.postgres import Postgres
from deploy.local.programs import Part, Program
from deploy.local.rabbitmq import RabbitMQ
from deploy.local.servers import BROKER_VARIABLE, DATABASE_VARIABLE, Servers, gather_all

OPERATOR_SYSTEM_ID = "demo"
OPERATOR_PASSWORD = "secret"
_MIGRATE_SECONDS = 180.0
_READY_SECONDS = 60.0
_NICENESS = {"worker": 10}
"""As in its unit."""

_WATCH_SECONDS = 0.2
_BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_STEADY_SECONDS = 60.0
"""A process that lived this long starts with a clean slate when it dies."""


class LocalStack:
    """The private stack in one folder. One at a time per folder; nothing of it outlives this process.

    `given` are product settings that win over the stack's own; a database or broker named there is neither started nor
    stopped. `api_port` None takes any free port. With `restart`, what dies is reported and started again with backoff.
    Use it from the main thread: the kernel ends the children when the thread that started them ends.
    """

    def __init__(
        self,
        directory: Path,
        *,
        api_port: int | None = None,
        given: Mapping[str, str] | None = None,
        simulator_options: Sequence[str] = ("--receipt-delay", "0.2"),
        restart: bool = False,
        report: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.installation = Installation(directory)
        self._api_port = api_port
        self._given = dict(given or {})
        self._simulator_options = simulator_options
        self._restart = restart
        self._report = report
        self._run_lock = self.installation.lock("run")
        self._servers_lock = self.installation.lock("servers")
        self._programs: dict[str, Program] = {}
        self._parts: dict[str, Part] = {}
        self._watcher: asyncio.Task[None] | None = None
        self.environment: dict[str, str] = {}

    @property
    def api_url(self) -> str:
        """Where the API answers, without a slash at the end; known once the stack has started."""
        return f"http://{LOOPBACK}:{self.environment['TURUMBA_API_PORT']}"

    @property
    def operator_port(self) -> int:
        """Where `smsc-sim` accepts binds, as `OPERATOR_SYSTEM_ID` with `OPERATOR_PASSWORD`."""
        return self.installation.port("smsc")

    def process(self, name: str) -> Part:
        """`postgres`, `rabbitmq`, `api`, `relay`, `worker`, `scheduler`, `smppd` or `smsc-sim`, once started."""
        try:
            return self._parts[name]
        except KeyError:
            raise LocalError(f"{name!r} is not a process of this stack; it has {', '.join(self._parts)}.") from None

    async def start(self) -> None:
        """Start everything and return when the API says it is ready. Raises `LocalError`, with nothing left running."""
        if not self._run_lock.try_exclusive():
            raise LocalError(
                f"Another run (pid {self._run_lock.holder()}) uses {self.installation.root}.\n"
                "Stop it with Ctrl-C there or `make stop` here, or use another folder: TURUMBA_LOCAL_DIR=/some/folder."
            )
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop everything in order: the API takes no more, the others drain, then the servers."""
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
            self._watcher = None
        parts = self._parts
        drained = ("relay", "worker", "scheduler", "smppd")
        for step in (("api",), drained, ("smsc-sim",), (Postgres.name, RabbitMQ.name)):
            await asyncio.gather(*(parts[name].stop() for name in step if name in parts))
        self._servers_lock.release()
        self._run_lock.release()

    async def kill(self) -> None:
        """`kill -9` for everything: for the impatient."""
        for part in self._parts.values():
            part.wanted = False
        await asyncio.gather(*(part.kill() for part in self._parts.values()))

    async def wait_ready(self, seconds: float = _READY_SECONDS) -> None:
        """Wait until `/health/ready` answers 200; raises `LocalError` with what it said last and who died."""
        deadline = time.monotonic() + seconds
        answer = "no answer"
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            while True:
                try:
                    response = await client.get(f"{self.api_url}/health/ready")
                    if response.status_code == httpx.codes.OK:
                        return
                    answer = f"{response.status_code} {response.text[:1000]}"
                except httpx.HTTPError as error:
                    answer = f"no answer ({error})"
                api = self._parts["api"]
                hopeless = not api.running and (not self._restart or api.failures >= 3)
                if hopeless or time.monotonic() > deadline:
                    dead = [part.last_words() for part in self._parts.values() if part.wanted and not part.running]
                    raise LocalError("\n".join([f"The API is not ready. {self.api_url}/health/ready: {answer}", *dead]))
                await asyncio.sleep(0.1)

    async def _start(self) -> None:
        place = self.installation
        self._programs = self._make_programs()
        for program in self._programs.values():
            await program.prepare()
        api_port = place.usable_port("api") if self._api_port is None else self._api_port
        require_free(api_port, "TURUMBA_API_PORT", "make run")
        given = {**self._servers_already_up(), **self._given}
        servers = Servers(place, given, self._report)
        await servers.prepare()
        self.environment = product_environment(place, servers.environment, api_port, given)
        for program in self._programs.values():
            program.environment = self.environment
        migrate = self._programs.pop("migrate")
        self._parts = {subject.name: Part(subject) for subject in (*servers.own, *self._programs.values())}
        await gather_all(self._database_ready(migrate), self._broker_ready())
        for name in self._programs:
            await self._parts[name].start()
        if self._restart:
            self._watcher = asyncio.create_task(self._watch())
        await self.wait_ready()

    def _make_programs(self) -> dict[str, Program]:
        place = self.installation
        operator = (
            *("--listen", f"{LOOPBACK}:{place.usable_port('smsc')}", "--journal", str(place.root / "smsc-sim.journal")),
            *("--system-id", OPERATOR_SYSTEM_ID, "--password", OPERATOR_PASSWORD, *self._simulator_options),
        )
        commands = {
            "migrate": ("turumba", "migrate"),
            "smsc-sim": ("smsc-sim", *operator),
            "smppd": ("smppd",),
            "worker": ("turumba", "worker"),
            "relay": ("turumba", "relay"),
            "scheduler": ("turumba-scheduler",),
            "api": ("turumba", "api"),
        }
        return {
            name: Program(place, name, command, niceness=_NICENESS.get(name, 0)) for name, command in commands.items()
        }

    def _servers_already_up(self) -> dict[str, str]:
        """The servers that `services up` keeps running in this folder; none when they are ours to start."""
        if self._servers_lock.try_exclusive():
            return {}
        if ProcessRecord(self.installation.pid_file("keeper")).pid() is None:
            raise LocalError(f"Process {self._servers_lock.holder()} is using the servers in {self.installation.root}.")
        return {
            DATABASE_VARIABLE: Postgres(self.installation, self._report).url,
            BROKER_VARIABLE: RabbitMQ(self.installation, self._report).url,
        }

    async def _database_ready(self, migrate: Program) -> None:
        if Postgres.name in self._parts:
            await self._parts[Postgres.name].start()
        await migrate.run(_MIGRATE_SECONDS)

    async def _broker_ready(self) -> None:
        if RabbitMQ.name in self._parts:
            await self._parts[RabbitMQ.name].start()

    async def _watch(self) -> None:
        """Report what died and start it again, each after its own backoff."""
        due: dict[str, float] = {}
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            now = time.monotonic()
            for part in self._parts.values():
                if part.running or not part.wanted:
                    due.pop(part.name, None)
                elif part.name not in due:
                    due[part.name] = now + self._bury(part, now)
                elif now >= due[part.name]:
                    del due[part.name]
                    await self._revive(part)

    def _bury(self, part: Part, now: float) -> float:
        """Say that it died; returns the seconds until it is to be started again."""
        part.failures = 1 if now - part.started_at > _STEADY_SECONDS else part.failures + 1
        pause = _BACKOFF_SECONDS[min(part.failures, len(_BACKOFF_SECONDS)) - 1]
        self._report(f"{part.last_words()}\n{part.name} is started again in {pause:g} s.")
        return pause

    async def _revive(self, part: Part) -> None:
        try:
            await part.start()
        except LocalError as error:
            self._report(f"{part.name} did not start: {error}")
