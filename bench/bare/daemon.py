"""The ceiling of `bench-daemon`: batches from RabbitMQ, a window of submit_sm, result batches, and nothing else.

No claims, no rate, no deadlines, no refusals, no second bind: what production adds is measured against it.
`python -m bench.bare.daemon BROKER_URL DISPATCH_QUEUE RESULTS_QUEUE PORT WINDOW` runs until its standard input ends.
"""

import asyncio
import sys
from collections import deque
from struct import Struct
from typing import Any, cast

import aio_pika
import uvloop

from app.domain.messages.events import (
    DispatchBatch,
    DispatchMessage,
    Outcome,
    ResultBatch,
    SubmitResult,
    SubmittedPart,
    decode_dispatch,
    encode,
)
from app.lib.ids import new_id

HEADER = Struct("!IIII")


class Bind(asyncio.Protocol):
    def __init__(self, window: int) -> None:
        self.window = window
        self.rest = b""
        self.pending: dict[int, tuple[DispatchMessage, list[Any]]] = {}
        self.sequence = 1
        self.waiting: deque[tuple[DispatchMessage, list[Any]]] = deque()
        self.bound = asyncio.get_running_loop().create_future()
        self.results: list[SubmitResult] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        body = b"bench\0bench\0\0\x34\0\0\0"
        self.transport.write(HEADER.pack(16 + len(body), 9, 0, 1) + body)

    def data_received(self, data: bytes) -> None:
        data = self.rest + data if self.rest else data
        offset, size = 0, len(data)
        while size - offset >= 16:
            length, command, _, sequence = HEADER.unpack_from(data, offset)
            if size - offset < length:
                break
            if command == 0x80000004:
                message, batch = self.pending.pop(sequence)
                identifier = data[offset + 16 : offset + length - 1].decode()
                self.results.append(SubmitResult(message.id, 1, Outcome.SENT, 0.0, [SubmittedPart(1, identifier)]))
                batch[0] -= 1
                if not batch[0]:
                    batch[1].set_result(None)
            elif command == 0x80000009:
                self.bound.set_result(None)
            offset += length
        self.rest = data[offset:]
        self.pump()

    def pump(self) -> None:
        output = []
        while self.waiting and len(self.pending) < self.window:
            message, batch = self.waiting.popleft()
            self.sequence += 1
            text = message.text.encode()
            body = b"".join(
                (
                    b"\0\x05\0BENCH\0\x01\x01",
                    message.to.encode(),
                    b"\0\0\0\0\0\0\x01\0\0\0",
                    bytes((len(text),)),
                    text,
                )
            )
            output.append(HEADER.pack(16 + len(body), 4, 0, self.sequence) + body)
            self.pending[self.sequence] = (message, batch)
        if output:
            self.transport.write(b"".join(output))


async def main(broker_url: str, dispatch: str, results: str, port: int, window: int) -> None:
    loop = asyncio.get_running_loop()
    _, bind = await loop.create_connection(lambda: Bind(window), "127.0.0.1", port)
    await bind.bound
    connection = await aio_pika.connect(broker_url)
    channel = await connection.channel(publisher_confirms=True)
    await channel.set_qos(8)
    last: DispatchBatch | None = None

    async def consume(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        nonlocal last
        last = decode_dispatch(message.body)
        batch: list[Any] = [len(last.messages), loop.create_future()]
        bind.waiting.extend((each, batch) for each in last.messages)
        bind.pump()
        await batch[1]
        await message.ack()

    async def report() -> None:
        while True:
            await asyncio.sleep(0.02)
            while bind.results and last is not None:
                some, bind.results = bind.results[:500], bind.results[500:]
                body = encode(ResultBatch(new_id(), last.account_id, last.channel_id, some))
                await channel.default_exchange.publish(
                    aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT), routing_key=results
                )

    reporting = asyncio.create_task(report())
    queue = await channel.get_queue(dispatch, ensure=False)
    await queue.consume(consume)
    await asyncio.to_thread(sys.stdin.read)
    reporting.cancel()
    await connection.close()


if __name__ == "__main__":
    _, url, dispatch_name, results_name, sink_port, window_size = sys.argv
    uvloop.run(main(url, dispatch_name, results_name, int(sink_port), int(window_size)))
