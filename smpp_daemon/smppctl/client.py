"""Requests to running daemons over their admin sockets."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

TIMEOUT_SECONDS = 5.0
MAX_ANSWER = 64 * 2**20

T = TypeVar("T")


class UnreachableError(Exception):
    """No daemon answers; the text says what to do next. `running` is False when surely none listens there."""

    def __init__(self, words: str, *, running: bool = True) -> None:
        super().__init__(words)
        self.running = running


class RefusedError(Exception):
    """The daemon answered that it cannot; `code` is for programs (`smpp_daemon.admin.BadRequestError`)."""

    def __init__(self, words: str, code: str | None = None) -> None:
        super().__init__(words)
        self.code = code


class _Answer(msgspec.Struct):
    ok: bool
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: str | None = None
    code: str | None = None
    stream: bool = False


class _End(msgspec.Struct):
    end: bool = False
    error: str | None = None


class Daemons:
    """The daemons behind some paths: each a socket, or a directory of sockets (`*.sock`)."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    @property
    def sockets(self) -> list[Path]:
        """Their sockets; a path that is no directory counts whether it exists or not."""
        found: list[Path] = []
        for path in self._paths:
            found += sorted(path.glob("*.sock")) if path.is_dir() else [path]
        # An installation names its first daemon by a link as well.
        return list({path.resolve(): path for path in reversed(found)}.values())[::-1]


def ask(
    path: Path, verb: str, arguments: Mapping[str, Any] | None = None, *, timeout: float = TIMEOUT_SECONDS
) -> bytes:
    """The result as JSON. Raises `UnreachableError` and `RefusedError`."""
    try:
        with _connect(path, timeout) as connection:
            connection.sendall(_request(verb, arguments))
            line = next(_lines(connection), None)
    except OSError as error:
        raise _advice(path, error, timeout) from error
    if line is None:
        raise UnreachableError(f"smppd closed {path} without an answer; see its log.")
    return bytes(_checked(line).result)


def ask_for(
    path: Path,
    verb: str,
    kind: type[T],
    arguments: Mapping[str, Any] | None = None,
    *,
    timeout: float = TIMEOUT_SECONDS,
) -> T:
    """The result as a value. Raises as `ask` does, and `UnreachableError` for a daemon of another release."""
    answer = ask(path, verb, arguments, timeout=timeout)
    try:
        return msgspec.json.decode(answer, type=kind)
    except msgspec.ValidationError as error:
        raise UnreachableError(f"The smppd on {path} is of another release than this smppctl: {error}") from error


def follow(path: Path, verb: str, arguments: Mapping[str, Any] | None = None) -> Iterator[bytes]:
    """The lines of a verb that goes on, as JSON, until it ends. Raises `UnreachableError` and `RefusedError`."""
    try:
        with _connect(path, TIMEOUT_SECONDS) as connection:
            connection.sendall(_request(verb, arguments))
            lines = _lines(connection)
            first = next(lines, None)
            if first is None:
                raise UnreachableError(f"smppd closed {path} without an answer; see its log.")
            _checked(first)
            connection.settimeout(None)
            for line in lines:
                end = msgspec.json.decode(line, type=_End)
                if end.end:
                    if end.error is not None:
                        raise RefusedError(end.error)
                    return
                yield line
            raise UnreachableError(f"smppd closed {path} before the end; see its log.")
    except OSError as error:
        raise _advice(path, error, TIMEOUT_SECONDS) from error


def _connect(path: Path, timeout: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(str(path))
    except BaseException:
        connection.close()
        raise
    return connection


def _request(verb: str, arguments: Mapping[str, Any] | None) -> bytes:
    return msgspec.json.encode({"verb": verb, "arguments": arguments or {}}) + b"\n"


def _checked(line: bytes) -> _Answer:
    answer = msgspec.json.decode(line, type=_Answer)
    if not answer.ok:
        raise RefusedError(answer.error or "The daemon refused without a reason.", answer.code)
    return answer


def _lines(connection: socket.socket) -> Iterator[bytes]:
    received = bytearray()
    while len(received) < MAX_ANSWER:
        some = connection.recv(65536)
        if not some:
            return
        received += some
        if b"\n" not in some:
            continue
        *whole, rest = bytes(received).split(b"\n")
        received = bytearray(rest)
        yield from whole


def _advice(path: Path, error: OSError, timeout: float) -> UnreachableError:
    if isinstance(error, FileNotFoundError):
        return UnreachableError(
            f"There is no socket {path}: smppd does not run here, or listens elsewhere.\n"
            "Start it (systemctl start turumba-smppd@1), or name its socket with --socket or "
            "TURUMBA_SMPPD_ADMIN_SOCKET.",
            running=False,
        )
    if isinstance(error, PermissionError):
        return UnreachableError(f"{path} belongs to another user. Run smppctl as the user smppd runs as, or as root.")
    if isinstance(error, TimeoutError):
        return UnreachableError(
            f"smppd does not answer on {path} within {timeout:.0f} s. Look at its log and its load."
        )
    return UnreachableError(
        f"smppd does not listen on {path} any more ({error.strerror or error}). Start it, and look at its log.",
        running=False,
    )
