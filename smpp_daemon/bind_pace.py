"""How many binds the process may begin: a restart must not fall upon an operator with all of them at once."""

import asyncio
from collections import deque

from connectors.smpp.config import SmppHost

PER_HOST = 2
"""Tries a second to one host and port."""

MAX_IDLE_HOSTS = 256


class _Second:
    """Never more than `limit` starts within any second; those who come too early are told when."""

    def __init__(self, limit: int) -> None:
        self._starts: deque[float] = deque(maxlen=limit)

    def reserve(self, now: float) -> float:
        """The moment at which the caller may start."""
        starts = self._starts
        at = max(now, starts[0] + 1.0) if len(starts) == starts.maxlen else now
        starts.append(at)
        return at

    def idle(self, now: float) -> bool:
        """Whether nothing it remembers matters any more."""
        return not self._starts or self._starts[-1] + 1.0 < now


class BindPace:
    """Shared by all binds of a process: at most `per_second` tries to connect, at most `per_host` to one host."""

    def __init__(self, per_second: int, *, per_host: int = PER_HOST) -> None:
        self._per_host = per_host
        self._all = _Second(per_second)
        self._hosts: dict[SmppHost, _Second] = {}

    async def turn(self, host: SmppHost) -> None:
        """Wait until one more try to this host may begin; in the order in which they came."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if len(self._hosts) > MAX_IDLE_HOSTS:
            self._hosts = {each: second for each, second in self._hosts.items() if not second.idle(now)}
        await _until(loop, self._hosts.setdefault(host, _Second(self._per_host)).reserve(now))
        # Only then, or a long line at one host would take the turns of all the others.
        await _until(loop, self._all.reserve(loop.time()))


async def _until(loop: asyncio.AbstractEventLoop, at: float) -> None:
    left = at - loop.time()
    if left > 0:
        await asyncio.sleep(left)
