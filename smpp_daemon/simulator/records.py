"""Records on their way to the journal: collected while one read of a socket is handled, written once at its end."""

from collections.abc import Iterable

from smpp_daemon.simulator.journal import Journal, Record


class Records:
    """`on` is False without a journal; then nothing is collected."""

    __slots__ = ("_journal", "_pending", "on")

    def __init__(self) -> None:
        self._journal: Journal | None = None
        self._pending: list[Record] = []
        self.on = False

    def open(self, journal: Journal) -> None:
        """From now on records are kept."""
        self._journal = journal
        self.on = True

    def add(self, record: Record) -> None:
        """One more for the next `commit`."""
        if self.on:
            self._pending.append(record)

    def extend(self, records: Iterable[Record]) -> None:
        """Several more."""
        if self.on:
            self._pending.extend(records)

    def commit(self) -> None:
        """Writes what was collected, before any octet that follows from it leaves. Raises OSError."""
        if self._pending and self._journal is not None:
            pending, self._pending = self._pending, []
            self._journal.append(pending)

    def close(self) -> None:
        """Writes what is left and closes the file."""
        self.commit()
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        self.on = False
