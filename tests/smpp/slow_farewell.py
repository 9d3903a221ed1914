"""A door to PostgreSQL that keeps the client's side open for a while after the server has hung up."""

import asyncio
from types import TracebackType
from typing import Self

LINGER_SECONDS = 1.0


class SlowFarewell:
    """Listens on `port` of 127.0.0.1 and passes everything on, in both directions."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        far_reader, far_writer = await asyncio.open_connection(*self._server)
        sending = asyncio.create_task(_pass_on(reader, far_writer))
        try:
            await _pass_on(far_reader, writer)
            await asyncio.sleep(LINGER_SECONDS)
        finally:
            sending.cancel()
            writer.close()
            far_writer.close()
            self._tasks.discard(task)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        try:
            await writer.drain()
        except OSError:
            return
