"""How far a group message has come, as Server-Sent Events (WHATWG HTML §9.2).

Looked at once a second, each time in a short transaction of its own; told when something has changed. The stream ends
when the group message has, or after a while, and then the client's `EventSource` comes back by itself.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
from litestar.response import ServerSentEventMessage

from app.domain.group_messages.schemas import GroupMessageCounts
from app.domain.group_messages.states import GroupStatus
from app.lib.errors import NotFound, Unavailable

LOOK_SECONDS = 1.0
SILENCE_SECONDS = 5.0
"""After so long a comment says that the stream is alive, so that no proxy takes it for dead."""

LONGEST_SECONDS = 15.0
"""Shorter than what a process that ends waits for its requests (`app.commands.api.WORKERS_END_SECONDS`)."""

RETRY_MILLISECONDS = 200
"""How soon a client comes back after that."""

MOST_STREAMS = 200
"""Open streams of one process."""

ENDED = frozenset({GroupStatus.COMPLETED, GroupStatus.CANCELED})


class GroupMessageStanding(msgspec.Struct, frozen=True, kw_only=True):
    """What one event of the stream of a group message's progress holds."""

    status: GroupStatus
    progress: GroupMessageCounts
    paused_because: str | None


Look = Callable[[], Awaitable[GroupMessageStanding]]


class ProgressStreams:
    """The open streams of this process."""

    def __init__(self) -> None:
        self._open = 0

    def check_room(self) -> None:
        """Raises `Unavailable` when there are as many as there may be."""
        if self._open >= MOST_STREAMS:
            raise Unavailable("Too many streams are open here. Ask for the progress without one.", retry_after=5.0)

    async def events(self, first: GroupMessageStanding, look: Look) -> AsyncIterator[ServerSentEventMessage]:
        """The events, from the `first` look on: `progress`, and at the end the status that it ended with."""
        if self._open >= MOST_STREAMS:
            return
        self._open += 1
        try:
            async for event in _events(first, look):
                yield event
        finally:
            self._open -= 1


async def _events(first: GroupMessageStanding, look: Look) -> AsyncIterator[ServerSentEventMessage]:
    begun = told_at = time.monotonic()
    number = 0
    told: GroupMessageStanding | None = None
    standing = first
    while True:
        if standing != told:
            number += 1
            ended = standing.status in ENDED
            name = standing.status.value if ended else "progress"
            yield ServerSentEventMessage(
                data=msgspec.json.encode(standing), event=name, id=number, retry=RETRY_MILLISECONDS
            )
            if ended:
                return
            told, told_at = standing, time.monotonic()
        elif time.monotonic() - told_at >= SILENCE_SECONDS:
            yield ServerSentEventMessage(comment="nothing new", data=None)
            told_at = time.monotonic()
        if time.monotonic() - begun >= LONGEST_SECONDS:
            return
        await asyncio.sleep(LOOK_SECONDS)
        try:
            standing = await look()
        except (Unavailable, NotFound):
            # The client comes back, and is told then what is wrong, or that it was deleted.
            return
