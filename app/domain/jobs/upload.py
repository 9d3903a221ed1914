"""The input of a job as it comes over the wire: in pieces, never all of it in memory."""

from collections.abc import AsyncIterator, Callable
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.jobs.files import CHUNK_BYTES
from app.domain.jobs.service import JobService
from app.lib.db import Database
from app.lib.errors import TooLarge


async def receive_input(
    database: Database,
    service: Callable[[AsyncSession], JobService],
    account_id: UUID,
    job_id: UUID,
    pieces: AsyncIterator[bytes],
    most: int,
) -> int:
    """Store `pieces` as the input of a job that is receiving; how many bytes there were.

    Each chunk is a transaction of its own, in which `service` makes the service: no connection is held while the client
    takes its time. Raises `TooLarge` beyond `most` bytes, and what `JobService.append_input` raises. Whoever does not
    go on to `JobService.start` leaves the rest to retention, or cancels the job.
    """
    held, size = bytearray(), 0

    async def store() -> None:
        async with database.unit_of_work(account_id) as session:
            await service(session).append_input(job_id, bytes(held))
        held.clear()

    async for piece in pieces:
        size += len(piece)
        if size > most:
            raise TooLarge(f"The file has more than {most} bytes.")
        held += piece
        if len(held) >= CHUNK_BYTES:
            await store()
    if held:
        await store()
    return size
