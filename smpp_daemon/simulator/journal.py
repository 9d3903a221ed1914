"""What the simulator must remember across a kill: accepted messages and acknowledged receipts, as JSON lines.

Everything accepted in one read of a socket is one write, made before the first response leaves. There is no fsync:
the file survives the death of the process, not of the machine.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec


class Accepted(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="accepted"):
    """One submit_sm that was answered with ROK, or will be. `at` is seconds since the epoch.

    `message` is the user data (with its header, if any) in hexadecimal. `receipt` is the `stat` of the receipt that is
    owed, None when none was asked for.
    """

    id: str
    number: int
    at: float
    system_id: str
    sequence: int
    source_ton: int
    source_npi: int
    source: str
    destination_ton: int
    destination_npi: int
    destination: str
    esm_class: int
    data_coding: int
    registered_delivery: int
    message: str
    receipt: str | None = None
    error: str = "000"


class Acknowledged(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="acknowledged"):
    """The ESME answered the receipt of message `id` with ROK."""

    id: str
    at: float


Record = Accepted | Acknowledged

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Accepted | Acknowledged] = msgspec.json.Decoder(Accepted | Acknowledged)


class Recovered(NamedTuple):
    """What an earlier process left: messages whose receipt is still owed, oldest first, and the highest number used."""

    owed: list[Accepted]
    highest: int


class Journal:
    """Append-only. Open it with `open_journal`."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def append(self, records: Iterable[Record]) -> None:
        """Writes all records at once. Raises OSError."""
        data = b"".join([_encoder.encode(record) + b"\n" for record in records])
        while data:
            data = data[os.write(self._descriptor, data) :]

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)


def open_journal(path: Path) -> tuple[Journal, Recovered]:
    """Reads what is there and opens the file for appending. Raises ValueError naming a line that cannot be read.

    A last line without its end is what a kill leaves behind: it was never answered, so it is cut off.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        recovered, size = _recover(path)
        os.ftruncate(descriptor, size)
    except BaseException:
        os.close(descriptor)
        raise
    return Journal(descriptor), recovered


def read_records(path: Path) -> Iterable[Record]:
    """Every whole record of a journal, in order, for tests that compare it with what was sent."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield _decoder.decode(line)
            except msgspec.MsgspecError as error:
                raise ValueError(f"{path}, line {number}: {error}") from None


def _recover(path: Path) -> tuple[Recovered, int]:
    owed: dict[str, Accepted] = {}
    highest = 0
    for record in read_records(path):
        if isinstance(record, Acknowledged):
            owed.pop(record.id, None)
            continue
        highest = max(highest, record.number)
        if record.receipt is not None:
            owed[record.id] = record
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        while size:
            # The whole part ends at the last line end.
            start = max(0, size - 65536)
            file.seek(start)
            found = file.read(size - start).rfind(b"\n")
            if found >= 0:
                size = start + found + 1
                break
            size = start
    return Recovered(list(owed.values()), highest), size
