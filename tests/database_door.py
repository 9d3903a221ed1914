"""A door to PostgreSQL at which a connection can end in ways that are hard to meet otherwise."""

import asyncio
from types import TracebackType
from typing import Self

from sqlalchemy import make_url


class DatabaseDoor:
    """Passes everything on, in both directions, between whoever connects to `url` and the server.

    The client's side stays open for `linger` seconds after the server has hung up.
    """

    def __init__(self, server_url: str, *, linger: float = 0.0) -> None:
        self._server = make_url(server_url)
        self._linger = linger
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_words: bytes | None = None
        self._heard = False
        self.url = ""

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        here = self._server.set(host="127.0.0.1", port=self._listener.sockets[0].getsockname()[1])
        self.url = here.render_as_string(hide_password=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def end_at(self, words: bytes, *, heard: bool) -> None:
        """The next connection on which a client says `words` ends: the server has done what they ask if it `heard`."""
        self._last_words, self._heard = words, heard

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        far_reader, far_writer = await asyncio.open_connection(self._server.host, self._server.port)
        ending = asyncio.Event()
        sending = asyncio.create_task(self._send(reader, far_writer, ending))
        try:
            while data := await far_reader.read(65536):
                if ending.is_set():
                    return
                writer.write(data)
                try:
                    await writer.drain()
                except OSError:
                    return
            if not ending.is_set():
                await asyncio.sleep(self._linger)
        finally:
            sending.cancel()
            writer.close()
            far_writer.close()
            self._tasks.discard(task)

    async def _send(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ending: asyncio.Event) -> None:
        while data := await reader.read(65536):
            if self._last_words is not None and self._last_words in data:
                self._last_words = None
                ending.set()
                if not self._heard:
                    writer.close()
                    return
            writer.write(data)
            try:
                await writer.drain()
            except OSError:
                return
