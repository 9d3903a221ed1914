"""What this process tells its service manager: that it is ready, how it is, that it lives, that it ends (sd_notify(3)).

Written here and not a library's: it is one datagram, and of the libraries one is no longer kept and the others need
libsystemd's headers to be installed.
"""

import socket
from collections.abc import Mapping
from contextlib import suppress

SEND_SECONDS = 0.5
"""The longest a datagram may wait for a manager that does not read."""


class ServiceManager:
    """systemd, or whoever started this process and listens at `address`; with None every call does nothing.

    `watchdog_seconds` is how long it bears hearing nothing; None when it does not care. Calls never fail and never wait
    longer than `SEND_SECONDS`: a process does not depend on being watched.
    """

    def __init__(self, address: str | None = None, watchdog_seconds: float | None = None) -> None:
        self._address = address
        self._told: str | None = None
        self.watchdog_seconds = watchdog_seconds if address is not None else None

    @classmethod
    def of(cls, environ: Mapping[str, str], pid: int) -> "ServiceManager":
        """The one that `environ` names to the process `pid`.

        `NOTIFY_SOCKET` is a path, or a name in the abstract namespace after `@`. `WATCHDOG_USEC` is microseconds, and
        not meant for us when `WATCHDOG_PID` is another process (sd_watchdog_enabled(3)).
        """
        address = environ.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return cls()
        microseconds = environ.get("WATCHDOG_USEC", "")
        meant = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
        seconds = int(microseconds) / 1e6 if meant and microseconds.isascii() and microseconds.isdigit() else 0.0
        return cls(address, seconds or None)

    def __bool__(self) -> bool:
        return self._address is not None

    @property
    def beat_seconds(self) -> float | None:
        """How often to call `alive`: half of what the manager bears, as sd_watchdog_enabled(3) recommends."""
        return None if self.watchdog_seconds is None else self.watchdog_seconds / 2

    def working(self, words: str) -> None:
        """The process works, and how: the first call makes it ready, later ones replace the words."""
        if self._told is None:
            self._send("READY=1", f"STATUS={_one_line(words)}")
        elif words != self._told:
            self._send(f"STATUS={_one_line(words)}")
        self._told = words

    def alive(self) -> None:
        """The watchdog can wait again. Said of a process that works only: the manager watches from then on."""
        if self.watchdog_seconds is not None and self._told is not None:
            self._send("WATCHDOG=1")

    def stopping(self, seconds: float) -> None:
        """The process ends, which may take this long: longer than the unit's TimeoutStopSec when it must be."""
        self._send("STOPPING=1", "STATUS=Ending.", f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def _send(self, *assignments: str) -> None:
        if self._address is None:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(SEND_SECONDS)
            sender.sendto("\n".join(assignments).encode(), address)


def _one_line(words: str) -> str:
    return " ".join(words.split())
