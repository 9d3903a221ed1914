"""How every long-running process starts, waits and ends: SIGTERM and SIGINT stop it once, cleanly, under a deadline."""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import uvloop

from app.lib.logging import get_logger
from app.lib.metrics import serve
from app.lib.notify import ServiceManager

log = get_logger(__name__)

PULSE_SECONDS = 1.0
STUCK_SECONDS = 10.0
"""An event loop that did not run for so long is not alive."""


class Stop:
    """Set once when the process was asked to end; until then the process can say how it is."""

    def __init__(self, manager: ServiceManager | None = None) -> None:
        self._event = asyncio.Event()
        self._manager = manager or ServiceManager()
        self.broken = False

    def needs(self, *parts: "asyncio.Task[Any]") -> None:
        """Parts that the process is of no use without: when one dies of an error the process ends, to be started again.

        An error that nobody expected would otherwise leave a process that looks alive and does half of its work.
        """
        for part in parts:
            part.add_done_callback(self._part_ended)

    def _part_ended(self, part: "asyncio.Task[Any]") -> None:
        if part.cancelled() or (error := part.exception()) is None:
            return
        log.error("a part of the process died", part=part.get_name(), exc_info=error)
        self.broken = True
        self.set()

    def set(self) -> None:
        """Ask for the end."""
        self._event.set()

    @property
    def requested(self) -> bool:
        """Whether the end was asked for."""
        return self._event.is_set()

    def working(self, words: str) -> None:
        """Tell the service manager that the process works, and how; see `ServiceManager.working`."""
        if not self.requested:
            self._manager.working(words)

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


class Pulse:
    """When the event loop last ran, for those who ask from another thread."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._last = monotonic()

    def beat(self) -> None:
        """It runs now."""
        self._last = self._monotonic()

    def alive(self) -> bool:
        """Whether it ran within `STUCK_SECONDS`."""
        return self._monotonic() - self._last < STUCK_SECONDS


def backoff(
    failures: int, *, base: float = 0.2, most: float = 10.0, jitter: Callable[[], float] = random.random
) -> float:
    """Seconds to wait after the given number of failures in a row: doubling, bounded, with full jitter of a half."""
    return min(most, base * 2.0 ** min(failures, 16)) * (0.5 + jitter() / 2)


@asynccontextmanager
async def watched(manager: ServiceManager, pulse: Pulse | None = None) -> AsyncIterator[None]:
    """While the block runs, this event loop feeds the watchdog and the pulse: a loop that is stuck feeds neither."""
    beats = []
    if pulse is not None:
        beats.append(asyncio.create_task(_every(PULSE_SECONDS, pulse.beat), name="pulse"))
    if manager.beat_seconds is not None:
        beats.append(asyncio.create_task(_every(manager.beat_seconds, manager.alive), name="watchdog"))
    try:
        yield
    finally:
        for beat in beats:
            beat.cancel()
        await asyncio.gather(*beats, return_exceptions=True)


async def _every(seconds: float, act: Callable[[], None]) -> None:
    while True:
        act()
        await asyncio.sleep(seconds)


def run_process(
    body: Callable[[Stop], Coroutine[Any, Any, None]],
    *,
    metrics: tuple[str, int] = ("127.0.0.1", 0),
    end_seconds: float = 60.0,
) -> None:
    """Run `body` on uvloop until it returns; the first SIGTERM or SIGINT sets its `Stop`.

    `metrics` is the address for Prometheus and the liveness probe, port 0 for none. `end_seconds` is how long `body`
    may take from then on, told to the service manager. `body` calls `Stop.working` once it works, and `Stop.needs` for
    what it cannot do without.
    """
    manager = ServiceManager.of(os.environ, os.getpid())
    pulse = Pulse()
    try:
        serve(*metrics, pulse.alive)
    except OSError as error:
        sys.exit(f"Metrics cannot be served on {metrics[0]} port {metrics[1]}: {error.strerror or error}.")

    async def supervised() -> None:
        stop = Stop(manager)

        def end() -> None:
            if not stop.requested:
                manager.stopping(end_seconds)
            stop.set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
        async with watched(manager, pulse):
            await body(stop)
        if stop.broken:
            sys.exit("A part of the process died of an unexpected error, which is in its log.")

    uvloop.run(supervised())
