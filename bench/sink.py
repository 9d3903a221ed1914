"""A bare SMSC in a process of its own: as fast a peer as Python gives, so that a benchmark measures our side.

`python -m bench.sink` prints one JSON line, `{"port": …}`, and serves until its standard input ends; `running_sink`
runs it. It answers binds, submit_sm (message ids count up in hexadecimal, from 1), enquire_link and unbind, and checks
nothing. Each line on its standard input is a command, answered by one JSON line on standard output:

    count           {"accepted": n}

With `--record` it remembers when each submit_sm came and for whom:

    receipts        a receipt for every message accepted since the last time, at most `--window` unanswered on each
                    session; answered when the last one is acknowledged: {"receipts": n, "refused": n, "seconds": s}
    arrivals PATH   writes a line "TIME DESTINATION" for each message, in order; TIME is seconds of CLOCK_MONOTONIC,
                    which all processes share: {"arrivals": n}
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from struct import Struct
from typing import Any, cast

import uvloop

ROOT = Path(__file__).parent.parent
HEADER = Struct("!IIII")
SUBMIT_SM, DELIVER_SM, UNBIND, ENQUIRE_LINK = 0x04, 0x05, 0x06, 0x15
BIND_RECEIVER, BIND_TRANSMITTER, BIND_TRANSCEIVER = 0x01, 0x02, 0x09
RESPONSE = 0x80000000
RECEIPT = b"id:%x sub:001 dlvrd:001 submit date:2611240900 done date:2611240900 stat:DELIVRD err:000 text:Hello"


class Sink:
    """What all sessions share."""

    def __init__(self, record: bool, window: int) -> None:
        self.accepted = 0
        self.record = record
        self.window = window
        self.arrivals: list[tuple[float, bytes]] = []
        self.receivers: list[Session] = []
        self.receipted = 0
        self.acknowledged = 0
        self.refused = 0
        self.done = asyncio.Event()

    async def send_receipts(self) -> dict[str, float]:
        first, refused = self.acknowledged, self.refused
        started = time.perf_counter()
        self.done.clear()
        if self.acknowledged < self.accepted:
            for receiver in self.receivers:
                receiver.pump()
            await self.done.wait()
        seconds = time.perf_counter() - started
        return {
            "receipts": self.acknowledged - first,
            "refused": self.refused - refused,
            "seconds": round(seconds, 6),
        }


class Session(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.rest = b""
        self.in_flight = 0
        self.sequence = 0
        self.pumping = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        receivers = self.sink.receivers
        if self in receivers:
            receivers.remove(self)
            if not receivers:
                self.sink.done.set()

    def data_received(self, data: bytes) -> None:
        if self.rest:
            data = self.rest + data
        offset, size = 0, len(data)
        output: list[bytes] = []
        sink = self.sink
        unpack, pack = HEADER.unpack_from, HEADER.pack
        while size - offset >= 16:
            length, command, status, sequence = unpack(data, offset)
            if size - offset < length:
                break
            if command == SUBMIT_SM:
                sink.accepted += 1
                message_id = b"%x\0" % sink.accepted
                output.append(pack(16 + len(message_id), RESPONSE | SUBMIT_SM, 0, sequence) + message_id)
                if sink.record:
                    sink.arrivals.append((time.monotonic(), _destination(data, offset + 16)))
            elif command == RESPONSE | DELIVER_SM:
                self.in_flight -= 1
                sink.acknowledged += 1
                sink.refused += status != 0
            elif command in (BIND_RECEIVER, BIND_TRANSMITTER, BIND_TRANSCEIVER):
                output.append(pack(21, RESPONSE | command, 0, sequence) + b"sink\0")
                if command != BIND_TRANSMITTER:
                    sink.receivers.append(self)
            elif command in (ENQUIRE_LINK, UNBIND):
                output.append(pack(16, RESPONSE | command, 0, sequence))
            offset += length
        self.rest = data[offset:]
        if output:
            self.transport.write(b"".join(output))
        if self.pumping:
            self.pump()

    def pump(self) -> None:
        """Receipts up to the window."""
        sink = self.sink
        self.pumping = True
        output: list[bytes] = []
        while self.in_flight < sink.window and sink.receipted < sink.accepted:
            destination = sink.arrivals[sink.receipted][1]
            sink.receipted += 1
            self.sequence += 1
            self.in_flight += 1
            output.append(_receipt(sink.receipted, destination, self.sequence))
        if output:
            self.transport.write(b"".join(output))
        elif sink.acknowledged == sink.accepted:
            self.pumping = False
            sink.done.set()


def _destination(data: bytes, start: int) -> bytes:
    source = data.index(0, start) + 3
    destination = data.index(0, source) + 3
    return data[destination : data.index(0, destination)]


def _receipt(number: int, handset: bytes, sequence: int) -> bytes:
    text = RECEIPT % number
    identifier = b"%x\0" % number
    body = b"".join(
        (
            b"\0\1\1" + handset + b"\0\5\0SENDER\0\4\0\0\0\0\0\0\0\0",
            bytes((len(text),)),
            text,
            b"\x04\x27\0\1\2\0\x1e",
            len(identifier).to_bytes(2, "big"),
            identifier,
        )
    )
    return HEADER.pack(16 + len(body), DELIVER_SM, 0, sequence) + body


def _write(arrivals: list[tuple[float, bytes]], path: str) -> int:
    lines = [f"{moment:.6f} {destination.decode()}\n" for moment, destination in arrivals]
    Path(path).write_text("".join(lines))
    return len(lines)


async def serve(arguments: argparse.Namespace) -> None:
    sink = Sink(arguments.record, arguments.window)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Session(sink), arguments.host, arguments.port)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    say({"port": server.sockets[0].getsockname()[1]})
    while line := await reader.readline():
        match line.decode().split():
            case ["count"]:
                say({"accepted": sink.accepted})
            case ["receipts"] if sink.record:
                say(await sink.send_receipts())
            case ["arrivals", path] if sink.record:
                say({"arrivals": await asyncio.to_thread(_write, sink.arrivals, path)})
            case _:
                say({"error": f"not a command here: {line!r}"})
    server.close()


def say(line: Mapping[str, float | str]) -> None:
    print(json.dumps(line), flush=True)


class RunningSink:
    """A sink process as its user sees it."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port

    async def command(self, *words: str) -> dict[str, Any]:
        """One command and its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(words).encode() + b"\n")
        return await _answer(self.process)

    async def arrivals(self) -> list[tuple[float, str]]:
        """When each submit_sm came, in seconds of CLOCK_MONOTONIC, and for whom."""
        with tempfile.NamedTemporaryFile("r") as file:
            await self.command("arrivals", file.name)
            lines = await asyncio.to_thread(file.readlines)
        return [(float(line.split()[0]), line.split()[1]) for line in lines]


@asynccontextmanager
async def running_sink(*options: str) -> AsyncIterator[RunningSink]:
    """`python -m bench.sink OPTIONS` until the block is left."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.sink",
        *options,
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    try:
        yield RunningSink(process, (await _answer(process))["port"])
    finally:
        process.stdin.close()
        await process.wait()


async def _answer(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    line: dict[str, Any] = json.loads(await process.stdout.readline())
    return line


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--record", action="store_true", help="remember messages; needed for receipts and arrivals")
    parser.add_argument("--window", type=int, default=100, help="receipts without an answer on each session")
    uvloop.run(serve(parser.parse_args()))
