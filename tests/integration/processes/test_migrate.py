"""`turumba migrate` before the database is there, as at the start of a machine."""

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

TURUMBA = str(Path(sys.executable).with_name("turumba"))


def behind(url: str, port: int) -> str:
    """The same database through another port."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}").geturl()


async def test_waits_for_a_database_that_is_not_there_yet(
    environment: dict[str, str], make_database: Callable[[], Awaitable[str]]
) -> None:
    url = await make_database()
    database = urlsplit(url)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(database.hostname, database.port)
        await asyncio.gather(carry(reader, inner_writer), carry(inner_reader, writer), return_exceptions=True)

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(TURUMBA, "migrate", "--wait"),
        env=os.environ | environment | {"TURUMBA_DATABASE_URL": behind(url, port)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while "cannot be reached yet" not in (line := (await process.stdout.readline()).decode()):
            assert line, "it ended instead of waiting"
    server = await asyncio.start_server(forward, "127.0.0.1", port)
    async with server:
        rest, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, rest.decode()


async def test_without_waiting_says_what_is_wrong(environment: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *(TURUMBA, "migrate"),
        env=os.environ | environment | {"TURUMBA_DATABASE_URL": "postgresql://a:b@127.0.0.1:1/none"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    assert "TURUMBA_DATABASE_URL" in err.decode() and "Traceback" not in err.decode()
