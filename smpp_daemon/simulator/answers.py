"""Answers to submit_sm and its like: at once, late, twice, wrongly, or never."""

import heapq
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from smpp_daemon.protocol.codec import encode_body, pack_header
from smpp_daemon.protocol.constants import HEADER_LENGTH, MAX_SEQUENCE, RESPONSE_BIT, CommandId
from smpp_daemon.protocol.pdu import SubmitMultiResp, UnsuccessSme
from smpp_daemon.protocol.status import RINVCMDID, ROK
from smpp_daemon.simulator.chances import Chances
from smpp_daemon.simulator.script import AnswerKind, Malformed, RefusalBody

if TYPE_CHECKING:
    from smpp_daemon.simulator.connection import Connection

_STRANGE_DISTANCE = 0x3FFFFFFF
_SUFFIXES = {
    "stray_nul": b"\0",
    # The tag and length of message_state without its value (§5.3.2.35).
    "truncated_tlv": b"\x04\x27\x00\x01",
    # A vendor's own tag: 0x1400 to 0x3FFF (§5.3.1).
    "unknown_tlv": b"\x14\x99\x00\x02\xca\xfe",
}


class Answer(NamedTuple):
    """One answer; `command` is the command_id of the request, `body` what stands behind the header."""

    connection: "Connection"
    command: int
    sequence: int
    status: int
    body: bytes
    kind: AnswerKind

    def give(self) -> None:
        """Hands it to the session, which must still be there; the caller flushes the connection."""
        session, sequence, kind = self.connection.session, self.sequence, self.kind
        if kind == "never":
            session.abandon(sequence)
        elif kind == "generic_nack":
            session.abandon(sequence)
            self.connection.write_raw(pack_header(HEADER_LENGTH, CommandId.GENERIC_NACK, self.status, sequence))
        elif kind == "unknown_sequence":
            session.abandon(sequence)
            strange = sequence + _STRANGE_DISTANCE
            self.connection.write_raw(self._octets(strange if strange <= MAX_SEQUENCE else strange - MAX_SEQUENCE))
        else:
            session.link.answer(sequence, self.status, self.body)
            if kind == "twice":
                self.connection.write_raw(self._octets(sequence))

    def _octets(self, sequence: int) -> bytes:
        length = HEADER_LENGTH + len(self.body)
        return pack_header(length, self.command | RESPONSE_BIT, self.status, sequence) + self.body


def response_body(status: int, message_id: str, kind: AnswerKind, refusal: RefusalBody) -> bytes:
    """Body of submit_sm_resp or data_sm_resp (§4.4.2, §4.7.2)."""
    if kind == "header_only" or (status != ROK and refusal == "none"):
        return b""
    if status != ROK and refusal == "nul":
        return b"\0"
    return message_id.encode("ascii") + b"\0"


def multi_body(message_id: str, unsuccessful: tuple[UnsuccessSme, ...], kind: AnswerKind) -> bytes:
    """Body of submit_multi_resp (§4.5.2), which names the destinations that were refused."""
    return b"" if kind == "header_only" else encode_body(SubmitMultiResp(message_id, unsuccessful))


def nack_status(status: int) -> int:
    """command_status of a generic_nack: it always says an error (§4.3)."""
    return status or RINVCMDID


class Malformations:
    """Puts wrong octets behind bodies, by chance."""

    __slots__ = ("_bodies", "_messages")

    def __init__(self, malformed: Malformed) -> None:
        suffixes = {name: getattr(malformed, name) for name in _SUFFIXES}
        self._bodies = Chances(suffixes, "malformed")
        self._messages = Chances({**suffixes, "sm_length": malformed.sm_length}, "malformed")

    def __bool__(self) -> bool:
        return bool(self._messages)

    def response(self, body: bytes, random: Random) -> bytes:
        """A submit_sm_resp that accepts. A body without an id stays: nothing can stand behind it."""
        found = self._bodies.draw(random) if body else None
        return body if found is None else body + _SUFFIXES[found]

    def message(self, body: bytes, random: Random) -> bytes:
        """A deliver_sm."""
        found = self._messages.draw(random)
        if found is None:
            return body
        if found != "sm_length":
            return body + _SUFFIXES[found]
        return _with_wrong_length(body)


def _with_wrong_length(body: bytes) -> bytes:
    """sm_length one more than all octets that follow, TLVs included: no reading of it fits."""
    position = 0
    # service_type; source (ton, npi, address); destination; esm_class, protocol_id, priority, the two times.
    for skipped in (0, 2, 2, 3, 0):
        position = body.index(0, position + skipped) + 1
    position += 4
    rest = len(body) - position - 1
    if rest >= 255:
        return body
    return body[:position] + bytes((rest + 1,)) + body[position + 1 :]


class Waiting:
    """Answers that are not given yet, earliest first. Times are seconds of the loop's clock."""

    __slots__ = ("_heap", "_order")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Answer]] = []
        self._order = 0

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, answer: Answer, due: float) -> None:
        """Gives the answer at `due`."""
        self._order += 1
        heapq.heappush(self._heap, (due, self._order, answer))

    def take_due(self, now: float) -> list[Answer]:
        """All whose time has come, in order."""
        taken: list[Answer] = []
        while self._heap and self._heap[0][0] <= now:
            taken.append(heapq.heappop(self._heap)[2])
        return taken

    def next_due(self) -> float | None:
        """When the next one is due; None when none waits."""
        return self._heap[0][0] if self._heap else None
