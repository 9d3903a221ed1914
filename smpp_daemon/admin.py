"""The admin socket: one JSON request a line, one JSON answer a line. `smppctl` is its client."""

import asyncio
import socket
import stat
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from app.lib.logging import get_logger

log = get_logger(__name__)

MAX_LINE = 65536
IDLE_SECONDS = 300.0
PROBE_SECONDS = 1.0

Verb = Callable[[Mapping[str, Any]], Awaitable[Any]]
"""Takes the request's `arguments`, returns what becomes the answer's `result`; raises `BadRequestError`."""


class BadRequestError(Exception):
    """The request cannot be carried out; the text says why."""


class SocketInUseError(Exception):
    """Another daemon answers on the socket."""


class Request(msgspec.Struct, frozen=True):
    """`{"verb": "status", "arguments": {}}`."""

    verb: str
    arguments: dict[str, Any] = {}


class Answer(msgspec.Struct, frozen=True):
    """`ok` with `result`, or not ok with `error` in words."""

    ok: bool
    result: Any = None
    error: str | None = None


class AdminServer:
    """Listens on a unix socket that only this user can open (mode 0600); `verbs` is everything it can do."""

    def __init__(self, path: Path, verbs: Mapping[str, Verb]) -> None:
        self._path = path
        self._verbs = verbs
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. Raises `SocketInUseError` when another daemon does; a stale socket is replaced."""
        await asyncio.to_thread(self._make_room)
        # Bound by hand, because the mode must be right before the first client can connect.
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            await asyncio.to_thread(_bind_private, sock, self._path)
            self._server = await asyncio.start_unix_server(self._accept, sock=sock, limit=MAX_LINE)
        except BaseException:
            sock.close()
            raise

    async def stop(self) -> None:
        """Close the socket and remove it."""
        if self._server is None:
            return
        self._server.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None
        with suppress(FileNotFoundError):
            self._path.unlink()

    def _make_room(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        try:
            mode = self._path.lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise SocketInUseError(
                f"{self._path} exists and is not a socket; choose another TURUMBA_SMPPD_ADMIN_SOCKET."
            )
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(PROBE_SECONDS)
            try:
                probe.connect(str(self._path))
            except OSError:
                self._path.unlink(missing_ok=True)
                return
        raise SocketInUseError(
            f"Another smppd answers on {self._path}. Stop it, or give this one another TURUMBA_SMPPD_ADMIN_SOCKET."
        )

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer), name="admin-client")
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, TimeoutError, ValueError):
                while True:
                    async with asyncio.timeout(IDLE_SECONDS):
                        line = await reader.readline()
                        if not line:
                            break
                        writer.write(msgspec.json.encode(await self._answer(line)) + b"\n")
                        await writer.drain()
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Answer:
        try:
            request = msgspec.json.decode(line, type=Request)
        except msgspec.DecodeError as error:
            return Answer(ok=False, error=f"not a request: {error}")
        verb = self._verbs.get(request.verb)
        if verb is None:
            return Answer(ok=False, error=f"unknown verb {request.verb!r}; there are: {', '.join(sorted(self._verbs))}")
        try:
            return Answer(ok=True, result=await verb(request.arguments))
        except BadRequestError as error:
            return Answer(ok=False, error=str(error))
        except Exception:
            log.exception("admin request failed", verb=request.verb)
            return Answer(ok=False, error="The request failed; the daemon's log says why.")


def _bind_private(sock: socket.socket, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    sock.bind(str(temporary))
    temporary.chmod(0o600)
    sock.listen()
    temporary.rename(path)
