"""Which TCP ports are free on the loopback address, and who sits on one that is not."""

import random
import socket
from pathlib import Path

from deploy.local.errors import LocalError

LOOPBACK = "127.0.0.1"
_CHOICE = range(
    20_000, 32_000
)  # below Linux's ephemeral range, so that no outgoing connection takes the port meanwhile
_TCP_LISTEN = "0A"


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now. Connections in TIME_WAIT do not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def choose(preferred: int | None, taken: set[int], chance: random.Random) -> int:
    """`preferred` when it is free, else a free port by chance; never one of `taken`. Raises `LocalError` otherwise."""
    if preferred is not None and preferred not in taken and is_free(preferred):
        return preferred
    for port in chance.sample(_CHOICE, 200):
        if port not in taken and is_free(port):
            return port
    raise LocalError(
        f"Found no free port between {_CHOICE.start} and {_CHOICE.stop} on {LOOPBACK}. Stop some servers and try again."
    )


def holder(port: int) -> str | None:
    """`name (pid N)` of the process that listens on the port; None when /proc does not tell (another user's)."""
    inodes = _listening_inodes(port)
    if not inodes:
        return None
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            for descriptor in (process / "fd").iterdir():
                if str(descriptor.readlink()) in inodes:
                    return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue  # ended meanwhile, or not ours to look at
    return None


def taken_message(port: int, variable: str, command: str) -> str:
    """What to tell a person whose public port is taken: the port, by whom, and two ways out."""
    who = holder(port)
    by = f"by {who}" if who else "by a process that this user can't see (try: sudo ss -ltnp)"
    return f"Port {port} is taken {by}.\nStop that process, or choose another port:  {variable}={port + 1} {command}"


def require_free(port: int, variable: str, command: str) -> None:
    """Raise `LocalError` with `taken_message` when the public port is taken."""
    if not is_free(port):
        raise LocalError(taken_message(port, variable, command))


def _listening_inodes(port: int) -> set[str]:
    """The link texts `socket:[inode]` of the sockets that listen on the port, from /proc/net/tcp and tcp6."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _TCP_LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found
