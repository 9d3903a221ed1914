"""The parts of a running stack: the product's programs, and what servers and programs have in common."""

import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from deploy.local.children import Child, eventually
from deploy.local.environment import process_environment
from deploy.local.errors import LocalError
from deploy.local.installation import REPOSITORY, Installation

# smppd drains for up to 15 s on SIGTERM (its `drain_seconds`) before it gives up on answers.
_STOP_SECONDS = 20.0


class Startable(Protocol):
    """A server or a program."""

    @property
    def name(self) -> str:
        """What it is called everywhere."""

    @property
    def running(self) -> bool:
        """Whether it lives."""

    @property
    def pid(self) -> int | None:
        """Its main process."""

    def last_words(self) -> str:
        """How it ended and its last log lines."""

    async def start(self) -> None:
        """Start it; raises `LocalError`."""

    async def stop(self) -> None:
        """Let it finish."""

    async def kill(self) -> None:
        """`kill -9`."""


_NICE = shutil.which("nice") or "/usr/bin/nice"


class Program:
    """One of the product's processes."""

    def __init__(self, installation: Installation, name: str, command: Sequence[str], *, niceness: int = 0) -> None:
        self.name = name
        self.environment: Mapping[str, str] = {}
        self._command = [str(_script(command[0])), *command[1:]]
        if niceness:
            self._command = [_NICE, "-n", str(niceness), *self._command]
        self._child = Child(installation, name)

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self._child.running

    @property
    def pid(self) -> int | None:
        """Its main process; what it forks is in the same process group."""
        return self._child.pid

    def last_words(self) -> str:
        """How it ended and its last log lines."""
        return self._child.last_words()

    async def prepare(self) -> None:
        """End what an earlier run left behind."""
        await self._child.stop_leftover(_STOP_SECONDS)

    async def start(self) -> None:
        """Start it; returns at once, it may not be ready yet."""
        self._child.spawn(self._command, process_environment(self.environment), REPOSITORY)

    async def stop(self) -> None:
        """Let it drain; killed after 20 s."""
        await self._child.stop(_STOP_SECONDS)

    async def kill(self) -> None:
        """`kill -9` for it and its workers."""
        await self._child.kill()

    async def run(self, seconds: float) -> None:
        """Start it and wait for its end; raises `LocalError` when it fails or takes longer than `seconds`."""
        await self.start()
        try:
            in_time = await eventually(lambda: not self._child.running, seconds)
        finally:
            await self._child.stop(5)
        if not in_time:
            raise LocalError(f"{self.name} was not done after {seconds:.0f} s. {self.last_words()}")
        if not self._child.succeeded:
            raise LocalError(f"{self.name} failed: {self.last_words()}")


class Part:
    """A process of the stack under its name, with what is wanted of it."""

    def __init__(self, subject: Startable) -> None:
        self._subject = subject
        self.wanted = False
        self.failures = 0
        self.started_at = 0.0

    @property
    def name(self) -> str:
        """`postgres`, `rabbitmq`, or the program's name."""
        return self._subject.name

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self._subject.running

    @property
    def pid(self) -> int | None:
        """Its main process, None when it does not live."""
        return self._subject.pid

    def last_words(self) -> str:
        """How it ended and its last log lines."""
        return self._subject.last_words()

    async def start(self) -> None:
        """Start it; servers are waited for. A restarted server keeps its port and data."""
        self.wanted = True
        self.started_at = time.monotonic()
        await self._subject.start()

    async def stop(self) -> None:
        """Let it finish; it stays down."""
        self.wanted = False
        await self._subject.stop()

    async def kill(self) -> None:
        """`kill -9` and wait until it is gone. A stack that restarts its processes brings it back."""
        await self._subject.kill()


def _script(name: str) -> Path:
    """The console script beside this interpreter."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        raise LocalError(f"There is no {path}. `make setup` installs the project.")
    return path
