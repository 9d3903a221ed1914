"""Group commit: requests that arrive together share one transaction, and each is answered only after it committed.

One transaction a message would be bounded by fsync (about 1,400/s on a small machine); shared, the same disk takes
many times that at the same durability. One transaction at a time: while it waits for the disk, the next one fills, and
fuller ones beat more of them (measured with 64 connections: one 5,500/s, two 4,900/s, three 4,200/s).
"""

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import groupby

from app.domain.channels.directory import ChannelRecord
from app.domain.messages.events import DispatchMessage, Lane
from app.domain.messages.repository import NewMessage, dispatch_rows, insert_messages
from app.domain.outbox.repository import NewOutboxRow, insert_outbox
from app.lib.db import Database
from app.lib.errors import Unavailable
from app.lib.ids import NewId
from app.lib.logging import get_logger
from app.lib.metrics import group_commit_size, messages_accepted

log = get_logger(__name__)

MAX_GROUP = 1000
"""Messages in one transaction."""

MAX_WAITING = 20_000
"""Messages waiting for a transaction before requests are refused with 503."""


class Submission:
    """The messages of one request, all for one channel, waiting for their transaction."""

    __slots__ = ("channel", "done", "messages")

    def __init__(self, channel: ChannelRecord, messages: list[NewMessage], done: "asyncio.Future[None]") -> None:
        self.channel = channel
        self.messages = messages
        self.done = done


class MessageIntake:
    """Stores accepted messages with their outbox rows. `committed` is called after every commit, to wake the relay."""

    def __init__(self, database: Database, new_id: NewId, committed: Callable[[], None]) -> None:
        self._database = database
        self._new_id = new_id
        self._committed = committed
        self._waiting: deque[list[Submission]] = deque()
        self._count = 0
        self._filled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    def __repr__(self) -> str:
        return f"<MessageIntake {self._count} waiting>"

    def start(self) -> None:
        """Start committing on the running loop."""
        self._task = asyncio.create_task(self._run(), name="intake")

    async def stop(self) -> None:
        """Commit what waits, then end."""
        self._stopping = True
        self._filled.set()
        if self._task is not None:
            await self._task

    async def accept(self, groups: list[tuple[ChannelRecord, list[NewMessage]]]) -> None:
        """Return once all messages are committed, together or not at all.

        Raises `Unavailable` when the database is down, or when so much waits already that more would only time out.
        """
        count = sum(len(messages) for _, messages in groups)
        if self._stopping or self._count + count > MAX_WAITING:
            raise Unavailable("Too many messages are waiting to be stored; send again shortly.", retry_after=1.0)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append([Submission(channel, messages, done) for channel, messages in groups])
        self._count += count
        self._filled.set()
        await done
        for _, messages in groups:
            messages_accepted.labels(messages[0].lane.value).inc(len(messages))

    async def _run(self) -> None:
        while True:
            if not self._waiting:
                if self._stopping:
                    return
                self._filled.clear()
                await self._filled.wait()
                continue
            await self._commit(self._take())

    def _take(self) -> list[list[Submission]]:
        requests: list[list[Submission]] = []
        count = 0
        while self._waiting and count < MAX_GROUP:
            request = self._waiting.popleft()
            requests.append(request)
            count += sum(len(submission.messages) for submission in request)
        self._count -= count
        return requests

    async def _commit(self, requests: list[list[Submission]]) -> None:
        try:
            await self._store([submission for request in requests for submission in request])
        except Unavailable as error:
            _settle(requests, error)
        except Exception as error:
            if len(requests) == 1:
                log.error("messages could not be stored", exc_info=error)
                _settle(requests, error)
                return
            # One request's defect must not be everybody's: find it by storing each request by itself.
            for request in requests:
                await self._commit([request])
        else:
            _settle(requests, None)
            self._committed()

    async def _store(self, submissions: list[Submission]) -> None:
        messages = [message for submission in submissions for message in submission.messages]
        rows: list[NewOutboxRow] = []
        queues: dict[tuple[object, Lane], tuple[ChannelRecord, list[DispatchMessage]]] = {}
        for submission in submissions:
            for lane, group in groupby(submission.messages, key=lambda message: message.lane):
                _, queue = queues.setdefault((submission.channel.id, lane), (submission.channel, []))
                queue.extend(message.dispatched() for message in group)
        for (_, lane), (channel, queue) in queues.items():
            rows.extend(dispatch_rows(channel, lane, queue, self._new_id))
        async with self._database.unit_of_work(*{message.account_id for message in messages}) as session:
            await insert_messages(session, messages)
            await insert_outbox(session, rows)
        group_commit_size.observe(len(messages))


def _settle(requests: list[list[Submission]], error: Exception | None) -> None:
    for request in requests:
        done = request[0].done
        if done.done():
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
