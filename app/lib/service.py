"""How every long-running process starts, waits and ends: SIGTERM and SIGINT stop it once, cleanly, under a deadline."""

import asyncio
import random
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from app.lib.logging import get_logger

log = get_logger(__name__)


class Stop:
    """Set once when the process was asked to end."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Ask for the end."""
        self._event.set()

    @property
    def requested(self) -> bool:
        """Whether the end was asked for."""
        return self._event.is_set()

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end, at most `seconds`; True when it was asked for."""
        if seconds is None:
            await self._event.wait()
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        return True

    async def wait_or(self, event: asyncio.Event, seconds: float) -> None:
        """Wait for the end or for `event`, at most `seconds`."""
        waits = [asyncio.create_task(self._event.wait()), asyncio.create_task(event.wait())]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


def backoff(
    failures: int, *, base: float = 0.2, most: float = 10.0, jitter: Callable[[], float] = random.random
) -> float:
    """Seconds to wait after the given number of failures in a row: doubling, bounded, with full jitter of a half."""
    return min(most, base * 2.0 ** min(failures, 16)) * (0.5 + jitter() / 2)


def run_process(body: Callable[[Stop], Coroutine[Any, Any, None]]) -> None:
    """Run `body` on uvloop until it returns; the first SIGTERM or SIGINT sets its `Stop`."""

    async def supervised() -> None:
        stop = Stop()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await body(stop)

    uvloop.run(supervised())
