"""Files of jobs, in the database: API and workers need no disk in common, and a file commits with what it tells of.

A file is chunks, each of at most `CHUNK_BYTES`, known by how many bytes come before it.
"""

from collections.abc import AsyncIterator
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.jobs.contract import JobFile
from app.lib.db import Database

CHUNK_BYTES = 256 * 1024
"""Of the largest chunk: what is in memory at once."""

FILL_BYTES = 32 * 1024
"""A last chunk that is shorter is added to, so that many small pieces do not become as many rows."""

_TAIL = text(
    """
    SELECT position, octet_length(data) AS length FROM job_files
    WHERE job_id = :job_id AND account_id = :account_id AND name = :name ORDER BY position DESC LIMIT 1
    """
)

_INSERT = text(
    """
    INSERT INTO job_files (job_id, account_id, name, position, data)
    VALUES (:job_id, :account_id, :name, :position, :data)
    """
)

_EXTEND = text(
    """
    UPDATE job_files SET data = data || :data
    WHERE job_id = :job_id AND account_id = :account_id AND name = :name AND position = :position
    """
)

_READ = text(
    """
    SELECT position, data FROM job_files
    WHERE job_id = :job_id AND account_id = :account_id AND name = :name AND position <= :offset
    ORDER BY position DESC LIMIT 1
    """
)

_FILLED = text(
    """
    SELECT job_id, name FROM job_files
    WHERE job_id = ANY(CAST(:job_ids AS uuid[])) AND account_id = :account_id AND name = ANY(:names) AND position = 0
    """
)


class FileWriter:
    """Adds to the end of one file in one transaction: the only one that adds to it at that time."""

    def __init__(self, session: AsyncSession, account_id: UUID, job_id: UUID, name: JobFile) -> None:
        self._session = session
        self._key = {"account_id": account_id, "job_id": job_id, "name": name.value}
        self._tail: tuple[int, int] | None = None
        self._held = bytearray()

    async def write(self, data: bytes) -> None:
        """Add; what does not make a chunk yet is held until `flush`."""
        self._held += data
        while len(self._held) >= CHUNK_BYTES:
            await self._store(bytes(self._held[:CHUNK_BYTES]))
            del self._held[:CHUNK_BYTES]

    async def flush(self) -> None:
        """Store what is held."""
        if self._held:
            await self._store(bytes(self._held))
            self._held.clear()

    async def size(self) -> int:
        """How many bytes the file has, with what is held."""
        start, length = await self._end()
        return start + length + len(self._held)

    async def _end(self) -> tuple[int, int]:
        """Where the last chunk begins, and its length."""
        if self._tail is None:
            row = (await self._session.execute(_TAIL, self._key)).one_or_none()
            self._tail = (0, 0) if row is None else (row.position, row.length)
        return self._tail

    async def _store(self, data: bytes) -> None:
        start, length = await self._end()
        if 0 < length < FILL_BYTES and length + len(data) <= CHUNK_BYTES:
            await self._session.execute(_EXTEND, {**self._key, "position": start, "data": data})
            self._tail = (start, length + len(data))
        else:
            await self._session.execute(_INSERT, {**self._key, "position": start + length, "data": data})
            self._tail = (start + length, len(data))


async def read_file(
    database: Database, account_id: UUID, job_id: UUID, name: JobFile, offset: int = 0
) -> AsyncIterator[bytes]:
    """What is in a file from byte `offset` on, chunk by chunk; each is read by a transaction of its own."""
    key = {"account_id": account_id, "job_id": job_id, "name": name.value}
    while True:
        async with database.reading(account_id) as session:
            row = (await session.execute(_READ, {**key, "offset": offset})).one_or_none()
        if row is None or offset >= row.position + len(row.data):
            return
        yield bytes(row.data[offset - row.position :])
        offset = row.position + len(row.data)


async def files_shown(session: AsyncSession, account_id: UUID, job_ids: list[UUID]) -> set[tuple[UUID, JobFile]]:
    """Which of these jobs have files that their owner can download: those that hold something."""
    names = [JobFile.ERRORS.value, JobFile.RESULT.value]
    rows = await session.execute(_FILLED, {"job_ids": job_ids, "account_id": account_id, "names": names})
    return {(row.job_id, JobFile(row.name)) for row in rows}
