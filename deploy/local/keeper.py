"""The process that owns PostgreSQL and RabbitMQ of a folder when nobody stays in the foreground for them.

Started by `deploy.local.services`, never by hand. With `--while-used` it ends with the last holder of the folder's
`users` lock, however that holder ends: the kernel drops the lock. Otherwise it stays until it gets SIGTERM.
"""

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

import msgspec

from deploy.local.children import ProcessRecord
from deploy.local.errors import LocalError
from deploy.local.installation import Installation
from deploy.local.servers import Servers, given_servers

NAME = "keeper"
_POLL_SECONDS = 0.2


class Report(msgspec.Struct):
    """The one line a keeper writes to the process that started it: the servers' variables, or why there are none."""

    environment: dict[str, str] = {}
    error: str | None = None


async def keep(installation: Installation, ready_descriptor: int, while_used: bool) -> None:
    """Start the servers, report, and keep them until they are to stop or one of them dies."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    servers_lock, users = installation.lock("servers"), installation.lock("users")
    servers = Servers(installation, given_servers(), report=_log)
    try:
        servers_lock.acquire(5, f"Process {servers_lock.holder()} is using the servers in {installation.root}.")
        await servers.start()
    except LocalError as error:
        _tell(ready_descriptor, Report(error=str(error)))
        return
    _tell(ready_descriptor, Report(environment=servers.environment))
    try:
        while not stop.is_set() and not (while_used and users.try_exclusive()):
            for server in servers.own:
                if not server.running:
                    _log(server.last_words())
                    return
            await _pause(stop)
    finally:
        await servers.stop()


async def _pause(stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(_POLL_SECONDS):
            await stop.wait()
    except TimeoutError:
        return


def _tell(descriptor: int, report: Report) -> None:
    try:
        os.write(descriptor, msgspec.json.encode(report) + b"\n")
    except BrokenPipeError:
        _log("The process that asked for the servers is gone.")
    os.close(descriptor)


def _log(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    """Detach from the starter, so that it has no child to wait for, and keep the servers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--ready-descriptor", type=int, required=True)
    parser.add_argument("--while-used", action="store_true")
    arguments = parser.parse_args()
    if os.fork() != 0:
        os._exit(0)
    installation = Installation(arguments.directory)
    record = ProcessRecord(installation.pid_file(NAME))
    record.write(os.getpid())
    try:
        asyncio.run(keep(installation, arguments.ready_descriptor, arguments.while_used))
    finally:
        record.clear()
    sys.exit(0)


if __name__ == "__main__":
    main()
