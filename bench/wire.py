"""submit_sm per second over one bind: the daemon's own connection and session in one process, a bare sink in another.

Every message is encoded by the channel's encoder, gets a sequence number and a deadline, is written, answered and
matched, exactly as in the daemon; only the queue in front and the results behind are missing (`bench/daemon.py` has
those). The reference is the Python client of smpp34 with the same texts, window, sink and event loop, in the same run.
"""

import asyncio
import statistics
import time
from importlib.metadata import version
from itertools import repeat

import smpp34
import uvloop

from app.domain.messages.events import DispatchMessage
from bench.harness import emit, say
from bench.sink import RunningSink, running_sink
from connectors.smpp.config import SmppConfig, SmppCredentials, SmppHost
from smpp_daemon.bind_settings import esme_config
from smpp_daemon.protocol.events import Bound, Event, SubmitAnswered, Unanswered
from smpp_daemon.submission import SubmissionEncoder
from smpp_daemon.transport import Connection

MESSAGES = 300_000
REFERENCE_MESSAGES = 60_000
ROUNDS = 7
WINDOWS = (100, 10)


class Sender:
    """Stands where the daemon's account stands: fills the window whenever there is room, and counts the answers."""

    def __init__(self, encoder: SubmissionEncoder) -> None:
        loop = asyncio.get_running_loop()
        self.bound: asyncio.Future[None] = loop.create_future()
        self.finished: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.answered = 0
        self._messages: list[DispatchMessage] = []
        self._bodies: list[bytes] = []
        self._encoder = encoder
        self._sent = 0

    def received(self, connection: Connection, events: list[Event]) -> None:
        for event in events:
            if type(event) is SubmitAnswered:
                assert event.status == 0
                assert event.message_id
                self.answered += 1
            elif type(event) is Bound:
                self.bound.set_result(None)
        self.pump(connection)

    def writable(self, connection: Connection) -> None:
        self.pump(connection)

    def lost(self, connection: Connection, unanswered: list[Unanswered], reason: str) -> None:
        for future in (self.bound, self.finished):
            if not future.done():
                future.set_exception(ConnectionError(reason))
        self.ended.set_result(None)

    def start(self, connection: Connection, messages: list[DispatchMessage]) -> None:
        self._messages = messages
        self._encode_ahead(connection)
        self.pump(connection)

    def pump(self, connection: Connection) -> None:
        if self._bodies:
            room = connection.room
            sent = connection.submit(self._bodies[:room], self._messages[self._sent : self._sent + room])
            self._sent += sent
            del self._bodies[:sent]
            self._encode_ahead(connection)
        elif self._messages and self.answered == len(self._messages) and not self.finished.done():
            self.finished.set_result(None)

    def _encode_ahead(self, connection: Connection) -> None:
        """The daemon encodes a message when it is claimed, somewhat before the window has room for it."""
        encoded = self._sent + len(self._bodies)
        wanted = connection.session.config.window - len(self._bodies)
        for message in self._messages[encoded : encoded + wanted]:
            self._bodies += self._encoder.bodies(message)


async def ours(sink: RunningSink, window: int, messages: list[DispatchMessage]) -> float:
    """Messages a second, from the first submit_sm to the last answer."""
    config = SmppConfig(hosts=(SmppHost(host="127.0.0.1", port=sink.port),), window=window)
    session = esme_config(config, SmppCredentials(system_id="bench", password="bench"), "bench")
    sender = Sender(SubmissionEncoder(config, time.time))
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(session, sender, loop), "127.0.0.1", sink.port)
    await sender.bound
    before = (await sink.command("count"))["accepted"]
    started = time.perf_counter()
    sender.start(connection, messages)
    await sender.finished
    seconds = time.perf_counter() - started
    accepted = (await sink.command("count"))["accepted"] - before
    assert accepted == sender.answered == len(messages), (accepted, sender.answered)
    connection.unbind()
    await sender.ended
    return len(messages) / seconds


async def theirs(sink: RunningSink, window: int, messages: list[DispatchMessage]) -> float:
    """The same through smpp34: as many callers as the window has places."""
    client = smpp34.Client("127.0.0.1", sink.port, "bench", "bench", bind_type="TRX", window_size=window)
    session = await client.connect()
    waiting = iter(messages)

    async def caller() -> None:
        for message in waiting:
            answer = await session.submit_sm(
                destination_addr=message.to[1:],
                short_message=message.text.encode(),
                source_addr="SENDER",
                source_addr_ton=5,
                dest_addr_ton=1,
                dest_addr_npi=1,
                registered_delivery=1,
            )
            assert answer.is_success
            assert answer.message_id

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in repeat(None, window)))
    seconds = time.perf_counter() - started
    await session.unbind()
    await client.stop()
    return len(messages) / seconds


async def measure() -> None:
    messages = [
        DispatchMessage(number.to_bytes(16, "big"), 1, f"+2519{number:08d}", "SENDER", f"Hello, your code is {number}")
        for number in range(MESSAGES)
    ]
    few = messages[:REFERENCE_MESSAGES]
    samples: dict[int, list[float]] = {window: [] for window in WINDOWS}
    reference: dict[int, list[float]] = {window: [] for window in WINDOWS}
    async with running_sink() as sink:
        for window in WINDOWS:
            await ours(sink, window, few)
            await theirs(sink, window, few[:5000])
        for number in range(ROUNDS):
            for window in WINDOWS:
                samples[window].append(await ours(sink, window, messages))
                reference[window].append(await theirs(sink, window, few))
                say(f"round {number + 1}, window {window}: {samples[window][-1]:.0f}/s, {reference[window][-1]:.0f}/s")
    narrow, wide = min(WINDOWS), max(WINDOWS)
    emit(
        "wire",
        samples[wide],
        "submit_sm/s",
        higher_is_better=True,
        reference={
            "name": f"smpp34 {version('smpp34')}",
            "value": round(statistics.median(reference[wide]), 3),
            "value_window_10": round(statistics.median(reference[narrow]), 3),
        },
        value_window_10=round(statistics.median(samples[narrow]), 3),
        params={
            "window": wide,
            "messages": MESSAGES,
            "binds": 1,
            "loop": "uvloop",
            "sink": "bench.sink in another process, same machine",
        },
        samples_window_10=[round(sample, 3) for sample in samples[narrow]],
    )


if __name__ == "__main__":
    uvloop.run(measure())
