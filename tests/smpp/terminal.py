"""A real pseudo-terminal with a program in it, and the screen it draws."""

import asyncio
import fcntl
import os
import shlex
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from typing import Any

import pyte


class Terminal:
    """`async with` it. `screen` is what a person would see, `output` every octet the program wrote."""

    def __init__(self, *arguments: str, columns: int = 80, lines: int = 24, **environment: str) -> None:
        self.screen = pyte.Screen(columns, lines)
        self.output = bytearray()
        self._stream = pyte.ByteStream(self.screen)
        self._arguments = arguments
        self._environment = environment
        self._master = -1
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> "Terminal":
        self._master, self._slave = os.openpty()
        self._name = os.ttyname(self._slave)
        self._set_size()
        self.before = termios.tcgetattr(self._slave)
        inherited = {name: os.environ[name] for name in os.environ if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        # Whoever leads a session and opens a terminal is controlled by it: only so do resizes arrive.
        program = shlex.join([sys.executable, "-m", *self._arguments])
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {program} <{self._name} >{self._name} 2>&1"],
            start_new_session=True,
            env=inherited | {"TERM": "xterm-256color", "LANG": "C.UTF-8"} | self._environment,
        )
        os.set_blocking(self._master, False)
        asyncio.get_running_loop().add_reader(self._master, self._read)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        await asyncio.to_thread(self._process.wait)
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        os.close(self._slave)

    @property
    def shown(self) -> str:
        return "\n".join(self.screen.display)

    @property
    def settings(self) -> list[Any]:
        """The terminal's settings now."""
        return termios.tcgetattr(self._slave)

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        self.screen.resize(lines, columns)
        self._set_size()

    async def until(self, condition: Callable[[str], Any], seconds: float = 20.0) -> str:
        """Wait until the screen is as wanted; the deadline fails with the screen."""
        try:
            async with asyncio.timeout(seconds):
                while not condition(self.shown):
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"never so:\n{self.shown}") from None
        return self.shown

    async def ended(self) -> int:
        assert self._process is not None
        return await asyncio.to_thread(self._process.wait, 10)

    def terminate(self) -> None:
        assert self._process is not None
        self._process.terminate()

    def _set_size(self) -> None:
        size = struct.pack("HHHH", self.screen.lines, self.screen.columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def _read(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except OSError:
            return
        self.output += data
        self._stream.feed(data)
