"""Which requests are on their way, and until when."""

from collections.abc import Sequence
from typing import NamedTuple

from smpp_daemon.protocol.constants import MAX_SEQUENCE

TOMBSTONES = 10_000
"""Expired requests still remembered for their late response."""


class Outstanding(NamedTuple):
    """One request: the owner's `token`, when it was recorded, and the command_id that answers it."""

    token: object
    sent_at: float
    response: int


class Window:
    """A hard limit on requests without a response, keyed by sequence_number.

    A request is recorded before its octets exist, so no response can come too early. It leaves by its response, by its
    deadline (`response_timeout` seconds, which frees the slot) or with the session. The timeout is the same for all, so
    the dictionary's order is the order of the deadlines and expiry costs nothing for those that are not due.
    """

    __slots__ = ("_next", "_pending", "_reserved", "_tombstones", "limit", "response_timeout", "tombstone_limit")

    def __init__(
        self, limit: int, response_timeout: float, *, tombstone_limit: int = TOMBSTONES, first_sequence: int = 1
    ) -> None:
        if limit < 1:
            raise ValueError(f"a window of {limit} can send nothing")
        self.limit = limit
        self.response_timeout = response_timeout
        self.tombstone_limit = tombstone_limit
        self._pending: dict[int, tuple[object, float, int]] = {}
        self._tombstones: dict[int, tuple[object, float, int]] = {}
        self._reserved: set[int] = set()
        self._next = first_sequence

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def room(self) -> int:
        """Requests that may be opened now; 0 too while a lowered limit is exceeded."""
        room = self.limit - len(self._pending)
        return room if room > 0 else 0

    def next_sequence(self) -> int:
        """The next free sequence_number, 1..0x7FFFFFFF, passing over those in flight after a wrap (§5.1.4)."""
        sequence = self._next
        while sequence in self._pending or sequence in self._reserved:
            sequence = sequence + 1 if sequence < MAX_SEQUENCE else 1
        self._next = sequence + 1 if sequence < MAX_SEQUENCE else 1
        return sequence

    def reserve(self) -> int:
        """A sequence_number for a request outside the window (bind, unbind, enquire_link); `release` gives it back."""
        sequence = self.next_sequence()
        self._reserved.add(sequence)
        return sequence

    def release(self, sequence: int) -> None:
        """The request outside the window was answered or given up."""
        self._reserved.discard(sequence)

    def open(self, tokens: Sequence[object], response: int, now: float) -> list[int]:
        """Records one request for each token, at most `room` of them, and returns their sequence_numbers."""
        pending = self._pending
        sequences: list[int] = []
        append = sequences.append
        forget = self._tombstones.pop if self._tombstones else None
        for token in tokens[: self.room]:
            sequence = self._next
            if sequence in pending or self._reserved or sequence >= MAX_SEQUENCE:
                sequence = self.next_sequence()
            else:
                self._next = sequence + 1
            if forget is not None:
                forget(sequence, None)
            pending[sequence] = (token, now, response)
            append(sequence)
        return sequences

    def take(self, sequence: int, response: int) -> tuple[object, float, int] | None:
        """Closes the request that `response` answers; None when no request with this number waits for this command."""
        entry = self._pending.get(sequence)
        if entry is None or entry[2] != response:
            return None
        del self._pending[sequence]
        return entry

    def take_any(self, sequence: int) -> tuple[object, float, int] | None:
        """Closes a request whatever command was expected: generic_nack answers them all (SMPP 3.4 §4.3)."""
        return self._pending.pop(sequence, None)

    def take_late(self, sequence: int) -> tuple[object, float, int] | None:
        """The request of a response that came after the deadline, once."""
        return self._tombstones.pop(sequence, None)

    def expire(self, now: float) -> list[tuple[int, Outstanding]]:
        """Frees every slot whose deadline is over and leaves a tombstone; the oldest tombstones make room."""
        expired: list[tuple[int, Outstanding]] = []
        for sequence, entry in self._pending.items():
            if entry[1] + self.response_timeout > now:
                break
            expired.append((sequence, Outstanding(*entry)))
        tombstones = self._tombstones
        for sequence, entry in expired:
            del self._pending[sequence]
            tombstones[sequence] = entry
        while len(tombstones) > self.tombstone_limit:
            del tombstones[next(iter(tombstones))]
        return expired

    def next_deadline(self) -> float | None:
        """When the oldest request expires; None when nothing is in flight."""
        for entry in self._pending.values():
            return entry[1] + self.response_timeout
        return None

    def drain(self) -> list[tuple[int, Outstanding]]:
        """Takes every request that still waits, oldest first."""
        left = [(sequence, Outstanding(*entry)) for sequence, entry in self._pending.items()]
        self._pending.clear()
        return left

    def __repr__(self) -> str:
        return f"window {len(self._pending)}/{self.limit}"
