"""A private MongoDB for tests, which keeps nothing: `mongod` when it is installed, else SecantusDB from the dev extra.

SecantusDB speaks MongoDB's protocol over MongoDB's storage engine and is not MongoDB: what passes on it has not been
tested on MongoDB. It is a process of its own because of its licence, and is never imported.
"""

import asyncio
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from deploy.local.children import Child
from deploy.local.errors import LocalError
from deploy.local.installation import Installation
from deploy.local.locks import FileLock
from deploy.local.ports import LOOPBACK

_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_FOLDERS = 100


class Mongo:
    """One server. `folder` is where the installations of such servers are; each running one has its own in it."""

    name = "mongo"

    def __init__(self, folder: Path) -> None:
        self._installation, self._lock = _unused(folder)
        self._child = Child(self._installation, self.name)
        # In `run`, which is what ends with the processes.
        self._data = self._installation.root / "run" / self.name

    @property
    def url(self) -> str:
        """Where it answers; true once it has started."""
        return f"mongodb://{LOOPBACK}:{self._installation.port(self.name)}/"

    async def start(self) -> None:
        """Start with no data and wait until it answers. Raises `LocalError`, also when there is no such server."""
        try:
            if await self._child.stop_leftover(_STOP_SECONDS):
                shutil.rmtree(self._data, ignore_errors=True)
            self._data.mkdir(mode=0o700, exist_ok=True)
            port = self._installation.usable_port(self.name)
            environment = {
                "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
                "LC_ALL": "C.UTF-8",
                "HOME": str(self._data),
            }
            self._child.spawn(_command(self._data, port), environment, self._data)
            await self._answered()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End it, wait until its process is gone, and forget its data: there is nothing to be saved."""
        await self._child.kill()
        shutil.rmtree(self._data, ignore_errors=True)
        self._lock.release()

    async def kill(self) -> None:
        """`kill -9`; returns when the process is gone. It can be started again where it was, with its data."""
        await self._child.kill()

    async def start_again(self) -> None:
        """Start on the same port and data, and wait until it answers."""
        self._spawn()
        await self._answered()

    def _spawn(self) -> None:
        path = os.environ.get("PATH", "/usr/bin:/bin")
        environment = {"PATH": path, "LC_ALL": "C.UTF-8", "HOME": str(self._data)}
        command = _command(self._data, self._installation.port(self.name))
        self._child.spawn(command, environment, self._data)

    async def _answered(self) -> None:
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(self.url, serverSelectionTimeoutMS=500)
        try:
            async with asyncio.timeout(_START_SECONDS):
                while True:
                    if not self._child.running:
                        raise LocalError(f"MongoDB does not start: {self._child.last_words()}")
                    try:
                        await client.admin.command("ping")
                        return
                    except PyMongoError:
                        await asyncio.sleep(0.05)
        except TimeoutError:
            words = self._child.last_words()
            raise LocalError(f"MongoDB did not answer within {_START_SECONDS:.0f} s: {words}") from None
        finally:
            await client.close()


def _command(data: Path, port: int) -> list[str]:
    mongod = shutil.which("mongod")
    if mongod is not None:
        place = ["--dbpath", str(data), "--port", str(port), "--bind_ip", LOOPBACK, "--nounixsocket"]
        return [mongod, *place, "--wiredTigerCacheSizeGB", "0.25"]
    stand_in = Path(sys.executable).with_name("secantusd-py")
    if not stand_in.exists():
        raise LocalError("There is no mongod, and SecantusDB is not installed: `make setup` installs it.")
    # An empty file of settings: it would look for some in the folders around.
    settings = data.with_name("secantusd.toml")
    settings.touch()
    place = ["--host", LOOPBACK, "--port", str(port), "--storage-path", str(data), "--config", str(settings)]
    return [str(stand_in), *place, "--log-level", "WARNING", "--cache-size", "256M"]


def _unused(folder: Path) -> tuple[Installation, FileLock]:
    """A folder that no other process has a server in, and the lock that keeps it so."""
    for number in range(1, _FOLDERS):
        installation = Installation(folder / f"mongo-{number}")
        lock = installation.lock("mongo")
        if lock.try_exclusive():
            return installation, lock
    raise LocalError(f"{_FOLDERS - 1} processes have a MongoDB in {folder} already.")
