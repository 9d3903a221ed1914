"""Advisory file locks: the kernel drops them when their holder dies, however it dies."""

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from deploy.local.errors import LocalError

_POLL_SECONDS = 0.05


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait, blocking the thread, until `condition` holds; False when it did not within `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        if condition():
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)


class FileLock:
    """A `flock` on a file that is never removed. Exclusive holders leave their pid in it, for messages."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock, exclusive or shared."""
        return self._descriptor is not None

    def try_exclusive(self) -> bool:
        """Take the lock for one; False when anyone holds it."""
        if not self._try(fcntl.LOCK_EX):
            return False
        assert self._descriptor is not None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)
        return True

    def try_shared(self) -> bool:
        """Take the lock along with other sharers; False when someone holds it for one."""
        return self._try(fcntl.LOCK_SH)

    def acquire(self, seconds: float, message: str) -> None:
        """Take the lock for one within `seconds`; raises `LocalError(message)` otherwise."""
        if not wait_until(self.try_exclusive, seconds):
            raise LocalError(message)

    def release(self) -> None:
        """Let go; nothing happens when the lock is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def holder(self) -> int | None:
        """The pid of the process that holds the lock for one, None when nobody does."""
        probe = FileLock(self._path)
        if probe.try_shared():
            probe.release()
            return None
        written = self._path.read_text().strip()
        return int(written) if written.isdigit() else None

    def _try(self, mode: int) -> bool:
        if self._descriptor is not None:
            raise RuntimeError(f"{self._path} is already locked by this object")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True
