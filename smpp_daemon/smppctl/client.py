"""One request to a running daemon over its admin socket."""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

TIMEOUT_SECONDS = 5.0
MAX_ANSWER = 64 * 2**20


class UnreachableError(Exception):
    """No daemon answers; the text says what to do next."""


class RefusedError(Exception):
    """The daemon answered that it cannot."""


class _Answer(msgspec.Struct):
    ok: bool
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: str | None = None


def ask(path: Path, verb: str, arguments: Mapping[str, Any] | None = None) -> bytes:
    """The result as JSON. Raises `UnreachableError` and `RefusedError`."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(TIMEOUT_SECONDS)
            connection.connect(str(path))
            connection.sendall(msgspec.json.encode({"verb": verb, "arguments": arguments or {}}) + b"\n")
            line = _read_line(connection)
    except OSError as error:
        raise UnreachableError(_advice(path, error)) from error
    if line is None:
        raise UnreachableError(f"smppd closed {path} without an answer; see its log.")
    answer = msgspec.json.decode(line, type=_Answer)
    if not answer.ok:
        raise RefusedError(answer.error or "The daemon refused without a reason.")
    return bytes(answer.result)


def _read_line(connection: socket.socket) -> bytes | None:
    received = bytearray()
    while len(received) < MAX_ANSWER:
        some = connection.recv(65536)
        if not some:
            return None
        received += some
        if some.endswith(b"\n"):
            return bytes(received)
    return None


def _advice(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return (
            f"There is no socket {path}: smppd does not run here, or listens elsewhere.\n"
            "Start it (systemctl start turumba-smppd), or name its socket with --socket or TURUMBA_SMPPD_ADMIN_SOCKET."
        )
    if isinstance(error, PermissionError):
        return f"{path} belongs to another user. Run smppctl as the user smppd runs as, or as root."
    if isinstance(error, TimeoutError):
        return f"smppd does not answer on {path} within {TIMEOUT_SECONDS:.0f} s. Look at its log and its load."
    return f"smppd does not listen on {path} any more ({error.strerror or error}). Start it, and look at its log."
