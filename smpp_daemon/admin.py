"""The admin socket: one JSON request a line, one JSON answer a line. `smppctl` is its client.

A verb that goes on, as `trace`, answers `{"ok": true, "stream": true}` and then a line for each thing it has to say,
until `{"end": true}` or until the client closes.
"""

import asyncio
import socket
import stat
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import msgspec

from app.lib.errors import Unavailable
from app.lib.logging import get_logger
from app.lib.tasks import end_tasks

log = get_logger(__name__)

MAX_LINE = 65536
IDLE_SECONDS = 300.0
PROBE_SECONDS = 1.0
STALL_SECONDS = 10.0
"""How long a client may not read what a stream has for it; then it is told so, if it ever reads, and dropped."""

Verb = Callable[[Mapping[str, Any]], Awaitable[Any]]
"""Takes the request's `arguments`, returns what becomes the answer's `result`; raises `BadRequestError`."""

Stream = Callable[[Mapping[str, Any]], AsyncGenerator[Any, None]]
"""A verb that goes on: each thing it yields becomes a line, None only begins. Raises `BadRequestError`."""


class BadRequestError(Exception):
    """The request cannot be carried out; the text says why. `code` is for programs: `bad_request`, `unknown_account`,
    `ambiguous_account`, `not_now`, `unavailable`.
    """

    def __init__(self, words: str, code: str = "bad_request") -> None:
        super().__init__(words)
        self.code = code


class SocketInUseError(Exception):
    """Another daemon answers on the socket."""


class Request(msgspec.Struct, frozen=True):
    """`{"verb": "status", "arguments": {}}`."""

    verb: str
    arguments: dict[str, Any] = {}


class Answer(msgspec.Struct, frozen=True):
    """`ok` with `result`, or not ok with `error` in words and its `code`. `stream`: more lines follow."""

    ok: bool
    result: Any = None
    error: str | None = None
    code: str | None = None
    stream: bool = False


class AdminServer:
    """Listens on a unix socket that only this user can open (mode 0600).

    `verbs` and `streams` are everything it can do.
    """

    def __init__(self, path: Path, verbs: Mapping[str, Verb], streams: Mapping[str, Stream] | None = None) -> None:
        self._path = path
        self._verbs = verbs
        self._streams = streams or {}
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
                    request = _read(line)
                    if isinstance(request, Request) and request.verb in self._streams:
                        await self._stream(request, reader, writer)
                        break
                    await _write(writer, await self._answer(request) if isinstance(request, Request) else request)
        finally:
            writer.close()

    async def _answer(self, request: Request) -> Answer:
        verb = self._verbs.get(request.verb)
        if verb is None:
            known = ", ".join(sorted({*self._verbs, *self._streams}))
            return Answer(ok=False, error=f"unknown verb {request.verb!r}; there are: {known}", code="bad_request")
        try:
            return Answer(ok=True, result=await verb(request.arguments))
        except Exception as error:
            return _refusal(request.verb, error)

    async def _stream(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Writes what the verb says until it ends, the client goes, or the client does not read."""
        gone = asyncio.create_task(reader.read(1), name="admin-gone")
        writing = asyncio.create_task(self._write_stream(request, writer), name="admin-stream")
        try:
            await asyncio.wait((gone, writing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end_tasks(gone, writing)

    async def _write_stream(self, request: Request, writer: asyncio.StreamWriter) -> None:
        begun = False
        try:
            async with aclosing(self._streams[request.verb](request.arguments)) as lines:
                async for line in lines:
                    if not begun:
                        await _write(writer, Answer(ok=True, stream=True))
                        begun = True
                    if line is not None:
                        await _write(writer, line)
            await _write(writer, {"end": True})
        except TimeoutError:
            log.info("a reader of the admin socket was too slow", verb=request.verb)
            writer.write(msgspec.json.encode({"end": True, "error": "The reader was too slow."}) + b"\n")
        except OSError:
            return
        except Exception as error:
            answer = _refusal(request.verb, error)
            await _write(writer, {"end": True, "error": answer.error} if begun else answer)


def _read(line: bytes) -> Request | Answer:
    try:
        return msgspec.json.decode(line, type=Request)
    except msgspec.DecodeError as error:
        return Answer(ok=False, error=f"not a request: {error}", code="bad_request")


def _refusal(verb: str, error: Exception) -> Answer:
    if isinstance(error, BadRequestError):
        return Answer(ok=False, error=str(error), code=error.code)
    if isinstance(error, Unavailable):
        return Answer(ok=False, error=error.detail, code="unavailable")
    log.error("admin request failed", verb=verb, exc_info=error)
    return Answer(ok=False, error="The request failed; the daemon's log says why.", code="failed")


async def _write(writer: asyncio.StreamWriter, line: Any) -> None:
    """Raises TimeoutError when the client does not read."""
    writer.write(msgspec.json.encode(line) + b"\n")
    async with asyncio.timeout(STALL_SECONDS):
        await writer.drain()


def _bind_private(sock: socket.socket, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    sock.bind(str(temporary))
    temporary.chmod(0o600)
    sock.listen()
    temporary.rename(path)
