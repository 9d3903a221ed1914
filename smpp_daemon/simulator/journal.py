"""What the simulator saw, as JSON lines: enough to prove that nothing was lost and nothing came twice.

Everything that one read of a socket brings is one write, made before the first answer leaves. There is no fsync: the
file survives the death of the process, not of the machine. What was accepted and what is owed is read back after a
kill; the other records are for whoever compares. Journals of earlier versions, with fewer kinds and fields, are read.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec


class Accepted(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="kind", tag="accepted"):
    """One message that was answered with ROK, or will be. `at` is seconds since the epoch.

    `message` is the user data (with its header, if any) in hexadecimal. `receipt` is the `stat` of the receipt that is
    owed, None when none was asked for. `answer` says what became of the answer (a script's `answer`), `command` how
    the message came; the destinations of one submit_multi share an `id` and differ in `number`.
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
    answer: str = "always"
    command: str = "submit_sm"


class Refused(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="kind", tag="refused"):
    """One message that was answered with another command_status than ROK, or with generic_nack."""

    at: float
    system_id: str
    sequence: int
    source: str
    destination: str
    message: str
    status: int
    answer: str = "always"
    command: str = "submit_sm"


class Acknowledged(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="kind", tag="acknowledged"):
    """The ESME answered the receipt of message `id` with ROK.

    `number` is the message's (0 in old journals). `copy` is `final`, `intermediate` or `duplicate`; only the first
    settles what is owed.
    """

    id: str
    at: float
    number: int = 0
    copy: str = "final"


class Cancelled(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="cancelled"):
    """cancel_sm took the message back; the receipt that it still owes says DELETED."""

    number: int
    at: float


class Replaced(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="replaced"):
    """replace_sm put another text (hexadecimal) into a message whose receipt was still owed."""

    number: int
    at: float
    message: str
    registered_delivery: int


class Originated(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="kind", tag="originated"):
    """One mobile-originated deliver_sm that the ESME shall get: a whole message or one part of it.

    `text` is the whole text, the same in every part; `message` the user data of this part in hexadecimal, behind its
    header. `group` tells the parts of one message, `part` of `parts` its place. `tlvs` are (tag, value in hexadecimal).
    `payload` says that the user data travels in message_payload.
    """

    number: int
    at: float
    system_id: str
    source: str
    destination: str
    text: str
    message: str
    group: int
    part: int = 1
    parts: int = 1
    esm_class: int = 0
    data_coding: int = 0
    source_ton: int = 1
    source_npi: int = 1
    tlvs: tuple[tuple[int, str], ...] = ()
    payload: bool = False


class OriginatedAcknowledged(
    msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="kind", tag="originated_acknowledged"
):
    """The ESME answered the deliver_sm of `Originated.number` with ROK; `copy` is `final` or `duplicate`."""

    number: int
    at: float
    copy: str = "final"


class Bound(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="bound"):
    """A bind was accepted. `session` numbers the connections of this process from 1; `mode` as in `BindMode`."""

    at: float
    session: int
    system_id: str
    mode: str


class BindRefused(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="bind_refused"):
    """A bind was answered with this command_status."""

    at: float
    session: int
    system_id: str
    status: int


class Unbound(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="unbound"):
    """A session ended with an unbind that was answered; `by` is `esme` or `smsc`."""

    at: float
    session: int
    system_id: str
    by: str


class Dropped(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="dropped"):
    """A bound connection ended without unbind; `reason` is `peer`, what the script did, or what was wrong."""

    at: float
    session: int
    system_id: str
    reason: str


Record: TypeAlias = (
    Accepted
    | Refused
    | Acknowledged
    | Cancelled
    | Replaced
    | Originated
    | OriginatedAcknowledged
    | Bound
    | BindRefused
    | Unbound
    | Dropped
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


class Recovered(NamedTuple):
    """What an earlier process left, oldest first: messages whose receipt is owed, mobile-originated ones that were not
    acknowledged, the highest number used, and the highest group: a handset does not begin its references anew either.
    """

    owed: list[Accepted]
    originated: list[Originated]
    highest: int
    group: int


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


class _Ledger:
    """What is still owed after the records seen so far."""

    def __init__(self) -> None:
        self.owed: dict[int, Accepted] = {}
        self.originated: dict[int, Originated] = {}
        self.highest = 0
        self.group = 0
        self._numbers: dict[str, int] = {}

    def add(self, record: Record) -> None:
        if isinstance(record, Accepted):
            self.highest = max(self.highest, record.number)
            if record.receipt is not None:
                self.owed[record.number] = record
                self._numbers[record.id] = record.number
        elif isinstance(record, Acknowledged):
            if record.copy == "final":
                # Journals of earlier versions name the message by its id alone.
                number = record.number or self._numbers.get(record.id, 0)
                self.owed.pop(number, None)
                self._numbers.pop(record.id, None)
        elif isinstance(record, Originated):
            self.highest = max(self.highest, record.number)
            self.group = max(self.group, record.group)
            self.originated[record.number] = record
        elif isinstance(record, OriginatedAcknowledged):
            if record.copy == "final":
                self.originated.pop(record.number, None)
        elif isinstance(record, Cancelled | Replaced) and record.number in self.owed:
            self.owed[record.number] = changed(self.owed[record.number], record)


def changed(message: Accepted, change: Cancelled | Replaced) -> Accepted:
    """The message after cancel_sm or replace_sm."""
    if isinstance(change, Cancelled):
        return msgspec.structs.replace(message, receipt="DELETED", error="000")
    return msgspec.structs.replace(message, message=change.message, registered_delivery=change.registered_delivery)


def _recover(path: Path) -> tuple[Recovered, int]:
    ledger = _Ledger()
    for record in read_records(path):
        ledger.add(record)
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
    return Recovered(list(ledger.owed.values()), list(ledger.originated.values()), ledger.highest, ledger.group), size
