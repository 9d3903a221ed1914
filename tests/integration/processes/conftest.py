"""A service manager as processes see one: a datagram socket, and who sent what."""

import asyncio
import os
import socket
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

_LAUNCH = """
import ctypes, os, sys
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Denies memory that is writable and executable, as MemoryDenyWriteExecute=yes does, where the kernel can (6.3)."""


class Manager:
    """Receives the notifications of processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[str] = []
        self.senders: set[int] = set()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.setblocking(False)
        self._socket.bind(str(path))
        self._some = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._receive)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()

    def _receive(self) -> None:
        data, ancillary, _, _ = self._socket.recvmsg(4096, socket.CMSG_SPACE(12))
        self.lines += data.decode().splitlines()
        self.senders.update(struct.unpack("=iII", each[2])[0] for each in ancillary)
        self._some.set()

    async def until(self, line: str, times: int = 1, seconds: float = 60.0) -> None:
        """Wait until `line` came so often."""
        async with asyncio.timeout(seconds):
            while self.lines.count(line) < times:
                self._some.clear()
                await self._some.wait()

    @asynccontextmanager
    async def start(
        self, *command: str, watchdog_seconds: float, **variables: str
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run one of our programs under this manager; kills it in the end when it still runs."""
        program = str(Path(sys.executable).with_name(command[0]))
        own = {"NOTIFY_SOCKET": str(self.path), "WATCHDOG_USEC": str(int(watchdog_seconds * 1e6))}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _LAUNCH, program, *command[1:]), env={**os.environ, **variables, **own}
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[Manager]:
    manager = Manager(tmp_path / "notify")
    yield manager
    manager.close()
