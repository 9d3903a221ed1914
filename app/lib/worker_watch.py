"""Stands between a service's worker processes and its service manager, which hears the parent process only."""

import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from app.lib.notify import ServiceManager

LOOK_SECONDS = 0.2
_CREDENTIALS = 12
"""Octets of a `struct ucred`: pid, uid and gid, 32 bits each (unix(7))."""


class WorkerWatch:
    """Ready when every worker is and the service is reachable; alive while every worker is.

    Workers get an environment that names this watch as their manager and use `ServiceManager` as any process does. One
    whose event loop is stuck silences the watch, so that the service is restarted: the others look healthy, and
    meanwhile every request that the stuck one accepts would hang. One that dies is replaced by the parent, which has
    the watchdog's time to do it. Without a manager nothing is watched.
    """

    def __init__(self, manager: ServiceManager, workers: int, reachable: Callable[[], bool]) -> None:
        self._manager = manager
        self._workers = workers
        self._reachable = reachable
        self._directory = tempfile.TemporaryDirectory(prefix="turumba-workers-") if manager else None
        self._heard: dict[int, float] = {}
        self._fed = float("-inf")
        self._stopping = threading.Event()
        self._closed = threading.Event()

    def environment(self) -> dict[str, str]:
        """What workers must be started with.

        They beat twice as often as the watch, so that a stuck one is noticed before the watch itself is due.
        """
        if self._directory is None:
            return {}
        variables = {"NOTIFY_SOCKET": _socket_in(self._directory.name)}
        if self._manager.beat_seconds is not None:
            variables["WATCHDOG_USEC"] = str(int(self._manager.beat_seconds * 1e6))
        return variables

    def start(self) -> None:
        """Listen, in a thread."""
        if self._directory is not None:
            receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            receiver.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            receiver.bind(_socket_in(self._directory.name))
            receiver.settimeout(LOOK_SECONDS)
            threading.Thread(target=self._run, args=(receiver,), name="worker-watch", daemon=True).start()

    def stopping(self, seconds: float) -> None:
        """The service ends; see `ServiceManager.stopping`. Said once."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._manager.stopping(seconds)

    def close(self) -> None:
        """Remove what `start` made."""
        self._closed.set()
        if self._directory is not None:
            self._directory.cleanup()

    def _run(self, receiver: socket.socket) -> None:
        ready = False
        with receiver:
            while not self._closed.is_set():
                self._listen(receiver)
                if self._stopping.is_set():
                    # Workers end one by one, and the parent kills those that take too long.
                    self._feed()
                    continue
                if not ready:
                    ready = len(self._alive(None)) >= self._workers and self._reachable()
                if ready:
                    self._tell()

    def _listen(self, receiver: socket.socket) -> None:
        try:
            datagram, ancillary, _, _ = receiver.recvmsg(4096, socket.CMSG_SPACE(_CREDENTIALS))
        except TimeoutError:
            return
        if not {b"READY=1", b"WATCHDOG=1"}.isdisjoint(datagram.split(b"\n")):
            for level, kind, credentials in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                    self._heard[int.from_bytes(credentials[:4], sys.byteorder)] = time.monotonic()

    def _alive(self, within: float | None) -> list[int]:
        """The workers that exist and were heard, within so many seconds."""
        since = float("-inf") if within is None else time.monotonic() - within
        self._heard = {pid: at for pid, at in self._heard.items() if _exists(pid)}
        return [pid for pid, at in self._heard.items() if at >= since]

    def _tell(self) -> None:
        alive = len(self._alive(self._manager.beat_seconds))
        if not self._stopping.is_set():
            self._manager.working(f"{min(alive, self._workers)} of {self._workers} workers serve requests.")
        if alive >= self._workers:
            self._feed()

    def _feed(self) -> None:
        beat = self._manager.beat_seconds
        if beat is not None and time.monotonic() - self._fed >= beat:
            self._fed = time.monotonic()
            self._manager.alive()


def _socket_in(directory: str) -> str:
    return str(Path(directory, "notify"))


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
